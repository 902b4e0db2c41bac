package provider

import (
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/internal/fetch"
	"anteroom/store"
)

// portals is a TLS server of clients that are told of logouts.
type portals struct {
	*httptest.Server
	mu     sync.Mutex
	tokens map[string][]string // by path
	status int
}

// trusted returns a TLS server and a fetcher that reaches it.
func trusted(t testing.TB, h http.Handler, options ...func(*fetch.Options)) (*httptest.Server, *fetch.Fetcher) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	o := fetch.Options{Allow: fetch.Loopback(), Roots: roots}
	for _, option := range options {
		option(&o)
	}
	return s, fetch.New(o)
}

func newPortals(t testing.TB) (*portals, *fetch.Fetcher) {
	t.Helper()
	p := &portals{tokens: map[string][]string{}, status: http.StatusOK}
	var f *fetch.Fetcher
	p.Server, f = trusted(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		form, err := url.ParseQuery(string(body))
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || len(form) != 1 {
			t.Errorf("%s %s %q", r.Method, r.Header.Get("Content-Type"), body)
		}
		p.tokens[r.URL.Path] = append(p.tokens[r.URL.Path], form.Get("logout_token"))
		w.WriteHeader(p.status)
	}))
	return p, f
}

func (p *portals) got(path string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.tokens[path])
}

func (p *portals) answer(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
}

func wantsNotices(id, uri string) func(*rig) error {
	return changeClient(id, func(c *store.Client) { c.Settings = map[string]any{"backchannel_logout_uri": uri} })
}

func (r *rig) deliver() int {
	r.t.Helper()
	return must(r.p.deliverDue(r.t.Context()))(r.t)
}

func (r *rig) pending() []store.Notice {
	r.t.Helper()
	rows, _, err := r.db.PendingNotices(r.t.Context(), store.Page{})
	if err != nil {
		r.t.Fatal(err)
	}
	return rows
}

func (r *rig) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// OpenID Connect Back-Channel Logout sections 2.4 to 2.6.
func TestEndedSessionsAreToldToTheirClients(t *testing.T) {
	site, fetcher := newPortals(t)
	r := newRig(t, func(o *Options) { o.Fetch = fetcher })
	for _, id := range []string{"web", "es256", "norefresh", "third"} {
		r.check(wantsNotices(id, site.URL+"/"+id)(r))
	}
	_, id := payload(t, str(r.tokens("web")["id_token"]))
	r.tokens("web")
	r.tokens("es256")
	r.tokens("norefresh")
	r.tokens("other") // does not want to know
	r.pass(20 * time.Minute)
	hint := str(r.tokens("web")["id_token"])
	if res := r.get(PathLogout, url.Values{"id_token_hint": {hint}}); res.StatusCode != 200 {
		t.Fatalf("logout: %d %s", res.StatusCode, res.text)
	}
	if n := r.deliver(); n != 3 {
		t.Errorf("%d notices, want 3", n)
	}
	for path, alg := range map[string]string{"/web": "RS256", "/es256": "ES256", "/norefresh": "RS256"} {
		got := site.got(path)
		if len(got) != 1 {
			t.Fatalf("%s was told %d times", path, len(got))
		}
		header, claims := payload(t, got[0])
		if header["typ"] != "logout+jwt" || header["alg"] != alg || header["kid"] == nil {
			t.Errorf("%s: header %v", path, header)
		}
		now := float64(r.now().Unix())
		if claims["iss"] != r.URL || claims["aud"] != path[1:] || claims["sub"] != "ann" || claims["sid"] != id["sid"] ||
			claims["iat"] != now || claims["exp"].(float64) > now+120 || str(claims["jti"]) == "" {
			t.Errorf("%s: claims %v", path, claims)
		}
		if events, _ := claims["events"].(map[string]any); len(events) != 1 || events[logoutEvent] == nil {
			t.Errorf("%s: events %v", path, claims["events"])
		}
		if _, has := claims["nonce"]; has {
			t.Errorf("%s: a nonce, which section 2.4 forbids", path)
		}
		if err := r.p.keys.open(t.Context(), got[0], typeLogoutToken, false, &map[string]any{}); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := r.p.openHint(t.Context(), got[0]); err == nil {
			t.Error("a logout token passes for an ID token")
		}
	}
	if len(site.got("/third")) != 0 || len(r.pending()) != 0 || r.deliver() != 0 {
		t.Errorf("too much: %v, left %v", site.got("/third"), r.pending())
	}
}

