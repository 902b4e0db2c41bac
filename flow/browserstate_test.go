package flow_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"anteroom/flow"
)

// state returns the cookie that scripts read, "" if there is none.
func (b *browser) state() string {
	b.t.Helper()
	at, err := url.Parse(b.base)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.Jar.Cookies(at) {
		if c.Name == flow.StateCookie(b.base) {
			return c.Value
		}
	}
	return ""
}

// OpenID Connect Session Management section 3: the browser state changes when
// somebody signs in, when it is somebody else, and when nobody is any more; and
// not otherwise.
func TestTheBrowserStateFollowsTheSession(t *testing.T) {
	s := newHouse(t)
	s.watched = true
	s.restart(t)
	b := s.browser(t)
	if b.get("/authorize"); b.state() != "" {
		t.Errorf("before the sign-in: %q", b.state())
	}
	b.signIn("ann")
	ann := b.state()
	if ann != flow.BrowserState(s.Seal, s.Issued[0].SessionID) || ann == "" {
		t.Errorf("signed in: %q", ann)
	}
	b.at(b.get("/authorize"), "/portal")
	s.Pass(time.Second)
	p := b.at(b.get("/authorize?prompt=login"), "/login")
	p = b.at(b.post(p.url, "username", "ann"), "/mfa/challenge")
	b.at(b.post(p.url, "code", "right"), "/portal")
	if b.state() != ann {
		t.Error("it changed for the same session")
	}
	s.Pass(time.Second)
	p = b.at(b.get("/authorize?prompt=login"), "/login")
	p = b.at(b.post(p.url, "username", "ben"), "/mfa/challenge")
	b.at(b.post(p.url, "code", "right"), "/portal")
	if b.state() == ann || b.state() != flow.BrowserState(s.Seal, s.Issued[len(s.Issued)-1].SessionID) {
		t.Errorf("somebody else: %q", b.state())
	}
	if b.get("/out"); b.state() != "" {
		t.Errorf("signed out: %q", b.state())
	}

	// A session that was ended elsewhere is noticed when the browser comes again.
	b.signIn("ann")
	if err := s.Store.EndSession(t.Context(), s.Issued[len(s.Issued)-1].SessionID, s.Now()); err != nil {
		t.Fatal(err)
	}
	if b.get("/authorize?prompt=none"); b.state() != "" {
		t.Errorf("ended: %q", b.state())
	}
}

// In a frame of another site browsers send the state without the session: that
// is no reason to forget it.
func TestTheBrowserStateStaysWhereTheSessionDoesNotCome(t *testing.T) {
	s := newHouse(t)
	s.watched = true
	s.restart(t)
	b := s.browser(t)
	b.signIn("ann")
	req := httptest.NewRequest(http.MethodGet, s.URL+"/authorize?prompt=none", nil)
	req.AddCookie(&http.Cookie{Name: flow.StateCookie(s.URL), Value: b.state()})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	for _, c := range w.Result().Cookies() {
		if c.Name == flow.StateCookie(s.URL) {
			t.Errorf("%v", c)
		}
	}
}

func TestTheBrowserStateIsOffUnlessTurnedOn(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	if b.signIn("ann"); b.state() != "" {
		t.Errorf("got %q", b.state())
	}
	// A session that is older than the setting shows its state at the next portal.
	s.watched = true
	s.restart(t)
	if b.at(b.get("/authorize"), "/portal"); b.state() == "" {
		t.Error("the session of before shows no state")
	}
}

// Scripts read it, in frames of other sites, too: on https it is SameSite=None,
// and Secure with the prefix that keeps other hosts from writing it.
func TestTheBrowserStateCookieSaysWhereItGoes(t *testing.T) {
	s := newHouse(t)
	for issuer, want := range map[string]http.Cookie{
		"https://id.example":    {Secure: true, SameSite: http.SameSiteNoneMode},
		"http://localhost:8080": {SameSite: http.SameSiteLaxMode},
	} {
		hub, err := flow.New(flow.Options{Issuer: issuer, Store: s.Store, Seal: s.Seal, Pages: s.Pages, Now: s.Now, SessionManagement: true})
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequest(http.MethodGet, issuer+"/logout", nil)
		req.AddCookie(&http.Cookie{Name: flow.StateCookie(issuer), Value: "x"})
		w := httptest.NewRecorder()
		if err := hub.SignOut(w, req); err != nil {
			t.Fatal(err)
		}
		got := w.Result().Cookies()
		if len(got) != 1 || got[0].MaxAge >= 0 || got[0].HttpOnly || got[0].Secure != want.Secure || got[0].SameSite != want.SameSite || got[0].Path != "/" || got[0].Domain != "" {
			t.Errorf("%s: %v", issuer, got)
		}
	}
}
