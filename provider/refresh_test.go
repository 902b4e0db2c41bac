package provider

import (
	"testing"
	"time"

	"anteroom/internal/audit"
	"anteroom/store"
)

// OpenID Connect Core section 12.2.
func TestRefreshRotatesAndTheIDTokenKeepsWhoAndWhen(t *testing.T) {
	r := newRig(t)
	first := r.tokens("web", "scope", "openid profile offline_access")
	r.pass(20 * time.Minute)
	second := r.post(PathToken, refreshment(str(first["refresh_token"])), basic("web"))
	if second.StatusCode != 200 {
		t.Fatalf("refresh: %d %s", second.StatusCode, second.text)
	}
	if second.json["refresh_token"] == first["refresh_token"] || str(second.json["refresh_token"]) == "" {
		t.Error("the refresh token was not rotated")
	}
	_, before := payload(t, str(first["id_token"]))
	_, after := payload(t, str(second.json["id_token"]))
	for _, name := range []string{"iss", "sub", "aud", "auth_time", "sid", "acr"} {
		if before[name] != after[name] {
			t.Errorf("%s changed from %v to %v", name, before[name], after[name])
		}
	}
	if after["nonce"] != nil || after["iat"] == before["iat"] || after["at_hash"] == before["at_hash"] {
		t.Errorf("refreshed ID token %v", after)
	}
	if second.json["scope"] != "openid profile offline_access" || r.count(audit.TokenRefreshed) != 1 {
		t.Errorf("answer %v, events %v", second.json, r.events())
	}
}

// RFC 6749 section 6: narrower for one access token, never for good.
func TestRefreshCanAskForLess(t *testing.T) {
	r := newRig(t)
	first := r.tokens("web", "scope", "openid profile api.read offline_access")
	form := refreshment(str(first["refresh_token"]))
	form.Set("scope", "api.read api.write")
	r.wantError(r.post(PathToken, form, basic("web")), 400, "invalid_scope")
	form.Set("scope", "api.read")
	less := r.post(PathToken, form, basic("web"))
	if less.json["scope"] != "api.read" || less.json["id_token"] != nil {
		t.Errorf("got %s", less.text)
	}
	again := r.post(PathToken, refreshment(str(less.json["refresh_token"])), basic("web"))
	if again.json["scope"] != "openid profile api.read offline_access" {
		t.Errorf("afterwards %s", again.text)
	}
}

func TestRefreshAsksAgainWhatTheSignInAsked(t *testing.T) {
	endSession := func(r *rig) error { return r.db.EndSession(r.t.Context(), r.hub.auth.SessionID, r.now()) }
	for name, c := range map[string]struct {
		scope  string
		change func(*rig) error
		status int
	}{
		"nothing changed":            {"openid", func(*rig) error { return nil }, 200},
		"account disabled":           {"openid offline_access", changeAccount("ann", func(a *store.Account) { a.State = store.AccountDisabled }), 400},
		"signed out everywhere":      {"openid offline_access", changeAccount("ann", func(a *store.Account) { a.NotBefore = a.CreatedAt.Add(time.Minute) }), 400},
		"may not enter any more":     {"openid offline_access", changeAccount("ann", func(a *store.Account) { a.Profile["nickname"] = "barred" }), 400},
		"session ended":              {"openid", endSession, 400},
		"session ended, offline":     {"openid offline_access", endSession, 200},
		"session expired":            {"openid", func(r *rig) error { r.pass(13 * time.Hour); return nil }, 400},
		"session expired, offline":   {"openid offline_access", func(r *rig) error { r.pass(13 * time.Hour); return nil }, 200},
		"unused for too long":        {"openid offline_access", func(r *rig) error { r.pass(31 * 24 * time.Hour); return nil }, 400},
		"client lost the grant type": {"openid", changeClient("web", func(c *store.Client) { c.GrantTypes = []string{"authorization_code"} }), 400},
		"client disabled":            {"openid", changeClient("web", func(c *store.Client) { c.Disabled = true }), 401},
		"the whole family revoked": {"openid", func(r *rig) error {
			_, err := r.db.RevokeGrants(r.t.Context(), store.GrantFilter{ClientID: "web"}, "test", r.now())
			return err
		}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			first := r.tokens("web", "scope", c.scope)
			r.pass(time.Second)
			if err := c.change(r); err != nil {
				t.Fatal(err)
			}
			if res := r.post(PathToken, refreshment(str(first["refresh_token"])), basic("web")); res.StatusCode != c.status {
				t.Errorf("got %d %s, want %d", res.StatusCode, res.text, c.status)
			}
		})
	}
}

func TestRefreshDropsScopesThatTheClientLost(t *testing.T) {
	r := newRig(t)
	first := r.tokens("web", "scope", "openid api.read")
	if err := changeClient("web", func(c *store.Client) { c.Scopes = []string{"openid"} })(r); err != nil {
		t.Fatal(err)
	}
	res := r.post(PathToken, refreshment(str(first["refresh_token"])), basic("web"))
	if res.StatusCode != 200 || res.json["scope"] != "openid" {
		t.Errorf("got %d %s", res.StatusCode, res.text)
	}
}

