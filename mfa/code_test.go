package mfa

import (
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

func TestParseCodeTakesDigitsHoweverTheyAreWritten(t *testing.T) {
	cases := []struct {
		name, typed, want string
		ok                bool
	}{
		{"plain", "123456", "123456", true},
		{"leading zeros stay", "000007", "000007", true},
		{"a space in the middle", "123 456", "123456", true},
		{"spaces around and a newline", " 123456 \r\n", "123456", true},
		{"no-break space", "123\u00a0456", "123456", true},
		{"narrow no-break space", "123\u202f456", "123456", true},
		{"ideographic space", "123\u3000456", "123456", true},
		{"dash", "123-456", "123456", true},
		{"en dash", "123–456", "123456", true},
		{"minus sign", "123−456", "123456", true},
		{"zero width space", "123\u200b456", "123456", true},
		{"direction marks", "\u200f123456\u200e", "123456", true},
		{"soft hyphen", "123\u00ad456", "123456", true},
		{"byte order mark", "\ufeff123456", "123456", true},
		{"full-width", "１２３４５６", "123456", true},
		{"Arabic-Indic", "١٢٣٤٥٦", "123456", true},
		{"extended Arabic-Indic", "۱۲۳۴۵۶", "123456", true},
		{"Devanagari", "०१२३४५", "012345", true},
		{"Thai", "๐๙๘๗๖๕", "098765", true},
		{"mathematical bold and double-struck", "𝟎𝟏𝟐𝟘𝟙𝟚", "012012", true},
		{"mixed scripts", "1٢３४56", "123456", true},
		{"eight digits are the caller's question", "12345678", "12345678", true},
		{"empty", "", "", false},
		{"only separators", " - ", "", false},
		{"letters", "12345O", "", false},
		{"superscripts are not decimal digits", "¹²³⁴⁵⁶", "", false},
		{"a sign", "+123456", "", false},
		{"a recovery code", "k7m2-x9qd-4hnt", "", false},
		{"not UTF-8", "12345\xff6", "", false},
		{"far too long", strings.Repeat("1", maxTyped+1), "", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, ok := ParseCode(c.typed)
			if ok != c.ok || (ok && got != c.want) {
				t.Errorf("ParseCode(%q) = %q, %v; want %q, %v", c.typed, got, ok, c.want, c.ok)
			}
		})
	}
}

// Compatibility normalisation knows the values of some digits on its own.
func TestDecimalAgreesWithUnicodeNormalisation(t *testing.T) {
	checked := 0
	for r := rune(unicode.MaxASCII); r <= unicode.MaxRune; r++ {
		plain := norm.NFKC.String(string(r))
		if !unicode.IsDigit(r) || len(plain) != 1 || plain[0] < '0' || plain[0] > '9' {
			continue
		}
		checked++
		if got, ok := decimal(r); !ok || got != plain[0]-'0' {
			t.Errorf("decimal(%U) = %d, %v; want %c", r, got, ok, plain[0])
		}
	}
	if checked < 60 {
		t.Errorf("only %d digits were compared", checked)
	}
}

func FuzzParseCode(f *testing.F) {
	for _, seed := range []string{"123456", "123 456", "１２３-٤٥٦", "12345O", "\u200b1", "\xff", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		got, ok := ParseCode(typed)
		if !ok {
			return
		}
		if got == "" || len(got) > len(typed) || strings.Trim(got, "0123456789") != "" {
			t.Errorf("ParseCode(%q) = %q", typed, got)
		}
		if again, ok := ParseCode(got); !ok || again != got {
			t.Errorf("ParseCode(%q) = %q, but that parses to %q, %v", typed, got, again, ok)
		}
	})
}
