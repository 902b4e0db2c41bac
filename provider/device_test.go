package provider

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/flow"
	"anteroom/internal/audit"
	"anteroom/store"
)

func deviceRig(t testing.TB) *rig {
	r := newRig(t)
	for _, id := range []string{"tv", "radio"} {
		r.check(r.db.CreateClient(t.Context(), store.Client{
			ID: id, Name: "Wall " + id, ApplicationID: "analytics", TokenEndpointAuthMethod: "none",
			GrantTypes: []string{grantDevice, "refresh_token"}, Scopes: everyScope, Audiences: []string{"https://api.example"},
		}))
	}
	return r
}

func (r *rig) startDevice(scope string) map[string]any {
	r.t.Helper()
	res := r.post(PathDeviceAuthorization, url.Values{"scope": {scope}}, publicly("tv"))
	if res.StatusCode != 200 || res.Header.Get("Cache-Control") != "no-store" {
		r.t.Fatalf("%d %s", res.StatusCode, res.text)
	}
	return res.json
}

func (r *rig) poll(code any, who string) *reply {
	r.t.Helper()
	return r.post(PathToken, url.Values{"grant_type": {grantDevice}, "device_code": {str(code)}}, publicly(who))
}

func (r *rig) enter(userCode any, button string) *reply {
	r.t.Helper()
	form := url.Values{"user_code": {str(userCode)}}
	if button != "" {
		form.Set(button, "1")
	}
	return r.post(PathDevice, form, nil)
}

// RFC 8628 sections 3.2 to 3.5.
func TestADeviceIsLetInByItsPerson(t *testing.T) {
	r := deviceRig(t)
	d := r.startDevice("openid email offline_access")
	if d["verification_uri"] != r.URL+PathDevice || d["expires_in"] != 600.0 || d["interval"] != 5.0 || len(str(d["user_code"])) != 9 {
		t.Errorf("answer %v", d)
	}
	r.wantError(r.poll(d["device_code"], "tv"), 400, "authorization_pending")

	link := strings.TrimPrefix(str(d["verification_uri_complete"]), r.URL)
	if res := r.get(link, nil); res.StatusCode != 200 || !strings.Contains(res.text, `value="`+str(d["user_code"])+`"`) || !strings.Contains(res.text, "device-submit") || strings.Contains(res.text, "device-confirm") {
		t.Errorf("opening the link: %d %s", res.StatusCode, res.text)
	}
	typed := strings.ToLower(strings.ReplaceAll(str(d["user_code"]), "-", " "))
	res := r.enter(typed, "")
	for _, want := range []string{"device-confirm", "device-deny", "Wall tv", "127.0.0.1", "Go-http-client", "same network"} {
		if !strings.Contains(res.text, want) {
			t.Errorf("the page does not say %q: %s", want, res.text)
		}
	}
	r.pass(6 * time.Second)
	r.wantError(r.poll(d["device_code"], "tv"), 400, "authorization_pending")
	if res := r.enter(d["user_code"], "confirm"); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != PathDevice+"?result=approved" {
		t.Fatalf("confirmed: %d %s", res.StatusCode, res.text)
	}
	if res := r.get(PathDevice+"?result=approved", nil); !strings.Contains(res.text, `id="device-approved"`) {
		t.Errorf("the end: %s", res.text)
	}
	r.pass(6 * time.Second)
	r.wantError(r.poll(d["device_code"], "radio"), 400, "invalid_grant")
	got := r.poll(d["device_code"], "tv")
	if got.StatusCode != 200 || got.json["scope"] != "openid email offline_access" || str(got.json["refresh_token"]) == "" {
		t.Fatalf("tokens: %d %s", got.StatusCode, got.text)
	}
	_, id := payload(t, str(got.json["id_token"]))
	if id["sub"] != "ann" || id["aud"] != "tv" || id["acr"] != flow.ACRMulti || id["sid"] != nil {
		t.Errorf("ID token %v", id)
	}
	if info := r.post(PathUserInfo, nil, withToken(str(got.json["access_token"]))); info.json["email"] != "ann@acme.example" {
		t.Errorf("userinfo %s", info.text)
	}
	if res := r.post(PathToken, refreshment(str(got.json["refresh_token"])), publicly("tv")); res.StatusCode != 200 {
		t.Errorf("refresh: %s", res.text)
	}
	r.pass(6 * time.Second)
	r.wantError(r.poll(d["device_code"], "tv"), 400, "invalid_grant")
	for event, n := range map[string]int{audit.DeviceApproved: 1, audit.DeviceRedeemed: 1, audit.DeviceDenied: 0} {
		if r.count(event) != n {
			t.Errorf("%s: %d times", event, r.count(event))
		}
	}
}

