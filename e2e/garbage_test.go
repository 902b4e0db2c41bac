package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"anteroom/internal/demo"
)

// garbage is what a client can send in any parameter, as it is in the request.
var garbage = map[string]string{
	"nothing":         "",
	"a NUL":           "%00",
	"not UTF-8":       "%ff%fe",
	"a broken escape": "%zz",
	"too long":        strings.Repeat("a", 30_000),
	"much too long":   strings.Repeat("a", 70_000),
	"negative":        "-1",
	"a huge number":   "99999999999999999999999999",
	"markup":          "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
	"a new line":      "x%0d%0aSet-Cookie%3A%20evil%3D1",
	"a path":          "..%2F..%2Fetc%2Fpasswd",
	"JSON":            "%7B%22a%22%3A%5B%5D%7D",
	"another script":  "%D9%A1%D9%A2%D9%A3%D9%A4%D9%A5%D9%A6", // six Arabic digits
	"an emoji":        "%F0%9F%92%A9",
	"a semicolon":     "a;b=c",
}

// answers checks an answer to garbage: not a 5xx, nothing reflected as markup or
// header, and an error in the form that the reader understands.
func answers(t *testing.T, v *Visitor, what string) {
	t.Helper()
	switch kind := v.Header().Get("Content-Type"); {
	case v.Status() >= 500:
		t.Errorf("%s: status %d", what, v.Status())
	case strings.Contains(v.Source(), "<script>alert(1)"):
		t.Errorf("%s: comes back as markup", what)
	case v.Header().Values("Set-Cookie") != nil && slices.ContainsFunc(v.Header().Values("Set-Cookie"), func(s string) bool { return strings.HasPrefix(s, "evil") }):
		t.Errorf("%s: became a header", what)
	case v.Status() < 400:
	case strings.HasPrefix(kind, "application/json"):
		var body struct {
			Error string `json:"error"`
		}
		if err := json.Unmarshal([]byte(v.Source()), &body); err != nil || body.Error == "" {
			t.Errorf("%s: %d without the protocol's error: %s", what, v.Status(), v.Source())
		}
	case len(strings.Fields(v.Text("error"))) < 4 || v.Ways() == 0:
		t.Errorf("%s: %d with %q and %d ways on", what, v.Status(), v.Text("error"), v.Ways())
	}
}

// encoded builds a form by hand, so that it may be wrong.
func encoded(fields []string, change string, value string, twice bool) string {
	var parts []string
	for i := 0; i < len(fields); i += 2 {
		text := url.QueryEscape(fields[i+1])
		if fields[i] == change {
			text = value
		}
		parts = append(parts, fields[i]+"="+text)
		if fields[i] == change && twice {
			parts = append(parts, fields[i]+"="+text)
		}
	}
	return strings.Join(parts, "&")
}

// spoil sends a request once for each field and each kind of garbage, and once
// with each field missing and doubled.
func spoil(t *testing.T, send func(form string) *Visitor, what string, fields ...string) {
	t.Helper()
	for i := 0; i < len(fields); i += 2 {
		name := fields[i]
		for kind, value := range garbage {
			answers(t, send(encoded(fields, name, value, false)), fmt.Sprintf("%s: %s is %s", what, name, kind))
		}
		answers(t, send(encoded(fields, name, url.QueryEscape(fields[i+1]), true)), fmt.Sprintf("%s: %s twice", what, name))
		without := slices.Concat(fields[:i:i], fields[i+2:])
		answers(t, send(encoded(without, "", "", false)), fmt.Sprintf("%s: no %s", what, name))
	}
}

// poster sends forms to one address in the tab's browser.
func poster(t *testing.T, v *Visitor, address string) func(form string) *Visitor {
	return func(form string) *Visitor {
		t.Helper()
		tab := v.Tab()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if err := tab.do(r); err != nil {
			t.Fatal(err)
		}
		return tab
	}
}

