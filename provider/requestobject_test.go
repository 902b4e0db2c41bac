package provider

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/url"
	"strings"
	"testing"
	"time"

	"anteroom/store"
)

// object is a good request object of a client; changes replace members, nil
// removes.
func (r *rig) object(client string, changes map[string]any) map[string]any {
	claims := map[string]any{"iss": client, "aud": r.URL, "exp": r.now().Add(5 * time.Minute).Unix(), "nbf": r.now().Unix()}
	for name, all := range ask(client) {
		claims[name] = all[0]
	}
	for k, v := range changes {
		if claims[k] = v; v == nil {
			delete(claims, k)
		}
	}
	return claims
}

func newSignerRig(t testing.TB) *rig {
	r := newRig(t)
	r.register(store.Client{ID: "keyed", TokenEndpointAuthMethod: "private_key_jwt", Settings: map[string]any{"jwks": partySet(t)}})
	r.register(store.Client{ID: "strict", TokenEndpointAuthMethod: "private_key_jwt", Settings: map[string]any{
		"jwks": partySet(t), "require_signed_request_object": true, "request_object_signing_alg": "ES256",
	}})
	return r
}

// RFC 9101 sections 5 and 6.3: what is outside the object counts for nothing, and
// every JSON type means what the parameter means.
func TestASignedRequestCountsAlone(t *testing.T) {
	r := newSignerRig(t)
	object := signJWT(t, "ES256", partyKeys()["ES256"], "oauth-authz-req+jwt", r.object("keyed", map[string]any{
		"scope": "openid email", "max_age": 100, "resource": []string{"https://api.example"},
		"claims": map[string]any{"id_token": map[string]any{"email": map[string]any{"essential": true}}},
	}))
	v := ask("keyed", "scope", "openid address", "state", "outside", "prompt", "none", "redirect_uri", "https://evil.example/")
	v.Set("request", object)
	got := r.answerOf(r.get(PathAuthorize, v))
	if got.Get("code") == "" || got.Get("state") != "the state" {
		t.Fatalf("got %v", got)
	}
	if a := r.hub.last.Ask; a.MaxAge == nil || *a.MaxAge != 100 || len(a.Prompt) != 0 {
		t.Errorf("ask %+v", a)
	}
	res := r.post(PathToken, redemption(got.Get("code")), r.byKey("keyed", "ES256"))
	_, id := payload(t, str(res.json["id_token"]))
	if res.json["scope"] != "openid email" || id["email"] == nil {
		t.Errorf("got %s, ID token %v", res.text, id)
	}
	// By POST, and pushed (RFC 9126 section 3).
	if got := r.answerOf(r.post(PathAuthorize, url.Values{"client_id": {"keyed"}, "request": {object}}, nil)); got.Get("code") == "" {
		t.Errorf("by POST: %v", got)
	}
	pushed := r.push(url.Values{"client_id": {"keyed"}, "request": {object}, "scope": {"openid address"}}, r.byKey("keyed", "ES256"))
	if got := r.answerOf(r.get(PathAuthorize, pushed)); got.Get("code") == "" || strings.Contains(r.hub.last.Params, "address") {
		t.Errorf("pushed: %v", got)
	}
}

