package account

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSuitable(t *testing.T) {
	context := []string{"Ann.Smith", "ann@acme.example", "Partner Analytics", "Ann Marie Smith"}
	for _, c := range []struct {
		rule, password string
		minimum        int
		want           string // part of the reason; empty: may be chosen
	}{
		{"15 characters alone", "blue-otter-9-ab", MinAlone, ""},
		{"14 are too few", "blue-otter-9-a", MinAlone, "too short"},
		{"8 with a second factor", "gr7!kvmq", MinWithSecond, ""},
		{"7 are too few", "gr7!kvm", MinWithSecond, "too short"},
		{"characters are counted, not bytes", "żółćęśąń", MinWithSecond, ""},
		{"64 and more", strings.Repeat("zk4-", 13) + "lantern orchard", MinAlone, ""},
		{"256", strings.Repeat("marmot lamp quill!", 15)[:256], MinAlone, ""},
		{"257 are too many", strings.Repeat("marmot lamp quill!", 15)[:257], MinAlone, "too long"},
		{"no rules of composition", "velvet marmot kiln", MinAlone, ""},
		{"only digits, but not counting", "839204756610293", MinAlone, ""},
		{"common", "password1", MinWithSecond, "Very many people"},
		{"common in capitals", "PASSWORD", MinWithSecond, "Very many people"},
		{"common with a year and a sign", "Football2026!", MinWithSecond, "Very many people"},
		{"common with signs before", "**sunshine**", MinWithSecond, "Very many people"},
		{"listed twice", "iloveyouiloveyou", MinAlone, "Very many people"},
		{"a phrase with a common word", "sunshine over the harbour", MinAlone, ""},
		{"one character", "aaaaaaaaaaaaaaaa", MinAlone, "repeats"},
		{"a short piece repeated", "x7q!x7q!x7q!x7q!", MinAlone, "repeats"},
		{"the alphabet", "abcdefghijklmnop", MinAlone, "counts"},
		{"the alphabet backwards", "ponmlkjihgfedcba", MinAlone, "counts"},
		{"the keyboard", "qwertyuiopasdfgh", MinAlone, "counts"},
		{"digits", "0123456789012345", MinAlone, "counts"},
		{"the user name", "annsmith2026", MinWithSecond, "annsmith"},
		{"the address", "ann@acme.example", MinAlone, "others would try first"},
		{"the host of the address", "Acme-2026!", MinWithSecond, "acme"},
		{"the portal", "PartnerAnalytics1", MinAlone, "partneranalytics"},
		{"this product", "Anteroom-2026", MinWithSecond, "anteroom"},
		{"a phrase with such a word", "the smith forges copper kettles", MinAlone, ""},
	} {
		err := Suitable(c.password, c.minimum, context...)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v, want none", c.rule, err)
			}
			continue
		}
		reason, ok := errors.AsType[*Unsuitable](err)
		if !ok || !strings.Contains(reason.Explain(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.rule, err, c.want)
		}
	}
}

func TestTheListOfCommonPasswordsIsSortedAndFolded(t *testing.T) {
	list := commonPasswords()
	if len(list) < 20_000 || !slices.IsSorted(list) {
		t.Fatalf("%d entries, sorted %v", len(list), slices.IsSorted(list))
	}
	for _, p := range list {
		if p != strings.ToLower(p) || len(p) < 4 {
			t.Fatalf("entry %q can never match", p)
		}
	}
}

func TestNormalisePassword(t *testing.T) {
	for _, c := range []struct{ typed, want string }{
		{"cafe\u0301", "caf\u00e9"},                  // composed
		{"one\u00a0two\u3000three", "one two three"}, // every kind of space
		{" Case and Space ", " Case and Space "},     // count
		{"\u212b", "\u00c5"},                         // Ångström sign
	} {
		if got, err := NormalisePassword(c.typed); err != nil || got != c.want {
			t.Errorf("%q: %q, %v, want %q", c.typed, got, err, c.want)
		}
	}
	for _, typed := range []string{"", "\xff", "a\x00b", "a\tb", strings.Repeat("x", maxTyped+1)} {
		if got, err := NormalisePassword(typed); err == nil {
			t.Errorf("%q was accepted as %q", typed, got)
		}
	}
}

func FuzzNormalisePassword(f *testing.F) {
	f.Add("cafe\u0301 cre\u0300me")
	f.Add("\u202eabc\ufeff")
	f.Fuzz(func(t *testing.T, typed string) {
		normal, err := NormalisePassword(typed)
		if err != nil {
			return
		}
		if !utf8.ValidString(normal) || normal == "" {
			t.Fatalf("%q became %q", typed, normal)
		}
		if again, err := NormalisePassword(normal); err == nil && again != normal {
			t.Errorf("%q became %q, and that %q", typed, normal, again)
		}
		_ = Suitable(normal, MinWithSecond, typed, normal)
	})
}