// Of any number of polls one gets tokens (invariant I1), and it keeps them.
func TestADeviceCodeIsUsedOnce(t *testing.T) {
	r := deviceRig(t)
	d := r.startDevice("openid")
	r.enter(d["user_code"], "confirm")
	var won, lost atomic.Int32
	var kept atomic.Value
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			r.p.polls.mu.Lock()
			r.p.polls.seen = nil // the limit is another test's
			r.p.polls.mu.Unlock()
			res := r.poll(d["device_code"], "tv")
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
	if won.Load() != 1 || lost.Load() != 15 {
		t.Fatalf("%d won, %d lost", won.Load(), lost.Load())
	}
	if res := r.post(PathToken, refreshment(kept.Load().(string)), publicly("tv")); res.StatusCode != 200 {
		t.Errorf("the winner lost its tokens: %s", res.text)
	}
}

// RFC 8628 section 3.5.
func TestADeviceThatAsksTooOftenIsSlowedDown(t *testing.T) {
	r := deviceRig(t)
	d := r.startDevice("openid")
	for i, step := range []struct {
		wait time.Duration
		want string
	}{
		{0, "authorization_pending"}, {time.Second, "slow_down"}, {5 * time.Second, "slow_down"},
		{15 * time.Second, "authorization_pending"}, {14 * time.Second, "authorization_pending"}, {13 * time.Second, "slow_down"},
	} {
		r.pass(step.wait)
		if res := r.poll(d["device_code"], "tv"); res.json["error"] != step.want {
			t.Errorf("poll %d: %s, want %s", i+1, res.text, step.want)
		}
	}
}

func TestADeviceThatIsNotLetIn(t *testing.T) {
	r := deviceRig(t)
	denied := r.startDevice("openid")
	if res := r.enter(denied["user_code"], "deny"); res.Header.Get("Location") != PathDevice+"?result=denied" {
		t.Errorf("denied: %d %s", res.StatusCode, res.text)
	}
	r.wantError(r.poll(denied["device_code"], "tv"), 400, "access_denied")
	if res := r.enter(denied["user_code"], "confirm"); !strings.Contains(res.text, `id="error"`) || res.StatusCode != 200 {
		t.Errorf("approved after all: %d", res.StatusCode)
	}

	refused := r.startDevice("openid")
	r.hub.refuse = &flow.ProtocolError{Code: "access_denied"}
	if res := r.enter(refused["user_code"], "confirm"); res.Header.Get("Location") != PathDevice+"?result=denied" {
		t.Errorf("refused in the flow: %d %s", res.StatusCode, res.text)
	}
	r.hub.refuse = nil
	r.wantError(r.poll(refused["device_code"], "tv"), 400, "access_denied")

	late := r.startDevice("openid")
	r.pass(deviceLife)
	r.wantError(r.poll(late["device_code"], "tv"), 400, "expired_token")
	if res := r.enter(late["user_code"], "confirm"); !strings.Contains(res.text, `id="error"`) {
		t.Errorf("an expired code: %d %s", res.StatusCode, res.text)
	}
	if r.count(audit.DeviceDenied) != 2 || r.count(audit.DeviceApproved) != 0 {
		t.Errorf("events %v", r.events())
	}
}

