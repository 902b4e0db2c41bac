package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"anteroom/internal/demo"
)

// suite is a relying party with a browser, as a certification suite has them.
type suite struct {
	*product
	rp *party
	v  *Visitor
}

// asks sends the browser to the issuer with these parameters.
func (s *suite) asks(verifier string, more ...string) {
	s.t.Helper()
	var options []oauth2.AuthCodeOption
	for i := 0; i < len(more); i += 2 {
		options = append(options, oauth2.SetAuthURLParam(more[i], more[i+1]))
	}
	if err := s.rp.begin(s.t.Context(), s.v, verifier, options...); err != nil {
		s.t.Fatal(err)
	}
}

// refused wants an error without a page in between.
func (s *suite) refused(want string, more ...string) {
	s.t.Helper()
	s.asks(oauth2.GenerateVerifier(), more...)
	code, failure, err := s.rp.answer(s.v)
	if failure != want || code != "" || err != nil {
		s.t.Errorf("%v: %q %v, want %s", more, failure, err, want)
	}
	if at := s.v.Location(); at != nil && at.Query().Get("iss") != s.issuer {
		s.t.Errorf("%v: iss %q", more, at.Query().Get("iss"))
	}
}

// silent wants tokens without a page in between.
func (s *suite) silent(more ...string) (claims map[string]any, token *oauth2.Token) {
	s.t.Helper()
	verifier := oauth2.GenerateVerifier()
	s.asks(verifier, more...)
	return s.redeemed(verifier, more...)
}

