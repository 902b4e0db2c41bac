package flow_test

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"anteroom/store"
)

var portalLink = regexp.MustCompile(`<li><a href="([^"]*)"`)

// OpenID Connect Core section 4: a link to a portal begins a sign-in where the
// portal wants to begin it.
func TestALinkBeginsASignInAtThePortal(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	b.signIn("ann")
	link := func(path string) string {
		t.Helper()
		found := portalLink.FindStringSubmatch(b.get(path).body)
		if found == nil {
			t.Fatal("the start page has no link")
		}
		return html.UnescapeString(found[1])
	}
	register := func(change func(*store.Client)) {
		t.Helper()
		_, err := s.Store.UpdateClient(t.Context(), "c", func(c *store.Client) error {
			c.Disabled, c.Settings = false, map[string]any{"initiate_login_uri": "https://portal.example/start?tenant=1&iss=https://evil.example"}
			change(c)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	change := func(do func(*store.Application)) {
		t.Helper()
		if _, err := s.Store.UpdateApplication(t.Context(), "pa", func(a *store.Application) error { do(a); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	register(func(*store.Client) {})
	got, err := url.Parse(link("/"))
	if err != nil {
		t.Fatal(err)
	}
	q := got.Query()
	if got.Scheme+got.Host+got.Path != "httpsportal.example/start" || q.Get("tenant") != "1" || len(q["iss"]) != 1 || q.Get("iss") != s.URL ||
		q.Get("target_link_uri") != "https://portal.example/login" || q.Get("login_hint") != "ann" {
		t.Errorf("leads to %s", got)
	}
	// Nothing of a request gets into it.
	if again := link("/?iss=https://evil.example&target_link_uri=https://evil.example&login_hint=eve"); again != got.String() {
		t.Errorf("a request changed it to %s", again)
	}
	// Who must not recognise her, and a third party, are not told who comes.
	register(func(c *store.Client) { c.Settings["subject_type"] = "pairwise" })
	if got := link("/"); strings.Contains(got, "login_hint") || !strings.Contains(got, "iss=") {
		t.Errorf("pairwise: %s", got)
	}
	register(func(*store.Client) {})
	change(func(a *store.Application) { a.Consent = store.ConsentOnce })
	if got := link("/"); strings.Contains(got, "login_hint") || !strings.Contains(got, "iss=") {
		t.Errorf("a third party: %s", got)
	}
	for name, client := range map[string]func(*store.Client){
		"plain http":       func(c *store.Client) { c.Settings["initiate_login_uri"] = "http://portal.example/start" },
		"a script":         func(c *store.Client) { c.Settings["initiate_login_uri"] = "javascript:alert(1)" },
		"not a text":       func(c *store.Client) { c.Settings["initiate_login_uri"] = 7 },
		"disabled":         func(c *store.Client) { c.Disabled = true },
		"registered alone": func(c *store.Client) { c.Settings["registration_access_token_hash"] = "x" },
	} {
		register(client)
		if got := link("/"); got != "https://portal.example/login" {
			t.Errorf("%s: leads to %s", name, got)
		}
	}
	// An application that has no address is not offered, whatever its clients say.
	register(func(*store.Client) {})
	change(func(a *store.Application) { a.LaunchURL = "" })
	if page := b.get("/"); strings.Contains(page.body, "portal.example") {
		t.Error("an application without an address is offered")
	}
}
