package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"anteroom/flow"
	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// Authentication over the back channel (OpenID CIBA Core 1.0): a client names a
// person, who decides in the account pages, on whatever machine she likes.
const (
	PathBackchannel = "/bc-authorize"
	PathRequests    = flow.PathRequests
)

const (
	grantBackchannel  = "urn:openid:params:grant-type:ciba"
	digestBackchannel = "backchannel request"
	sealBackchannel   = "backchannel request"

	backchannelLife     = 10 * time.Minute
	backchannelShortest = 30 * time.Second
	backchannelLongest  = 30 * time.Minute

	settingDelivery   = "backchannel_token_delivery_mode"
	settingNotify     = "backchannel_client_notification_endpoint"
	settingSignedWith = "backchannel_authentication_request_signing_alg"
	deliveryPoll      = "poll"
	deliveryPing      = "ping"

	// maxBinding is how many characters of a binding_message people compare.
	maxBinding = 64
	// maxNotifyToken is section 7.1.
	maxNotifyToken = 1024
)

// How many requests there may be, so that nobody tires a person into approving
// one: at once for a person, in an hour for a person, in ten minutes of a client.
const (
	backchannelWaiting   = 5
	backchannelPerPerson = 20
	personWindow         = time.Hour
	backchannelPerClient = 600
	clientWindow         = 10 * time.Minute
)

var deliveryModes = []string{deliveryPoll, deliveryPing}

// backchannelAnswer is section 7.3.
type backchannelAnswer struct {
	ID        string `json:"auth_req_id"`
	ExpiresIn int64  `json:"expires_in"` // seconds
	Interval  int64  `json:"interval"`   // seconds
}

// backchannel is a request that is being checked.
type backchannel struct {
	client store.Client
	app    store.Application
	form   url.Values
	spends []spend // used up with the request
	person *store.Account
	row    store.Backchannel
}

// pinged is what a client is told with that somebody decided; it is kept sealed.
type pinged struct {
	ID    string `json:"auth_req_id"`
	Token string `json:"client_notification_token"`
}

