package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"anteroom/admin"
	"anteroom/internal/demo"
)

// call posts a form to the issuer as the party and returns status and answer.
func (c *party) call(t *testing.T, issuer, path string, form url.Values) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.ClientSecret))
	return answerOf(t, c.http, r)
}

func answerOf(t *testing.T, client *http.Client, r *http.Request) (int, map[string]any) {
	t.Helper()
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	var out map[string]any
	_ = json.Unmarshal(body, &out) // not every answer is JSON
	return res.StatusCode, out
}

// held is what one sign-in gave a client.
type held struct {
	party           *party
	access, refresh string
}

// alive asks everywhere whether the tokens are good: introspection, userinfo, and
// (changing them) refresh. The three must agree.
func (h *held) alive(t *testing.T, issuer string) bool {
	t.Helper()
	_, seen := h.party.call(t, issuer, "/introspect", fields("token", h.access))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, issuer+"/userinfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+h.access)
	status, _ := answerOf(t, h.party.http, r)
	active := seen["active"] == true
	if active != (status == http.StatusOK) {
		t.Errorf("introspection says %v, userinfo answers %d", active, status)
	}
	next, err := h.party.refresh(t.Context(), h.refresh)
	if active != (err == nil) || (err != nil && refusal(err) != "invalid_grant") {
		t.Errorf("introspection says %v, refresh %v", active, err)
	}
	if err == nil {
		h.access, h.refresh = next.AccessToken, next.RefreshToken
	}
	return active
}

// A grant, a client, a session, an account: each can be ended, and what hung on it
// is refused at once, everywhere.
func TestRevocationEndsTokensAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t)
	ann := newPerson("ann@acme.example")
	p.move(ann, demo.PartnerAnalytics)
	p.do(http.MethodPatch, "/applications/"+demo.PartnerAnalytics, map[string]any{"require_mfa": false}, nil)
	p.do(http.MethodPost, "/applications/"+demo.PartnerAnalytics+"/terms/withdraw", nil, nil)
	browser := NewVisitor()
	signIn := func(c *party) *held {
		t.Helper()
		verifier := strings.Repeat("v", 43)
		if err := c.begin(t.Context(), browser, verifier); err != nil {
			t.Fatal(err)
		}
		if browser.Location() == nil && browser.Has("login-submit") {
			if err := browser.Press(t.Context(), "login-submit", fields("username", ann.email, "password", ann.password)); err != nil {
				t.Fatal(err)
			}
		}
		code, failure, err := c.answer(browser)
		if err != nil || code == "" {
			t.Fatalf("no code: %s %v", failure, err)
		}
		token, err := c.redeem(t.Context(), code, verifier)
		if err != nil {
			t.Fatal(err)
		}
		return &held{c, token.AccessToken, token.RefreshToken}
	}
	one, err := register(t.Context(), p.op, p.issuer, demo.PartnerAnalytics)
	if err != nil {
		t.Fatal(err)
	}
	other, err := register(t.Context(), p.op, p.issuer, demo.PartnerAnalytics)
	if err != nil {
		t.Fatal(err)
	}
	grantOf := func(c *party) admin.Grant {
		t.Helper()
		var out admin.List[admin.Grant]
		p.do(http.MethodGet, "/grants?account="+ann.email+"&client="+c.ClientID, nil, &out)
		if len(out.Items) == 0 {
			t.Fatal("no grant is listed")
		}
		return out.Items[0]
	}
	for _, c := range []struct {
		what  string
		end   func()
		spare bool // the other client keeps what it has
	}{
		{"grant", func() {
			p.do(http.MethodPost, "/grants/"+grantOf(one).ID+"/revoke", admin.WhyRevoke{Reason: "test"}, nil)
		}, true},
		{"client", func() { p.do(http.MethodPost, "/clients/"+one.ClientID+"/revoke", admin.WhyRevoke{}, nil) }, true},
		{"session", func() { p.do(http.MethodPost, "/sessions/"+grantOf(one).Session+"/end", admin.WhyRevoke{}, nil) }, false},
		{"account", func() { p.do(http.MethodPost, "/accounts/"+ann.email+"/end-sessions", nil, nil) }, false},
	} {
		a, b := signIn(one), signIn(other)
		if !a.alive(t, p.issuer) || !b.alive(t, p.issuer) {
			t.Fatalf("%s: dead before", c.what)
		}
		c.end()
		if a.alive(t, p.issuer) {
			t.Errorf("%s: the tokens live on", c.what)
		}
		if b.alive(t, p.issuer) != c.spare {
			t.Errorf("%s: the tokens of another client", c.what)
		}
		if c.what == "client" {
			p.clock.advance(time.Second) // tokens know whole seconds
		}
	}
}
