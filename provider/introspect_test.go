package provider

import (
	"net/url"
	"testing"

	"anteroom/flow"
	"anteroom/internal/audit"
)

// RFC 7662.
func TestIntrospectionSaysWhatTheTokenIs(t *testing.T) {
	r := newRig(t)
	got := r.tokens("web", "scope", "openid api.read", "resource", "https://api.example")
	access := r.post(PathIntrospect, url.Values{"token": {str(got["access_token"])}, "token_type_hint": {"refresh_token"}}, basic("https://api.example"))
	for name, want := range map[string]any{
		"active": true, "token_type": "Bearer", "iss": r.URL, "sub": "ann", "aud": "https://api.example", "client_id": "web",
		"username": "ann@acme.example", "scope": "openid api.read", "acr": flow.ACRMulti, "exp": float64(r.now().Unix() + 600),
	} {
		if access.json[name] != want {
			t.Errorf("access token: %s = %v, want %v", name, access.json[name], want)
		}
	}
	if access.json["grant_id"] != nil {
		t.Error("the id of the grant is shown")
	}
	refresh := r.post(PathIntrospect, url.Values{"token": {str(got["refresh_token"])}}, basic("web"))
	if refresh.json["active"] != true || refresh.json["client_id"] != "web" || refresh.json["token_type"] != nil {
		t.Errorf("refresh token: %s", refresh.text)
	}
}

func TestIntrospectionLeaksNothing(t *testing.T) {
	r := newRig(t)
	got := r.tokens("web", "resource", "https://b.example")
	const dead = `{"active":false}`
	for name, res := range map[string]*reply{
		"another client's access token":       r.post(PathIntrospect, url.Values{"token": {str(got["access_token"])}}, basic("other")),
		"a resource that is not the audience": r.post(PathIntrospect, url.Values{"token": {str(got["access_token"])}}, basic("https://api.example")),
		"another client's refresh token":      r.post(PathIntrospect, url.Values{"token": {str(got["refresh_token"])}}, basic("other")),
		"the audience and the refresh token":  r.post(PathIntrospect, url.Values{"token": {str(got["refresh_token"])}}, basic("https://api.example")),
		"an ID token":                         r.post(PathIntrospect, url.Values{"token": {str(got["id_token"])}}, basic("web")),
		"garbage":                             r.post(PathIntrospect, url.Values{"token": {"garbage"}}, basic("web")),
		"garbage with dots":                   r.post(PathIntrospect, url.Values{"token": {"a.b.c"}}, basic("web")),
	} {
		if res.StatusCode != 200 || res.text != dead {
			t.Errorf("%s: %d %s", name, res.StatusCode, res.text)
		}
	}
	// The same keys, another issuer.
	foreign := newRig(t).post(PathToken, url.Values{"grant_type": {"client_credentials"}}, basic("web"))
	if res := r.post(PathIntrospect, url.Values{"token": {str(foreign.json["access_token"])}}, basic("web")); res.text != dead {
		t.Errorf("a token of another issuer: %s", res.text)
	}
	r.wantError(r.post(PathIntrospect, url.Values{"token": {str(got["access_token"])}}, publicly("spa")), 401, "invalid_client")
	r.wantError(r.post(PathIntrospect, url.Values{"token": {str(got["access_token"])}}, nil), 401, "invalid_client")
	r.wantError(r.post(PathIntrospect, nil, basic("web")), 400, "invalid_request")
	r.wantError(r.get(PathIntrospect, nil), 405, "invalid_request")
}

// RFC 7009.
func TestRevokingAnAccessTokenEndsItAlone(t *testing.T) {
	r := newRig(t)
	got := r.tokens("web")
	access, refresh := str(got["access_token"]), str(got["refresh_token"])
	if res := r.post(PathRevoke, url.Values{"token": {access}, "token_type_hint": {"nonsense"}}, basic("web")); res.StatusCode != 200 || res.text != "" {
		t.Fatalf("got %d %s", res.StatusCode, res.text)
	}
	if r.active(access, "web") || !r.active(refresh, "web") {
		t.Error("want the access token dead and the refresh token alive")
	}
}

func TestRevokingARefreshTokenEndsTheFamily(t *testing.T) {
	r := newRig(t)
	for _, client := range []string{"web", "spa", "post"} {
		got := r.tokens(client, "scope", "openid offline_access")
		if res := r.post(PathRevoke, url.Values{"token": {str(got["refresh_token"])}}, credentialsOf(client)); res.StatusCode != 200 {
			t.Fatalf("%s: %d %s", client, res.StatusCode, res.text)
		}
		if res := r.post(PathUserInfo, nil, withToken(str(got["access_token"]))); res.StatusCode != 401 {
			t.Errorf("%s: the access token lives", client)
		}
		r.wantError(r.post(PathToken, refreshment(str(got["refresh_token"])), credentialsOf(client)), 400, "invalid_grant")
	}
	if n := r.count(audit.GrantRevoked); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
}

func TestRevocationIsForTheClientsOwnTokens(t *testing.T) {
	r := newRig(t)
	got := r.tokens("web")
	for _, name := range []string{"access_token", "refresh_token"} {
		token := str(got[name])
		r.wantError(r.post(PathRevoke, url.Values{"token": {token}}, basic("other")), 400, "unauthorized_client")
		if !r.active(token, "web") {
			t.Errorf("another client ended the %s", name)
		}
	}
	for _, token := range []string{"unknown", "a.b.c", str(got["id_token"])} {
		if res := r.post(PathRevoke, url.Values{"token": {token}}, basic("web")); res.StatusCode != 200 {
			t.Errorf("an unknown token: %d %s", res.StatusCode, res.text)
		}
	}
	r.wantError(r.post(PathRevoke, nil, basic("web")), 400, "invalid_request")
	r.wantError(r.post(PathRevoke, url.Values{"token": {"x"}}, basic("nobody")), 401, "invalid_client")
}
