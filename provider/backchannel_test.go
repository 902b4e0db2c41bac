package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/flow"
	"anteroom/internal/audit"
	"anteroom/internal/fetch"
	"anteroom/internal/mail"
	"anteroom/store"
	"anteroom/templates"
)

// backchannelRig has clients that may ask over the back channel, and sends mail.
func backchannelRig(t testing.TB, options ...func(*Options)) *rig {
	t.Helper()
	r := newRig(t, append(options, func(o *Options) {
		o.Mail = &mail.Outbox{Store: o.Store.(store.Outbox), Seal: o.Seal, Pages: o.Pages, Now: o.Now}
	})...)
	for _, id := range []string{"callcentre", "rival"} {
		r.register(store.Client{
			ID: id, Name: "The " + id, TokenEndpointAuthMethod: "client_secret_basic",
			Secrets: must(r.db.Client(t.Context(), "web"))(t).Secrets, GrantTypes: []string{grantBackchannel, "refresh_token"},
		})
	}
	return r
}

func (r *rig) askFor(hint string, changes ...string) *reply {
	r.t.Helper()
	form := url.Values{"scope": {"openid email"}, "login_hint": {hint}}
	for i := 0; i+1 < len(changes); i += 2 {
		if form.Set(changes[i], changes[i+1]); changes[i+1] == "" {
			form.Del(changes[i])
		}
	}
	return r.post(PathBackchannel, form, basic("callcentre"))
}

func (r *rig) authReqID(hint string, changes ...string) string {
	r.t.Helper()
	res := r.askFor(hint, changes...)
	if res.StatusCode != 200 || str(res.json["auth_req_id"]) == "" {
		r.t.Fatalf("%d %s", res.StatusCode, res.text)
	}
	return str(res.json["auth_req_id"])
}

func (r *rig) pollFor(id, who string) *reply {
	r.t.Helper()
	r.pass(6 * time.Second)
	return r.post(PathToken, url.Values{"grant_type": {grantBackchannel}, "auth_req_id": {id}}, basic(who))
}

// decideRequest presses a button of the newest request in the account page.
func (r *rig) decideRequest(button string) *reply {
	r.t.Helper()
	page := r.get(PathRequests, nil)
	_, rest, found := strings.Cut(page.text, `name="request" value="`)
	if !found {
		r.t.Fatalf("no request on the page: %d %s", page.StatusCode, page.text)
	}
	id, _, _ := strings.Cut(rest, `"`)
	return r.post(PathRequests, url.Values{"request": {id}, button: {"1"}}, nil)
}

func (r *rig) wantEnd(res *reply, result string) {
	r.t.Helper()
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != PathRequests+"?result="+result {
		r.t.Errorf("got %d %s, want the end %s: %s", res.StatusCode, res.Header.Get("Location"), result, res.text)
	}
}

func (r *rig) mails() []store.OutboxMessage {
	r.t.Helper()
	rows, _, err := r.db.PendingMail(r.t.Context(), store.Page{})
	r.check(err)
	return rows
}

