package provider

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"anteroom/flow"
	"anteroom/internal/audit"
	"anteroom/store"
)

func TestCodeFlowGivesTokensThatSayWhoHowAndWhereto(t *testing.T) {
	r := newRig(t)
	got := r.tokens("web", "scope", "openid api.read roles")
	header, id := payload(t, str(got["id_token"]))
	if header["alg"] != "RS256" || header["kid"] == nil || header["typ"] != "JWT" {
		t.Errorf("ID token header %v", header)
	}
	session := r.hub.auth.SessionID
	for name, want := range map[string]any{
		"iss": r.URL, "sub": "ann", "aud": "web", "nonce": "the nonce", "acr": flow.ACRMulti, "sid": session,
		"auth_time": float64(r.hub.auth.AuthTime.Unix()), "iat": float64(r.now().Unix()), "exp": float64(r.now().Unix() + 600),
	} {
		if id[name] != want {
			t.Errorf("ID token %s = %v, want %v", name, id[name], want)
		}
	}
	if id["at_hash"] == nil || id["email"] != nil {
		t.Errorf("ID token %v: want at_hash, and no e-mail", id)
	}
	header, access := payload(t, str(got["access_token"]))
	if header["alg"] != "ES256" || header["kid"] == nil || header["typ"] != "at+jwt" {
		t.Errorf("access token header %v", header)
	}
	for name, want := range map[string]any{
		"iss": r.URL, "sub": "ann", "aud": "web", "client_id": "web", "scope": "openid api.read roles", "sid": session,
		"acr": flow.ACRMulti, "iat": float64(r.now().Unix()), "exp": float64(r.now().Unix() + 600),
	} {
		if access[name] != want {
			t.Errorf("access token %s = %v, want %v", name, access[name], want)
		}
	}
	for _, claims := range []map[string]any{id, access} {
		if roles, ok := claims["roles"].([]any); !ok || len(roles) != 1 || roles[0] != "analytics-viewer" {
			t.Errorf("roles = %v", claims["roles"])
		}
		if amr, ok := claims["amr"].([]any); !ok || len(amr) != 3 {
			t.Errorf("amr = %v", claims["amr"])
		}
	}
	if got["token_type"] != "Bearer" || got["expires_in"] != float64(600) || got["scope"] != "openid api.read roles" || str(got["refresh_token"]) == "" {
		t.Errorf("answer %v", got)
	}
	if n := r.count(audit.CodeIssued); n != 1 || r.count(audit.CodeRedeemed) != 1 {
		t.Errorf("events %v", r.events())
	}
}

func TestSigningAlgorithmsFollowTheClient(t *testing.T) {
	r := newRig(t)
	got := r.tokens("es256")
	id, _ := payload(t, str(got["id_token"]))
	access, _ := payload(t, str(got["access_token"]))
	if id["alg"] != "ES256" || access["alg"] != "RS256" {
		t.Errorf("ID token %v, access token %v", id["alg"], access["alg"])
	}
}

func TestWithoutOpenIDThereIsNoIDTokenAndOneRedirectURINeedNotBeSent(t *testing.T) {
	r := newRig(t)
	code := r.code(ask("web", "scope", "api.read", "redirect_uri", "", "nonce", ""))
	form := redemption(code)
	form.Del("redirect_uri")
	res := r.post(PathToken, form, basic("web"))
	if res.StatusCode != 200 || res.json["id_token"] != nil || res.json["scope"] != "api.read" {
		t.Errorf("got %d %s", res.StatusCode, res.text)
	}
}

func TestCodeIsRefused(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		change func(form url.Values) as
		code   string
	}{
		"unknown":               {func(f url.Values) as { f.Set("code", "nonsense"); return nil }, "invalid_grant"},
		"missing":               {func(f url.Values) as { f.Del("code"); return nil }, "invalid_request"},
		"huge":                  {func(f url.Values) as { f.Set("code", string(make([]byte, 5000))); return nil }, "invalid_request"}, // NUL
		"of another client":     {func(url.Values) as { return basic("other") }, "invalid_grant"},
		"other redirect_uri":    {func(f url.Values) as { f.Set("redirect_uri", callback+"/"); return nil }, "invalid_grant"},
		"redirect_uri left out": {func(f url.Values) as { f.Del("redirect_uri"); return nil }, "invalid_grant"},
		"resource not granted":  {func(f url.Values) as { f.Set("resource", "https://api.example"); return nil }, "invalid_target"},
		"expired":               {func(url.Values) as { r.pass(61 * time.Second); return nil }, "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			form := redemption(r.code(ask("web")))
			who := c.change(form)
			if who == nil {
				who = basic("web")
			}
			r.wantError(r.post(PathToken, form, who), 400, c.code)
		})
	}
}

func TestAnotherClientsAttemptDoesNotSpoilTheCode(t *testing.T) {
	r := newRig(t)
	code := r.code(ask("web"))
	r.wantError(r.post(PathToken, redemption(code), basic("other")), 400, "invalid_grant")
	if res := r.post(PathToken, redemption(code), basic("web")); res.StatusCode != 200 {
		t.Errorf("the client's own exchange: %d %s", res.StatusCode, res.text)
	}
}

