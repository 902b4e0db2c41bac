package provider

import (
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/internal/audit"
	"anteroom/store"
)

// OpenID CIBA Core sections 7.2 and 13: every refusal has its code.
func TestBackchannelRequestsThatAreRefused(t *testing.T) {
	r := backchannelRig(t)
	foreign := str(r.tokens("web")["id_token"])
	for _, c := range []struct {
		name    string
		changes []string
		code    string
	}{
		{"no hint", []string{"login_hint", ""}, "invalid_request"},
		{"two hints", []string{"id_token_hint", "x"}, "invalid_request"},
		{"a token for a hint", []string{"login_hint", "", "login_hint_token", "x"}, "invalid_request"},
		{"a hint of another client", []string{"login_hint", "", "id_token_hint", foreign}, "invalid_request"},
		{"garbage for a hint", []string{"login_hint", "", "id_token_hint", "x.y.z"}, "invalid_request"},
		{"a very long hint", []string{"login_hint", strings.Repeat("x", 321)}, "invalid_request"},
		{"no scope", []string{"scope", ""}, "invalid_request"},
		{"no openid", []string{"scope", "email"}, "invalid_scope"},
		{"a foreign scope", []string{"scope", "openid admin"}, "invalid_scope"},
		{"details", []string{"authorization_details", `[{"type":"payment"}]`}, "invalid_authorization_details"},
		{"a foreign resource", []string{"resource", "https://evil.example"}, "invalid_target"},
		{"too many acr_values", []string{"acr_values", "1 2 3 4 5 6 7 8 9 10 11"}, "invalid_request"},
		{"a long message", []string{"binding_message", strings.Repeat("x", maxBinding+1)}, "invalid_binding_message"},
		{"two lines", []string{"binding_message", "a\nb"}, "invalid_binding_message"},
		{"a message that turns around", []string{"binding_message", "a\u202eb"}, "invalid_binding_message"},
		{"a message that cannot be seen", []string{"binding_message", "a\u200bb"}, "invalid_binding_message"},
		{"no number", []string{"requested_expiry", "soon"}, "invalid_request"},
		{"no time", []string{"requested_expiry", "0"}, "invalid_request"},
		{"a past", []string{"requested_expiry", "-5"}, "invalid_request"},
		{"a signed request of a client that does not sign", []string{"request", "x.y.z"}, "invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			(&rig{Server: r.Server, t: t, p: r.p, db: r.db}).wantError(r.askFor("ann@acme.example", c.changes...), 400, c.code)
		})
	}
	form := url.Values{"scope": {"openid"}, "login_hint": {"ann@acme.example"}}
	r.wantError(r.post(PathBackchannel, form, basic("web")), 400, "unauthorized_client")
	r.wantError(r.post(PathBackchannel, form, basic("nobody")), 401, "invalid_client")
	r.wantError(r.post(PathBackchannel, form, nil), 401, "invalid_client")
	r.check(changeClient("spa", func(c *store.Client) { c.GrantTypes = []string{grantBackchannel} })(r))
	r.wantError(r.post(PathBackchannel, form, publicly("spa")), 400, "unauthorized_client")
	r.wantError(r.get(PathBackchannel, nil), 405, "invalid_request")
	r.wantError(r.pollFor("", "callcentre"), 400, "invalid_request")
	r.wantError(r.pollFor("garbage", "callcentre"), 400, "invalid_grant")
	r.wantError(r.pollFor("x", "web"), 400, "unauthorized_client")
	if len(r.mails()) != 0 || r.count(audit.BackchannelAsked) != 0 {
		t.Errorf("refused requests left traces: %v", r.events())
	}
}

// An id_token_hint names the person for whom this client got it, pairwise or not.
func TestAnIDTokenNamesThePersonOfABackchannelRequest(t *testing.T) {
	for name, settings := range map[string]map[string]any{"public": nil, "pairwise": {settingSubjectType: pairwise, settingSector: "portal.example"}} {
		r := backchannelRig(t)
		r.check(changeClient("web", func(c *store.Client) { c.GrantTypes, c.Settings = append(c.GrantTypes, grantBackchannel), settings })(r))
		hint := str(r.tokens("web")["id_token"])
		r.pass(time.Hour)
		r.signIn("ann")
		res := r.post(PathBackchannel, url.Values{"scope": {"openid"}, "id_token_hint": {hint}}, basic("web"))
		if res.StatusCode != 200 {
			t.Fatalf("%s: %d %s", name, res.StatusCode, res.text)
		}
		r.wantEnd(r.decideRequest("approve"), "approved")
		if got := r.pollFor(str(res.json["auth_req_id"]), "web"); got.StatusCode != 200 {
			t.Errorf("%s: %s", name, got.text)
		}
	}
}