// OpenID CIBA Core sections 7.1, 7.3, 10.1 and 11.
func TestAPersonApprovesOverTheBackChannel(t *testing.T) {
	r := backchannelRig(t)
	res := r.askFor("ANN@acme.example", "binding_message", `W4SCT "<b>81"`, "scope", "openid email offline_access")
	if res.StatusCode != 200 || res.Header.Get("Cache-Control") != "no-store" || res.json["expires_in"] != 600.0 || res.json["interval"] != 5.0 {
		t.Fatalf("%d %s", res.StatusCode, res.text)
	}
	id := str(res.json["auth_req_id"])
	if got := r.mails(); len(got) != 1 || got[0].Kind != "backchannel" || got[0].To != "ann@acme.example" {
		t.Errorf("mail %+v", got)
	}
	r.wantError(r.pollFor(id, "callcentre"), 400, "authorization_pending")

	page := r.get(PathRequests, nil)
	for _, want := range []string{"Partner Analytics", "The callcentre", "W4SCT &#34;&lt;b&gt;81&#34;", "127.0.0.1", "request-approve-0", "request-deny-0"} {
		if !strings.Contains(page.text, want) {
			t.Errorf("the page does not say %q: %s", want, page.text)
		}
	}
	r.wantError(r.pollFor(id, "callcentre"), 400, "authorization_pending") // looking approves nothing
	r.wantEnd(r.decideRequest("approve"), "approved")
	if res := r.get(PathRequests+"?result=approved", nil); !strings.Contains(res.text, `id="request-approved"`) || !strings.Contains(res.text, `id="requests-none"`) {
		t.Errorf("the end: %s", res.text)
	}
	r.wantError(r.pollFor(id, "rival"), 400, "invalid_grant")
	got := r.pollFor(id, "callcentre")
	if got.StatusCode != 200 || got.json["scope"] != "openid email offline_access" || str(got.json["refresh_token"]) == "" {
		t.Fatalf("tokens: %d %s", got.StatusCode, got.text)
	}
	_, claims := payload(t, str(got.json["id_token"]))
	if claims["sub"] != "ann" || claims["aud"] != "callcentre" || claims["acr"] != flow.ACRMulti || claims["sid"] != nil ||
		claims["at_hash"] != halfHash("RS256", str(got.json["access_token"])) {
		t.Errorf("ID token %v", claims)
	}
	if info := r.post(PathUserInfo, nil, withToken(str(got.json["access_token"]))); info.json["email"] != "ann@acme.example" {
		t.Errorf("userinfo %s", info.text)
	}
	if res := r.post(PathToken, refreshment(str(got.json["refresh_token"])), basic("callcentre")); res.StatusCode != 200 {
		t.Errorf("refresh: %s", res.text)
	}
	r.wantError(r.pollFor(id, "callcentre"), 400, "invalid_grant")
	for event, n := range map[string]int{audit.BackchannelAsked: 1, audit.BackchannelApproved: 1, audit.BackchannelRedeemed: 1, audit.BackchannelDenied: 0} {
		if r.count(event) != n {
			t.Errorf("%s: %d times", event, r.count(event))
		}
	}
}

