package provider

import (
	"net/url"
	"testing"
	"time"

	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/store"
)

// gateway adds a client that may exchange tokens of "web".
func (r *rig) gateway(id string, policy any) {
	r.t.Helper()
	c := store.Client{
		ID: id, ApplicationID: "analytics", TokenEndpointAuthMethod: "client_secret_basic",
		Secrets:    []store.ClientSecret{{Hash: r.seal.Digest(seal.ClientSecret, secret)}},
		GrantTypes: []string{grantExchange, "client_credentials"}, Scopes: []string{"api.read", "openid", "offline_access"}, Audiences: []string{"https://b.example"},
	}
	if policy != nil {
		c.Settings = map[string]any{settingExchange: policy}
	}
	r.check(r.db.CreateClient(r.t.Context(), c))
}

func exchangeOf(token string, changes ...string) url.Values {
	v := url.Values{"grant_type": {grantExchange}, "subject_token": {token}, "subject_token_type": {typeOfAccess}}
	for i := 0; i < len(changes); i += 2 {
		v.Set(changes[i], changes[i+1])
	}
	return v
}

var ofWeb = map[string]any{"clients": []any{"web"}}

// RFC 8693 sections 2.2.1 and 4.1.
func TestATokenIsExchangedForANarrowerOne(t *testing.T) {
	r := newRig(t)
	r.gateway("gateway", ofWeb)
	r.gateway("behind", map[string]any{"clients": []any{"gateway"}})
	r.gateway("mask", map[string]any{"clients": []any{"web"}, "impersonation": true})
	first := str(r.tokens("web", "scope", "openid api.read api.write")["access_token"])
	r.pass(4 * time.Minute)
	res := r.post(PathToken, exchangeOf(first, "resource", "https://b.example"), basic("gateway"))
	if res.StatusCode != 200 || res.json["issued_token_type"] != typeOfAccess || res.json["token_type"] != "Bearer" || res.json["scope"] != "api.read" ||
		res.json["refresh_token"] != nil || res.json["id_token"] != nil || res.json["expires_in"] != 360.0 {
		t.Fatalf("%d %s", res.StatusCode, res.text)
	}
	second := str(res.json["access_token"])
	_, claims := payload(t, second)
	_, before := payload(t, first)
	if claims["sub"] != "ann" || claims["client_id"] != "gateway" || claims["aud"] != "https://b.example" || claims["exp"] != before["exp"] || claims["jti"] == before["jti"] || claims["acr"] != before["acr"] {
		t.Errorf("claims %v", claims)
	}
	if act, _ := claims["act"].(map[string]any); act["sub"] != "gateway" || act["act"] != nil {
		t.Errorf("act %v", claims["act"])
	}
	third := r.post(PathToken, exchangeOf(second), basic("behind"))
	_, claims = payload(t, str(third.json["access_token"]))
	act, _ := claims["act"].(map[string]any)
	if inner, _ := act["act"].(map[string]any); act["sub"] != "behind" || inner["sub"] != "gateway" {
		t.Errorf("a chain: %v", claims["act"])
	}
	_, claims = payload(t, str(r.post(PathToken, exchangeOf(first), basic("mask")).json["access_token"]))
	if claims["act"] != nil || claims["sub"] != "ann" {
		t.Errorf("impersonation: %v", claims)
	}
	own := str(r.post(PathToken, url.Values{"grant_type": {"client_credentials"}}, basic("gateway")).json["access_token"])
	_, claims = payload(t, str(r.post(PathToken, exchangeOf(first, "actor_token", own, "actor_token_type", typeOfAccess), basic("gateway")).json["access_token"]))
	if act, _ := claims["act"].(map[string]any); act["sub"] != "gateway" {
		t.Errorf("with an actor_token: %v", claims["act"])
	}
	if res := r.post(PathUserInfo, nil, withToken(second)); res.StatusCode != 403 {
		t.Errorf("userinfo of an exchanged token: %d %s", res.StatusCode, res.text)
	}
	if !r.active(second, "gateway") {
		t.Fatal("not active")
	}
	if _, err := r.db.RevokeGrants(t.Context(), store.GrantFilter{AccountID: "ann"}, "test", r.now()); err != nil {
		t.Fatal(err)
	}
	if r.active(second, "gateway") || r.active(str(third.json["access_token"]), "behind") {
		t.Error("an exchanged token outlives its grant")
	}
	if n := r.count(audit.TokenExchanged); n != 4 {
		t.Errorf("%d events", n)
	}
}

// RFC 8693 section 2.2.2.
func TestExchangesThatAreRefused(t *testing.T) {
	r := newRig(t)
	r.gateway("gateway", ofWeb)
	r.gateway("nopolicy", nil)
	r.gateway("ownonly", map[string]any{})
	good := str(r.tokens("web", "scope", "openid api.read api.write")["access_token"])
	machine := str(r.post(PathToken, url.Values{"grant_type": {"client_credentials"}}, basic("web")).json["access_token"])
	foreign := str(r.tokens("other", "scope", "openid api.read")["access_token"])
	id := str(r.tokens("web")["id_token"])
	for name, c := range map[string]struct {
		form   url.Values
		client string
		code   string
	}{
		"no policy":               {exchangeOf(good), "nopolicy", "unauthorized_client"},
		"not registered":          {exchangeOf(good), "web", "unauthorized_client"},
		"others' tokens":          {exchangeOf(good), "ownonly", "invalid_request"},
		"a client not listed":     {exchangeOf(foreign), "gateway", "invalid_request"},
		"no subject":              {exchangeOf(""), "gateway", "invalid_request"},
		"garbage":                 {exchangeOf("x.y.z"), "gateway", "invalid_request"},
		"an ID token":             {exchangeOf(id), "gateway", "invalid_request"},
		"type of an ID token":     {exchangeOf(good, "subject_token_type", "urn:ietf:params:oauth:token-type:id_token"), "gateway", "invalid_request"},
		"a client's own token":    {exchangeOf(machine), "gateway", "invalid_request"},
		"asks a refresh token":    {exchangeOf(good, "requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), "gateway", "invalid_request"},
		"a scope it has not":      {exchangeOf(good, "scope", "api.write"), "gateway", "invalid_scope"},
		"openid":                  {exchangeOf(good, "scope", "openid"), "gateway", "invalid_scope"},
		"another resource":        {exchangeOf(good, "resource", "https://api.example"), "gateway", "invalid_target"},
		"another audience":        {exchangeOf(good, "audience", "https://api.example"), "gateway", "invalid_target"},
		"another's actor":         {exchangeOf(good, "actor_token", machine, "actor_token_type", typeOfAccess), "gateway", "invalid_request"},
		"actor without its type":  {exchangeOf(good, "actor_token", machine), "gateway", "invalid_request"},
		"actor type without that": {exchangeOf(good, "actor_token_type", typeOfAccess), "gateway", "invalid_request"},
	} {
		res := r.post(PathToken, c.form, basic(c.client))
		if res.StatusCode != 400 || res.json["error"] != c.code {
			t.Errorf("%s: %d %s, want %s", name, res.StatusCode, res.text, c.code)
		}
	}
	r.check(changeAccount("ann", func(a *store.Account) { a.Profile["nickname"] = "barred" })(r))
	r.wantError(r.post(PathToken, exchangeOf(good), basic("gateway")), 400, "invalid_request")
	r.pass(11 * time.Minute)
	r.wantError(r.post(PathToken, exchangeOf(good), basic("gateway")), 400, "invalid_request")
	if r.count(audit.TokenExchanged) != 0 {
		t.Error("a refusal was recorded as an exchange")
	}
}
