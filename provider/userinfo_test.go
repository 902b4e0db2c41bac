package provider

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"anteroom/store"
)

// OpenID Connect Core sections 5.1, 5.3 and 5.4.
func TestUserInfoHasTheClaimsOfTheScopesInTheirTypes(t *testing.T) {
	r := newRig(t)
	for scope, want := range map[string]map[string]any{
		"openid": {},
		"openid profile": {
			"name": "Person ann", "given_name": "ann", "preferred_username": "ann@acme.example", "updated_at": float64(r.now().Unix()),
		},
		"openid email":   {"email": "ann@acme.example", "email_verified": true},
		"openid phone":   {"phone_number": "+1 555 0100", "phone_number_verified": false},
		"openid address": {"address": map[string]any{"country": "CH"}},
		"openid roles": {
			"roles":         []any{"third-viewer"},
			"organizations": []any{map[string]any{"id": "acme", "name": "ACME", "roles": []any{"third-viewer"}}},
		},
	} {
		got := r.tokens("third", "scope", scope)
		want["sub"] = "ann"
		res := r.post(PathUserInfo, nil, withToken(str(got["access_token"])))
		if !reflect.DeepEqual(res.json, want) {
			t.Errorf("%s: got %v, want %v", scope, res.json, want)
		}
		if res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("may be cached: %v", res.Header)
		}
	}
}

func TestFirstPartyApplicationsSeeRolesWithoutAsking(t *testing.T) {
	r := newRig(t)
	res := r.post(PathUserInfo, nil, withToken(str(r.tokens("web")["access_token"])))
	if roles, ok := res.json["roles"].([]any); !ok || roles[0] != "analytics-viewer" {
		t.Errorf("got %v", res.json)
	}
	r.signIn("bob")
	got := r.tokens("web")
	_, id := payload(t, str(got["id_token"]))
	_, access := payload(t, str(got["access_token"]))
	for _, name := range []string{"roles", "organizations"} {
		// RFC 7643 section 2.5: no list and an empty one are the same, and there
		// are resource servers that refuse the second.
		if v, there := access[name]; there {
			t.Errorf("someone without roles: %s = %v in the access token, want none", name, v)
		}
		for _, claims := range []map[string]any{id, r.post(PathUserInfo, nil, withToken(str(got["access_token"]))).json} {
			if list, ok := claims[name].([]any); !ok || len(list) != 0 {
				t.Errorf("someone without roles: %s = %v, want an empty list", name, claims[name])
			}
		}
	}
}

// OpenID Connect Core section 5.5.
func TestClaimsThatWereAskedOneByOne(t *testing.T) {
	r := newRig(t)
	claims := `{"userinfo":{"email":{"essential":true},"given_name":null,"favourite":null},"id_token":{"email_verified":null,"name":{"value":"somebody"}}}`
	got := r.tokens("third", "claims", claims)
	if got["scope"] != "openid" {
		t.Errorf("scope %q: claims are no scopes", got["scope"])
	}
	_, id := payload(t, str(got["id_token"]))
	if id["email_verified"] != true || id["name"] != "Person ann" || id["email"] != nil {
		t.Errorf("ID token %v", id)
	}
	res := r.post(PathUserInfo, nil, withToken(str(got["access_token"])))
	if want := (map[string]any{"sub": "ann", "email": "ann@acme.example", "given_name": "ann"}); !reflect.DeepEqual(res.json, want) {
		t.Errorf("userinfo %v, want %v", res.json, want)
	}

	// Neither the client's registration nor the person's consent is gone round.
	none := func(why string) {
		t.Helper()
		got := r.tokens("third", "claims", claims)
		_, id := payload(t, str(got["id_token"]))
		if id["email_verified"] != nil || id["name"] != nil {
			t.Errorf("%s: ID token %v", why, id)
		}
		if res := r.post(PathUserInfo, nil, withToken(str(got["access_token"]))); len(res.json) != 1 {
			t.Errorf("%s: userinfo %v", why, res.json)
		}
	}
	r.hub.scopes = func([]string) []string { return []string{"openid"} }
	none("consent")
	r.hub.scopes = nil
	if err := changeClient("third", func(c *store.Client) { c.Scopes = []string{"openid"} })(r); err != nil {
		t.Fatal(err)
	}
	none("registration")
	if strings.Join(r.hub.last.Ask.Scopes, " ") != "openid" {
		t.Errorf("consent would be asked for %v", r.hub.last.Ask.Scopes)
	}
}

