package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"anteroom/admin"
	"anteroom/internal/demo"
)

// listener is where two portals are told that a session ended: one by a message
// to its server, one by a frame in the browser.
type listener struct {
	*httptest.Server
	p *product

	mu     sync.Mutex
	tokens []string // logout tokens
	frames []string // "iss sid"
}

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// listen makes the servers of the demo's two portals hear of ended sessions.
func (p *product) listen() *listener {
	p.t.Helper()
	l := &listener{p: p}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /back", func(_ http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.tokens = append(l.tokens, r.PostFormValue("logout_token"))
	})
	mux.HandleFunc("GET /front", func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.frames = append(l.frames, r.FormValue("iss")+" "+r.FormValue("sid"))
		fmt.Fprint(w, "<!doctype html><title>signed out</title>")
	})
	l.Server = httptest.NewServer(mux)
	p.t.Cleanup(l.Close)
	for client, metadata := range map[string]map[string]any{
		"pcc-web":               {"backchannel_logout_uri": l.URL + "/back"},
		"partner-analytics-web": {"frontchannel_logout_uri": strings.Replace(l.URL, "127.0.0.1", "localhost", 1) + "/front"},
	} {
		p.do(http.MethodPatch, "/clients/"+client, admin.ChangeClient{Metadata: &metadata}, nil)
	}
	return l
}

// heard waits until both were told of a session, once more than before, and
// returns its sid. Without a screen there are no frames.
func (l *listener) heard(times int, frames bool) string {
	l.p.t.Helper()
	eventually(l.p.t, "word of the end of the session", 20*time.Second, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.tokens) >= times && (!frames || len(l.frames) >= times)
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	sid := l.verified(l.tokens[times-1])
	if frames && l.frames[times-1] != l.p.issuer+" "+sid {
		l.p.t.Errorf("the frame was told %q, want %s %s", l.frames[times-1], l.p.issuer, sid)
	}
	return sid
}

// verified is OpenID Connect Back-Channel Logout section 2.6, with go-oidc.
func (l *listener) verified(raw string) string {
	t := l.p.t
	t.Helper()
	issuer, err := oidc.NewProvider(t.Context(), l.p.issuer)
	if err != nil {
		t.Fatal(err)
	}
	token, err := issuer.Verifier(&oidc.Config{ClientID: "pcc-web", Now: l.p.clock.now}).Verify(t.Context(), raw)
	if err != nil {
		t.Fatalf("the logout token: %v", err)
	}
	var claims struct {
		SID    string         `json:"sid"`
		Events map[string]any `json:"events"`
	}
	if err := token.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if _, said := claims.Events[logoutEvent]; !said || token.Nonce != "" || claims.SID == "" || token.Subject == "" {
		t.Errorf("the logout token says %+v, nonce %q", claims, token.Nonce)
	}
	return claims.SID
}

// quiet fails the test if they were told more often than so many times.
func (l *listener) quiet(when string, times int) {
	l.p.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tokens) > times || len(l.frames) > times {
		l.p.t.Errorf("%s the portals were told: %q %q", when, l.tokens, l.frames)
	}
}

func TestJourney14SigningOutTellsThePortals(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ann, tab := newPerson("ann@acme.example"), open(t)
		p.activated(tab, ann)
		p.do("POST", "/accounts/"+ann.email+"/assignments", admin.Assign{Application: demo.PCC, Role: "technician", Organisation: "acme"}, nil)
		l := p.listen()
		_, screenless := tab.(*plain)
		enter := func() {
			for _, portal := range []string{demo.PartnerAnalytics, demo.PCC} {
				tab.Open(p.portals[portal] + "/login")
				if tab.Has("login-submit") {
					p.signIn(tab, ann)
				}
				p.arrived(tab, portal, ann)
			}
		}

		// A portal that sends her brings an ID token: she is not asked, the others
		// are told, and she comes back.
		enter()
		l.quiet("before she signed out", 0)
		tab.Press("sign-out")
		first := l.heard(1, !screenless)
		if screenless {
			if !tab.Has("signed-out") || tab.URL().Path != "/logout" {
				t.Fatalf("after signing out, at %s", tab.URL())
			}
		} else {
			eventually(t, "the way back to the portal", patience, func() bool {
				return strings.HasPrefix(tab.URL().String(), p.portals[demo.PCC]+"/signed-out?")
			})
		}

		// A link that anybody can send her: she is asked, nobody is told before.
		enter()
		tab.Open(p.issuer + "/logout")
		if tab.Has("signed-out") {
			t.Error("a link signed her out")
		}
		l.quiet("before she confirmed", 1)
		tab.Press("logout-confirm")
		if !tab.Has("signed-out") {
			t.Errorf("confirmed, and at %s: %s", tab.URL(), tab.Text("error"))
		}
		if second := l.heard(2, !screenless); second == first {
			t.Error("two sessions have one sid")
		}
		tab.Open(p.portals[demo.PCC] + "/login")
		p.at(tab, "/login")
	})
}
