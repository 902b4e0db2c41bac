package mfa

import (
	"anteroom/flow/flowtest"
	"strings"
	"testing"
)

func TestNewRecoveryCodesAreTenDifferentOnesThatParse(t *testing.T) {
	codes := newRecoveryCodes()
	if len(codes) != 10 {
		t.Fatalf("%d codes, want 10", len(codes))
	}
	seen := map[string]bool{}
	for _, code := range codes {
		plain, ok := ParseRecoveryCode(code)
		if !ok || showRecoveryCode(plain) != code || len(code) != 14 {
			t.Errorf("%q parses to %q, %v", code, plain, ok)
		}
		if seen[plain] {
			t.Errorf("%q twice", code)
		}
		seen[plain] = true
	}
}

func TestRecoveryCodesUseTheWholeAlphabet(t *testing.T) {
	seen := map[rune]bool{}
	for range 100 { // 12000 characters; each of 32 is missing with probability e^-375
		for _, code := range newRecoveryCodes() {
			for _, r := range strings.ReplaceAll(code, "-", "") {
				seen[r] = true
			}
		}
	}
	for _, r := range recoveryAlphabet {
		if !seen[r] {
			t.Errorf("%q never occurs", r)
		}
	}
	if len(seen) != 32 {
		t.Errorf("%d characters occur, want 32", len(seen))
	}
}

func TestParseRecoveryCodeForgivesHowItWasWritten(t *testing.T) {
	cases := []struct {
		name, typed, want string
		ok                bool
	}{
		{"as shown", "k7m2-x9qd-4hnt", "k7m2x9qd4hnt", true},
		{"without dashes", "k7m2x9qd4hnt", "k7m2x9qd4hnt", true},
		{"capitals and spaces", " K7M2 X9QD 4HNT ", "k7m2x9qd4hnt", true},
		{"other dashes", "k7m2–x9qd—4hnt", "k7m2x9qd4hnt", true},
		{"full-width", "ｋ７ｍ２－ｘ９ｑｄ－４ｈｎｔ", "k7m2x9qd4hnt", true},
		{"o for 0", "o7m2-x9qd-4hnO", "07m2x9qd4hn0", true},
		{"i and l for 1", "i7mL-x9qd-4hnI", "17m1x9qd4hn1", true},
		{"u for v", "u7m2-x9qd-4hnt", "v7m2x9qd4hnt", true},
		{"too short", "k7m2-x9qd-4hn", "", false},
		{"too long", "k7m2-x9qd-4hntt", "", false},
		{"other characters", "k7m2-x9qd-4hn!", "", false},
		{"letters that only look Latin", "к7m2-x9qd-4hnt", "", false},
		{"empty", "", "", false},
		{"a code of the app", "123456", "", false},
		{"far too long", strings.Repeat("k7m2-", 100), "", false},
		{"not UTF-8", "k7m2-x9qd-4hn\xff", "", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, ok := ParseRecoveryCode(c.typed)
			if ok != c.ok || (ok && got != c.want) {
				t.Errorf("ParseRecoveryCode(%q) = %q, %v; want %q, %v", c.typed, got, ok, c.want, c.ok)
			}
		})
	}
}

func TestRecoveryHashesBelongToTheirAccount(t *testing.T) {
	keys := flowtest.Keys(t)
	shown := newRecoveryCodes()
	anns, bobs := recoveryHashes(keys, "ann", shown), recoveryHashes(keys, "bob", shown)
	for i, code := range shown {
		plain, _ := ParseRecoveryCode(strings.ToUpper(code))
		if got := recoveryHash(keys, "ann", plain); got != anns[i] {
			t.Errorf("the hash of what is typed differs from the kept one for %s", code)
		}
		if anns[i] == bobs[i] {
			t.Errorf("%s has one hash for two accounts", code)
		}
		if strings.Contains(anns[i], plain) {
			t.Errorf("the hash of %s contains it", code)
		}
	}
}

func FuzzParseRecoveryCode(f *testing.F) {
	for _, seed := range []string{"k7m2-x9qd-4hnt", "K7M2 X9QD 4HNT", "ｋ７", "oil-u", "\xff", "ﬀ½"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		got, ok := ParseRecoveryCode(typed)
		if !ok {
			return
		}
		if len(got) != recoveryLength || strings.Trim(got, recoveryAlphabet) != "" {
			t.Errorf("ParseRecoveryCode(%q) = %q", typed, got)
		}
		if again, ok := ParseRecoveryCode(showRecoveryCode(got)); !ok || again != got {
			t.Errorf("ParseRecoveryCode(%q) = %q, but as shown it parses to %q, %v", typed, got, again, ok)
		}
	})
}