// RFC 9101 sections 4, 6.1, 6.2 and 10.8; OpenID Connect Core section 6.1.
func TestRequestObjectsThatAreRefused(t *testing.T) {
	r := newSignerRig(t)
	stranger := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	sign := func(changes map[string]any) string {
		return signJWT(t, "ES256", partyKeys()["ES256"], "", r.object("keyed", changes))
	}
	now := r.now().Unix()
	good := sign(nil)
	for name, c := range map[string]struct{ object, code string }{
		"unsigned":                  {"eyJhbGciOiJub25lIn0.e30.", "request_not_supported"},
		"garbage":                   {"garbage", "invalid_request_object"},
		"altered":                   {good[:len(good)-20] + "AAAAAAAAAAAAAAAAAAAA", "invalid_request_object"},
		"a stranger's key":          {signJWT(t, "ES256", stranger, "", r.object("keyed", nil)), "invalid_request_object"},
		"a secret":                  {signJWT(t, "HS256", []byte(strings.Repeat("x", 32)), "", r.object("keyed", nil)), "invalid_request_object"},
		"of another client":         {sign(map[string]any{"iss": "strict"}), "invalid_request_object"},
		"for another client":        {sign(map[string]any{"client_id": "strict"}), "invalid_request_object"},
		"for another server":        {sign(map[string]any{"aud": "https://other.example"}), "invalid_request_object"},
		"for nobody":                {sign(map[string]any{"aud": nil}), "invalid_request_object"},
		"expired":                   {sign(map[string]any{"exp": now - 11}), "invalid_request_object"},
		"never expires":             {sign(map[string]any{"exp": nil}), "invalid_request_object"},
		"not yet":                   {sign(map[string]any{"nbf": now + 60}), "invalid_request_object"},
		"request inside":            {sign(map[string]any{"request": good}), "invalid_request_object"},
		"request_uri inside":        {sign(map[string]any{"request_uri": "https://portal.example/r"}), "invalid_request_object"},
		"a client assertion":        {sign(map[string]any{"sub": "keyed"}), "invalid_request_object"},
		"a list where there is one": {sign(map[string]any{"scope": []string{"openid"}}), "invalid_request_object"},
		"null":                      {sign(map[string]any{"scope": true}), "invalid_request_object"},
		"another type":              {signJWT(t, "ES256", partyKeys()["ES256"], "at+jwt", r.object("keyed", nil)), "invalid_request_object"},
		"a wrong parameter":         {sign(map[string]any{"prompt": "nonsense"}), "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := r.answerOf(r.get(PathAuthorize, ask("keyed", "request", c.object))); got.Get("error") != c.code || got.Get("code") != "" {
				t.Errorf("got %v, want %s", got, c.code)
			}
			res := r.post(PathPushed, ask("keyed", "request", c.object), r.byKey("keyed", "ES256"))
			r.wantError(res, 400, c.code)
		})
	}
	for name, v := range map[string]url.Values{
		"a redirect URI that is not registered":  {"client_id": {"keyed"}, "request": {sign(map[string]any{"redirect_uri": "https://evil.example/"})}},
		"a bad object, and nowhere to answer to": {"client_id": {"keyed"}, "request": {"garbage"}, "scope": {"openid"}},
		"an unknown client":                      {"client_id": {"nobody"}, "request": {good}},
	} {
		if res := r.get(PathAuthorize, v); res.StatusCode != 400 || res.Header.Get("Location") != "" {
			t.Errorf("%s: %d %v", name, res.StatusCode, res.Header)
		}
	}
	if got := r.answerOf(r.get(PathAuthorize, ask("web", "request", good))); got.Get("error") != "request_not_supported" {
		t.Errorf("a client without keys: %v", got)
	}
}

// RFC 9101 section 10.5.
func TestClientsThatMustSign(t *testing.T) {
	r := newSignerRig(t)
	try := func(name, want string, v url.Values) {
		t.Helper()
		if got := r.answerOf(r.get(PathAuthorize, v)); got.Get("error") != want || (want == "") == (got.Get("code") == "") {
			t.Errorf("%s: %v, want %q", name, got, want)
		}
	}
	object := func(alg string) string { return signJWT(t, alg, partyKeys()[alg], "", r.object("strict", nil)) }
	try("unsigned", "invalid_request", ask("strict"))
	try("another algorithm than registered", "invalid_request_object", ask("strict", "request", object("PS256")))
	try("signed", "", ask("strict", "request", object("ES256")))
	try("pushed, signed", "", r.push(ask("strict", "request", object("ES256")), r.byKey("strict", "ES256")))
	r.wantError(r.post(PathPushed, ask("strict"), r.byKey("strict", "ES256")), 400, "invalid_request")
}

// Whatever a request object says: a page or an answer to the client, and nothing
// of ours fails.
func FuzzRequestObject(f *testing.F) {
	r := newSignerRig(f)
	c := must(r.p.client(context.Background(), "keyed"))(f)
	for _, seed := range []string{`{"scope":"openid"}`, `{"max_age":1e400}`, `{"claims":{"a":[null]}}`, `{"resource":["a",1]}`, `[]`, `{"a":{"b":{}}`, `{"client_id":"keyed","state":"\u0000"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		out, err := objectParams(c, payload)
		if err != nil {
			return
		}
		if out.Get("client_id") != "keyed" || out.Has("request") || out.Has("request_uri") {
			t.Fatalf("got %v", out)
		}
		if again, err := newParams(out.Encode()); err != nil || len(again.bad) > 0 {
			t.Fatalf("not kept as it is: %v %v", err, again.bad)
		}
	})
}
