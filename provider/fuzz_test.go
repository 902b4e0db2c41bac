package provider

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"anteroom/flow"
	"anteroom/internal/web"
	"anteroom/store"
)

// Whatever is sent to /authorize: no panic, no failure of ours, and the browser
// goes nowhere but to what the client registered.
func FuzzAuthorizeRequest(f *testing.F) {
	r := detailsRig(f)
	ctx := context.Background()
	for _, seed := range []string{
		ask("web").Encode(),
		ask("web", "claims", `{"id_token":{"acr":{"essential":true,"values":["a"]},"sub":{"value":"x"}}}`, "prompt", "none", "max_age", "0").Encode(),
		ask("native", "redirect_uri", "http://127.0.0.1:99/cb", "response_mode", "form_post").Encode(),
		ask("two", "response_type", "id_token", "resource", "https://api.example").Encode(),
		ask("web", paramDetails, `[{"type":"payment","amount":1},{"type":"accounts","actions":["balance"],"locations":["https://api.example"]}]`).Encode(),
		"client_id=web&redirect_uri=https://portal.example/cb&id_token_hint=a.b.c",
		"client_id=web&client_id=web&redirect_uri=%ff", "%zz", "a;b", "client_id=%00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		in, err := newParams(raw)
		if err != nil {
			return
		}
		a, err := r.p.parse(ctx, in)
		if a == nil {
			if _, page := errors.AsType[*web.Problem](err); !page {
				t.Fatalf("neither a page nor an answer: %v", err)
			}
			return
		}
		if !matchRedirect(a.client, a.target.uri) || strings.ContainsAny(a.target.uri, "\r\n#") {
			t.Fatalf("would go to %q", a.target.uri)
		}
		if err == nil {
			err = r.p.applyHint(ctx, a)
		}
		if wrong, ok := errors.AsType[*refusal](err); err != nil && (!ok || wrong.status >= 500) {
			t.Fatalf("a failure of ours: %v", err)
		}
		if err != nil {
			return
		}
		// What is kept is understood in the same way the second time.
		again, err := r.p.reparse(ctx, flow.Interaction{Kind: flow.KindAuthorize, ClientID: a.client.ID, Params: a.keep()})
		if err != nil {
			t.Fatalf("the second check: %v", err)
		}
		if !reflect.DeepEqual(again.target, a.target) || strings.Join(again.scopes, " ") != strings.Join(a.scopes, " ") || again.claims.encode() != a.claims.encode() {
			t.Fatalf("the second time it means something else: %+v, %+v", a, again)
		}
		w := httptest.NewRecorder()
		r.p.answer(a.target, url.Values{"code": {"c"}})(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if loc := w.Header().Get("Location"); loc != "" && !strings.HasPrefix(loc, a.target.uri) {
			t.Fatalf("went to %q", loc)
		}
	})
}

// A redirect URI that matches differs from a registered one in nothing but the
// port of a loopback host.
func FuzzRedirectMatch(f *testing.F) {
	for _, uri := range []string{"http://127.0.0.1:1/cb", "http://[::1]:2/cb?a", "http://localhost/cb", "http://127.0.0.1:1@evil/cb", "https://a.example/cb", "http://127.0.0.1:00080/cb"} {
		f.Add(uri, "http://127.0.0.1/cb")
	}
	f.Fuzz(func(t *testing.T, uri, registered string) {
		c := store.Client{ApplicationType: "native", RedirectURIs: []string{registered}}
		if !matchRedirect(c, uri) || uri == registered {
			return
		}
		asked, err := url.Parse(uri)
		if err != nil {
			return // the registered one is not a URL either, then
		}
		own, err := url.Parse(registered)
		if err != nil {
			t.Fatalf("%q matched %q, which is no URL", uri, registered)
		}
		host := asked.Hostname()
		if asked.Scheme != "http" || asked.User != nil || host != own.Hostname() || (host != "127.0.0.1" && host != "::1" && host != "localhost") {
			t.Fatalf("%q matched %q", uri, registered)
		}
		asked.Host, own.Host = "", ""
		if asked.String() != own.String() {
			t.Fatalf("%q matched %q", uri, registered)
		}
	})
}

// Whatever is posted to /token, by whomever: a 4xx in the protocol's form.
func FuzzTokenRequest(f *testing.F) {
	r := newRig(f)
	for _, seed := range []string{
		redemption("x").Encode(), refreshment("x").Encode(), "grant_type=client_credentials&scope=api.read", "grant_type=client_credentials&resource=a&resource=b",
		"client_id=spa&grant_type=refresh_token&refresh_token=%ff", "client_id=web&client_secret=x&grant_type=", "%", "grant_type=%00",
	} {
		f.Add(seed, "Basic d2ViOng=")
		f.Add(seed, "")
	}
	f.Fuzz(func(t *testing.T, body, authorization string) {
		for _, handler := range []http.HandlerFunc{r.p.Token, r.p.Introspect, r.p.Revoke} {
			req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if authorization != "" {
				req.Header["Authorization"] = []string{authorization}
			}
			w := httptest.NewRecorder()
			handler(w, req)
			if w.Code != http.StatusOK && (w.Code < 400 || w.Code > 499 || !strings.HasPrefix(w.Body.String(), `{"error":"`)) {
				t.Fatalf("got %d %s", w.Code, w.Body)
			}
		}
	})
}

// No JWT but ours opens.
func FuzzToken(f *testing.F) {
	r := newRig(f)
	ctx := context.Background()
	got := r.tokens("web")
	id, access := str(got["id_token"]), str(got["access_token"])
	for _, seed := range []string{id, access, "a.b.c", "eyJhbGciOiJub25lIn0.e30.", id + ".", strings.ToUpper(access), `{"payload":"","signatures":[]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if _, err := r.p.openHint(ctx, raw); (err == nil) != (raw == id) || (err != nil && !errors.Is(err, errToken)) {
			t.Fatalf("hint: %v", err)
		}
		if _, err := r.p.openAccessToken(ctx, raw); (err == nil) != (raw == access) || (err != nil && !errors.Is(err, errToken)) {
			t.Fatalf("access token: %v", err)
		}
		req := httptest.NewRequest(http.MethodGet, PathLogout, nil)
		req.URL.RawQuery = url.Values{"id_token_hint": {raw}, "post_logout_redirect_uri": {"https://evil.example/"}}.Encode()
		w := httptest.NewRecorder()
		if err := r.p.Logout(w, req); err == nil && w.Header().Get("Location") != "" {
			t.Fatalf("went to %q", w.Header().Get("Location"))
		}
	})
}

// The claims parameter: no panic, and nothing but what we know comes out.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{`{"userinfo":{"email":null}}`, `{"id_token":{"acr":{"values":[1,null,"a"]},"sub":{"value":{}}}}`, `[]`, `{"a":`, `{"userinfo":null}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		request, _, err := parseClaims(raw)
		if err != nil {
			return
		}
		for _, name := range append(request.UserInfo, request.IDToken...) {
			if scopeOfClaim(name) == "" {
				t.Fatalf("unknown claim %q", name)
			}
		}
		if decodeClaims(request.encode()).encode() != request.encode() {
			t.Fatalf("%q changes on the way", request.encode())
		}
	})
}
