package mfa

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"hash"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// phone is an authenticator app with its settings: what the tests hold against
// the diagnosis. Its codes come from oathtool where that is installed, and from
// the tests' own implementation.
type phone struct {
	key     []byte
	algo    string        // "" means sha1
	digits  int           // 0 means 6
	period  int           // 0 means 30 s
	counter *uint64       // set: counter-based
	off     time.Duration // how far its clock is ahead
}

func (p phone) shows(t *testing.T, now time.Time) string {
	t.Helper()
	digits, period := p.digits, p.period
	if digits == 0 {
		digits = 6
	}
	if period == 0 {
		period = 30
	}
	newHash := map[string]func() hash.Hash{"": sha1.New, "sha256": sha256.New, "sha512": sha512.New}[p.algo]
	at := now.Add(p.off)
	counter := uint64(at.Unix()) / uint64(period)
	if p.counter != nil {
		counter = *p.counter
	}
	own := independent(newHash, p.key, counter, digits)
	tool, err := exec.LookPath("oathtool")
	if err != nil {
		return own
	}
	args := []string{"--digits", strconv.Itoa(digits)}
	if p.counter != nil {
		args = append(args, "--hotp", "--counter", strconv.FormatUint(counter, 10))
	} else {
		algo := p.algo
		if algo == "" {
			algo = "sha1"
		}
		args = append(args, "--totp="+algo, "--time-step-size", fmt.Sprintf("%ds", period), "--now", at.UTC().Format("2006-01-02 15:04:05 MST"))
	}
	out, err := exec.Command(tool, append(args, hex.EncodeToString(p.key))...).CombinedOutput()
	if err != nil {
		t.Fatalf("oathtool: %v: %s", err, out)
	}
	if theirs := strings.TrimSpace(string(out)); theirs != own {
		t.Fatalf("oathtool says %s, the tests' own implementation %s", theirs, own)
	}
	return own
}

var (
	annsKey  = []byte("ann's secret, 20 byt")
	oldKey   = []byte("an older one 20 byte")
	otherKey = []byte("nobody's key 20 byte")
)

