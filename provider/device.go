package provider

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"anteroom/flow"
	"anteroom/internal/audit"
	"anteroom/internal/rar"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
)

// The device grant (RFC 8628): a device without a browser shows a short code,
// and a person enters it on another one.
const (
	PathDeviceAuthorization = "/device_authorization"
	PathDevice              = "/device"
)

const (
	grantDevice    = "urn:ietf:params:oauth:grant-type:device_code"
	deviceLife     = 10 * time.Minute
	deviceInterval = 5 * time.Second // between polls; RFC 8628 section 3.5
	digestDevice   = "device code"
	digestUserCode = "user code"
	userCodeLength = 8
	// userCodeLetters: no vowels, so no words; nothing that looks like another
	// (RFC 8628 section 6.1). 20^8 codes, of which few are alive.
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
)

// deviceAnswer is RFC 8628 section 3.2.
type deviceAnswer struct {
	DeviceCode  string `json:"device_code"`
	UserCode    string `json:"user_code"`
	URI         string `json:"verification_uri"`
	URIComplete string `json:"verification_uri_complete"`
	ExpiresIn   int64  `json:"expires_in"` // seconds
	Interval    int64  `json:"interval"`   // seconds
}

// DeviceAuthorization is the device authorization endpoint (RFC 8628 section 3.1).
func (p *Provider) DeviceAuthorization(w http.ResponseWriter, r *http.Request) {
	if cors(w, r, http.MethodPost) || !p.only(w, r, http.MethodPost) {
		return
	}
	answer, err := p.deviceAuthorization(r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (p *Provider) deviceAuthorization(r *http.Request) (*deviceAnswer, error) {
	ctx := r.Context()
	form, err := readStrict(r)
	if err != nil {
		return nil, err
	}
	c, err := p.authenticate(ctx, r, form)
	if err != nil {
		return nil, err
	}
	if !contains(c.GrantTypes, grantDevice) {
		return nil, refuse("unauthorized_client", "This client is not registered for grant_type %s.", grantDevice)
	}
	scopes := words(form.Get("scope"))
	for _, s := range scopes {
		if !contains(c.Scopes, s) {
			return nil, refuse("invalid_scope", "This client may not ask for the scope %s.", s)
		}
	}
	if err := checkResources(form["resource"], c.Audiences); err != nil {
		return nil, err
	}
	app, err := p.store.Application(ctx, c.ApplicationID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errClient(err) // deleted a moment ago, with its clients
	}
	if err != nil {
		return nil, fmt.Errorf("load application %q: %w", c.ApplicationID, err)
	}
	details, err := askDetails(form.Get(paramDetails), c, app)
	if err != nil {
		return nil, err
	}
	code, userCode, now := seal.Token(), newUserCode(), p.now()
	agent := []rune(r.UserAgent())
	err = p.store.CreateDevice(ctx, store.Device{
		Hash: p.seal.Digest(digestDevice, code), UserCodeHash: p.seal.Digest(digestUserCode, userCode),
		ClientID: c.ID, ApplicationID: c.ApplicationID, Scopes: scopes, Audiences: form["resource"], Details: details.String(),
		Address: web.Address(ctx), UserAgent: string(agent[:min(len(agent), 120)]),
		CreatedAt: now, ExpiresAt: now.Add(deviceLife),
	})
	if err != nil {
		return nil, fmt.Errorf("keep device request: %w", err)
	}
	shown := userCode[:userCodeLength/2] + "-" + userCode[userCodeLength/2:]
	return &deviceAnswer{
		DeviceCode: code, UserCode: shown, URI: p.issuer + PathDevice,
		URIComplete: p.issuer + PathDevice + "?" + url.Values{"user_code": {shown}}.Encode(),
		ExpiresIn:   int64(deviceLife.Seconds()), Interval: int64(deviceInterval.Seconds()),
	}, nil
}

func newUserCode() string {
	const n = 256 - 256%len(userCodeLetters) // above, letters would not be equally likely
	code := make([]byte, 0, userCodeLength)
	for len(code) < userCodeLength {
		var b [1]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		if int(b[0]) < n {
			code = append(code, userCodeLetters[int(b[0])%len(userCodeLetters)])
		}
	}
	return string(code)
}

// readUserCode takes what somebody typed: case and punctuation do not matter.
func readUserCode(typed string) (string, bool) {
	code := strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' || r == '.' || r == '_' {
			return -1
		}
		return r
	}, strings.ToUpper(typed))
	return code, len(code) == userCodeLength && strings.Trim(code, userCodeLetters) == ""
}

func badDevice(cause error) *refusal {
	return refuse("invalid_grant", "The device_code is unknown, used, or not for this client.").because(cause)
}

