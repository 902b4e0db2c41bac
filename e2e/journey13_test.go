package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"anteroom/admin"
	"anteroom/internal/demo"
)

// television is a device without a keyboard (RFC 8628), which knows of us what
// it was told when it was made: two addresses.
type television struct {
	p     *product
	shown deviceShown
}

type deviceShown struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	Address    string `json:"verification_uri"`
	Link       string `json:"verification_uri_complete"` // what its QR code says
	Interval   int    `json:"interval"`
}

func (p *product) television() *television {
	p.t.Helper()
	none, scope := "none", "openid email"
	grants := []string{deviceGrant}
	err := p.op.Do(p.t.Context(), http.MethodPost, "/clients", admin.RegisterClient{ID: "tv", Application: demo.PCC, ChangeClient: admin.ChangeClient{
		Name: ptr("Wall display"), TokenEndpointAuthMethod: &none, GrantTypes: &grants, Scope: &scope,
	}}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return &television{p: p}
}

func ptr[T any](v T) *T { return &v }

func (tv *television) post(path string, form url.Values, into any) (status int) {
	tv.p.t.Helper()
	form.Set("client_id", "tv")
	resp, err := http.PostForm(tv.p.issuer+path, form)
	if err != nil {
		tv.p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		tv.p.t.Fatal(err)
	}
	return resp.StatusCode
}

// ask shows a code and a QR code on the television.
func (tv *television) ask() deviceShown {
	tv.p.t.Helper()
	tv.shown = deviceShown{}
	if status := tv.post("/device_authorization", url.Values{"scope": {"openid email"}}, &tv.shown); status != http.StatusOK {
		tv.p.t.Fatalf("the device got %d", status)
	}
	return tv.shown
}

// poll returns what the television is told when its time has come.
func (tv *television) poll() (token, failure string) {
	tv.p.t.Helper()
	tv.p.clock.advance(time.Duration(tv.shown.Interval+1) * time.Second)
	var answer struct {
		Token string `json:"access_token"`
		Error string `json:"error"`
	}
	tv.post("/token", url.Values{"grant_type": {deviceGrant}, "device_code": {tv.shown.DeviceCode}}, &answer)
	return answer.Token, answer.Error
}

func TestJourney13ADeviceIsConnected(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ann, tab, tv := p.known("ann@acme.example"), open(t), p.television()
		tv.connectedByHand(tab, ann)
		tv.connectedByLink(tab)
		tv.keptOut(tab)
	})
}

// connectedByHand: she types the address and the code, in her own way, and
// mistypes it first.
func (tv *television) connectedByHand(tab Tab, ann *person) {
	t := tv.p.t
	t.Helper()
	shown := tv.ask()
	if _, failure := tv.poll(); failure != "authorization_pending" {
		t.Errorf("before anybody came: %q", failure)
	}
	tab.Open(shown.Address)
	tab.Press("device-submit", "user_code", "BCDF-GHJK")
	if tv.p.at(tab, "/device"); !tab.Has("error") {
		t.Error("an invented code raised no objection")
	}
	tab.Press("device-submit", "user_code", strings.ToLower(strings.ReplaceAll(shown.UserCode, "-", " ")))
	if _, failure := tv.poll(); failure != "authorization_pending" {
		t.Errorf("typing the code let the device in: %q", failure)
	}
	tab.Press("device-confirm")
	tv.p.signIn(tab, ann)
	if !tab.Has("device-approved") {
		t.Fatalf("not approved, but at %s: %s", tab.URL(), tab.Text("error"))
	}
	token, failure := tv.poll()
	if token == "" {
		t.Fatalf("the device got %q", failure)
	}
	if got := tv.p.userinfo(token)["email"]; got != ann.email {
		t.Errorf("the device was told about %v", got)
	}
}

// connectedByLink: her phone reads the QR code. The link alone lets nobody in.
func (tv *television) connectedByLink(tab Tab) {
	t := tv.p.t
	t.Helper()
	shown := tv.ask()
	tab.Open(shown.Link)
	if got := tab.Field("user_code"); got != shown.UserCode {
		t.Errorf("the link fills in %q, the device shows %q", got, shown.UserCode)
	}
	tab.Press("device-submit")
	if got := tab.Text("device-code"); got != shown.UserCode {
		t.Errorf("asked about %q, the device shows %q", got, shown.UserCode)
	}
	if _, failure := tv.poll(); failure != "authorization_pending" {
		t.Errorf("opening the link let the device in: %q", failure)
	}
	tab.Press("device-confirm")
	tab.Press("continue-as") // who of those who use this browser
	if token, failure := tv.poll(); !tab.Has("device-approved") || token == "" {
		t.Errorf("at %s, the device got %q", tab.URL(), failure)
	}
}

// keptOut: somebody sent her a link, and she says no.
func (tv *television) keptOut(tab Tab) {
	t := tv.p.t
	t.Helper()
	shown := tv.ask()
	tab.Open(shown.Link)
	tab.Press("device-submit")
	tab.Press("device-deny")
	if !tab.Has("device-denied") {
		t.Errorf("after no, at %s: %s", tab.URL(), tab.Text("error"))
	}
	if _, failure := tv.poll(); failure != "access_denied" {
		t.Errorf("after no the device got %q", failure)
	}
	tab.Open(shown.Link)
	tab.Press("device-submit")
	if tab.Has("device-confirm") || !tab.Has("error") {
		t.Error("a code that was answered is asked about again")
	}
}

// userinfo asks who a token is about.
func (p *product) userinfo(token string) map[string]any {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.issuer+"/userinfo", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	claims := map[string]any{}
	if err := json.NewDecoder(resp.Body).Decode(&claims); err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("userinfo: %d, %v", resp.StatusCode, err)
	}
	return claims
}