// Who is not known, not active or may not enter is answered for like anybody
// else: the client cannot try out whose accounts there are.
func TestNobodyLearnsWhoIsUnknown(t *testing.T) {
	r := backchannelRig(t)
	r.check(r.db.CreateAccount(t.Context(), store.Account{ID: "off", UserName: "off@acme.example", Email: "off@acme.example", State: store.AccountDisabled}))
	r.check(r.db.CreateAccount(t.Context(), store.Account{ID: "barred", UserName: "barred@acme.example", Email: "barred@acme.example",
		State: store.AccountActive, Profile: map[string]any{"nickname": "barred"}}))
	known := r.askFor("ann@acme.example")
	sent := len(r.mails())
	for _, who := range []string{"nobody@acme.example", "off@acme.example", "barred@acme.example"} {
		res := r.askFor(who)
		if res.StatusCode != known.StatusCode || len(str(res.json["auth_req_id"])) != len(str(known.json["auth_req_id"])) || len(res.json) != len(known.json) {
			t.Errorf("%s: %d %s", who, res.StatusCode, res.text)
		}
		r.wantError(r.pollFor(str(res.json["auth_req_id"]), "callcentre"), 400, "authorization_pending")
		for range backchannelWaiting - 1 {
			r.authReqID(who)
		}
		r.wantError(r.askFor(who), 403, "access_denied") // as for a known person
		r.pass(backchannelLife)
		r.wantError(r.pollFor(str(res.json["auth_req_id"]), "callcentre"), 400, "expired_token")
	}
	if len(r.mails()) != sent {
		t.Error("somebody was mailed")
	}
	events, _, err := r.db.AuditEvents(t.Context(), store.AuditFilter{Type: audit.BackchannelAsked}, store.Page{})
	r.check(err)
	if e := events[1]; e.AccountID != "" || e.Details["person"] != "unknown" || e.Actor != "client:callcentre" {
		t.Errorf("event %+v", e)
	}
}

// Nobody is tired into approving: few requests wait for a person, few are made in
// an hour, and few of one client.
func TestNobodyIsFloodedWithRequests(t *testing.T) {
	r := backchannelRig(t)
	won := make(chan bool, 32)
	var all sync.WaitGroup
	for range cap(won) {
		all.Go(func() {
			res := r.askFor("ann@acme.example")
			if res.StatusCode != 200 && res.json["error"] != "access_denied" {
				t.Errorf("%d %s", res.StatusCode, res.text)
			}
			won <- res.StatusCode == 200
		})
	}
	all.Wait()
	close(won)
	count := 0
	for ok := range won {
		if ok {
			count++
		}
	}
	if count != backchannelWaiting || len(r.mails()) != backchannelWaiting {
		t.Fatalf("%d of 32 at once were let through, with %d mails", count, len(r.mails()))
	}
	r.wantError(r.askFor("ann@acme.example"), 403, "access_denied")
	for range backchannelPerPerson - backchannelWaiting { // each denied at once: the client asks again
		r.wantEnd(r.decideRequest("deny"), "denied")
		r.authReqID("ann@acme.example")
	}
	r.wantEnd(r.decideRequest("deny"), "denied")
	r.wantError(r.askFor("ann@acme.example"), 403, "access_denied")
	r.authReqID("bob@acme.example")
	r.pass(personWindow)
	r.authReqID("ann@acme.example")

	for range backchannelPerClient {
		_, err := r.db.RecordFailure(t.Context(), "backchannel client callcentre", r.now(), clientWindow)
		r.check(err)
	}
	r.wantError(r.askFor("bob@acme.example"), 403, "access_denied")
	if res := r.post(PathBackchannel, url.Values{"scope": {"openid"}, "login_hint": {"bob@acme.example"}}, basic("rival")); res.StatusCode != 200 {
		t.Errorf("another client: %s", res.text)
	}
}

// Garbage in any parameter is the client's fault, never ours.
func TestGarbageOverTheBackChannel(t *testing.T) {
	r := backchannelRig(t)
	for _, param := range []string{"scope", "login_hint", "id_token_hint", "login_hint_token", "binding_message", "requested_expiry",
		"acr_values", "request", "client_notification_token", "user_code", "resource", "authorization_details", "auth_req_id"} {
		for _, value := range []string{"\x00", "\xff\xfe", "a\r\nb", strings.Repeat("a", 30_000), "-1", "99999999999999999999999999", "<script>alert(1)</script>", `{"a":[]}`, "a.b.c", "\u202e", "💩"} {
			for path, form := range map[string]url.Values{
				PathBackchannel: {"scope": {"openid"}, "login_hint": {"ann@acme.example"}},
				PathToken:       {"grant_type": {grantBackchannel}, "auth_req_id": {"x"}},
			} {
				form.Set(param, value)
				res := r.post(path, form, basic("callcentre"))
				if res.StatusCode >= 500 || (res.StatusCode >= 400 && str(res.json["error"]) == "") || strings.Contains(res.text, "<script>") {
					t.Errorf("%s %.20q at %s: %d %s", param, value, path, res.StatusCode, res.text)
				}
			}
		}
	}
	for _, form := range []url.Values{{}, {"request": {"\x00"}}, {"request": {strings.Repeat("x", 5000)}, "approve": {"1"}}, {"request": {"nothing"}, "deny": {"1"}}} {
		if res := r.post(PathRequests, form, nil); res.StatusCode >= 500 {
			t.Errorf("%.40v at the page: %d", form, res.StatusCode)
		}
	}
	if res := r.get(PathRequests+"?result=%3Cscript%3E", nil); res.StatusCode != 200 || strings.Contains(res.text, "<script>") {
		t.Errorf("the page: %d", res.StatusCode)
	}
}