// getter puts the fields into the query.
func getter(t *testing.T, v *Visitor, address string) func(query string) *Visitor {
	return func(query string) *Visitor {
		t.Helper()
		tab := v.Tab()
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		u.RawQuery = query
		r := &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}, Host: u.Host}
		if err := tab.do(r.WithContext(t.Context())); err != nil {
			t.Fatal(err)
		}
		return tab
	}
}

func TestGarbageInEveryFormChangesNothing(t *testing.T) {
	t.Parallel()
	p := start(t)
	ann := newPerson("ann@acme.example")
	link := p.invite(ann, demo.PartnerAnalytics, "viewer")
	tab := newPlain(t).(*plain)
	here := func() func(string) *Visitor { return poster(t, tab.v, tab.URL().String()) }

	// Some garbage makes a good password; somebody else chooses it.
	spoil(t, poster(t, tab.v, p.invite(newPerson("bob@acme.example"), demo.PCC, "")), "activation", "new_password", "short")
	tab.Open(link)
	spoil(t, getter(t, tab.v, p.issuer+"/activate"), "the activation link", "token", query(t, link, "token"))
	spoil(t, poster(t, tab.v, p.issuer+"/activate/resend"), "another link", "token", query(t, link, "token"))
	tab.Open(link)
	tab.Press("activate-submit", "new_password", ann.password)
	secret := tab.Scan()
	spoil(t, here(), "enrolment", "code", "000000")
	tab.Reload()
	if again := tab.Scan(); again != secret {
		t.Error("the secret changed")
	}
	p.enrol(tab, ann)
	spoil(t, getter(t, tab.v, p.issuer+"/mfa/recovery-codes"), "the codes", "i", "unknown")
	p.saveCodes(tab, ann)
	p.at(tab, "/terms")
	spoil(t, getter(t, tab.v, p.issuer+"/terms"), "the terms", "i", "unknown")
	for kind, value := range garbage {
		if value != "" { // any tick is a tick, none is none
			answers(t, here()("decline=&accept=&x="+value), "terms: x is "+kind)
		}
	}
	tab.Press("terms-submit", "accept", "on")
	tab.Press("go-to-portal")
	p.arrived(tab, demo.PartnerAnalytics, ann)

	other := newPlain(t).(*plain)
	other.Open(p.portals[demo.PartnerAnalytics] + "/login")
	spoil(t, poster(t, other.v, other.URL().String()), "sign-in", "username", "nobody@acme.example", "password", "a wrong password")
	spoil(t, getter(t, other.v, p.issuer+"/login"), "the sign-in page", "i", "unknown")
	spoil(t, poster(t, other.v, p.issuer+"/forgot"), "forgotten password", "username", "nobody@acme.example")
	spoil(t, getter(t, other.v, p.issuer+"/reset"), "the reset link", "token", "unknown")
	spoil(t, poster(t, other.v, p.issuer+"/reset?token=unknown"), "reset", "new_password", "short")
	spoil(t, poster(t, other.v, p.issuer+"/logout"), "sign-out", "id_token_hint", "x", "client_id", "x", "post_logout_redirect_uri", "x", "state", "x")
	p.clock.advance(24 * time.Hour) // guesses were counted, and rightly so
	other.Open(p.portals[demo.PartnerAnalytics] + "/login")
	other.Press("login-submit", "username", ann.email, "password", ann.password)
	for _, field := range []string{"code", "recovery_code"} {
		path := map[string]string{"code": "/mfa/challenge", "recovery_code": "/mfa/recovery"}[field]
		spoil(t, poster(t, other.v, p.issuer+path+"?i="+query(t, other.URL().String(), "i")), path, field, "12345")
	}
	p.clock.advance(30 * time.Minute)
	other.Press("challenge-submit", "code", p.code(ann.secret))
	p.arrived(other, demo.PartnerAnalytics, ann)
}