// AuthenticateBackchannel is the backchannel authentication endpoint (section 7).
func (p *Provider) AuthenticateBackchannel(w http.ResponseWriter, r *http.Request) {
	if !p.only(w, r, http.MethodPost) {
		return
	}
	answer, err := p.authenticateBackchannel(r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (p *Provider) authenticateBackchannel(r *http.Request) (*backchannelAnswer, error) {
	ctx := r.Context()
	c, form, spends, err := p.authenticated(r)
	if err != nil {
		return nil, err
	}
	b := &backchannel{client: c, form: form, spends: spends}
	answer, err := p.prepareBackchannel(ctx, b)
	if err == nil {
		err = p.keepBackchannel(ctx, b)
	}
	if err == nil {
		return answer, nil
	}
	// What works once is used up by a refusal, too; a second use is the refusal.
	if used := p.useNow(ctx, b.spends); used != nil {
		return nil, used
	}
	return nil, err
}

// prepareBackchannel checks a request (section 7.2) and makes the row that waits.
func (p *Provider) prepareBackchannel(ctx context.Context, b *backchannel) (*backchannelAnswer, error) {
	if !contains(b.client.GrantTypes, grantBackchannel) || public(b.client) {
		return nil, refuse("unauthorized_client", "This client is not registered for grant_type %s.", grantBackchannel)
	}
	if err := p.openBackchannel(ctx, b); err != nil {
		return nil, err
	}
	app, err := p.store.Application(ctx, b.client.ApplicationID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errClient(err)
	}
	if err != nil {
		return nil, fmt.Errorf("load application %q: %w", b.client.ApplicationID, err)
	}
	id, now := seal.Token(), p.now()
	b.app = app
	b.row = store.Backchannel{
		Hash: p.seal.Digest(digestBackchannel, id), ClientID: b.client.ID, ApplicationID: app.ID,
		Address: web.Address(ctx), CreatedAt: now,
	}
	for _, check := range []func(*backchannel) error{(*backchannel).checkScopes, (*backchannel).checkBinding, (*backchannel).checkExpiry} {
		if err := check(b); err != nil {
			return nil, err
		}
	}
	if err := p.checkNotify(b, id); err != nil {
		return nil, err
	}
	if err := p.findPerson(ctx, b); err != nil {
		return nil, err
	}
	return &backchannelAnswer{
		ID: id, ExpiresIn: int64(b.row.ExpiresAt.Sub(now).Seconds()), Interval: int64(deviceInterval.Seconds()),
	}, nil
}

// aboutClient are the parameters that say who asks, not what.
var aboutClient = []string{"client_id", "client_secret", "client_assertion", "client_assertion_type"}

// openBackchannel replaces a signed request by what it says (section 7.1.1). A
// client signs all of its requests or none, as it is registered.
func (p *Provider) openBackchannel(ctx context.Context, b *backchannel) error {
	raw, alg := b.form.Get("request"), setting(b.client, settingSignedWith)
	signs := alg != "" || flag(b.client, "require_signed_request_object")
	switch {
	case raw == "" && signs:
		return refuse("invalid_request", "This client is registered to sign its authentication requests (OpenID CIBA section 7.1.1).")
	case raw == "":
		return nil
	case !signs:
		return refuse("invalid_request", "This client is not registered to sign its authentication requests (%s).", settingSignedWith)
	}
	for name := range b.form {
		if name != "request" && !contains(aboutClient, name) {
			return refuse("invalid_request", "The parameter %s stands beside the signed request; put it inside.", name)
		}
	}
	claims, values, err := p.openObject(ctx, b.client, raw, alg)
	if errors.Is(err, store.ErrUnavailable) {
		return err
	}
	if err == nil && (claims.ID == "" || claims.IssuedAt == nil || claims.NotBefore == nil) {
		err = errors.New("jti, iat or nbf is missing")
	}
	if err == nil && p.now().Before(p.restored.Add(maxRequestObject)) && !claims.issuedSince(p.restored) {
		err = errors.New("a request of before the restore, which may have been used")
	}
	bad := refuse("invalid_request", "The signed request is not one that this client signed for this server now, with all claims of OpenID CIBA section 7.1.1.")
	if err != nil {
		return bad.because(err)
	}
	b.form = values
	b.spends = append(b.spends, spend{
		space: "backchannel request", key: b.client.ID + " " + claims.ID, until: claims.expires().Add(clockSkew),
		replayed: bad.because(errors.New("a request that was used before")),
	})
	return nil
}

func (b *backchannel) checkScopes() error {
	b.row.Scopes = words(b.form.Get("scope"))
	switch {
	case len(b.row.Scopes) == 0:
		return refuse("invalid_request", "The parameter scope is missing.")
	case !contains(b.row.Scopes, "openid"):
		return refuse("invalid_scope", "The scope must contain openid.")
	}
	if b.form.Get("authorization_details") != "" { // unknown here: RFC 9396 section 5
		return refuse("invalid_authorization_details", "There are no authorization_details over the back channel.")
	}
	for _, s := range b.row.Scopes {
		if !contains(b.client.Scopes, s) {
			return refuse("invalid_scope", "This client may not ask for the scope %s.", s)
		}
	}
	b.row.ACRValues = words(b.form.Get("acr_values"))
	if len(b.row.ACRValues) > 10 {
		return refuse("invalid_request", "There are more than ten acr_values.")
	}
	b.row.Audiences = b.form["resource"]
	return checkResources(b.row.Audiences, b.client.Audiences)
}

// checkBinding: a few characters that can be shown and compared. What turns the
// reading direction, or shows nothing, could make a page say something else.
func (b *backchannel) checkBinding() error {
	message := b.form.Get("binding_message")
	shown := func(r rune) bool { return unicode.IsPrint(r) && !unicode.Is(unicode.Co, r) }
	if utf8.RuneCountInString(message) > maxBinding || strings.ContainsFunc(message, func(r rune) bool { return !shown(r) }) {
		return refuse("invalid_binding_message", "The binding_message is one line of at most %d characters that can be seen.", maxBinding)
	}
	b.row.Binding = strings.TrimSpace(message)
	return nil
}

func (b *backchannel) checkExpiry() error {
	life := backchannelLife
	if raw := b.form.Get("requested_expiry"); raw != "" {
		seconds, err := strconv.ParseUint(raw, 10, 31)
		if err != nil || seconds == 0 {
			return refuse("invalid_request", "The requested_expiry is not a positive number of seconds.")
		}
		life = min(max(time.Duration(seconds)*time.Second, backchannelShortest), backchannelLongest)
	}
	b.row.ExpiresAt = b.row.CreatedAt.Add(life)
	return nil
}

var bearerToken = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`) // RFC 6750 section 2.1

// checkNotify keeps what a client in ping mode is told with.
func (p *Provider) checkNotify(b *backchannel, id string) error {
	if setting(b.client, settingDelivery) != deliveryPing {
		return nil
	}
	token := b.form.Get("client_notification_token")
	if len(token) > maxNotifyToken || !bearerToken.MatchString(token) {
		return refuse("invalid_request", "The client_notification_token is missing, or not a bearer token of at most %d characters.", maxNotifyToken)
	}
	plain, err := json.Marshal(pinged{ID: id, Token: token})
	if err != nil {
		return fmt.Errorf("encode notification: %w", err)
	}
	b.row.Sealed = p.seal.Seal(sealBackchannel, b.row.Hash, plain)
	return nil
}

// errFlood has one sentence: whether the client asks too much, or somebody about
// this person, is not told.
func errFlood(cause error) *refusal {
	return refuse("access_denied", "There are too many requests of this client or about this person. Wait until some are over.").
		withStatus(http.StatusForbidden).because(cause)
}

// keepBackchannel writes the request, its audit event and the mail to its person
// in one commit.
func (p *Provider) keepBackchannel(ctx context.Context, b *backchannel) error {
	err := p.store.Do(ctx, func(ctx context.Context) error {
		if err := p.use(ctx, b.spends); err != nil {
			return err
		}
		for _, limit := range []struct {
			key    string
			window time.Duration
			most   int
		}{
			{"backchannel client " + b.client.ID, clientWindow, backchannelPerClient},
			{"backchannel person " + b.row.AccountID, personWindow, backchannelPerPerson},
		} {
			f, err := p.store.RecordFailure(ctx, limit.key, b.row.CreatedAt, limit.window)
			if err != nil {
				return fmt.Errorf("count backchannel requests: %w", err)
			}
			if f.Count > limit.most {
				return errFlood(fmt.Errorf("%s: %w", limit.key, store.ErrTooMany))
			}
		}
		if err := p.store.CreateBackchannel(ctx, b.row, backchannelWaiting); err != nil {
			return err
		}
		if err := p.mailBackchannel(ctx, b); err != nil {
			return err
		}
		return p.recordBackchannel(ctx, audit.BackchannelAsked, b.row, "client:"+b.client.ID, b.person != nil)
	})
	if wrong, ok := errors.AsType[*refusal](err); ok {
		return wrong
	}
	if errors.Is(err, store.ErrTooMany) {
		return errFlood(err)
	}
	if errors.Is(err, store.ErrConsumed) && len(b.spends) > 0 {
		return b.spends[0].replayed.because(err)
	}
	if err != nil {
		return fmt.Errorf("keep backchannel request: %w", err)
	}
	return nil
}

// mailBackchannel tells the person. The mail leads to the account page and
// approves nothing; the binding message is not in it: mail programs make links of
// what looks like one.
func (p *Provider) mailBackchannel(ctx context.Context, b *backchannel) error {
	if p.mail == nil || b.person == nil || b.person.Email == "" {
		return nil
	}
	err := p.mail.Enqueue(ctx, b.person.Email, templates.BackchannelMail{
		MailFrame: templates.MailFrame{Name: b.person.DisplayName(), Portal: b.app.Name, Colour: b.app.Colour, Issuer: p.issuer},
		Link:      p.issuer + PathRequests, ExpiresAt: b.row.ExpiresAt,
	})
	if errors.Is(err, store.ErrInvalid) {
		return nil // no address that mail can be sent to; the page shows the request all the same
	}
	return err
}

// recordBackchannel writes what happened to a request, in the unit of work of ctx.
func (p *Provider) recordBackchannel(ctx context.Context, event string, b store.Backchannel, actor string, known bool) error {
	e := store.AuditEvent{
		At: p.now(), Type: event, Actor: actor, AccountID: b.AccountID, ApplicationID: b.ApplicationID,
		ClientID: b.ClientID, Address: web.Address(ctx), Details: map[string]string{"request_address": b.Address},
	}
	if !known {
		e.AccountID, e.Details["person"] = "", "unknown"
	}
	return audit.Record(ctx, p.store, e)
}
