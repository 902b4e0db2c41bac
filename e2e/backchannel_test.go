package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"anteroom/admin"
	"anteroom/internal/demo"
)

const grantCIBA = "urn:openid:params:grant-type:ciba"

// till makes a client that asks for people who are elsewhere.
func (p *product) till() *party {
	p.t.Helper()
	grants, scope, name := []string{grantCIBA, "refresh_token"}, "openid email", "Till 7"
	var made admin.Registered
	p.do(http.MethodPost, "/clients", admin.RegisterClient{Application: demo.PartnerAnalytics, ChangeClient: admin.ChangeClient{
		GrantTypes: &grants, Scope: &scope, Name: &name,
	}}, &made)
	c := &party{http: &http.Client{Timeout: 30 * time.Second}}
	c.ClientID, c.ClientSecret = made.ID, made.Secret
	return c
}

// OpenID CIBA Core: a till asks for somebody, who opens the mail, signs in,
// compares, and approves; and who denies what she did not ask for.
func TestAPersonApprovesWhatATillAsked(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		tab := open(t)
		ann := newPerson("ann@acme.example")
		p.activated(tab, ann)
		till := p.till()
		ask := func(message string) string {
			t.Helper()
			status, answer := till.call(t, p.issuer, "/bc-authorize", fields("scope", "openid email", "login_hint", ann.email, "binding_message", message))
			id, _ := answer["auth_req_id"].(string)
			if status != http.StatusOK || id == "" {
				t.Fatalf("%d %v", status, answer)
			}
			return id
		}
		poll := func(id string) (int, map[string]any) {
			p.clock.advance(6 * time.Second)
			return till.call(t, p.issuer, "/token", url.Values{"grant_type": {grantCIBA}, "auth_req_id": {id}})
		}
		want := func(id, failure string) {
			t.Helper()
			if status, answer := poll(id); status != http.StatusBadRequest || answer["error"] != failure {
				t.Errorf("%d %v, want %s", status, answer, failure)
			}
		}

		before := len(p.mails(ann))
		id := ask("W4SCT-81")
		link := p.link(ann, before, "/account/requests")
		if mail := p.mails(ann)[0]; strings.Contains(mail.Text+mail.HTML, "W4SCT") || !strings.Contains(mail.Text, link) {
			t.Errorf("the mail: %s", mail.Text)
		}
		tab.Open(p.issuer + "/")
		if !tab.Has("home-requests") {
			t.Error("the start page does not say that something waits")
		}
		phone := open(t) // another browser: nobody is signed in there
		phone.Open(link)
		p.signIn(phone, ann)
		p.at(phone, "/account/requests")
		if got := phone.Text("request-binding-0"); got != "W4SCT-81" {
			t.Errorf("the message reads %q", got)
		}
		phone.Reload()
		want(id, "authorization_pending") // neither link nor page approves anything
		phone.Press("request-approve-0")
		p.at(phone, "/account/requests")
		if !phone.Has("request-approved") || !phone.Has("requests-none") {
			t.Errorf("the end at %s", phone.URL())
		}
		status, answer := poll(id)
		if token, _ := answer["id_token"].(string); status != http.StatusOK || token == "" {
			t.Fatalf("%d %v", status, answer)
		}
		want(id, "invalid_grant")
		if tab.Reload(); tab.Has("home-requests") {
			t.Error("the start page goes on about what is decided")
		}

		id = ask("not mine")
		phone.Open(p.issuer + "/account/requests")
		phone.Press("request-deny-0")
		if !phone.Has("request-denied") {
			t.Errorf("denied, and at %s", phone.URL())
		}
		want(id, "access_denied")

		// A session that is too old for the application is asked for a new sign-in.
		age := int64(60)
		p.do(http.MethodPatch, "/applications/"+demo.PartnerAnalytics, map[string]any{"session_max_age": age}, nil)
		id = ask("again")
		p.clock.advance(2 * time.Minute)
		phone.Open(p.issuer + "/account/requests")
		phone.Press("request-approve-0")
		want(id, "authorization_pending")
		p.signIn(phone, ann)
		p.at(phone, "/account/requests")
		if status, answer := poll(id); status != http.StatusOK {
			t.Errorf("%d %v", status, answer)
		}
	})
}