// RFC 6750 sections 2 and 3.
func TestUserInfoTakesOneTokenInTheRightPlace(t *testing.T) {
	r := newRig(t)
	got := r.tokens("web")
	token := str(got["access_token"])
	body := url.Values{"access_token": {token}}
	get := func(path string, headers ...string) *reply {
		req := must(http.NewRequestWithContext(t.Context(), "GET", r.URL+path, nil))(t)
		for _, h := range headers {
			req.Header.Add("Authorization", h)
		}
		return r.do(req)
	}
	for name, c := range map[string]struct {
		res       *reply
		status    int
		challenge string
	}{
		"header":              {get(PathUserInfo, "Bearer "+token), 200, ""},
		"another case":        {get(PathUserInfo, "bearer "+token), 200, ""},
		"form":                {r.post(PathUserInfo, body, nil), 200, ""},
		"nothing":             {get(PathUserInfo), 401, `Bearer realm="` + r.URL + `"`},
		"query":               {get(PathUserInfo + "?access_token=" + token), 401, `Bearer realm="` + r.URL + `"`},
		"both":                {r.post(PathUserInfo, body, withToken(token)), 400, `error="invalid_request"`},
		"twice in the header": {get(PathUserInfo, "Bearer "+token, "Bearer "+token), 400, `error="invalid_request"`},
		"twice in the form":   {r.post(PathUserInfo, url.Values{"access_token": {token, token}}, nil), 400, `error="invalid_request"`},
		"garbage":             {get(PathUserInfo, "Bearer garbage"), 401, `error="invalid_token"`},
		"basic":               {get(PathUserInfo, "Basic d2ViOnNlY3JldA=="), 401, `error="invalid_token"`},
		"an ID token":         {get(PathUserInfo, "Bearer "+str(got["id_token"])), 401, `error="invalid_token"`},
		"a refresh token":     {get(PathUserInfo, "Bearer "+str(got["refresh_token"])), 401, `error="invalid_token"`},
		"altered":             {get(PathUserInfo, "Bearer "+token[:len(token)-4]+"AAAA"), 401, `error="invalid_token"`},
		"of another issuer":   {get(PathUserInfo, "Bearer "+str(newRig(t).tokens("web")["access_token"])), 401, `error="invalid_token"`},
		"unsigned":            {get(PathUserInfo, "Bearer eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0."+strings.Split(token, ".")[1]+"."), 401, `error="invalid_token"`},
		"too long":            {get(PathUserInfo, "Bearer "+strings.Repeat("a", 20<<10)), 401, `error="invalid_token"`},
		"without openid":      {get(PathUserInfo, "Bearer "+str(r.tokens("web", "scope", "api.read")["access_token"])), 403, `error="insufficient_scope"`},
	} {
		t.Run(name, func(t *testing.T) {
			if c.res.StatusCode != c.status || !strings.Contains(c.res.Header.Get("WWW-Authenticate"), c.challenge) {
				t.Errorf("got %d %q %s", c.res.StatusCode, c.res.Header.Get("WWW-Authenticate"), c.res.text)
			}
			if name == "nothing" && strings.Contains(c.res.Header.Get("WWW-Authenticate"), "error") {
				t.Error("an error for a request without a token (RFC 6750 section 3.1)")
			}
		})
	}
	if res := r.do(must(http.NewRequestWithContext(t.Context(), "DELETE", r.URL+PathUserInfo, nil))(t)); res.StatusCode != 405 {
		t.Errorf("DELETE: %d", res.StatusCode)
	}
}

func TestAccessTokensDieWithWhatTheyStandFor(t *testing.T) {
	endSession := func(r *rig) error { return r.db.EndSession(r.t.Context(), r.hub.auth.SessionID, r.now()) }
	for name, c := range map[string]struct {
		scope string
		kill  func(r *rig) error
		alive bool
	}{
		"nothing happened":       {"openid", func(*rig) error { return nil }, true},
		"expired":                {"openid", func(r *rig) error { r.pass(10 * time.Minute); return nil }, false},
		"account disabled":       {"openid offline_access", changeAccount("ann", func(a *store.Account) { a.State = store.AccountDisabled }), false},
		"signed out everywhere":  {"openid offline_access", changeAccount("ann", func(a *store.Account) { a.NotBefore = a.CreatedAt.Add(time.Second) }), false},
		"session ended":          {"openid", endSession, false},
		"session ended, offline": {"openid offline_access", endSession, true},
		"client disabled":        {"openid", changeClient("web", func(c *store.Client) { c.Disabled = true }), false},
		"client deleted":         {"openid", func(r *rig) error { return r.db.DeleteClient(r.t.Context(), "web") }, false},
		"grant revoked": {"openid offline_access", func(r *rig) error {
			_, err := r.db.RevokeGrants(r.t.Context(), store.GrantFilter{SessionID: r.hub.auth.SessionID}, "test", r.now())
			return err
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			token := str(r.tokens("web", "scope", c.scope, "resource", "https://api.example")["access_token"])
			if err := c.kill(r); err != nil {
				t.Fatal(err)
			}
			if got := r.active(token, "https://api.example"); got != c.alive {
				t.Errorf("introspection says %v, want %v", got, c.alive)
			}
			if got := r.post(PathUserInfo, nil, withToken(token)).StatusCode == 200; got != c.alive {
				t.Errorf("userinfo says %v, want %v", got, c.alive)
			}
		})
	}
}
