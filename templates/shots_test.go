package templates

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestShots photographs the storybook and the mails for people to look at:
//
//	ANTEROOM_SHOTS=/some/folder go test ./templates -run Shots
//
// ANTEROOM_STORY narrows it to stories whose name contains it. It fails for a
// page that is wider than the screen.
func TestShots(t *testing.T) {
	dir := os.Getenv("ANTEROOM_SHOTS")
	if dir == "" {
		t.Skip("set ANTEROOM_SHOTS to a folder to take screenshots")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	url, names, _ := serveStories(t)
	browser := newBrowser(t)
	for _, name := range names {
		if strings.Contains(name, os.Getenv("ANTEROOM_STORY")) {
			shoot(t, browser, url+"/story/"+name, filepath.Join(dir, name))
		}
	}
}

func shoot(t *testing.T, browser context.Context, url, file string) {
	t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{360, 768, 1280} {
			height := map[int64]int64{360: 740, 768: 1024, 1280: 800}[width]
			picture, scroll, err := photograph(browser, url, scheme, width, height)
			if err != nil {
				t.Fatalf("%s: %v", url, err)
			}
			if scroll > width {
				t.Errorf("%s at %d px is %d px wide", url, width, scroll)
			}
			if err := os.WriteFile(fmt.Sprintf("%s-%d-%s.png", file, width, scheme), picture, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func photograph(browser context.Context, url, scheme string, width, height int64) (picture []byte, scroll int64, err error) {
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err = chromedp.Call(browser, emulation.SetEmulatedMedia, media); err != nil {
		return nil, 0, err
	}
	if _, err = chromedp.Call(browser, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
		return nil, 0, err
	}
	if err = chromedp.Do(browser, chromedp.EmulateViewport(width, height), chromedp.Navigate(url)); err != nil {
		return nil, 0, err
	}
	if scroll, err = chromedp.Run(browser, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); err != nil {
		return nil, 0, err
	}
	picture, err = chromedp.Run(browser, chromedp.FullScreenshot(100))
	return picture, scroll, err
}
