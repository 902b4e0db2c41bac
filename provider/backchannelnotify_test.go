package provider

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/internal/audit"
	"anteroom/internal/fetch"
	"anteroom/store"
)

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
