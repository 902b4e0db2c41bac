package e2e

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Tab is a page in front of somebody. Journeys are written against it and run in
// Chromium, in Chromium with JavaScript off, and in the Visitor. What cannot be
// done fails the test.
type Tab interface {
	// Open goes to an address.
	Open(address string)
	// Press fills in fields (name, value, name, value ...; a checkbox has the
	// value "on"), presses what has this id and waits for the next page.
	Press(id string, fields ...string)
	Back()
	Reload()
	URL() *url.URL
	Has(id string) bool
	Text(id string) string    // spaces collapsed
	Items(id string) []string // the li elements below
	Href(id string) string
	// Field returns the value of the field with this name.
	Field(name string) string
	// Ways counts what the page offers to press: links and buttons of its main part.
	Ways() int
	// Scan reads the authenticator page as a phone would and returns the secret.
	Scan() string
	// New opens another tab of the same browser.
	New() Tab
	// Shot keeps a picture of the page, if pictures are wanted.
	Shot(name string)
}

// ways are the browsers that every journey is walked in. What becomes of a page
// without JavaScript is nothing that a store could change, so over PostgreSQL there
// are two.
func ways(t *testing.T, journey func(t *testing.T, open func(t *testing.T) Tab)) {
	t.Helper()
	t.Run("Chromium", func(t *testing.T) {
		journey(t, func(t *testing.T) Tab { return newChromium(t, true) })
	})
	if !onPostgres() {
		t.Run("Chromium without JavaScript", func(t *testing.T) {
			journey(t, func(t *testing.T) Tab { return newChromium(t, false) })
		})
	}
	t.Run("plain HTTP", func(t *testing.T) { journey(t, newPlain) })
}

// plain is a Tab made of a Visitor.
type plain struct {
	t *testing.T
	v *Visitor
}

func newPlain(t *testing.T) Tab { return &plain{t: t, v: NewVisitor()} }

func (p *plain) try(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *plain) ctx() context.Context { return p.t.Context() }

func (p *plain) Open(address string) { p.t.Helper(); p.try(p.v.Open(p.ctx(), address)) }
func (p *plain) Back()               { p.t.Helper(); p.try(p.v.Back(p.ctx())) }
func (p *plain) Reload()             { p.t.Helper(); p.try(p.v.Open(p.ctx(), p.v.URL().String())) }
func (p *plain) URL() *url.URL       { return p.v.URL() }

func (p *plain) Press(id string, fields ...string) {
	p.t.Helper()
	values := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	p.try(p.v.Press(p.ctx(), id, values))
}

func (p *plain) Has(id string) bool       { return p.v.Has(id) }
func (p *plain) Text(id string) string    { return p.v.Text(id) }
func (p *plain) Items(id string) []string { return p.v.Items(id) }
func (p *plain) Href(id string) string    { return p.v.Attr(id, "href") }
func (p *plain) Field(name string) string { return p.v.Field(name) }
func (p *plain) Ways() int                { return p.v.Ways() }
func (p *plain) Shot(string)              {}
func (p *plain) New() Tab                 { return &plain{t: p.t, v: p.v.Tab()} }

// Scan takes the secret that is written out: a visitor has no camera.
func (p *plain) Scan() string {
	p.t.Helper()
	if !p.Has("totp-qr") {
		p.t.Fatalf("no QR on %s: %s", p.URL(), p.Text("error"))
	}
	return strings.ReplaceAll(p.Text("totp-secret"), " ", "")
}

// eventually waits for something that happens in the background.
func eventually(t *testing.T, what string, within time.Duration, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		if done() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen within %s", what, within)
		}
	}
}
