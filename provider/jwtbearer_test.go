package provider

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/store"
)

// partner is an issuer of assertions.
type partner struct {
	key    *ecdsa.PrivateKey
	signer jose.Signer
}

func newPartner(t testing.TB) *partner {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	return &partner{key, must(jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "p1"}}, nil))(t)}
}

func (p *partner) assert(t testing.TB, claims map[string]any) string {
	t.Helper()
	signed := must(p.signer.Sign(must(json.Marshal(claims))(t)))(t)
	return must(signed.CompactSerialize())(t)
}

func (p *partner) jwks(t testing.TB) (out map[string]any) {
	t.Helper()
	raw := must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "p1", Algorithm: "ES256", Use: "sig"}}}))(t)
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

const partnerIssuer = "https://partner.example"

func bearerRig(t testing.TB) (*rig, *partner) {
	r, p := newRig(t), newPartner(t)
	c := store.Client{
		ID: "sync", ApplicationID: "analytics", TokenEndpointAuthMethod: "client_secret_basic",
		Secrets:    []store.ClientSecret{{Hash: r.seal.Digest(seal.ClientSecret, secret)}},
		GrantTypes: []string{grantJWTBearer}, Scopes: []string{"openid", "api.read", "offline_access"}, Audiences: []string{"https://api.example"},
		Settings: map[string]any{settingIssuers: []any{map[string]any{"issuer": partnerIssuer, "jwks": p.jwks(t)}}},
	}
	r.check(r.db.CreateClient(t.Context(), c))
	c.ID, c.Settings = "untrusting", nil
	r.check(r.db.CreateClient(t.Context(), c))
	c.ID, c.ApplicationID, c.Settings = "asking", "third", map[string]any{settingIssuers: []any{map[string]any{"issuer": partnerIssuer, "jwks": p.jwks(t)}}}
	r.check(r.db.CreateClient(t.Context(), c))
	return r, p
}

func (r *rig) about(changes map[string]any) map[string]any {
	claims := map[string]any{
		"iss": partnerIssuer, "sub": "ann@acme.example", "aud": r.URL, "jti": seal.RandomID(),
		"iat": r.now().Unix(), "exp": r.now().Add(time.Minute).Unix(),
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

func bearing(assertion string) url.Values {
	return url.Values{"grant_type": {grantJWTBearer}, "assertion": {assertion}}
}

// RFC 7523 sections 2.1 and 3.
func TestATrustedIssuerSpeaksForAPerson(t *testing.T) {
	r, p := bearerRig(t)
	assertion := p.assert(t, r.about(nil))
	res := r.post(PathToken, bearing(assertion), basic("sync"))
	if res.StatusCode != 200 || res.json["scope"] != "api.read" || res.json["refresh_token"] != nil || res.json["id_token"] != nil {
		t.Fatalf("%d %s", res.StatusCode, res.text)
	}
	token := str(res.json["access_token"])
	_, claims := payload(t, token)
	for _, name := range []string{"acr", "amr", "auth_time", "sid"} {
		if claims[name] != nil {
			t.Errorf("%s is %v: nobody signed in (invariant I6)", name, claims[name])
		}
	}
	if claims["sub"] != "ann" || claims["client_id"] != "sync" || !r.active(token, "sync") {
		t.Errorf("claims %v", claims)
	}
	r.wantError(r.post(PathToken, bearing(assertion), basic("sync")), 400, "invalid_grant")
	byID := r.post(PathToken, bearing(p.assert(t, r.about(map[string]any{"sub": "bob", "aud": []string{r.URL + PathToken}}))), basic("sync"))
	if byID.StatusCode != 200 {
		t.Errorf("by account id: %s", byID.text)
	}
	if r.count(audit.GrantAsserted) != 2 {
		t.Errorf("events %v", r.events())
	}
	r.check(changeAccount("ann", func(a *store.Account) { a.NotBefore = r.now().Add(time.Second) })(r))
	if r.active(token, "sync") {
		t.Error("the token outlives the end of all sessions")
	}
}

func TestAssertionsThatAreRefused(t *testing.T) {
	r, p := bearerRig(t)
	stranger := newPartner(t)
	for name, c := range map[string]struct {
		assertion string
		client    string
		code      string
	}{
		"missing":                 {"", "sync", "invalid_request"},
		"garbage":                 {"x.y.z", "sync", "invalid_grant"},
		"unsigned":                {"eyJhbGciOiJub25lIn0.e30.", "sync", "invalid_grant"},
		"signed by a stranger":    {stranger.assert(t, r.about(nil)), "sync", "invalid_grant"},
		"an issuer not trusted":   {p.assert(t, r.about(map[string]any{"iss": "https://else.example"})), "sync", "invalid_grant"},
		"no issuer":               {p.assert(t, r.about(map[string]any{"iss": nil})), "sync", "invalid_grant"},
		"a client that trusts no": {p.assert(t, r.about(nil)), "untrusting", "invalid_grant"},
		"not registered":          {p.assert(t, r.about(nil)), "web", "unauthorized_client"},
		"for another server":      {p.assert(t, r.about(map[string]any{"aud": "https://else.example"})), "sync", "invalid_grant"},
		"for others, too":         {p.assert(t, r.about(map[string]any{"aud": []string{r.URL, "https://else.example"}})), "sync", "invalid_grant"},
		"no audience":             {p.assert(t, r.about(map[string]any{"aud": nil})), "sync", "invalid_grant"},
		"expired":                 {p.assert(t, r.about(map[string]any{"exp": r.now().Add(-11 * time.Second).Unix()})), "sync", "invalid_grant"},
		"no end":                  {p.assert(t, r.about(map[string]any{"exp": nil})), "sync", "invalid_grant"},
		"a far end":               {p.assert(t, r.about(map[string]any{"exp": r.now().Add(time.Hour).Unix()})), "sync", "invalid_grant"},
		"not yet":                 {p.assert(t, r.about(map[string]any{"nbf": r.now().Add(time.Minute).Unix()})), "sync", "invalid_grant"},
		"no jti":                  {p.assert(t, r.about(map[string]any{"jti": nil})), "sync", "invalid_grant"},
		"nobody":                  {p.assert(t, r.about(map[string]any{"sub": "nobody"})), "sync", "invalid_grant"},
		"no subject":              {p.assert(t, r.about(map[string]any{"sub": nil})), "sync", "invalid_grant"},
		"nobody consented":        {p.assert(t, r.about(nil)), "asking", "invalid_grant"},
	} {
		res := r.post(PathToken, bearing(c.assertion), basic(c.client))
		if res.StatusCode != 400 || res.json["error"] != c.code {
			t.Errorf("%s: %d %s, want %s", name, res.StatusCode, res.text, c.code)
		}
	}
	for scope, code := range map[string]string{"openid": "invalid_scope", "api.write": "invalid_scope"} {
		form := bearing(p.assert(t, r.about(nil)))
		form.Set("scope", scope)
		r.wantError(r.post(PathToken, form, basic("sync")), 400, code)
	}
	for name, change := range map[string]func(*store.Account){
		"disabled": func(a *store.Account) { a.State = store.AccountDisabled },
		"barred":   func(a *store.Account) { a.State, a.Profile = store.AccountActive, map[string]any{"nickname": "barred"} },
	} {
		r.check(changeAccount("ann", change)(r))
		if res := r.post(PathToken, bearing(p.assert(t, r.about(nil))), basic("sync")); res.json["error"] != "invalid_grant" {
			t.Errorf("%s: %s", name, res.text)
		}
	}
	if r.count(audit.GrantAsserted) != 0 {
		t.Error("a refusal was recorded as a grant")
	}
}