// admitDevice is RFC 8628 sections 3.4 and 3.5.
func (p *Provider) admitDevice(ctx context.Context, x *exchange) error {
	raw := x.form.Get("device_code")
	if raw == "" {
		return refuse("invalid_request", "The parameter device_code is missing.")
	}
	hash := p.seal.Digest(digestDevice, raw)
	d, err := p.store.Device(ctx, hash, x.now)
	return p.admitWaiting(ctx, x, waiting{
		hash: hash, clientID: d.ClientID, grantID: d.GrantID, decidedAt: d.DecidedAt, usedAt: d.UsedAt, err: err,
		name: "device_code", bad: badDevice,
	})
}

// settleDevice uses the device code up: of any number of polls one gets tokens.
func (p *Provider) settleDevice(ctx context.Context, x *exchange) error {
	_, err := p.store.UpdateDevice(ctx, x.waits, func(d *store.Device) error { return useUp(&d.UsedAt, x.now) })
	if err != nil {
		return err
	}
	return p.settleWaiting(ctx, x, audit.DeviceRedeemed)
}

// lostDevice: a device that polls twice at once keeps what the first poll got.
func (p *Provider) lostDevice(_ context.Context, _ *exchange, cause error) error {
	return badDevice(cause)
}

// decide records a decision about a device, once, in the unit of work of ctx.
func (p *Provider) decide(ctx context.Context, hash, grantID string) (store.Device, error) {
	now := p.now()
	return p.store.UpdateDevice(ctx, hash, func(d *store.Device) error {
		if !d.DecidedAt.IsZero() || !now.Before(d.ExpiresAt) {
			return errDecided
		}
		d.DecidedAt, d.GrantID = now, grantID
		return nil
	})
}

// approveDevice is Issue for a device: the grant is made now, and the device
// fetches its tokens with the next poll.
func (p *Provider) approveDevice(ctx context.Context, in flow.Interaction, auth flow.Authentication, scopes []string) (flow.Answer, error) {
	hash := in.Values().Get("device")
	d, err := p.store.Device(ctx, hash, p.now())
	if over(err) || (err == nil && !d.DecidedAt.IsZero()) {
		return p.deviceEnd("expired"), nil
	}
	if err != nil {
		return nil, fmt.Errorf("load device request: %w", err)
	}
	c, err := p.client(ctx, d.ClientID)
	if err == nil && !contains(c.GrantTypes, grantDevice) {
		err = store.ErrNotFound
	}
	if over(err) {
		return p.deviceEnd("expired"), nil
	}
	if err != nil {
		return nil, err
	}
	app, err := p.store.Application(ctx, d.ApplicationID)
	if err != nil {
		return nil, fmt.Errorf("load application %q: %w", d.ApplicationID, err)
	}
	denied, err := p.stillAllowed(ctx, &authorization{client: c, app: app}, in, auth)
	if err != nil {
		return nil, err
	}
	if denied != nil {
		return p.refuseDevice(ctx, in, auth.AccountID)
	}
	g := p.laterGrant(c, app, auth, d.Scopes, scopes, deviceLife)
	g.Audiences, g.RequestedAt = d.Audiences, d.CreatedAt
	g.Details = rar.Stored(d.Details).Of(detailTypes(c, app)).String()
	if err := p.store.CreateGrant(ctx, g); err != nil {
		return nil, fmt.Errorf("create grant: %w", err)
	}
	if _, err := p.decide(ctx, hash, g.ID); err != nil {
		return nil, fmt.Errorf("approve device: %w", err)
	}
	return p.deviceEnd("approved"), p.recordDevice(ctx, audit.DeviceApproved, d, auth)
}

// refuseDevice is Refuse for a device.
func (p *Provider) refuseDevice(ctx context.Context, in flow.Interaction, accountID string) (flow.Answer, error) {
	err := p.store.Do(ctx, func(ctx context.Context) error {
		d, err := p.decide(ctx, in.Values().Get("device"), "")
		if err != nil {
			return err
		}
		return p.recordDevice(ctx, audit.DeviceDenied, d, flow.Authentication{AccountID: accountID})
	})
	if errors.Is(err, errDecided) || over(err) {
		return p.deviceEnd("expired"), nil
	}
	if err != nil {
		return nil, fmt.Errorf("deny device: %w", err)
	}
	return p.deviceEnd("denied"), nil
}

// deviceEnd leads to the page that says how it ended.
func (p *Provider) deviceEnd(result string) flow.Answer {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		redirect(w, r, PathDevice+"?result="+result)
	}
}

func (p *Provider) recordDevice(ctx context.Context, event string, d store.Device, auth flow.Authentication) error {
	actor := auth.AccountID
	if actor == "" {
		actor = "client:" + d.ClientID // nobody was signed in
	}
	return audit.Record(ctx, p.store, store.AuditEvent{
		At: p.now(), Type: event, Actor: actor, AccountID: auth.AccountID, ApplicationID: d.ApplicationID,
		ClientID: d.ClientID, SessionID: auth.SessionID, Address: web.Address(ctx),
		Details: map[string]string{"device_address": d.Address},
	})
}