func TestDiagnoseExplainsARefusedCode(t *testing.T) {
	now := time.Date(2026, 5, 4, 10, 0, 18, 0, time.UTC) // 12 s before the next step
	current := StepAt(now)
	text := base32.StdEncoding.EncodeToString(annsKey) // 32 characters, no padding
	decode := func(s string) []byte {
		raw, err := base32.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	swap := func(i int) string { return text[:i] + text[i+1:i+2] + text[i:i+1] + text[i+2:] }
	put := func(i int, c string) string { return text[:i] + c + text[i+1:] }
	count := func(n uint64) *uint64 { return &n }

	cases := []struct {
		name    string
		phone   phone
		last    int64
		typed   bool
		reason  Reason
		says    string // part of the sentence
		reveals bool
	}{
		{"the code used just now", phone{key: annsKey}, current, false, Replayed, "You used this code already; the next one comes in 12 s.", false},
		{"the code used just now by a phone a step ahead", phone{key: annsKey, off: 30 * time.Second}, current + 1, false, Replayed, "You used this code already; the next one comes in 12 s.", false},
		{"the code used last, while the next one shows", phone{key: annsKey, off: -30 * time.Second}, current - 1, false, Replayed, "You used this code already. Enter the one that your app shows now.", false},
		{"the code used last, four minutes ago", phone{key: annsKey, off: -4 * time.Minute}, current - 8, false, Replayed, "You used this code already. Enter the one that your app shows now.", false},
		{"a code from before the last used one", phone{key: annsKey, off: -5 * time.Minute}, current - 8, false, Replayed, "A newer code than this one was used already. Enter the one that your app shows now.", false},
		{"the step before the used one", phone{key: annsKey, off: -30 * time.Second}, current, false, Replayed, "A newer code than this one was used already; the next one comes in 12 s.", false},
		{"our clock went back ten minutes", phone{key: annsKey}, current + 20, false, Replayed, "A newer code than this one was used already; the next one that can be used comes in about 11 minutes.", false},

		{"one minute behind", phone{key: annsKey, off: -time.Minute}, 0, false, ClockOff, "about one minute behind. Turn on automatic time", false},
		{"two minutes behind", phone{key: annsKey, off: -2 * time.Minute}, 0, false, ClockOff, "Your phone is about two minutes behind. Turn on automatic time in its settings, then enter the new code.", false},
		{"two minutes behind since an old sign-in", phone{key: annsKey, off: -2 * time.Minute}, current - 100, false, ClockOff, "about two minutes behind", false},
		{"two minutes ahead", phone{key: annsKey, off: 2 * time.Minute}, 0, false, ClockOff, "about two minutes ahead", true},
		{"one minute ahead after a code of now was used", phone{key: annsKey, off: time.Minute}, current, false, ClockOff, "about one minute ahead", true},
		{"ten minutes behind", phone{key: annsKey, off: -10 * time.Minute}, 0, false, ClockOff, "about ten minutes behind", false},
		{"ten minutes ahead", phone{key: annsKey, off: 10 * time.Minute}, 0, false, ClockOff, "about ten minutes ahead", true},
		{"eleven minutes ahead is not looked at", phone{key: annsKey, off: 11 * time.Minute}, 0, false, Wrong, "This code is not right", false},
		{"one hour behind", phone{key: annsKey, off: -time.Hour}, 0, false, ClockOff, "one hour behind. Turn on automatic time and time zone", false},
		{"two hours ahead and half a minute", phone{key: annsKey, off: 2*time.Hour + 30*time.Second}, 0, false, ClockOff, "two hours ahead", true},
		{"half an hour behind", phone{key: annsKey, off: -30 * time.Minute}, 0, false, ClockOff, "half an hour behind", false},
		{"five and a half hours ahead", phone{key: annsKey, off: 5*time.Hour + 30*time.Minute}, 0, false, ClockOff, "five and a half hours ahead", true},
		{"fourteen hours ahead", phone{key: annsKey, off: 14 * time.Hour}, 0, false, ClockOff, "fourteen hours ahead", true},
		{"fifteen hours ahead is not looked at", phone{key: annsKey, off: 15 * time.Hour}, 0, false, Wrong, "not right", false},

		{"an entry that was never confirmed", phone{key: oldKey}, 0, false, OlderEntry, "older entry in your app: delete that entry", false},
		{"an entry that was never confirmed, after a used code", phone{key: oldKey}, current + 1, false, OlderEntry, "older entry", false},
		{"an older entry on a phone that is late", phone{key: oldKey, off: -30 * time.Second}, 0, false, OlderEntry, "older entry", false},

		{"SHA-256", phone{key: annsKey, algo: "sha256"}, 0, false, Algorithm, "choose SHA-1", false},
		{"SHA-256 while enrolling", phone{key: annsKey, algo: "sha256"}, 0, true, Algorithm, "scan the QR code again", false},
		{"SHA-512, a step late", phone{key: annsKey, algo: "sha512", off: -30 * time.Second}, 0, false, Algorithm, "choose SHA-1", false},
		{"a code every 60 seconds", phone{key: annsKey, period: 60}, 0, false, Period, "choose 30 seconds", false},
		{"eight digits", phone{key: annsKey, digits: 8}, 0, false, Digits, "choose six digits", true},
		{"eight digits, a step early", phone{key: annsKey, digits: 8, off: 30 * time.Second}, 0, true, Digits, "scan the QR code again", true},
		{"counter-based, first code", phone{key: annsKey, counter: count(0)}, 0, false, Counter, "choose the time-based kind", false},
		{"counter-based, twelfth code", phone{key: annsKey, counter: count(11)}, 0, false, Counter, "counts codes", false},

		{"the key taken as text", phone{key: []byte(text)}, 0, true, AsText, "took the key as plain text", false},
		{"the key taken as small text", phone{key: []byte(strings.ToLower(text))}, 0, true, AsText, "plain text", false},
		{"the key taken as text with its spaces", phone{key: []byte(grouped(text))}, 0, true, AsText, "plain text", false},
		{"the last group missing", phone{key: decode(text[:28] + "====")[:17]}, 0, true, Truncated, "part of the key is missing", false},
		{"half of the key missing", phone{key: decode(text[:16])}, 0, true, Truncated, "part of the key is missing", false},
		{"the first half missing", phone{key: decode(text[16:])}, 0, true, Truncated, "part of the key is missing", false},
		{"one character wrong in the third group", phone{key: decode(put(9, other(text[9])))}, 0, true, Mistyped, "third group of the key", false},
		{"the very first character wrong", phone{key: decode(put(0, other(text[0])))}, 0, true, Mistyped, "first group", false},
		{"the very last character wrong", phone{key: decode(put(31, other(text[31])))}, 0, true, Mistyped, "last group", false},
		{"two neighbours swapped", phone{key: decode(swap(21))}, 0, true, Mistyped, "sixth group", false},
		{"one character wrong, but nothing was typed", phone{key: decode(put(9, other(text[9])))}, 0, false, Wrong, "not right", false},

		{"another account's code", phone{key: otherKey}, 0, false, Wrong, "Check that you opened the entry for this account", false},
		{"another account's code while enrolling", phone{key: otherKey}, 0, true, Wrong, "scan the QR code again", false},
		{"eight digits of another account", phone{key: otherKey, digits: 8}, 0, false, Malformed, "six digits", false},
		{"seven digits", phone{key: annsKey, digits: 7}, 0, false, Malformed, "Enter the six digits", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			code := c.phone.shows(t, now)
			if _, ok := accepted([]Entry{{"ann", annsKey}}, code, now, c.last); ok {
				t.Fatalf("the code %s would be accepted: nothing to diagnose", code)
			}
			f := Diagnose(Case{
				Entries: []Entry{{"ann", annsKey}}, Older: []Entry{{"", oldKey}},
				Code: code, Now: now, Last: c.last, Typed: c.typed,
			})
			if f.Reason != c.reason {
				t.Errorf("reason %q, want %q", f.Reason, c.reason)
			}
			if sentence := f.Explain(c.typed); !strings.Contains(sentence, c.says) {
				t.Errorf("it says %q, want %q in it", sentence, c.says)
			}
			if (f.Reveals != nil) != c.reveals {
				t.Errorf("reveals %+v, want one: %v", f.Reveals, c.reveals)
			}
		})
	}
}

