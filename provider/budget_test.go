package provider

import (
	"net/url"
	"testing"
)

// Commits per request are what docs/flow.md says.
func TestCommitsAreWithinTheBudget(t *testing.T) {
	r := newRig(t)
	spent := func(what string, budget int64, f func()) {
		t.Helper()
		before := r.db.Commits()
		f()
		if got := r.db.Commits() - before; got != budget {
			t.Errorf("%s: %d commits, want %d", what, got, budget)
		}
	}
	ok := func(res *reply) *reply {
		t.Helper()
		if res.StatusCode != 200 {
			t.Errorf("got %d %s", res.StatusCode, res.text)
		}
		return res
	}
	var code string
	var tokens *reply
	spent("code issued", 1, func() { code = r.code(ask("web")) })
	spent("code redeemed", 1, func() { tokens = ok(r.post(PathToken, redemption(code), basic("web"))) })
	access, refresh := str(tokens.json["access_token"]), str(tokens.json["refresh_token"])
	spent("userinfo", 0, func() { ok(r.post(PathUserInfo, nil, withToken(access))) })
	spent("introspection", 0, func() {
		ok(r.post(PathIntrospect, url.Values{"token": {access}}, basic("web")))
		ok(r.post(PathIntrospect, url.Values{"token": {refresh}}, basic("web")))
	})
	spent("client credentials", 0, func() { ok(r.post(PathToken, url.Values{"grant_type": {"client_credentials"}}, basic("web"))) })
	spent("discovery and JWKS", 0, func() { ok(r.get(PathDiscovery, nil)); ok(r.get(PathJWKS, nil)) })
	spent("refresh", 1, func() { tokens = ok(r.post(PathToken, refreshment(refresh), basic("web"))) })
	spent("a second try within the grace", 0, func() { r.post(PathToken, refreshment(refresh), basic("web")) })
	spent("revocation of an access token", 1, func() { ok(r.post(PathRevoke, url.Values{"token": {access}}, basic("web"))) })
	spent("again", 0, func() { ok(r.post(PathRevoke, url.Values{"token": {access}}, basic("web"))) })
	spent("everything that is refused", 0, func() {
		r.get(PathAuthorize, ask("nobody"))
		r.get(PathAuthorize, ask("web", "scope", "nope"))
		r.post(PathToken, redemption("unknown"), basic("web"))
		r.post(PathToken, redemption("unknown"), basic("nobody"))
		r.post(PathRevoke, url.Values{"token": {"unknown"}}, basic("web"))
		r.post(PathUserInfo, nil, withToken("garbage"))
		r.get(PathLogout, url.Values{"id_token_hint": {"garbage"}})
	})
}
