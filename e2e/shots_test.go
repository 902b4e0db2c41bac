package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Shot keeps the page in light and dark, at three widths, where ANTEROOM_SHOTS says.
func (c *chromiumTab) Shot(name string) {
	c.t.Helper()
	dir := os.Getenv("ANTEROOM_SHOTS")
	if dir == "" {
		return
	}
	*c.shots++
	if name == "" {
		name = c.URL().Host + c.URL().Path
	}
	base := filepath.Join(dir, fileName(c.t.Name()), fmt.Sprintf("%02d-%s", *c.shots, fileName(name)))
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{360, 1280} {
			c.look(scheme, width)
			c.write(fmt.Sprintf("%s-%s-%d.png", base, scheme, width))
		}
	}
	c.look("light", 0)
}

// look changes how the page is looked at; width 0 is the window's own.
func (c *chromiumTab) look(scheme string, width int64) {
	c.t.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(c.ctx, emulation.SetEmulatedMedia, media); err != nil {
		c.t.Fatal(err)
	}
	action := chromedp.ResetViewport()
	if width != 0 {
		action = chromedp.EmulateViewport(width, 800)
	}
	if err := chromedp.Do(c.ctx, action); err != nil {
		c.t.Fatal(err)
	}
}

func (c *chromiumTab) write(file string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o755)
	}
	if err == nil {
		err = os.WriteFile(file, picture, 0o644)
	}
	if err != nil {
		c.t.Errorf("keep a picture: %v", err)
	}
}

// keep saves what the page looked like when the test failed.
func (c *chromiumTab) keep(name string) {
	dir := os.Getenv("ANTEROOM_SHOTS")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "anteroom-e2e")
	}
	file := filepath.Join(dir, fileName(c.t.Name()+"-"+name)+".png")
	c.write(file)
	c.t.Logf("the page was %s, see %s", c.where(), file)
}

func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return '-'
	}, s)
}