func (s *suite) redeemed(verifier string, more ...string) (claims map[string]any, token *oauth2.Token) {
	s.t.Helper()
	code, failure, err := s.rp.answer(s.v)
	if err != nil || failure != "" {
		s.t.Fatalf("%v: %q %v", more, failure, err)
	}
	if token, err = s.rp.redeem(s.t.Context(), code, verifier); err != nil {
		s.t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		s.t.Fatalf("ID token %q", raw)
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(body, &claims)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return claims, token
}

// signs wants the sign-in page, and goes through it.
func (s *suite) signs(who *person, more ...string) (claims map[string]any, token *oauth2.Token) {
	s.t.Helper()
	verifier := oauth2.GenerateVerifier()
	s.asks(verifier, more...)
	if s.v.URL().Path != "/login" || s.v.Location() != nil {
		s.t.Fatalf("%v: at %s, want the sign-in", more, s.v.URL())
	}
	for _, step := range []struct{ button, field, value string }{
		{"login-submit", "password", who.password}, {"challenge-submit", "code", s.nextCode(who.secret)},
	} {
		values := fields(step.field, step.value)
		if step.button == "login-submit" {
			values.Set("username", who.email)
		}
		if err := s.v.Press(s.t.Context(), step.button, values); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.redeemed(verifier, more...)
}

// OpenID Connect Core sections 3.1.2.1 to 3.1.2.6 and 5.5.1.1, with the real hub
// and the real provider: what is silent, what asks again, and what is refused.
func TestSilentAndFreshSignIns(t *testing.T) {
	t.Parallel()
	p := start(t)
	ann, ben := p.known("ann@acme.example"), p.known("ben@acme.example")
	s := &suite{product: p, rp: p.party(demo.PCC), v: NewVisitor()}
	other := &suite{product: p, rp: s.rp, v: NewVisitor()}
	_, ofBen := other.signs(ben)
	hintOfBen, _ := ofBen.Extra("id_token").(string)

	s.refused("login_required", "prompt", "none")
	first, token := s.signs(ann)
	hint, _ := token.Extra("id_token").(string)
	same := func(what string, claims map[string]any) {
		t.Helper()
		if claims["auth_time"] != first["auth_time"] || claims["sub"] != first["sub"] || claims["sid"] != first["sid"] {
			t.Errorf("%s: %v, want the sign-in of %v", what, claims, first)
		}
	}
	p.clock.advance(5 * time.Second)
	again, _ := s.silent("prompt", "none")
	same("prompt=none", again)
	again, _ = s.silent("prompt", "none", "id_token_hint", hint)
	same("with a hint", again)
	again, _ = s.silent("max_age", "10000")
	same("max_age=10000", again)
	p.clock.advance(30 * time.Minute)
	again, _ = s.silent("prompt", "none", "id_token_hint", hint)
	same("with an expired hint", again)
	p.do(http.MethodPost, "/keys/rotate", map[string]any{}, nil)
	again, _ = s.silent("prompt", "none", "id_token_hint", hint)
	same("with a hint of the key before", again)

	s.refused("login_required", "prompt", "none", "id_token_hint", hintOfBen)
	s.refused("login_required", "prompt", "none", "max_age", "1")
	s.refused("login_required", "prompt", "none", "max_age", "0")
	s.refused("invalid_request", "prompt", "none login")
	s.refused("invalid_request", "id_token_hint", hint+"x")
	s.refused("unmet_authentication_requirements", "claims", `{"id_token":{"acr":{"essential":true,"value":"urn:example:gold"}}}`)

	for _, fresh := range [][]string{{"max_age", "0"}, {"max_age", "1"}, {"prompt", "login"}} {
		p.clock.advance(5 * time.Second)
		claims, _ := s.signs(ann, fresh...)
		if was, is := first["auth_time"].(float64), claims["auth_time"].(float64); is <= was {
			t.Errorf("%v: auth_time %v, before it was %v", fresh, is, was)
		}
		first = claims
	}
	again, _ = s.silent("acr_values", "urn:example:gold", "claims", `{"id_token":{"acr":{"values":["urn:example:gold"]}}}`)
	same("voluntary acr", again)
	again, _ = s.silent("claims", `{"id_token":{"acr":{"essential":true,"values":["urn:example:gold","urn:anteroom:acr:mfa"]}}}`)
	if same("essential acr", again); again["acr"] != "urn:anteroom:acr:mfa" {
		t.Errorf("acr %v", again["acr"])
	}
	if err := s.v.Open(t.Context(), p.issuer+"/logout?id_token_hint="+hint); err != nil || !s.v.Has("signed-out") {
		t.Fatalf("signing out: %v %s", err, s.v.URL())
	}
	s.refused("login_required", "prompt", "none")
	s.refused("login_required", "prompt", "none", "id_token_hint", hint)
}

// OpenID Connect Core section 3.1.2.1, RFC 6749 section 4.1.2: what comes with a
// request comes back as it was or not at all, and a code works once.
func TestRequestsAndCodesOfASuite(t *testing.T) {
	t.Parallel()
	p := start(t)
	ann := p.known("ann@acme.example")
	s := &suite{product: p, rp: p.party(demo.PCC), v: NewVisitor()}
	s.signs(ann)
	long := strings.Repeat("0123456789abcdef", 24) // 384 characters
	claims, _ := s.silent("state", long, "nonce", long, "display", "popup", "ui_locales", "de-CH fr", "claims_locales", "de", "login_hint", "somebody", "extra", "unknown")
	if claims["nonce"] != long || s.v.Location().Query().Get("state") != long {
		t.Errorf("nonce %v, answer %s", claims["nonce"], s.v.Location())
	}
	claims, _ = s.silent("state", "")
	if at := s.v.Location().Query(); at.Has("state") || claims["nonce"] != nil {
		t.Errorf("nothing was sent, and %v came back", at)
	}

	verifier := oauth2.GenerateVerifier()
	s.asks(verifier)
	code := s.v.Location().Query().Get("code")
	_, token := s.redeemed(verifier)
	userInfo := func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.issuer+"/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		token.SetAuthHeader(req)
		res, err := s.rp.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	if status := userInfo(); status != http.StatusOK {
		t.Fatalf("userinfo: %d", status)
	}
	p.clock.advance(30 * time.Second)
	if _, err := s.rp.redeem(t.Context(), code, verifier); refusal(err) != "invalid_grant" {
		t.Errorf("the code after 30 s: %v", err)
	}
	if status := userInfo(); status != http.StatusUnauthorized {
		t.Errorf("userinfo with the token of a code that was used twice: %d", status)
	}
	if _, err := s.rp.refresh(t.Context(), token.RefreshToken); refusal(err) != "invalid_grant" {
		t.Errorf("its refresh token: %v", err)
	}
}

// OpenID Connect Registration section 2: the links and the logo of a client are on
// the sign-in page, for people to look at before they type a password.
func TestTheSignInPageShowsWhatTheClientSaysOfItself(t *testing.T) {
	t.Parallel()
	p := start(t)
	s := &suite{product: p, rp: p.party(demo.PCC), v: NewVisitor()}
	p.do(http.MethodPatch, "/applications/"+demo.PCC, map[string]any{"logo_url": "https://pcc.example/logo.png"}, nil)
	p.do(http.MethodPatch, "/clients/"+s.rp.ClientID, map[string]any{"metadata": map[string]any{
		"policy_uri": "https://pcc.example/privacy?a=1&b=2", "tos_uri": "https://pcc.example/terms",
	}}, nil)
	s.asks(oauth2.GenerateVerifier())
	for _, want := range []string{
		`id="portal-links"`, `href="https://pcc.example/privacy?a=1&amp;b=2"`, `href="https://pcc.example/terms"`, `src="https://pcc.example/logo.png"`,
	} {
		if page := s.v.Source(); !strings.Contains(page, want) {
			t.Errorf("the sign-in page lacks %s:\n%s", want, page)
		}
	}
}