// other returns another character of the base32 alphabet.
func other(c byte) string {
	if c == 'Q' {
		return "R"
	}
	return "Q"
}

// Whatever a finding says about a bound authenticator's code of now or later
// has to be spent: it must name exactly that code.
func TestDiagnoseNamesTheCodeThatItReveals(t *testing.T) {
	now := time.Date(2026, 5, 4, 10, 0, 18, 0, time.UTC)
	entries := []Entry{{"first", oldKey}, {"second", annsKey}}
	for _, off := range []time.Duration{time.Minute, 5 * time.Minute, 10 * time.Minute, time.Hour, 14 * time.Hour} {
		code := codeAt(annsKey, now.Add(off))
		f := Diagnose(Case{Entries: entries, Code: code, Now: now})
		if f.Reveals == nil || f.Reveals.AuthenticatorID != "second" || f.Reveals.Step != StepAt(now.Add(off)) {
			t.Errorf("%v ahead: reveals %+v, want second at %d", off, f.Reveals, StepAt(now.Add(off)))
		}
	}
	f := Diagnose(Case{Entries: []Entry{{"", otherKey}}, Older: entries, Code: codeAt(oldKey, now), Now: now})
	if f.Reason != OlderEntry || f.Reveals == nil || f.Reveals.AuthenticatorID != "first" || f.Reveals.Step != StepAt(now) {
		t.Errorf("a code of an authenticator being replaced: %+v, want it named", f)
	}
}

// A diagnosis that often finds something in nothing would mislead people and
// tell guessers more than it should.
func TestDiagnoseSeldomExplainsRandomCodes(t *testing.T) {
	now := time.Date(2026, 5, 4, 10, 0, 18, 0, time.UTC)
	found := 0
	for n := range 400 {
		code := fmt.Sprintf("%06d", (n*7919+13)%1_000_000)
		if f := Diagnose(Case{Entries: []Entry{{"ann", annsKey}}, Older: []Entry{{"", oldKey}}, Code: code, Now: now}); f.Reason != Wrong {
			found++
		}
	}
	if found > 3 { // expected: a tenth of a code
		t.Errorf("%d of 400 random codes were explained", found)
	}
}

func TestEveryReasonHasASentenceThatSaysWhatToDo(t *testing.T) {
	all := []Reason{Wrong, Malformed, Replayed, ClockOff, OlderEntry, Algorithm, Period, Digits, Counter, AsText, Truncated, Mistyped, Recovery}
	verbs := []string{"Enter", "enter", "Turn on", "Delete", "delete", "choose", "comes in", "Check"}
	for _, reason := range all {
		for _, enrolling := range []bool{true, false} {
			sentence := Finding{Reason: reason, Wait: 12 * time.Second}.Explain(enrolling)
			told := false
			for _, verb := range verbs {
				told = told || strings.Contains(sentence, verb)
			}
			if !told {
				t.Errorf("%s: %q does not say what to do", reason, sentence)
			}
			for _, jargon := range []string{"OTP", "TOTP", "MFA", "token", "!"} {
				if strings.Contains(sentence, jargon) {
					t.Errorf("%s: %q contains %q", reason, sentence, jargon)
				}
			}
		}
	}
}
