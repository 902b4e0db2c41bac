package mfa

import (
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"image"
	"image/color"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	zxing "github.com/makiuchi-d/gozxing/multi/qrcode"
)

// modules reads the path of a drawn QR code back: which unit squares lie inside
// of it under the even-odd rule.
func modules(t *testing.T, svg string) [][]bool {
	t.Helper()
	size, err := strconv.Atoi(regexp.MustCompile(`viewBox="0 0 (\d+) `).FindStringSubmatch(svg)[1])
	if err != nil {
		t.Fatal(err)
	}
	path := regexp.MustCompile(`fill="#000" fill-rule="evenodd" d="([^"]*)"`).FindStringSubmatch(svg)[1]
	// Count the vertical sides left of each square: crossing toggles.
	side := map[point]int{} // unit side from (x, y) to (x, y+1)
	var x, y, x0, y0 int
	vertical := func(to int) {
		for v := min(y, to); v < max(y, to); v++ {
			side[point{x, v}]++
		}
		y = to
	}
	for _, part := range regexp.MustCompile(`M\d+ \d+|[hv]-?\d+|z`).FindAllString(path, -1) {
		switch n, _ := strconv.Atoi(part[1:]); part[0] {
		case 'M':
			if _, err := fmt.Sscanf(part, "M%d %d", &x, &y); err != nil {
				t.Fatal(err)
			}
			x0, y0 = x, y
		case 'h':
			x += n
		case 'v':
			vertical(y + n)
		case 'z':
			if x != x0 && y != y0 {
				t.Fatalf("a loop is closed by a slanted line from %d %d to %d %d", x, y, x0, y0)
			}
			if x == x0 {
				vertical(y0)
			}
			x, y = x0, y0
		}
	}
	grid := make([][]bool, size)
	for row := range grid {
		grid[row] = make([]bool, size)
		inside := false
		for col := range grid[row] {
			if side[point{col, row}]%2 == 1 {
				inside = !inside
			}
			grid[row][col] = inside
		}
	}
	return grid
}

// scan draws the modules as a camera would see them, and decodes them. A camera
// has another go with each frame; the picture stands still here, so every triple
// of corners is tried. The first guess alone is wrong for one code in thirty.
func scan(t *testing.T, grid [][]bool) string {
	t.Helper()
	const scale = 4
	img := image.NewGray(image.Rect(0, 0, len(grid)*scale, len(grid)*scale))
	for y := range len(grid) * scale {
		for x := range len(grid) * scale {
			shade := color.Gray{Y: 255}
			if grid[y/scale][x/scale] {
				shade.Y = 0
			}
			img.SetGray(x, y, shade)
		}
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	found, err := zxing.NewQRCodeMultiReader().DecodeMultiple(bitmap, nil)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	if len(found) != 1 {
		t.Fatalf("%d codes in one picture", len(found))
	}
	return found[0].GetText()
}

func TestQRIsReadBackByAnotherImplementation(t *testing.T) {
	accounts := []string{"a", "ann@acme.example", strings.Repeat("long", 30) + "@acme.example", "安@例え.example", `"><script>alert(1)</script>`}
	for _, account := range accounts {
		for _, issuer := range []string{"A", "Anteroom", strings.Repeat("Very long issuer ", 10)} {
			uri := otpauthURI(issuer, account, annsKey)
			svg, err := qrSVG(uri)
			if err != nil {
				t.Fatalf("%s: %v", uri, err)
			}
			if got := scan(t, modules(t, string(svg))); got != uri {
				t.Errorf("scanned %q, want %q", got, uri)
			}
		}
	}
}

func TestQROfEveryKeyIsReadBack(t *testing.T) {
	for n := range 50 {
		key := sha256.Sum256([]byte{byte(n)})
		uri := otpauthURI("Anteroom", "ann@acme.example", key[:20])
		svg, err := qrSVG(uri)
		if err != nil {
			t.Fatalf("%s: %v", uri, err)
		}
		if got := scan(t, modules(t, string(svg))); got != uri {
			t.Errorf("scanned %q, want %q", got, uri)
		}
	}
}

func TestQRHasItsQuietZoneAndIsSmallAndWellFormed(t *testing.T) {
	uri := otpauthURI("Anteroom", "ann@acme.example", annsKey)
	svg, err := qrSVG(uri)
	if err != nil {
		t.Fatal(err)
	}
	grid := modules(t, string(svg))
	for y := range grid {
		for x := range grid {
			edge := min(x, y, len(grid)-1-x, len(grid)-1-y)
			if edge < quietZone && grid[y][x] {
				t.Fatalf("a dark module at %d %d, in the quiet zone", x, y)
			}
		}
	}
	if !grid[quietZone][quietZone] {
		t.Error("no finder pattern in the corner of the code")
	}
	for _, hook := range []string{`id="totp-qr"`, `role="img"`, "<title", `fill="#fff"`, `fill="#000"`} {
		if !strings.Contains(string(svg), hook) {
			t.Errorf("%s is missing", hook)
		}
	}
	if strings.Contains(string(svg), "style=") {
		t.Error("an inline style does not pass the content security policy")
	}
	if len(svg) > 16<<10 {
		t.Errorf("%d bytes", len(svg))
	}
	decoder := xml.NewDecoder(strings.NewReader(string(svg)))
	for {
		if _, err := decoder.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}

func TestOutlineCoversExactlyTheDarkModules(t *testing.T) {
	shapes := map[string][]string{
		"one":             {"#"},
		"none":            {"."},
		"ring":            {"###", "#.#", "###"},
		"touching":        {"#.", ".#"},
		"touching, other": {".#", "#."},
		"chess":           {"#.#.", ".#.#", "#.#.", ".#.#"},
		"nested":          {"#####", "#...#", "#.#.#", "#...#", "#####"},
		"hole in corner":  {"##.", "#.#", ".##"},
	}
	for name, rows := range shapes {
		t.Run(name, func(t *testing.T) {
			dark := make([][]bool, len(rows))
			for y, row := range rows {
				for _, c := range row {
					dark[y] = append(dark[y], c == '#')
				}
			}
			size := len(rows) + 2
			svg := fmt.Sprintf(`viewBox="0 0 %d %d" fill="#000" fill-rule="evenodd" d="%s"`, size, size, outline(dark, 1))
			for y, row := range modules(t, svg) {
				for x, got := range row {
					want := y >= 1 && y <= len(rows) && x >= 1 && x <= len(rows) && dark[y-1][x-1]
					if got != want {
						t.Errorf("square %d %d is dark: %v, want %v", x-1, y-1, got, want)
					}
				}
			}
		})
	}
}