func TestRefreshDropsResourcesThatTheClientLost(t *testing.T) {
	r := newRig(t)
	query := ask("web")
	query["resource"] = []string{"https://api.example", "https://b.example"}
	first := r.post(PathToken, redemption(r.code(query)), basic("web"))
	if err := changeClient("web", func(c *store.Client) { c.Audiences = []string{"https://b.example"} })(r); err != nil {
		t.Fatal(err)
	}
	form := refreshment(str(first.json["refresh_token"]))
	form.Set("resource", "https://api.example")
	r.wantError(r.post(PathToken, form, basic("web")), 400, "invalid_target")
	form.Del("resource")
	res := r.post(PathToken, form, basic("web"))
	if _, claims := payload(t, str(res.json["access_token"])); claims["aud"] != "https://b.example" {
		t.Errorf("aud %v", claims["aud"])
	}
	if err := changeClient("web", func(c *store.Client) { c.Audiences = nil })(r); err != nil {
		t.Fatal(err)
	}
	r.wantError(r.post(PathToken, refreshment(str(res.json["refresh_token"])), basic("web")), 400, "invalid_target")
}

func TestRefreshFollowsConsent(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	consent := store.Consent{AccountID: "ann", ClientID: "third", Scopes: []string{"openid", "profile"}, GrantedAt: r.now()}
	if err := r.db.PutConsent(ctx, consent); err != nil {
		t.Fatal(err)
	}
	first := r.tokens("third", "scope", "openid profile")
	second := r.post(PathToken, refreshment(str(first["refresh_token"])), basic("third"))
	if second.StatusCode != 200 || second.json["scope"] != "openid profile" {
		t.Fatalf("with consent: %d %s", second.StatusCode, second.text)
	}
	if err := r.db.RevokeConsent(ctx, "ann", "third"); err != nil {
		t.Fatal(err)
	}
	token := str(second.json["refresh_token"])
	r.wantError(r.post(PathToken, refreshment(token), basic("third")), 400, "invalid_grant")
	consent.Scopes = []string{"openid"}
	if err := r.db.PutConsent(ctx, consent); err != nil {
		t.Fatal(err)
	}
	if res := r.post(PathToken, refreshment(token), basic("third")); res.json["scope"] != "openid" {
		t.Errorf("with a narrower consent: %d %s", res.StatusCode, res.text)
	}
}

// I4, ADR 0006.
func TestARefreshTokenThatComesTwice(t *testing.T) {
	r := newRig(t)
	first := str(r.tokens("web")["refresh_token"])
	second := r.post(PathToken, refreshment(first), basic("web"))
	access, leaf := str(second.json["access_token"]), str(second.json["refresh_token"])

	r.pass(10 * time.Second)
	r.wantError(r.post(PathToken, refreshment(first), basic("web")), 400, "invalid_grant")
	if !r.active(access, "web") {
		t.Fatal("within ten seconds the family ended")
	}
	third := r.post(PathToken, refreshment(leaf), basic("web"))
	if third.StatusCode != 200 {
		t.Fatalf("the live leaf: %d %s", third.StatusCode, third.text)
	}

	r.pass(time.Second)
	r.wantError(r.post(PathToken, refreshment(first), basic("other")), 400, "invalid_grant")
	if !r.active(access, "web") {
		t.Fatal("another client ended the family")
	}
	r.wantError(r.post(PathToken, refreshment(first), basic("web")), 400, "invalid_grant")
	if r.active(access, "web") || r.active(str(third.json["refresh_token"]), "web") {
		t.Error("eleven seconds later the family lives")
	}
	r.wantError(r.post(PathToken, refreshment(first), basic("web")), 400, "invalid_grant")
	if n := r.count(audit.RefreshReused); n != 1 {
		t.Errorf("%d events of reuse, want 1", n)
	}
}

func TestAFamilyEndsAtItsAge(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Lifetimes = Lifetimes{RefreshToken: 40 * time.Hour, Grant: 48 * time.Hour} })
	token := str(r.tokens("web", "scope", "openid offline_access")["refresh_token"])
	r.pass(30 * time.Hour)
	res := r.post(PathToken, refreshment(token), basic("web"))
	if res.StatusCode != 200 {
		t.Fatalf("got %d %s", res.StatusCode, res.text)
	}
	r.pass(18*time.Hour - 5*time.Minute)
	last := r.post(PathToken, refreshment(str(res.json["refresh_token"])), basic("web"))
	if last.json["expires_in"] != float64(300) {
		t.Errorf("an access token that outlives its family: %s", last.text)
	}
	r.pass(6 * time.Minute)
	r.wantError(r.post(PathToken, refreshment(str(last.json["refresh_token"])), basic("web")), 400, "invalid_grant")
}