func TestACodeDiesWithWhatItStandsFor(t *testing.T) {
	for name, kill := range map[string]func(r *rig) error{
		"account disabled": func(r *rig) error {
			_, err := r.db.UpdateAccount(r.t.Context(), "ann", func(a *store.Account) error { a.State = store.AccountDisabled; return nil })
			return err
		},
		"signed out everywhere": func(r *rig) error {
			r.pass(time.Second)
			_, err := r.db.UpdateAccount(r.t.Context(), "ann", func(a *store.Account) error { a.NotBefore = r.now(); return nil })
			return err
		},
		"session ended": func(r *rig) error { return r.db.EndSession(r.t.Context(), r.hub.auth.SessionID, r.now()) },
		"grant revoked": func(r *rig) error {
			_, err := r.db.RevokeGrants(r.t.Context(), store.GrantFilter{AccountID: "ann"}, "test", r.now())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			code := r.code(ask("web", "scope", "openid offline_access"))
			if err := kill(r); err != nil {
				t.Fatal(err)
			}
			r.wantError(r.post(PathToken, redemption(code), basic("web")), 400, "invalid_grant")
		})
	}
}

// I1, RFC 6749 section 4.1.2.
func TestACodeUsedTwiceEndsItsTokens(t *testing.T) {
	for _, wait := range []time.Duration{0, 30 * time.Second, 5 * time.Minute} {
		t.Run(wait.String(), func(t *testing.T) {
			r := newRig(t)
			code := r.code(ask("web"))
			first := r.post(PathToken, redemption(code), basic("web"))
			access := str(first.json["access_token"])
			if !r.active(access, "web") {
				t.Fatal("the token is not good to begin with")
			}
			r.pass(wait)
			r.wantError(r.post(PathToken, redemption(code), basic("web")), 400, "invalid_grant")
			if r.active(access, "web") {
				t.Error("the access token survived")
			}
			r.wantError(r.post(PathToken, refreshment(str(first.json["refresh_token"])), basic("web")), 400, "invalid_grant")
			r.wantError(r.post(PathToken, redemption(code), basic("web")), 400, "invalid_grant")
			if n := r.count(audit.CodeReused); n != 1 {
				t.Errorf("%d events of reuse, want 1", n)
			}
		})
	}
}

func TestNothingIsGrantedBeyondWhatThePersonAndTheOperatorAllow(t *testing.T) {
	r := newRig(t)
	r.hub.scopes = func(asked []string) []string {
		return append(slices.DeleteFunc(slices.Clone(asked), func(s string) bool { return s == "email" }), "api.write")
	}
	got := r.tokens("third", "scope", "openid email profile")
	if got["scope"] != "openid profile" {
		t.Errorf("scope %q: want what was asked and granted", got["scope"])
	}
	if _, access := payload(t, str(got["access_token"])); access["roles"] != nil {
		t.Errorf("a third party got roles without asking: %v", access)
	}
}

func TestClientsWithoutTheGrantTypeGetNoRefreshToken(t *testing.T) {
	r := newRig(t)
	got := r.tokens("norefresh", "scope", "openid offline_access")
	if got["refresh_token"] != nil {
		t.Error("got a refresh token")
	}
	r.wantError(r.post(PathToken, refreshment("x"), basic("norefresh")), 400, "unauthorized_client")
}

func TestClientCredentials(t *testing.T) {
	r := newRig(t)
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"api.read"}}
	res := r.post(PathToken, form, basic("web"))
	if res.StatusCode != 200 || res.json["refresh_token"] != nil || res.json["id_token"] != nil || res.json["scope"] != "api.read" {
		t.Fatalf("got %d %s", res.StatusCode, res.text)
	}
	_, claims := payload(t, str(res.json["access_token"]))
	if claims["sub"] != "web" || claims["client_id"] != "web" || claims["roles"] != nil || claims["auth_time"] != nil {
		t.Errorf("claims %v", claims)
	}
	if !r.active(str(res.json["access_token"]), "web") {
		t.Error("introspection does not know it")
	}
	if got := r.get(PathUserInfo, nil); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("userinfo without a token: %d", got.StatusCode)
	}
	r.wantError(r.post(PathUserInfo, nil, withToken(str(res.json["access_token"]))), 403, "insufficient_scope")

	form.Del("scope")
	if res := r.post(PathToken, form, basic("web")); res.json["scope"] != "api.read api.write" {
		t.Errorf("default scope %v, want the client's own", res.json["scope"])
	}
	form.Set("scope", "openid")
	r.wantError(r.post(PathToken, form, basic("web")), 400, "invalid_scope")
	form.Set("scope", "api.delete")
	r.wantError(r.post(PathToken, form, basic("web")), 400, "invalid_scope")
	form.Set("scope", "api.read")
	r.wantError(r.post(PathToken, form, publicly("spa")), 400, "unauthorized_client")
	form["resource"] = []string{"https://api.example", "https://b.example"}
	res = r.post(PathToken, form, basic("web"))
	if _, claims := payload(t, str(res.json["access_token"])); len(claims["aud"].([]any)) != 2 {
		t.Errorf("aud %v, want both resources (RFC 8707)", claims["aud"])
	}
	form["resource"] = []string{"https://evil.example"}
	r.wantError(r.post(PathToken, form, basic("web")), 400, "invalid_target")
}
