package provider

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// RELIABILITY: disk full: writes answer 503, reads and verification go on.
func TestAFullDiskStopsWritesAndNothingElse(t *testing.T) {
	r := newRig(t)
	got := r.tokens("web", "scope", "openid offline_access")
	code := r.code(ask("web"))
	r.store.writes.Store(true)
	for name, form := range map[string]url.Values{"code": redemption(code), "refresh": refreshment(str(got["refresh_token"]))} {
		res := r.post(PathToken, form, basic("web"))
		r.wantError(res, 503, "temporarily_unavailable")
		if res.Header.Get("Retry-After") == "" || strings.Contains(res.text, "disk") {
			t.Errorf("%s: %v %s", name, res.Header, res.text)
		}
	}
	if res := r.get(PathAuthorize, ask("web")); res.StatusCode != 503 || res.Header.Get("Location") != "" {
		t.Errorf("authorize: %d", res.StatusCode)
	}
	silent := r.answerOf(r.get(PathAuthorize, ask("web", "prompt", "none")))
	if silent.Get("error") != "temporarily_unavailable" || silent.Get("state") != "the state" {
		t.Errorf("silent authorize: %v", silent)
	}
	for name, res := range map[string]*reply{
		"userinfo":           r.post(PathUserInfo, nil, withToken(str(got["access_token"]))),
		"introspection":      r.post(PathIntrospect, url.Values{"token": {str(got["access_token"])}}, basic("web")),
		"client credentials": r.post(PathToken, url.Values{"grant_type": {"client_credentials"}}, basic("web")),
		"JWKS":               r.get(PathJWKS, nil),
	} {
		if res.StatusCode != 200 {
			t.Errorf("%s: %d %s", name, res.StatusCode, res.text)
		}
	}
	r.store.writes.Store(false)
	for name, form := range map[string]url.Values{"code": redemption(code), "refresh": refreshment(str(got["refresh_token"]))} {
		if res := r.post(PathToken, form, basic("web")); res.StatusCode != 200 {
			t.Errorf("%s afterwards: %d %s", name, res.StatusCode, res.text)
		}
	}
}

func TestAStoreThatIsAwayIs503AndKeysGoOnBeingPublished(t *testing.T) {
	r := newRig(t)
	got := r.tokens("web")
	r.store.reads.Store(true)
	time.Sleep(keysTooOld + 100*time.Millisecond)
	if res := r.get(PathJWKS, nil); res.StatusCode != 200 || !strings.Contains(res.text, `"kid"`) {
		t.Errorf("JWKS: %d %s", res.StatusCode, res.text)
	}
	r.wantError(r.post(PathToken, url.Values{"grant_type": {"client_credentials"}}, basic("web")), 503, "temporarily_unavailable")
	r.wantError(r.post(PathUserInfo, nil, withToken(str(got["access_token"]))), 503, "temporarily_unavailable")
	r.wantError(r.post(PathIntrospect, url.Values{"token": {str(got["access_token"])}}, basic("web")), 503, "temporarily_unavailable")
	r.wantError(r.post(PathRevoke, url.Values{"token": {str(got["access_token"])}}, basic("web")), 503, "temporarily_unavailable")
	for _, path := range []string{PathAuthorize, PathLogout} {
		if res := r.get(path, ask("web")); res.StatusCode != http.StatusServiceUnavailable || strings.Contains(res.text, "secrets") {
			t.Errorf("%s: %d %s", path, res.StatusCode, res.text)
		}
	}
}

// Nothing of ours in answers: not an error's text, not a path, not a name of a
// library.
func TestAnswersTellNothingOfTheInside(t *testing.T) {
	r := newRig(t)
	for _, res := range []*reply{
		r.post(PathToken, redemption("x"), basic("web")),
		r.post(PathToken, refreshment("x"), basic("web")),
		r.post(PathToken, nil, basic("nobody")),
		r.post(PathUserInfo, nil, withToken("a.b.c")),
		r.get(PathAuthorize, ask("web", "id_token_hint", "a.b.c")),
		r.get(PathAuthorize, ask("nobody")),
	} {
		for _, word := range []string{"fosite", "jose", "bolt", "sql", "stack", ".go", "not found"} {
			if strings.Contains(strings.ToLower(res.text+res.Header.Get("Location")), word) {
				t.Errorf("%s tells of %q: %s", res.Request.URL.Path, word, res.text)
			}
		}
	}
}
