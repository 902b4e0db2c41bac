package mfa

import (
	"bytes"
	"encoding/base64"
	"strings"
	"time"
)

// groupSize is how many characters of the text secret stand together.
const groupSize = 4

// grouped writes a text in groups of four.
func grouped(text string) string {
	var groups []string
	for len(text) > groupSize {
		groups = append(groups, text[:groupSize])
		text = text[groupSize:]
	}
	return strings.Join(append(groups, text), " ")
}

// typedWrong: the text secret did not arrive in the app as it was shown.
func typedWrong(c Case) (Finding, bool) {
	if !c.Typed || len(c.Code) != digits {
		return Finding{}, false
	}
	shows := func(secret []byte) bool {
		_, found := accepted([]Entry{{Secret: secret}}, c.Code, c.Now, 0)
		return found
	}
	for _, entry := range c.Entries {
		text := base32Text.EncodeToString(entry.Secret)
		for _, other := range undecoded(text) {
			if shows(other) {
				return Finding{Reason: AsText}, true
			}
		}
		for _, other := range shortened(text) {
			if shows(other) {
				return Finding{Reason: Truncated}, true
			}
		}
		if place, found := mistyped(text, entry.Secret, c.Code, c.Now); found {
			return Finding{Reason: Mistyped, Group: place/groupSize + 1}, true
		}
	}
	return Finding{}, false
}

// undecoded lists what an app takes the text for that does not know base32: the
// characters themselves, or base64.
func undecoded(text string) [][]byte {
	all := [][]byte{
		[]byte(text), []byte(strings.ToLower(text)),
		[]byte(grouped(text)), []byte(strings.ToLower(grouped(text))),
	}
	if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
		all = append(all, raw)
	}
	return all
}

// shortened lists what is left when groups are missing at an end, or one in the
// middle. Apps take the whole bytes of what they get, or pad the last one.
func shortened(text string) [][]byte {
	var all [][]byte
	add := func(part string) {
		whole := len(part) * 5 / 8
		raw, err := base32Text.DecodeString(padded(part))
		if err == nil && whole > 0 {
			all = append(all, raw[:whole])
			if whole < len(raw) {
				all = append(all, raw[:whole+1])
			}
		}
	}
	for n := groupSize; n < len(text); n += groupSize {
		add(text[:n])
		add(text[n:])
		add(text[:n-groupSize] + text[n:])
	}
	return all
}

// padded completes base32 text with zero bits to a length that decodes.
func padded(text string) string {
	if rest := len(text) % 8; rest != 0 {
		return text + strings.Repeat("A", 8-rest)
	}
	return text
}

// mistyped finds the one character that is wrong, or the two neighbours that
// changed places, and returns where.
func mistyped(text string, secret []byte, code string, now time.Time) (place int, found bool) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	typed := []byte(text)
	shows := func() bool {
		other, err := base32Text.DecodeString(string(typed))
		if err != nil || bytes.Equal(other, secret) {
			return false
		}
		_, found := accepted([]Entry{{Secret: other}}, code, now, 0)
		return found
	}
	for i, right := range []byte(text) {
		for _, wrong := range []byte(alphabet) {
			typed[i] = wrong
			if shows() {
				return i, true
			}
		}
		typed[i] = right
	}
	for i := range len(typed) - 1 {
		typed[i], typed[i+1] = typed[i+1], typed[i]
		if shows() {
			return i, true
		}
		typed[i], typed[i+1] = typed[i+1], typed[i]
	}
	return 0, false
}
