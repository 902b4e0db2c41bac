package provider

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"anteroom/flow"
	"anteroom/store"
)

func sessionManagementOn(o *Options) { o.SessionManagement = true }

func TestSessionManagementIsOffUnlessTurnedOn(t *testing.T) {
	r := newRig(t)
	if _, on := r.get(PathDiscovery, nil).json["check_session_iframe"]; on {
		t.Error("advertised")
	}
	r.wantError(r.get(PathCheckSession, nil), 404, "invalid_request")
	if got := r.answerOf(r.get(PathAuthorize, ask("web"))); got.Has("session_state") {
		t.Errorf("got %v", got)
	}
}

// OpenID Connect Session Management sections 2 and 3: session_state is of the
// client, the origin of its address, and the session; nobody can compare two.
func TestSessionStateIsOfClientOriginAndSession(t *testing.T) {
	r := newFrontRig(t, sessionManagementOn)
	if doc := r.get(PathDiscovery, nil).json; doc["check_session_iframe"] != r.URL+PathCheckSession {
		t.Errorf("advertised as %v", doc["check_session_iframe"])
	}
	check := func(what, client, got string) {
		t.Helper()
		hash, salt, _ := strings.Cut(got, ".")
		sum := sha256.Sum256([]byte(client + " https://portal.example " + flow.BrowserState(r.seal, r.hub.auth.SessionID) + " " + salt))
		if want := base64.RawURLEncoding.EncodeToString(sum[:]); hash != want || len(salt) < 22 {
			t.Errorf("%s: session_state %q, want %s", what, got, want)
		}
	}
	seen := map[string]bool{}
	for _, client := range []string{"web", "other", "web"} {
		got := r.answerOf(r.get(PathAuthorize, ask(client)))
		check("query", client, got.Get("session_state"))
		if seen[got.Get("session_state")] {
			t.Error("the same session_state again")
		}
		seen[got.Get("session_state")] = true
	}
	check("fragment", "hybrid", r.fragmentOf(r.get(PathAuthorize, ask("hybrid", "response_type", "id_token token"))).Get("session_state"))
	check("form", "web", formOf(r.get(PathAuthorize, ask("web", "response_mode", "form_post"))).Get("session_state"))
	_, signed := payload(t, r.answerOf(r.get(PathAuthorize, ask("web", "response_mode", "jwt"))).Get("response"))
	check("signed", "web", str(signed["session_state"]))
	if got := r.answerOf(r.get(PathAuthorize, ask("web", "scope", "api.read"))); got.Has("session_state") {
		t.Errorf("without openid: %v", got)
	}
	if res := r.get(PathAuthorize, ask("native", "redirect_uri", "com.example.app:/cb")); r.answerOf(res).Has("session_state") {
		t.Error("an app has no origin")
	}
	if flow.BrowserState(r.seal, "a") == flow.BrowserState(r.seal, "b") || strings.Contains(flow.BrowserState(r.seal, "a-session-id"), "a-session-id") {
		t.Error("the browser state tells the session, or is of two")
	}
}

// Session Management section 3.3: the page runs its one script, whose hash the
// policy names, in frames of registered portals and nobody else's.
func TestOnlyPortalsFrameTheCheckSessionPage(t *testing.T) {
	r := newRig(t, sessionManagementOn)
	frame := func(referer string) *reply {
		req := must(http.NewRequestWithContext(t.Context(), "GET", r.URL+PathCheckSession, nil))(t)
		if referer != "" {
			req.Header.Set("Referer", referer)
		}
		return r.do(req)
	}
	for referer, want := range map[string]string{
		"https://portal.example/some/page?q=1":  "https://portal.example",
		"https://PORTAL.example:443/":           "https://portal.example",
		"":                                      "'none'",
		"https://evil.example/":                 "'none'",
		"https://portal.example.evil.example/":  "'none'",
		"https://portal.example:8443/":          "'none'",
		"http://portal.example/":                "'none'",
		"https://x@evil.example/":               "'none'",
		"https://portal.example;script-src x/":  "'none'",
		"com.example.app:/cb":                   "'none'",
		"https://portal.example'; default-src ": "'none'",
	} {
		res := frame(referer)
		policy := res.Header.Get("Content-Security-Policy")
		if res.StatusCode != 200 || !strings.HasSuffix(policy, "; frame-ancestors "+want) || !strings.HasPrefix(policy, "default-src 'none'; ") {
			t.Errorf("%q: %d %q", referer, res.StatusCode, policy)
		}
		if res.Header.Get("X-Frame-Options") != "" || res.Header.Get("Cache-Control") != "no-store" || len(res.Header.Values("Set-Cookie")) > 0 {
			t.Errorf("%q: %v", referer, res.Header)
		}
		_, rest, _ := strings.Cut(res.text, "<script>")
		script, _, _ := strings.Cut(rest, "</script>")
		sum := sha256.Sum256([]byte(script))
		if !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") || strings.Contains(policy, "unsafe") || strings.Count(res.text, "<script") != 1 {
			t.Errorf("the policy %q is not for this script", policy)
		}
		if !strings.Contains(res.text, `data-cookie="`+flow.StateCookie(r.URL)+`"`) {
			t.Errorf("the page does not know its cookie: %s", res.text)
		}
	}
	// A portal that comes later is known within seconds, one that is gone within a
	// minute; strangers cannot make us read the clients at will.
	late := "https://late.example"
	r.register(store.Client{ID: "late", TokenEndpointAuthMethod: "none", RedirectURIs: []string{late + "/cb"}})
	has := func() bool {
		return strings.HasSuffix(frame(late+"/").Header.Get("Content-Security-Policy"), "frame-ancestors "+late)
	}
	if has() {
		t.Error("the clients are read for every stranger")
	}
	if r.pass(originsAgain); !has() {
		t.Error("a new portal is not known")
	}
	r.check(changeClient("late", func(c *store.Client) { c.Disabled = true })(r))
	if r.pass(originsLast); has() {
		t.Error("a disabled portal is known")
	}
	r.wantError(r.post(PathCheckSession, nil, nil), 405, "invalid_request")
}

func TestOriginOf(t *testing.T) {
	for address, want := range map[string]string{
		"https://Portal.Example/cb?x=1": "https://portal.example", "https://portal.example:443": "https://portal.example",
		"http://localhost:80/": "http://localhost", "http://localhost:8080/cb": "http://localhost:8080", "http://[::1]:3000/cb": "http://[::1]:3000",
		"com.example.app:/cb": "", "": "", "https://": "", "javascript:alert(1)": "", "https://a b/": "", "https://a.example;x": "",
	} {
		if got := originOf(address); got != want {
			t.Errorf("originOf(%q) = %q, want %q", address, got, want)
		}
	}
}