// What ends the person's access ends the device's before it has begun.
func TestAnApprovalDiesWithItsReason(t *testing.T) {
	for name, end := range map[string]func(*rig) error{
		"the account is disabled": changeAccount("ann", func(a *store.Account) { a.State = store.AccountDisabled }),
		"sessions were ended":     changeAccount("ann", func(a *store.Account) { a.NotBefore = a.CreatedAt.Add(time.Minute) }),
		"grants were revoked": func(r *rig) error {
			_, err := r.db.RevokeGrants(r.t.Context(), store.GrantFilter{AccountID: "ann"}, "test", r.now())
			return err
		},
	} {
		r := deviceRig(t)
		d := r.startDevice("openid")
		r.enter(d["user_code"], "confirm")
		r.check(end(r))
		if res := r.poll(d["device_code"], "tv"); res.json["error"] != "invalid_grant" {
			t.Errorf("%s: %d %s", name, res.StatusCode, res.text)
		}
	}
}

// RFC 8628 section 5.1: user codes are short, so few may be tried.
func TestUserCodesCannotBeGuessed(t *testing.T) {
	r := deviceRig(t)
	d := r.startDevice("openid")
	for _, odd := range []string{"", "x", "AEIOUAEI", "BCDFGHJKL", "BCDF\x00HJK"} {
		if res := r.enter(odd, "confirm"); res.StatusCode >= 500 || res.Header.Get("Location") != "" {
			t.Errorf("%q: %d", odd, res.StatusCode)
		}
	}
	for range userCodeTries {
		if res := r.enter("BBBB-BBBB", ""); !strings.Contains(res.text, "not right") {
			t.Fatal(res.text)
		}
	}
	if res := r.enter(d["user_code"], "confirm"); !strings.Contains(res.text, "Too many") {
		t.Errorf("guessing goes on: %d %s", res.StatusCode, res.text)
	}
	r.pass(userCodeWindow)
	d = r.startDevice("openid")
	if res := r.enter(d["user_code"], "confirm"); res.Header.Get("Location") != PathDevice+"?result=approved" {
		t.Errorf("afterwards: %d %s", res.StatusCode, res.text)
	}
	seen := map[string]bool{}
	for range 2000 {
		code := newUserCode()
		if _, ok := readUserCode(code); !ok || seen[code] {
			t.Fatalf("code %q", code)
		}
		seen[code] = true
	}
}

func TestDeviceRequestsThatAreRefused(t *testing.T) {
	r := deviceRig(t)
	r.wantError(r.post(PathDeviceAuthorization, nil, basic("web")), 400, "unauthorized_client")
	r.wantError(r.post(PathDeviceAuthorization, nil, publicly("nobody")), 401, "invalid_client")
	r.wantError(r.post(PathDeviceAuthorization, url.Values{"scope": {"admin"}}, publicly("tv")), 400, "invalid_scope")
	r.wantError(r.post(PathDeviceAuthorization, url.Values{"resource": {"https://evil.example"}}, publicly("tv")), 400, "invalid_target")
	r.wantError(r.get(PathDeviceAuthorization, nil), 405, "invalid_request")
	r.wantError(r.poll("", "tv"), 400, "invalid_request")
	r.wantError(r.poll("garbage", "tv"), 400, "invalid_grant")
	r.wantError(r.post(PathToken, url.Values{"grant_type": {grantDevice}, "device_code": {"x"}}, basic("web")), 400, "unauthorized_client")
}

func FuzzUserCode(f *testing.F) {
	f.Add("WDJB-MJHT")
	f.Add("wdjb mjht")
	f.Fuzz(func(t *testing.T, typed string) {
		if code, ok := readUserCode(typed); ok && (len(code) != userCodeLength || strings.Trim(code, userCodeLetters) != "") {
			t.Errorf("%q is read as %q", typed, code)
		}
	})
}
