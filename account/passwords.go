package account

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
)

// Lengths in characters (NIST SP 800-63B-4 section 3.1.1.2): a password that is
// the only factor is longer than one that never is.
const (
	MinAlone      = 15
	MinWithSecond = 8
	MaxPassword   = 256

	maxTyped = 4 * MaxPassword // bytes
)

// Unsuitable says why a password cannot be chosen.
type Unsuitable struct{ reason string }

func (u *Unsuitable) Error() string { return "unsuitable password: " + u.reason }

// Explain says what to do instead.
func (u *Unsuitable) Explain() string { return u.reason }

func unsuitable(format string, args ...any) error {
	return &Unsuitable{fmt.Sprintf(format, args...)}
}

var errUnreadable = errors.New("not a string that can be a password")

// NormalisePassword gives the one form of a password that keyboards write in
// several ways: PRECIS OpaqueString (RFC 8265 section 4.2), which composes
// characters (NFC) and makes every kind of space the ASCII one. Case and
// surrounding space count.
func NormalisePassword(typed string) (string, error) {
	if len(typed) > maxTyped || !utf8.ValidString(typed) {
		return "", errUnreadable
	}
	normal, err := precis.OpaqueString.String(typed)
	if err != nil {
		return "", errUnreadable
	}
	return normal, nil
}

// Suitable tells whether a normalised password may be chosen: length,
// common ones, patterns, and words that everybody would try first for this
// account (context: user name, e-mail address, names, the portal). No rules of
// composition. Returns *Unsuitable.
func Suitable(password string, minimum int, context ...string) error {
	length := utf8.RuneCountInString(password)
	switch {
	case length < minimum && minimum > MinWithSecond:
		return unsuitable("This password is too short. Use at least %d characters: a few words that only you would put together are easy to remember.", minimum)
	case length < minimum:
		return unsuitable("This password is too short. Use at least %d characters.", minimum)
	case length > MaxPassword:
		return unsuitable("This password is too long. Use at most %d characters.", MaxPassword)
	}
	folded := strings.ToLower(password)
	if common(folded) {
		return unsuitable("Very many people use this password, so it is among the first that others try. Choose another one.")
	}
	if monotonous(folded) {
		return unsuitable("This password repeats or counts, so it is easy to guess. Choose one without such a pattern.")
	}
	if word := contextual(folded, context); word != "" {
		return unsuitable("Apart from “%s”, which others would try first, too little is left of this password. Choose another one.", word)
	}
	return nil
}

//go:embed common.txt.gz
var commonGzip []byte

var commonPasswords = sync.OnceValue(func() []string {
	r, err := gzip.NewReader(bytes.NewReader(commonGzip))
	if err != nil {
		panic("account: common passwords: " + err.Error())
	}
	text, err := io.ReadAll(r)
	if err != nil {
		panic("account: common passwords: " + err.Error())
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
})

// common finds a password in the list, or one of the list with digits and
// signs put before or behind it ("Password2026!"), or one of it twice.
func common(folded string) bool {
	listed := func(s string) bool {
		_, found := slices.BinarySearch(commonPasswords(), s)
		return found
	}
	if listed(folded) {
		return true
	}
	if half := len(folded) / 2; len(folded)%2 == 0 && folded[:half] == folded[half:] && listed(folded[:half]) {
		return true
	}
	stem := strings.TrimFunc(folded, func(r rune) bool { return !unicode.IsLetter(r) })
	added := utf8.RuneCountInString(folded) - utf8.RuneCountInString(stem)
	return stem != folded && len(stem) >= 4 && added < MinWithSecond && listed(stem)
}

// runs are what fingers and alphabets offer.
var runs = []string{
	"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", "01234567890123456789012345678901234567890",
	"qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm", "azertyuiopqsdfghjklmwxcvbn",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm", "1q2w3e4r5t6y7u8i9o0p", "!@#$%^&*()_+",
}

// monotonous finds passwords with hardly any content: two different characters
// or fewer, a short piece repeated, or a run of keys or of the alphabet in
// either direction.
func monotonous(folded string) bool {
	letters := []rune(folded)
	different := map[rune]bool{}
	for _, r := range letters {
		different[r] = true
	}
	if len(different) <= 2 {
		return true
	}
	for period := 1; period <= 4 && period*2 <= len(letters); period++ {
		if repeats(letters, period) {
			return true
		}
	}
	backwards := slices.Clone(letters)
	slices.Reverse(backwards)
	for _, run := range runs {
		if strings.Contains(run, folded) || strings.Contains(run, string(backwards)) {
			return true
		}
	}
	return false
}

func repeats(letters []rune, period int) bool {
	for i := period; i < len(letters); i++ {
		if letters[i] != letters[i-period] {
			return false
		}
	}
	return true
}

// contextual returns the word without which too little is left of the password:
// under eight letters and digits. Long phrases may contain such words.
func contextual(folded string, context []string) string {
	rest, first := squeeze(folded), ""
	for _, word := range contextWords(context) {
		if strings.Contains(rest, word) {
			rest = strings.ReplaceAll(rest, word, "")
			if first == "" {
				first = word
			}
		}
	}
	if first == "" || utf8.RuneCountInString(rest) >= MinWithSecond {
		return ""
	}
	return first
}

// contextWords takes names and addresses apart; the longest come first. The
// product's own name is always among them.
func contextWords(context []string) []string {
	words := []string{"anteroom"}
	for _, c := range context {
		c = strings.ToLower(c)
		words = append(words, squeeze(c))
		words = append(words, strings.FieldsFunc(c, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })...)
	}
	words = slices.DeleteFunc(words, func(w string) bool { return utf8.RuneCountInString(w) < 4 })
	slices.SortFunc(words, func(a, b string) int {
		if d := len(b) - len(a); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(words)
}

// squeeze drops everything but letters and digits.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s)
}
