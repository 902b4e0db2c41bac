package e2e

import (
	"os"
	"path/filepath"
	"testing"

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
		tab.write(filepath.Join(dir, name+".png"))
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
