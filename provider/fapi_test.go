package provider

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"anteroom/store"
)

// newBankRig has a client of the FAPI 2.0 profile that proves itself with a key,
// and one that does with a certificate.
func newBankRig(t *testing.T) (*rig, *authority) {
	a := newAuthority(t)
	r := newCertRig(t, a)
	// What the profile forbids is registered as well: it must not count.
	r.register(store.Client{ID: "bank", TokenEndpointAuthMethod: "private_key_jwt", PKCEOptional: true, IDTokenSignedResponseAlg: "RS256", AccessTokenSigningAlg: "RS256",
		Settings: map[string]any{"profile": "fapi2", "jwks": partySet(t), "authorization_signed_response_alg": "RS256"}})
	r.register(store.Client{ID: "certified", TokenEndpointAuthMethod: "tls_client_auth", Settings: map[string]any{"profile": "fapi2", "tls_client_auth_san_dns": "portal.example"}})
	return r, a
}

// FAPI 2.0 Security Profile, the whole of it, as such a client goes through it.
func TestFAPI2(t *testing.T) {
	r, _ := newBankRig(t)
	h := r.holder("ES256")
	who := func() as { return r.byKey("bank", "PS256") }
	code := r.code(r.push(ask("bank", "scope", "openid offline_access"), who()))
	res := r.post(PathToken, redemption(code), with(who(), h.proof("POST", PathToken, nil)))
	if res.StatusCode != 200 || res.json["token_type"] != "DPoP" {
		t.Fatalf("got %d %s", res.StatusCode, res.text)
	}
	for _, name := range []string{"id_token", "access_token"} {
		if header, _ := payload(t, str(res.json[name])); header["alg"] != "PS256" {
			t.Errorf("%s: %v (section 5.4.1)", name, header)
		}
	}
	if info := r.post(PathUserInfo, nil, h.bearing("POST", PathUserInfo, str(res.json["access_token"]))); info.StatusCode != 200 {
		t.Errorf("userinfo: %s", info.text)
	}
	// Refresh tokens are not rotated (section 5.3.2.1).
	refresh := str(res.json["refresh_token"])
	for range 2 {
		again := r.post(PathToken, refreshment(refresh), with(who(), h.proof("POST", PathToken, nil)))
		if again.StatusCode != 200 || again.json["refresh_token"] != refresh {
			t.Errorf("refresh: %d %s", again.StatusCode, again.text)
		}
	}
	if res := r.post(PathRevoke, url.Values{"token": {refresh}}, who()); res.StatusCode != 200 {
		t.Errorf("revoke: %s", res.text)
	}
	r.wantError(r.post(PathToken, refreshment(refresh), with(who(), h.proof("POST", PathToken, nil))), 400, "invalid_grant")
	got := r.answerOf(r.get(PathAuthorize, r.push(ask("bank", "response_mode", "jwt"), who())))
	if header, _ := payload(t, got.Get("response")); header["alg"] != "PS256" {
		t.Errorf("signed answer: %v", header)
	}
}