func TestNoticesThatFailAreTriedAgainAndGivenUp(t *testing.T) {
	site, fetcher := newPortals(t)
	r := newRig(t, func(o *Options) { o.Fetch = fetcher })
	r.check(wantsNotices("web", site.URL+"/web")(r))
	r.tokens("web")
	site.answer(http.StatusServiceUnavailable)
	r.get(PathLogout, url.Values{"id_token_hint": {str(r.tokens("web")["id_token"])}})
	if r.deliver() != 1 || len(site.got("/web")) != 1 {
		t.Fatal("not tried")
	}
	left := r.pending()
	if len(left) != 1 || left[0].Attempts != 1 || !strings.Contains(left[0].LastError, "503") || !left[0].NextAttempt.Equal(r.now().Add(noticeFirst)) {
		t.Fatalf("left %+v", left)
	}
	if r.deliver() != 0 {
		t.Error("tried again at once")
	}
	r.pass(noticeFirst)
	site.answer(http.StatusOK)
	if r.deliver() != 1 || len(r.pending()) != 0 {
		t.Errorf("left %+v", r.pending())
	}
	one, two := site.got("/web")[0], site.got("/web")[1]
	if _, a := payload(t, one); true {
		if _, b := payload(t, two); a["jti"] == b["jti"] || a["iat"] == b["iat"] {
			t.Error("an old token was sent again")
		}
	}

	r.signIn("bob")
	r.tokens("web")
	site.answer(http.StatusBadRequest)
	r.get(PathLogout, url.Values{"id_token_hint": {str(r.tokens("web")["id_token"])}})
	tries := 0
	for range 1000 {
		tries += r.deliver()
		if p := r.pending(); len(p) != 1 || !p[0].GivenUpAt.IsZero() {
			break
		}
		r.pass(noticeLongest)
	}
	if p := r.pending(); len(p) != 1 || p[0].GivenUpAt.IsZero() || tries < 20 || tries > 40 {
		t.Errorf("after %d tries: %+v", tries, p)
	}
}

func TestNoticesToNobodyAreDropped(t *testing.T) {
	site, fetcher := newPortals(t)
	for name, change := range map[string]func(*rig) error{
		"the client wants no more": changeClient("web", func(c *store.Client) { c.Settings = nil }),
		"the client is gone":       func(r *rig) error { return r.db.DeleteClient(r.t.Context(), "web") },
	} {
		r := newRig(t, func(o *Options) { o.Fetch = fetcher })
		r.check(wantsNotices("web", site.URL+"/web")(r))
		r.get(PathLogout, url.Values{"id_token_hint": {str(r.tokens("web")["id_token"])}})
		r.check(change(r))
		if r.deliver() != 1 || len(r.pending()) != 0 || len(site.got("/web")) != 0 {
			t.Errorf("%s: left %+v, told %v", name, r.pending(), site.got("/web"))
		}
	}
}

// CWE-918: a logout URI is an address that somebody else chose.
func TestNoticesNeverReachPrivateAddresses(t *testing.T) {
	site, _ := newPortals(t)
	r := newRig(t)
	r.check(wantsNotices("web", site.URL+"/web")(r))
	r.get(PathLogout, url.Values{"id_token_hint": {str(r.tokens("web")["id_token"])}})
	if r.deliver() != 1 || len(site.got("/web")) != 0 {
		t.Error("reached")
	}
	if p := r.pending(); len(p) != 1 || !strings.Contains(p[0].LastError, "not public") {
		t.Errorf("left %+v", p)
	}
}

func TestDeliveryRunsByItselfAndStops(t *testing.T) {
	site, fetcher := newPortals(t)
	r := newRig(t, func(o *Options) { o.Fetch = fetcher })
	r.check(wantsNotices("web", site.URL+"/web")(r))
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() { r.p.DeliverNotices(ctx); close(stopped) }()
	r.get(PathLogout, url.Values{"id_token_hint": {str(r.tokens("web")["id_token"])}})
	for deadline := time.Now().Add(noticePoll - time.Second); len(r.pending()) > 0 || len(site.got("/web")) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not told soon")
		}
	}
	cancel()
	<-stopped
}