func TestGarbageInTheProtocolIsRefusedInItsOwnForm(t *testing.T) {
	t.Parallel()
	p := start(t)
	ann, rp, verifier := p.known("ann@acme.example"), p.party(demo.PCC), oauth2.GenerateVerifier()
	v := NewVisitor()
	v.Stay(partyRedirect)
	authorize := []string{
		"client_id", rp.ClientID, "redirect_uri", partyRedirect, "response_type", "code", "scope", "openid", "state", "s",
		"nonce", "n", "code_challenge", oauth2.S256ChallengeFromVerifier(verifier), "code_challenge_method", "S256",
		"prompt", "login", "max_age", "60", "id_token_hint", "x", "login_hint", "ann", "ui_locales", "en", "acr_values", "urn:anteroom:acr:mfa",
		"claims", `{"id_token":{}}`, "response_mode", "query", "display", "page", "request", "x", "request_uri", "x", "resource", "x", "dpop_jkt", "x",
	}
	plainRequest := authorize[:16]
	spoil(t, getter(t, v, p.issuer+"/authorize"), "GET /authorize", plainRequest...)
	spoil(t, poster(t, v, p.issuer+"/authorize"), "POST /authorize", plainRequest...)
	for i := 16; i < len(authorize); i += 2 { // each further parameter alone, so that it is looked at
		spoil(t, getter(t, v, p.issuer+"/authorize"), "GET /authorize", slices.Concat(plainRequest, authorize[i:i+2])...)
	}
	code := p.signedIn(NewVisitor(), ann, rp, verifier)
	tokens, err := rp.redeem(t.Context(), code, verifier)
	if err != nil {
		t.Fatal(err)
	}
	spoil(t, poster(t, v, p.issuer+"/token"), "/token with a code",
		"grant_type", "authorization_code", "code", "unknown", "redirect_uri", partyRedirect, "code_verifier", verifier, "client_id", rp.ClientID, "client_secret", "wrong")
	spoil(t, poster(t, v, p.issuer+"/token"), "/token with a refresh token",
		"grant_type", "refresh_token", "refresh_token", "unknown", "scope", "openid", "client_id", rp.ClientID, "client_secret", rp.ClientSecret)
	spoil(t, poster(t, v, p.issuer+"/token"), "/token with nothing but credentials",
		"grant_type", "client_credentials", "scope", "openid", "client_id", rp.ClientID, "client_secret", rp.ClientSecret)
	for _, path := range []string{"/introspect", "/revoke"} {
		spoil(t, poster(t, v, p.issuer+path), path, "token", "unknown", "token_type_hint", "access_token", "client_id", rp.ClientID, "client_secret", rp.ClientSecret)
	}
	spoil(t, poster(t, v, p.issuer+"/userinfo"), "/userinfo", "access_token", "unknown")
	spoil(t, getter(t, v, p.issuer+"/userinfo"), "/userinfo", "access_token", "unknown")
	if _, err := rp.refresh(t.Context(), tokens.RefreshToken); err != nil {
		t.Errorf("after all that the tokens do not work: %v", err)
	}
}

func TestEveryPathAnswersEveryMethod(t *testing.T) {
	t.Parallel()
	p := start(t)
	paths := append([]string{
		"/", "/signin", "/switch", "/refuse", "/activate", "/activate/resend", "/forgot", "/reset", "/mfa/enroll/restart",
		"/authorize", "/logout", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks.json",
		"/token", "/userinfo", "/introspect", "/revoke", "/static/", "/static/..%2f..%2fgo.mod", "/nothing", "/%ff", "/%00", "//", "/a/../b",
	}, steps...)
	v := NewVisitor()
	for _, path := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"} {
			for _, kind := range []string{"", "application/json", "multipart/form-data; boundary=x", "text/plain", "application/x-www-form-urlencoded", "nonsense;;"} {
				r, err := http.NewRequestWithContext(t.Context(), method, p.issuer+path, strings.NewReader("x"))
				if err != nil {
					t.Fatal(err)
				}
				if r.Header.Set("Content-Type", kind); kind == "" {
					r.Header.Del("Content-Type")
				}
				if err := v.do(r); err != nil {
					t.Errorf("%s %s: %v", method, path, err)
				} else if v.Status() >= 500 {
					t.Errorf("%s %s (%s): %d", method, path, kind, v.Status())
				}
			}
		}
	}
}
