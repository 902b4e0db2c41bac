package mfa

import (
	"fmt"
	"html/template"
	"strings"

	qrcode "github.com/yeqown/go-qrcode/v2"
)

// quietZone is the white margin in modules (ISO/IEC 18004 section 6.3.8).
const quietZone = 4

// qrSVG draws text as a QR code: black on white in every theme, with its quiet
// zone. Error correction is M: 15 % may be hidden by a scratch or a reflection.
func qrSVG(text string) (template.HTML, error) {
	code, err := qrcode.NewWith(text,
		qrcode.WithEncodingMode(qrcode.EncModeByte),
		qrcode.WithErrorCorrectionLevel(qrcode.ErrorCorrectionMedium))
	if err != nil {
		return "", fmt.Errorf("encode QR: %w", err)
	}
	var w svgWriter
	if err := code.Save(&w); err != nil {
		return "", fmt.Errorf("draw QR: %w", err)
	}
	return template.HTML(w.svg), nil // nothing in it comes from outside but the modules
}

// svgWriter is a qrcode.Writer that draws one path around all dark modules.
// Outlines instead of squares are smaller, and show no hairlines between modules
// at any scale.
type svgWriter struct{ svg string }

// Write draws the matrix.
func (w *svgWriter) Write(m qrcode.Matrix) error {
	dark := m.Bitmap()
	size := len(dark) + 2*quietZone
	pixels := size * max(1, (240+size-1)/size) // whole pixels for each module, 240 or more
	w.svg = fmt.Sprintf(`<svg id="totp-qr" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[1]d" width="%[2]d" height="%[2]d" role="img" aria-labelledby="totp-qr-title" shape-rendering="crispEdges">`+
		`<title id="totp-qr-title">QR code for your authenticator app</title>`+
		`<path fill="#fff" d="M0 0h%[1]dv%[1]dH0z"/><path fill="#000" fill-rule="evenodd" d="%[3]s"/></svg>`,
		size, pixels, outline(dark, quietZone))
	return nil
}

// Close does nothing.
func (w *svgWriter) Close() error { return nil }

type point struct{ x, y int }

// outline returns the path around all dark modules, moved by margin: the edges
// between dark and light, dark on the right hand, joined to closed loops.
func outline(dark [][]bool, margin int) string {
	at := func(x, y int) bool { return y >= 0 && y < len(dark) && x >= 0 && x < len(dark[y]) && dark[y][x] }
	next := map[point][]point{}
	var starts []point
	edge := func(a, b point) {
		next[a] = append(next[a], b)
		starts = append(starts, a)
	}
	for y := range dark {
		for x := range dark[y] {
			if !at(x, y) {
				continue
			}
			if !at(x, y-1) {
				edge(point{x, y}, point{x + 1, y})
			}
			if !at(x+1, y) {
				edge(point{x + 1, y}, point{x + 1, y + 1})
			}
			if !at(x, y+1) {
				edge(point{x + 1, y + 1}, point{x, y + 1})
			}
			if !at(x-1, y) {
				edge(point{x, y + 1}, point{x, y})
			}
		}
	}
	var b strings.Builder
	for _, start := range starts {
		if len(next[start]) > 0 {
			loop(&b, next, start, margin)
		}
	}
	return b.String()
}

// loop writes one closed loop and takes its edges out of next. Where two loops
// touch, either way round gives the same area under the even-odd rule.
func loop(b *strings.Builder, next map[point][]point, start point, margin int) {
	fmt.Fprintf(b, "M%d %d", start.x+margin, start.y+margin)
	from, corner := start, start
	var before point
	for {
		out := next[from]
		to := out[len(out)-1]
		next[from] = out[:len(out)-1]
		step := point{to.x - from.x, to.y - from.y}
		if from != start && step != before {
			line(b, corner, from)
			corner = from
		}
		before, from = step, to
		if to == start {
			break // the last side is drawn by z
		}
	}
	b.WriteByte('z')
}

// line writes a horizontal or vertical line.
func line(b *strings.Builder, from, to point) {
	if from.y == to.y {
		fmt.Fprintf(b, "h%d", to.x-from.x)
		return
	}
	fmt.Fprintf(b, "v%d", to.y-from.y)
}
