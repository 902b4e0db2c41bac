package templates

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func ratio(t *testing.T, a, b string) float64 {
	t.Helper()
	ca, ok := parseColour(a)
	if !ok {
		t.Fatalf("%q is not a colour", a)
	}
	cb, ok := parseColour(b)
	if !ok {
		t.Fatalf("%q is not a colour", b)
	}
	return contrast(ca, cb)
}

func TestAnyAccentIsReadable(t *testing.T) {
	for r := 0; r < 256; r += 15 {
		for g := 0; g < 256; g += 15 {
			for b := 0; b < 256; b += 15 {
				hex := rgb{uint8(r), uint8(g), uint8(b)}.String()
				both := Colours(hex)
				checkScheme(t, hex, both.Light, 4.5, lightCard, lightGround)
				checkScheme(t, hex, both.Dark, 6, darkCard, darkGround)
				if both.Light.Accent != hex {
					t.Errorf("light accent of %s = %s, want the portal's own", hex, both.Light.Accent)
				}
			}
		}
	}
}

func checkScheme(t *testing.T, hex string, s Scheme, link float64, surfaces ...string) {
	t.Helper()
	if got := ratio(t, s.On, s.Accent); got < 4.5 {
		t.Errorf("%s: text on button %.2f, want 4.5", hex, got)
	}
	if got := ratio(t, s.On, s.Hover); got < 4.5 {
		t.Errorf("%s: text on hovered button %.2f, want 4.5", hex, got)
	}
	for _, surface := range surfaces {
		if got := ratio(t, s.Edge, surface); got < 3 {
			t.Errorf("%s: border on %s %.2f, want 3", hex, surface, got)
		}
		if got := ratio(t, s.Link, surface); got < link {
			t.Errorf("%s: link on %s %.2f, want %.1f", hex, surface, got, link)
		}
	}
}

func TestContrastIsThatOfWCAG(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want float64
	}{
		{"#000000", "#ffffff", 21}, {"#ffffff", "#ffffff", 1}, {"#767676", "#ffffff", 4.54}, {"#ff0000", "#ffffff", 4},
	} {
		if got := ratio(t, test.a, test.b); got < test.want-0.01 || got > test.want+0.01 {
			t.Errorf("contrast(%s, %s) = %.3f, want %.2f", test.a, test.b, got, test.want)
		}
	}
}

func TestOnlyPlainHexIsAColour(t *testing.T) {
	for _, bad := range []string{"", "#fff", "red", "#12345", "#1234567", "#12345g", "#+12345", "#-12345", "#1_2345", "0x1234", "#000;}x"} {
		if _, ok := parseColour(bad); ok {
			t.Errorf("parseColour(%q) accepted it", bad)
		}
		if got := Colours(bad).Light.Accent; got != DefaultAccent {
			t.Errorf("Colours(%q) = %s, want the default", bad, got)
		}
	}
}

// variables reads the custom properties of the light and the dark theme.
func variables(t *testing.T) (light, dark map[string]string) {
	t.Helper()
	css, err := os.ReadFile("static/app.css")
	if err != nil {
		t.Fatal(err)
	}
	first, second, ok := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("app.css has no dark theme")
	}
	second, _, _ = strings.Cut(second, "*, *::before")
	read := func(text string) map[string]string {
		found := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(text, -1) {
			found[m[1]] = m[2]
		}
		return found
	}
	return read(first), read(second)
}

func TestStyleSheetColoursAreReadable(t *testing.T) {
	light, dark := variables(t)
	for name, theme := range map[string]map[string]string{"light": light, "dark": dark} {
		for _, pair := range []struct {
			text, on string
			want     float64
		}{
			{"ink", "card", 7}, {"ink", "soft", 7}, {"muted", "card", 4.5}, {"muted", "ground", 4.5}, {"muted", "soft", 4.5},
			{"bad", "card", 4.5}, {"bad", "bad-soft", 4.5}, {"good", "card", 4.5}, {"good", "good-soft", 4.5}, {"edge", "card", 3},
		} {
			if got := ratio(t, theme[pair.text], theme[pair.on]); got < pair.want {
				t.Errorf("%s: %s on %s %.2f, want %.1f", name, pair.text, pair.on, got, pair.want)
			}
		}
	}
}

func TestStyleSheetAgreesWithColours(t *testing.T) {
	light, dark := variables(t)
	both := Colours(DefaultAccent)
	for _, theme := range []struct {
		css          map[string]string
		card, ground string
		want         Scheme
	}{{light, lightCard, lightGround, both.Light}, {dark, darkCard, darkGround, both.Dark}} {
		got := Scheme{theme.css["accent"], theme.css["on-accent"], theme.css["accent-hover"], theme.css["accent-edge"], theme.css["link"]}
		if got != theme.want {
			t.Errorf("default accent in app.css = %+v, want %+v", got, theme.want)
		}
		if theme.css["card"] != theme.card || theme.css["ground"] != theme.ground {
			t.Errorf("surfaces in app.css = %s, %s, want %s, %s", theme.css["card"], theme.css["ground"], theme.card, theme.ground)
		}
	}
}