// FAPI 2.0 Security Profile sections 5.3.2.1, 5.3.2.2 and 5.4.1; Message Signing
// section 5.3.1: each is refused, whatever the client is registered with.
func TestWhatFAPI2Forbids(t *testing.T) {
	r, _ := newBankRig(t)
	h := r.holder("ES256")
	claims := func(changes map[string]any) as {
		return asserted(signJWT(t, "ES256", partyKeys()["ES256"], "", r.assertionClaims("bank", changes)))
	}
	good := func() as { return claims(nil) }
	proof := func() string { return h.proof("POST", PathToken, nil) }
	if got := r.answerOf(r.get(PathAuthorize, ask("bank"))); got.Get("error") != "invalid_request" || !strings.Contains(got.Get("error_description"), "push") {
		t.Errorf("not pushed: %v", got)
	}
	object := func(alg string, changes map[string]any) url.Values {
		return url.Values{"client_id": {"bank"}, "request": {signJWT(t, alg, partyKeys()[alg], "", r.object("bank", changes))}}
	}
	if got := r.get(PathAuthorize, object("ES256", nil)); got.StatusCode == 302 && r.answerOf(got).Get("code") != "" {
		t.Error("signed, but not pushed")
	}
	now := r.now().Unix()
	for name, c := range map[string]struct {
		form url.Values
		who  as
		code string
	}{
		"no PKCE":                     {ask("bank", "code_challenge", "", "code_challenge_method", ""), good(), "invalid_request"},
		"no redirect_uri":             {ask("bank", "redirect_uri", "", "scope", "api.read"), good(), "invalid_request"},
		"the token endpoint as aud":   {ask("bank"), claims(map[string]any{"aud": r.URL + PathToken}), "invalid_client"},
		"the PAR endpoint as aud":     {ask("bank"), claims(map[string]any{"aud": r.URL + PathPushed}), "invalid_client"},
		"the issuer in a list":        {ask("bank"), claims(map[string]any{"aud": []string{r.URL}}), "invalid_client"},
		"an assertion with RS256":     {ask("bank"), r.byKey("bank", "RS256"), "invalid_client"},
		"a request object with RS256": {object("RS256", nil), good(), "invalid_request_object"},
		"a request without nbf":       {object("ES256", map[string]any{"nbf": nil}), good(), "invalid_request_object"},
		"an old request":              {object("ES256", map[string]any{"nbf": now - 3700}), good(), "invalid_request_object"},
		"a long request":              {object("ES256", map[string]any{"exp": now + 3700}), good(), "invalid_request_object"},
		"a proof with RS256":          {ask("bank"), with(good(), r.holder("RS256").proof("POST", PathPushed, nil)), "invalid_dpop_proof"},
	} {
		t.Run(name, func(t *testing.T) {
			if res := r.post(PathPushed, c.form, c.who); res.StatusCode < 400 || res.json["error"] != c.code {
				t.Errorf("got %d %s, want %s", res.StatusCode, res.text, c.code)
			}
		})
	}
	if res := r.post(PathPushed, object("PS256", nil), good()); res.StatusCode != 201 {
		t.Errorf("a good object: %s", res.text)
	}
	r.wantError(r.post(PathToken, redemption(r.code(r.push(ask("bank"), good()))), good()), 400, "invalid_dpop_proof")
	r.wantError(r.post(PathToken, redemption(r.code(r.push(ask("bank"), good()))), with(good(), r.holder("RS256").proof("POST", PathToken, nil))), 400, "invalid_dpop_proof")
	late := r.code(r.push(ask("bank"), good()))
	r.pass(time.Minute)
	r.wantError(r.post(PathToken, redemption(late), with(good(), proof())), 400, "invalid_grant")
	// Secrets and nothing at all are no authentication.
	for _, method := range []string{"client_secret_basic", "client_secret_post", "client_secret_jwt", "none"} {
		if err := changeClient("bank", func(c *store.Client) {
			c.TokenEndpointAuthMethod = method
			c.Secrets = append(r.derivedSecret("bank"), must(r.db.Client(t.Context(), "web"))(t).Secrets...)
		})(r); err != nil {
			t.Fatal(err)
		}
		who := map[string]as{"client_secret_basic": basic("bank"), "client_secret_post": posted("bank"), "client_secret_jwt": r.bySecretJWT("bank"), "none": publicly("bank")}[method]
		if res := r.post(PathToken, machine, with(who, proof())); res.json["error"] != "invalid_client" {
			t.Errorf("%s: %d %s", method, res.StatusCode, res.text)
		}
	}
}

// FAPI 2.0 Security Profile section 5.3.2.1: by certificate, for both.
func TestFAPI2WithCertificates(t *testing.T) {
	r, a := newBankRig(t)
	cert := a.issue(nil)
	who := showing("certified", cert)
	res := r.post(PathToken, redemption(r.code(r.push(ask("certified"), who))), who)
	_, claims := payload(t, str(res.json["access_token"]))
	if cnf, _ := claims["cnf"].(map[string]any); res.StatusCode != 200 || cnf["x5t#S256"] != thumbprint(cert) {
		t.Errorf("got %d %s", res.StatusCode, res.text)
	}
	if info := r.post(PathUserInfo, nil, withToken(str(res.json["access_token"]))); info.StatusCode != 401 {
		t.Errorf("without the certificate: %d", info.StatusCode)
	}
	shown := func(q *http.Request, f url.Values) {
		showing("certified", cert)(q, url.Values{})
		withToken(str(res.json["access_token"]))(q, f)
	}
	if info := r.post(PathUserInfo, nil, shown); info.StatusCode != 200 {
		t.Errorf("with it: %d %s", info.StatusCode, info.text)
	}
}

func TestCheckProfileSaysWhatAClientLacks(t *testing.T) {
	keys := map[string]any{"profile": "fapi2", "jwks": partySet(t)}
	good := store.Client{TokenEndpointAuthMethod: "private_key_jwt", Settings: keys, RedirectURIs: []string{callback}, IDTokenSignedResponseAlg: "EdDSA"}
	change := func(f func(*store.Client)) store.Client { c := good; f(&c); return c }
	for name, c := range map[string]struct {
		client store.Client
		want   string
	}{
		"nothing":            {good, ""},
		"no profile":         {store.Client{TokenEndpointAuthMethod: "none"}, ""},
		"an unknown profile": {store.Client{Settings: map[string]any{"profile": "fapi1"}}, "only profile"},
		"a secret":           {change(func(c *store.Client) { c.TokenEndpointAuthMethod = "client_secret_basic" }), "private_key_jwt"},
		"no keys":            {change(func(c *store.Client) { c.Settings = map[string]any{"profile": "fapi2"} }), "jwks"},
		"RS256":              {change(func(c *store.Client) { c.IDTokenSignedResponseAlg = "RS256" }), "id_token_signed_response_alg"},
		"plain http":         {change(func(c *store.Client) { c.RedirectURIs = []string{"http://portal.localhost/cb"} }), "https"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(CheckProfile(c.client), "; ")
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
