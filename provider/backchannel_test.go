package provider

import (
	"context"
	"errors"
	"fmt"
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