// Of any number of polls one gets tokens (invariant I1), and it keeps them.
func TestAnAuthReqIDIsUsedOnce(t *testing.T) {
	r := backchannelRig(t)
	id := r.authReqID("ann@acme.example")
	r.wantEnd(r.decideRequest("approve"), "approved")
	var won, lost atomic.Int32
	var kept atomic.Value
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			r.p.polls.mu.Lock()
			r.p.polls.seen = nil // the limit is another test's
			r.p.polls.mu.Unlock()
			res := r.post(PathToken, url.Values{"grant_type": {grantBackchannel}, "auth_req_id": {id}}, basic("callcentre"))
			switch {
			case res.StatusCode == 200:
				won.Add(1)
				kept.Store(str(res.json["refresh_token"]))
			case res.json["error"] == "invalid_grant", res.json["error"] == "slow_down":
				lost.Add(1)
			default:
				t.Errorf("%d %s", res.StatusCode, res.text)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || lost.Load() != 31 {
		t.Fatalf("%d won, %d lost", won.Load(), lost.Load())
	}
	if res := r.post(PathToken, refreshment(kept.Load().(string)), basic("callcentre")); res.StatusCode != 200 {
		t.Errorf("the winner lost its tokens: %s", res.text)
	}
}

// Of any number of buttons one decides, and what it decided stays.
func TestABackchannelRequestIsDecidedOnce(t *testing.T) {
	r := backchannelRig(t)
	id := r.authReqID("ann@acme.example")
	hash := r.seal.Digest(digestBackchannel, id)
	ends := make(chan string, 16)
	var all sync.WaitGroup
	for i := range cap(ends) {
		all.Go(func() {
			button := []string{"approve", "deny"}[i%2]
			res := r.post(PathRequests, url.Values{"request": {hash}, button: {"1"}}, nil)
			switch {
			case res.StatusCode == http.StatusSeeOther:
				ends <- strings.TrimPrefix(res.Header.Get("Location"), PathRequests+"?result=")
			case res.StatusCode == http.StatusGone, strings.Contains(res.text, `id="request-gone"`):
				ends <- "gone"
			default:
				ends <- fmt.Sprint(res.StatusCode, res.text)
			}
		})
	}
	all.Wait()
	close(ends)
	count := map[string]int{}
	for end := range ends {
		count[end]++
	}
	if count["approved"]+count["denied"] != 1 || count["gone"] != 15 {
		t.Fatalf("ends %v", count)
	}
	if got := r.pollFor(id, "callcentre"); (got.StatusCode == 200) != (count["approved"] == 1) {
		t.Errorf("%v, and the client got %d %s", count, got.StatusCode, got.text)
	}
	if n := r.count(audit.BackchannelApproved) + r.count(audit.BackchannelDenied); n != 1 {
		t.Errorf("%d decisions in the log", n)
	}
}

// OpenID CIBA Core section 11, RFC 8628 section 3.5.
func TestAClientThatPollsTooOftenIsSlowedDown(t *testing.T) {
	r := backchannelRig(t)
	id := r.authReqID("ann@acme.example")
	for i, step := range []struct {
		wait time.Duration
		want string
	}{{0, "authorization_pending"}, {time.Second, "slow_down"}, {5 * time.Second, "slow_down"}, {15 * time.Second, "authorization_pending"}} {
		r.pass(step.wait)
		res := r.post(PathToken, url.Values{"grant_type": {grantBackchannel}, "auth_req_id": {id}}, basic("callcentre"))
		if res.json["error"] != step.want {
			t.Errorf("poll %d: %s, want %s", i+1, res.text, step.want)
		}
	}
}

// OpenID CIBA Core section 11: access_denied and expired_token.
func TestABackchannelRequestThatIsNotApproved(t *testing.T) {
	r := backchannelRig(t)
	denied := r.authReqID("ann@acme.example")
	hash := r.seal.Digest(digestBackchannel, denied)
	r.wantEnd(r.decideRequest("deny"), "denied")
	r.wantError(r.pollFor(denied, "callcentre"), 400, "access_denied")
	if res := r.post(PathRequests, url.Values{"request": {hash}, "approve": {"1"}}, nil); !strings.Contains(res.text, `id="request-gone"`) {
		t.Errorf("approved after all: %d %s", res.StatusCode, res.text)
	}

	refused := r.authReqID("ann@acme.example")
	r.hub.refuse = &flow.ProtocolError{Code: "access_denied"}
	r.wantEnd(r.decideRequest("approve"), "denied")
	r.hub.refuse = nil
	r.wantError(r.pollFor(refused, "callcentre"), 400, "access_denied")

	late := r.authReqID("ann@acme.example", "requested_expiry", "60")
	r.pass(time.Minute)
	r.wantError(r.pollFor(late, "callcentre"), 400, "expired_token")
	if res := r.get(PathRequests, nil); !strings.Contains(res.text, `id="requests-none"`) {
		t.Errorf("an expired request is shown: %s", res.text)
	}
	if r.count(audit.BackchannelDenied) != 2 || r.count(audit.BackchannelApproved) != 0 {
		t.Errorf("events %v", r.events())
	}
}

// Who may approve: the person whom the request is about, and nobody else.
func TestOnlyItsPersonDecidesARequest(t *testing.T) {
	r := backchannelRig(t)
	id := r.authReqID("ann@acme.example")
	hash := r.seal.Digest(digestBackchannel, id)
	r.signIn("bob")
	if res := r.get(PathRequests, nil); !strings.Contains(res.text, `id="requests-none"`) {
		t.Errorf("somebody else sees it: %s", res.text)
	}
	for _, button := range []string{"approve", "deny"} {
		if res := r.post(PathRequests, url.Values{"request": {hash}, button: {"1"}}, nil); !strings.Contains(res.text, `id="request-gone"`) {
			t.Errorf("somebody else pressed %s: %d %s", button, res.StatusCode, res.text)
		}
	}
	// A sign-in as somebody else on the way (Switch) decides nothing either.
	in := r.hub.New(flow.KindBackchannel, "analytics")
	in.ClientID, in.Params = "callcentre", url.Values{"backchannel": {hash}}.Encode()
	for name, end := range map[string]func(context.Context) (flow.Answer, error){
		"issue": func(ctx context.Context) (flow.Answer, error) {
			return r.p.Issue(ctx, in, r.hub.auth, []string{"openid"})
		},
		"refuse": func(ctx context.Context) (flow.Answer, error) {
			in.AccountID = "bob"
			return r.p.Refuse(ctx, in, &flow.ProtocolError{})
		},
	} {
		if _, err := end(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.hub.mu.Lock()
	r.hub.signed = false
	r.hub.mu.Unlock()
	if res := r.post(PathRequests, url.Values{"request": {hash}, "approve": {"1"}}, nil); res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(res.Header.Get("Location"), "/login") {
		t.Errorf("nobody is signed in: %d %s", res.StatusCode, res.text)
	}
	r.wantError(r.pollFor(id, "callcentre"), 400, "authorization_pending")
}

// What ends the person's access ends the client's before it has begun.
func TestABackchannelApprovalDiesWithItsReason(t *testing.T) {
	for name, end := range map[string]func(*rig) error{
		"the account is disabled": changeAccount("ann", func(a *store.Account) { a.State = store.AccountDisabled }),
		"sessions were ended":     changeAccount("ann", func(a *store.Account) { a.NotBefore = a.CreatedAt.Add(time.Minute) }),
		"grants were revoked": func(r *rig) error {
			_, err := r.db.RevokeGrants(r.t.Context(), store.GrantFilter{AccountID: "ann"}, "test", r.now())
			return err
		},
	} {
		r := backchannelRig(t)
		id := r.authReqID("ann@acme.example")
		r.wantEnd(r.decideRequest("approve"), "approved")
		r.check(end(r))
		if res := r.pollFor(id, "callcentre"); res.json["error"] != "invalid_grant" {
			t.Errorf("%s: %d %s", name, res.StatusCode, res.text)
		}
	}
}

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

// OpenID CIBA Core section 7.1: expiry is the client's wish within our bounds.
func TestRequestedExpiry(t *testing.T) {
	r := backchannelRig(t)
	for asked, want := range map[string]float64{"1": 30, "120": 120, "999999": 1800} {
		if res := r.askFor("ann@acme.example", "requested_expiry", asked); res.json["expires_in"] != want {
			t.Errorf("%s: %s", asked, res.text)
		}
	}
}

// What fails on the way leaves nothing: no mail without a request, no request
// without its event.
func TestABackchannelRequestIsOneCommit(t *testing.T) {
	r := backchannelRig(t)
	before := r.db.Commits()
	id := r.authReqID("ann@acme.example")
	if got := r.db.Commits() - before; got != 1 {
		t.Errorf("a request: %d commits", got)
	}
	before = r.db.Commits()
	r.wantEnd(r.decideRequest("approve"), "approved")
	if got := r.db.Commits() - before; got != 1 {
		t.Errorf("an approval: %d commits", got)
	}
	before = r.db.Commits()
	if got := r.pollFor(id, "callcentre"); got.StatusCode != 200 || r.db.Commits()-before != 1 {
		t.Errorf("tokens: %d commits, %s", r.db.Commits()-before, got.text)
	}
	events, mails := len(r.events()), len(r.mails())
	r.store.writes.Store(true)
	r.wantError(r.askFor("ann@acme.example"), 503, "temporarily_unavailable")
	r.store.writes.Store(false)
	if len(r.events()) != events || len(r.mails()) != mails {
		t.Error("a failed request left traces")
	}
	if rows := must(r.db.BackchannelsOf(t.Context(), "ann", r.now()))(t); len(rows) != 0 {
		t.Errorf("waiting %+v", rows)
	}
}

// RFC 9449, FAPI 2.0 Security Profile section 5.3.2.1: these tokens are bound
// like others.
func TestBackchannelTokensAreSenderConstrained(t *testing.T) {
	r := backchannelRig(t)
	keys := partySet(t)
	r.register(store.Client{ID: "bank", TokenEndpointAuthMethod: "private_key_jwt", GrantTypes: []string{grantBackchannel, "refresh_token"},
		Settings: map[string]any{"jwks": keys, "profile": profileFAPI2, settingSignedWith: "ES256"}})
	form := url.Values{"request": {signJWT(t, "ES256", partyKeys()["ES256"], "", r.backchannelObject("bank", nil))}}
	res := r.post(PathBackchannel, form, r.byKey("bank", "ES256"))
	if res.StatusCode != 200 {
		t.Fatal(res.text)
	}
	r.wantEnd(r.decideRequest("approve"), "approved")
	token := url.Values{"grant_type": {grantBackchannel}, "auth_req_id": {str(res.json["auth_req_id"])}}
	if got := r.post(PathToken, token, r.byKey("bank", "ES256")); got.StatusCode != 400 || got.json["error"] != "invalid_dpop_proof" {
		t.Errorf("without a proof: %d %s", got.StatusCode, got.text)
	}
	r.pass(6 * time.Second)
	got := r.post(PathToken, token, with(r.byKey("bank", "ES256"), r.holder("ES256").proof("POST", PathToken, nil)))
	if got.StatusCode != 200 || got.json["token_type"] != "DPoP" {
		t.Fatalf("with one: %d %s", got.StatusCode, got.text)
	}
	if info := r.post(PathUserInfo, nil, withToken(str(got.json["access_token"]))); info.StatusCode != 401 {
		t.Errorf("as a bearer token: %d", info.StatusCode)
	}
}

// backchannelObject are the claims of a good signed request.
func (r *rig) backchannelObject(clientID string, changes map[string]any) map[string]any {
	now := r.now().Unix()
	claims := map[string]any{
		"iss": clientID, "aud": r.URL, "iat": now, "nbf": now, "exp": now + 300, "jti": fmt.Sprint("request-", r.db.Commits(), "-", len(changes)),
		"scope": "openid", "login_hint": "ann@acme.example", "binding_message": "W4SCT", "requested_expiry": 120,
	}
	for k, v := range changes {
		if claims[k] = v; v == nil {
			delete(claims, k)
		}
	}
	return claims
}

// OpenID CIBA Core section 7.1.1.
func TestSignedBackchannelRequests(t *testing.T) {
	r := backchannelRig(t)
	r.check(changeClient("callcentre", func(c *store.Client) {
		c.Settings = map[string]any{"jwks": partySet(t), settingSignedWith: "ES256"}
	})(r))
	send := func(alg string, claims map[string]any, more ...string) *reply {
		form := url.Values{"request": {signJWT(t, alg, partyKeys()[alg], "", claims)}}
		for i := 0; i+1 < len(more); i += 2 {
			form.Set(more[i], more[i+1])
		}
		return r.post(PathBackchannel, form, basic("callcentre"))
	}
	good := r.backchannelObject("callcentre", nil)
	if res := send("ES256", good); res.StatusCode != 200 || res.json["expires_in"] != 120.0 {
		t.Fatalf("%d %s", res.StatusCode, res.text)
	}
	r.wantError(send("ES256", good), 400, "invalid_request") // a replay
	r.wantError(r.askFor("ann@acme.example"), 400, "invalid_request")
	r.wantError(send("PS256", r.backchannelObject("callcentre", map[string]any{"jti": "alg"})), 400, "invalid_request")
	r.wantError(send("ES256", r.backchannelObject("callcentre", map[string]any{"jti": "beside"}), "scope", "openid"), 400, "invalid_request")
	for name, value := range map[string]any{
		"jti": nil, "iat": nil, "nbf": nil, "exp": nil, "aud": "https://elsewhere.example", "iss": "rival",
	} {
		if res := send("ES256", r.backchannelObject("callcentre", map[string]any{"jti": "of " + name, name: value})); res.StatusCode != 400 || res.json["error"] != "invalid_request" {
			t.Errorf("%s %v: %d %s", name, value, res.StatusCode, res.text)
		}
	}
	old := r.backchannelObject("callcentre", map[string]any{"jti": "old"})
	r.pass(10 * time.Minute)
	r.wantError(send("ES256", old), 400, "invalid_request")
	if n := r.count(audit.BackchannelAsked); n != 1 {
		t.Errorf("%d requests", n)
	}
	for _, alg := range list(t, r.get(PathDiscovery, nil).json["backchannel_authentication_request_signing_alg_values_supported"]) {
		r.check(changeClient("callcentre", func(c *store.Client) { c.Settings[settingSignedWith] = alg })(r))
		if res := send(alg, r.backchannelObject("callcentre", map[string]any{"jti": "with " + alg, "login_hint": alg + "@acme.example"})); res.StatusCode != 200 {
			t.Errorf("%s: %s", alg, res.text)
		}
	}
}

// listener is the notification endpoint of a client.
type listener struct {
	mu     sync.Mutex
	status int
	bodies []string
	tokens []string
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	l.bodies, l.tokens = append(l.bodies, string(body)), append(l.tokens, r.Header.Get("Authorization"))
	if r.Header.Get("Content-Type") != "application/json" {
		l.tokens = append(l.tokens, r.Header.Get("Content-Type"))
	}
	w.WriteHeader(l.status)
}

// OpenID CIBA Core section 10.2.
func TestAClientInPingModeIsTold(t *testing.T) {
	heard := &listener{status: http.StatusInternalServerError}
	site, fetcher := trusted(t, heard)
	r := backchannelRig(t, func(o *Options) { o.Fetch = fetcher })
	r.check(changeClient("callcentre", func(c *store.Client) {
		c.Settings = map[string]any{settingDelivery: deliveryPing, settingNotify: site.URL + "/notify"}
	})(r))
	for _, token := range []string{"", "with space", strings.Repeat("x", maxNotifyToken+1), "ctl\x01"} {
		r.wantError(r.askFor("ann@acme.example", "client_notification_token", token), 400, "invalid_request")
	}
	id := r.authReqID("ann@acme.example", "client_notification_token", "8d67dc78-7faa-4d41-aabd-67707b374255")
	if len(r.pending()) != 0 {
		t.Fatal("told before anybody decided")
	}
	r.wantEnd(r.decideRequest("approve"), "approved")
	if r.deliver() != 1 || len(r.pending()) != 1 || r.pending()[0].Attempts != 1 {
		t.Fatalf("a failure is not kept: %+v", r.pending())
	}
	heard.mu.Lock()
	heard.status = http.StatusNoContent
	heard.mu.Unlock()
	r.pass(noticeFirst)
	r.deliver()
	want := `{"auth_req_id":"` + id + `"}`
	if !slices.Equal(heard.bodies, []string{want, want}) || !slices.Equal(slices.Compact(heard.tokens), []string{"Bearer 8d67dc78-7faa-4d41-aabd-67707b374255"}) || len(r.pending()) != 0 {
		t.Errorf("bodies %q, tokens %q, pending %+v", heard.bodies, heard.tokens, r.pending())
	}
	if got := r.pollFor(id, "callcentre"); got.StatusCode != 200 {
		t.Errorf("tokens: %s", got.text)
	}

	// A denial is told, too, and says no more.
	id = r.authReqID("ann@acme.example", "client_notification_token", "t2")
	r.wantEnd(r.decideRequest("deny"), "denied")
	r.deliver()
	if got := heard.bodies[len(heard.bodies)-1]; got != `{"auth_req_id":"`+id+`"}` {
		t.Errorf("a denial: %q", got)
	}
	// Whoever fetched the tokens meanwhile, or came too late, is not told.
	told := len(heard.bodies)
	id = r.authReqID("ann@acme.example", "client_notification_token", "t3")
	r.wantEnd(r.decideRequest("approve"), "approved")
	r.pollFor(id, "callcentre")
	r.authReqID("ann@acme.example", "client_notification_token", "t4", "requested_expiry", "30")
	r.wantEnd(r.decideRequest("approve"), "approved")
	r.pass(time.Minute)
	r.deliver()
	if len(heard.bodies) != told || len(r.pending()) != 0 {
		t.Errorf("told %d times more, pending %+v", len(heard.bodies)-told, r.pending())
	}
}

// A client cannot make us call into a private network.
func TestNotificationsReachNoPrivateAddress(t *testing.T) {
	heard := &listener{status: http.StatusOK}
	site, _ := trusted(t, heard)
	r := backchannelRig(t, func(o *Options) { o.Fetch = fetch.New(fetch.Options{}) })
	r.check(changeClient("callcentre", func(c *store.Client) {
		c.Settings = map[string]any{settingDelivery: deliveryPing, settingNotify: site.URL}
	})(r))
	r.authReqID("ann@acme.example", "client_notification_token", "t")
	r.wantEnd(r.decideRequest("approve"), "approved")
	r.deliver()
	if len(heard.bodies) != 0 || len(r.pending()) != 1 {
		t.Errorf("heard %q, pending %+v", heard.bodies, r.pending())
	}
}

// OpenID CIBA Core section 4.
func TestDiscoverySaysHowTheBackChannelWorks(t *testing.T) {
	r := backchannelRig(t)
	doc := r.get(PathDiscovery, nil).json
	if doc["backchannel_authentication_endpoint"] != r.URL+PathBackchannel || doc["backchannel_user_code_parameter_supported"] != false {
		t.Errorf("%v", doc)
	}
	if !slices.Contains(list(t, doc["grant_types_supported"]), grantBackchannel) {
		t.Error("the grant type is not advertised")
	}
	modes := list(t, doc["backchannel_token_delivery_modes_supported"])
	for _, mode := range []string{"poll", "ping", "push"} {
		wrong := r.p.CheckClient(store.Client{TokenEndpointAuthMethod: "client_secret_basic", GrantTypes: []string{grantBackchannel},
			Settings: map[string]any{settingDelivery: mode, settingNotify: "https://portal.example/notify"}})
		if (len(wrong) == 0) != slices.Contains(modes, mode) {
			t.Errorf("%s: advertised %v, wrong %v", mode, modes, wrong)
		}
	}
}

// The grant is the operator's to give.
func TestBackchannelClientsDoNotRegisterThemselves(t *testing.T) {
	r := newRig(t, open)
	res := r.send("POST", PathRegister, "", metadataWith(object{"grant_types": []string{"authorization_code", grantBackchannel}}))
	if res.StatusCode != 400 || res.json["error"] != "invalid_client_metadata" {
		t.Errorf("%d %s", res.StatusCode, res.text)
	}
}

// brokenMail cannot take anything.
type brokenMail struct{}

func (brokenMail) Enqueue(context.Context, string, templates.Mail) error {
	return errors.Join(store.ErrUnavailable, errors.New("no room"))
}

// A person who cannot be told is not asked.
func TestWithoutMailThereIsNoRequest(t *testing.T) {
	r := backchannelRig(t)
	r.p.mail = brokenMail{}
	r.wantError(r.askFor("ann@acme.example"), 503, "temporarily_unavailable")
	if rows := must(r.db.BackchannelsOf(t.Context(), "ann", r.now()))(t); len(rows) != 0 || r.count(audit.BackchannelAsked) != 0 {
		t.Errorf("waiting %+v, events %v", rows, r.events())
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
