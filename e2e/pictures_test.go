package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"anteroom/internal/demo"
)

// TestReadmePictures takes the pictures of the documentation while somebody
// activates an account: `make pictures` writes them to docs/images.
func TestReadmePictures(t *testing.T) {
	dir := os.Getenv("ANTEROOM_PICTURES")
	if dir == "" {
		t.Skip("set ANTEROOM_PICTURES to a folder to take the pictures of the README")
	}
	p := start(t)
	ann := newPerson("ann@acme.example")
	tab := newChromium(t, true).(*chromiumTab)
	picture := func(name string) {
		tab.look("light", 390)
		shot, err := chromedp.Call(tab.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
			Format: page.CaptureScreenshotFormatPng, CaptureBeyondViewport: new(true),
			Clip: &page.Viewport{Width: 390, Height: 1120, Scale: 1}, // one size, side by side
		})
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".png"), shot.Data, 0o644)
		}
		if err != nil {
			t.Fatalf("take the picture %s: %v", name, err)
		}
		tab.look("light", 0)
	}

	tab.Open(p.invite(ann, demo.PartnerAnalytics, "viewer"))
	picture("1-password")
	tab.Press("activate-submit", "new_password", ann.password)
	p.at(tab, "/mfa/enroll")
	picture("2-authenticator")
	p.enrol(tab, ann)
	p.saveCodes(tab, ann)
	p.at(tab, "/terms")
	picture("3-terms")
	tab.Press("terms-submit", "accept", "on")
	tab.Press("go-to-portal")
	p.arrived(tab, demo.PartnerAnalytics, ann)
	picture("4-portal")
}
