package templates

import (
	"fmt"
	"math"
	"strconv"
)

// DefaultAccent is used for portals without a colour, or with one that is not
// "#rrggbb".
const DefaultAccent = "#1f5fbf"

// The surfaces of static/app.css that accents stand on; a test compares them.
const (
	lightCard, lightGround = "#ffffff", "#f3f4f6"
	darkCard, darkGround   = "#171b21", "#0e1116"
)

// Scheme is an accent and what goes with it on one background, as "#rrggbb".
type Scheme struct {
	Accent string // fill of the primary button
	On     string // text on Accent and Hover: at least 4.5:1 (WCAG 2.2, 1.4.3)
	Hover  string // fill under the pointer
	Edge   string // border of the button: at least 3:1 on the page (WCAG 2.2, 1.4.11)
	Link   string // accent as text and focus ring: at least 4.5:1, on dark 6:1
}

// ColourSchemes are the two of an accent.
type ColourSchemes struct{ Light, Dark Scheme }

// Colours makes an accent readable. The portal's colour stays as it is on a
// light page; on a dark one it is lightened until a button can be seen.
func Colours(hex string) ColourSchemes {
	c, ok := parseColour(hex)
	if !ok {
		c, _ = parseColour(DefaultAccent)
	}
	return ColourSchemes{
		Light: scheme(c, black, 4.5, lightCard, lightGround),
		Dark:  scheme(toContrast(c, white, 3, darkCard, darkGround), white, 6, darkCard, darkGround),
	}
}

// scheme moves what cannot be seen on the surfaces toward black or white; text
// is the ratio of links.
func scheme(fill, toward rgb, text float64, surfaces ...string) Scheme {
	on, away := white, black
	if contrast(fill, white) < 4.5 {
		on, away = black, white
	}
	return Scheme{
		Accent: fill.String(),
		On:     on.String(),
		Hover:  mix(fill, away, 0.12).String(),
		Edge:   toContrast(fill, toward, 3, surfaces...).String(),
		Link:   toContrast(fill, toward, text, surfaces...).String(),
	}
}

// css is the style sheet of an accent.
func (c ColourSchemes) css() string {
	rule := func(s Scheme) string {
		return fmt.Sprintf(":root{--accent:%s;--on-accent:%s;--accent-hover:%s;--accent-edge:%s;--link:%s}", s.Accent, s.On, s.Hover, s.Edge, s.Link)
	}
	return rule(c.Light) + "\n@media (prefers-color-scheme:dark){" + rule(c.Dark) + "}\n"
}

type rgb [3]uint8

var white, black = rgb{255, 255, 255}, rgb{}

func (c rgb) String() string { return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2]) }

// parseColour reads "#rrggbb" and nothing else: the value becomes part of a URL
// and of a style sheet.
func parseColour(hex string) (rgb, bool) {
	if len(hex) != 7 || hex[0] != '#' || hex[1] == '+' || hex[1] == '-' {
		return rgb{}, false
	}
	n, err := strconv.ParseUint(hex[1:], 16, 32)
	if err != nil {
		return rgb{}, false
	}
	return rgb{uint8(n >> 16), uint8(n >> 8), uint8(n)}, true
}

// mix moves c toward other by share (0 to 1).
func mix(c, other rgb, share float64) rgb {
	var out rgb
	for i := range c {
		out[i] = uint8(math.Round(float64(c[i])*(1-share) + float64(other[i])*share))
	}
	return out
}

// toContrast moves c toward black or white, no further than needed, until it
// has the ratio on every surface.
func toContrast(c, toward rgb, ratio float64, surfaces ...string) rgb {
	for step := 0; step <= 100; step++ {
		moved, enough := mix(c, toward, float64(step)/100), true
		for _, s := range surfaces {
			surface, _ := parseColour(s)
			enough = enough && contrast(moved, surface) >= ratio
		}
		if enough {
			return moved
		}
	}
	return toward
}

// contrast is the ratio of WCAG 2.2, from 1 to 21.
func contrast(a, b rgb) float64 {
	la, lb := luminance(a), luminance(b)
	if la < lb {
		la, lb = lb, la
	}
	return (la + 0.05) / (lb + 0.05)
}

func luminance(c rgb) float64 {
	var linear [3]float64
	for i, v := range c {
		s := float64(v) / 255
		if s <= 0.04045 {
			linear[i] = s / 12.92
		} else {
			linear[i] = math.Pow((s+0.055)/1.055, 2.4)
		}
	}
	return 0.2126*linear[0] + 0.7152*linear[1] + 0.0722*linear[2]
}
