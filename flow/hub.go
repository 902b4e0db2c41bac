package flow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// Store is what the hub remembers.
type Store interface {
	store.UnitOfWork
	store.Accounts
	store.Authenticators
	store.Applications
	store.Clients
	store.Assignments
	store.Terms
	store.Consents
	store.Sessions
	store.Grants
	store.Notices
	store.Backchannels
	store.Once
	store.Metadata
	store.AuditLog
}

// Options configure a Hub; all but the lifetimes are required.
type Options struct {
	Issuer              string
	Store               Store
	Seal                *seal.Keyring
	Pages               *templates.Renderer
	MayEnter            func(ctx context.Context, a store.Account, app store.Application) (bool, error)
	Now                 func() time.Time
	SessionLifetime     time.Duration // 0: 12 h
	InteractionLifetime time.Duration // 0: 1 h
	SessionManagement   bool          // scripts of the issuer learn when the session changes
}

// Hub owns every transition. Steps prove one fact and come back; the hub alone
// decides what is next, opens sessions and lets the provider issue codes.
type Hub struct {
	// Engine is the provider; set once, before the first request.
	Engine Engine
	// Clients finds clients, those that nobody registered included; set once, before
	// the first request. nil: those of the store.
	Clients func(ctx context.Context, id string) (store.Client, error)

	issuer            string
	store             Store
	seal              *seal.Keyring
	pages             *templates.Renderer
	mayEnter          func(ctx context.Context, a store.Account, app store.Application) (bool, error)
	now               func() time.Time
	cookies           *cookieStore
	prefix            string
	sessionLife       time.Duration
	pendingLife       time.Duration
	sessionManagement bool
	restoredAt        time.Time // interactions that began before are over: what consumed them may be lost
}

// New returns a Hub. It fails if the issuer is not a URL.
func New(o Options) (*Hub, error) {
	issuer, err := url.Parse(o.Issuer)
	if err != nil || issuer.Host == "" {
		return nil, fmt.Errorf("issuer %q is not a URL", o.Issuer)
	}
	h := &Hub{
		issuer: o.Issuer, store: o.Store, seal: o.Seal, pages: o.Pages, mayEnter: o.MayEnter,
		sessionLife: o.SessionLifetime, pendingLife: o.InteractionLifetime, sessionManagement: o.SessionManagement,
		now: func() time.Time { return store.Time(o.Now()) },
	}
	if h.sessionLife == 0 {
		h.sessionLife = 12 * time.Hour
	}
	if h.pendingLife == 0 {
		h.pendingLife = time.Hour
	}
	h.cookies, h.prefix = newCookieStore(o.Seal, issuer)
	restored, err := o.Store.Meta(context.Background(), store.MetaRestored)
	if errors.Is(err, store.ErrNotFound) {
		return h, nil
	}
	if err == nil {
		h.restoredAt, err = time.Parse(time.RFC3339Nano, restored)
	}
	if err != nil {
		return nil, fmt.Errorf("read when the database was restored: %w", err)
	}
	return h, nil
}

type contextKey struct{}

// Require serves a step: it loads the Interaction named by the query parameter
// i from this browser's cookies, checks expiry and that step really is the next
// one, and only then calls next, which finds the Pending with From. Every other
// request is led to where it should be: the right step, or a page with a way on.
func (h *Hub) Require(step Step, next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		p, d, err := h.pending(w, r)
		if err != nil {
			return err
		}
		if d.Error == nil && d.Step == step {
			p.Step = step
			if step != StepLogin && p.AccountID == "" {
				p.AccountID = p.Account.ID // the session's: what is proved now is proved about her
			}
			return next(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, p)))
		}
		return h.follow(w, r, p, d)
	}
}

// From returns the Pending that Require put into the request, nil elsewhere.
func From(r *http.Request) *Pending {
	p, _ := r.Context().Value(contextKey{}).(*Pending)
	return p
}

// New returns an Interaction that starts now. An activation asks who it is even
// if somebody is signed in: an invitation is used by a button, never by opening
// a link.
func (h *Hub) New(kind Kind, applicationID string) Interaction {
	now := h.now()
	in := Interaction{
		ID: seal.RandomID(), Kind: kind, ApplicationID: applicationID,
		StartedAt: now, ExpiresAt: now.Add(h.pendingLife),
	}
	if kind == KindActivation {
		in.Ask.Prompt = []string{"select_account"}
	}
	return in
}

// Done runs prove in a unit of work, and commits it together with what follows
// from the new facts (a session, say). Then it saves the Interaction and sends
// the browser to the next step (303). An error of prove is returned as it is,
// and nothing was written. prove may run more than once; it changes nothing but
// in and the store.
func (h *Hub) Done(w http.ResponseWriter, r *http.Request, prove func(ctx context.Context, in *Interaction) error) error {
	p := From(r)
	if p == nil {
		return errors.New("flow: Done outside of Require")
	}
	return h.prove(w, r, p.Interaction, prove)
}

// Begin is Done for an Interaction that starts with this request (activation
// links, resets). prove may be nil.
func (h *Hub) Begin(w http.ResponseWriter, r *http.Request, in Interaction, prove func(ctx context.Context, in *Interaction) error) error {
	if prove == nil {
		prove = func(context.Context, *Interaction) error { return nil }
	}
	return h.prove(w, r, in, prove)
}

// Authorize takes over a valid authorization request: it answers at once if
// nothing is left to ask, else it sends the browser to the first step.
func (h *Hub) Authorize(w http.ResponseWriter, r *http.Request, req Request) error {
	in := h.New(KindAuthorize, req.ApplicationID)
	in.ClientID, in.Params, in.Ask = req.ClientID, req.Params, req.Ask
	if r.Method == http.MethodPost {
		// A form of another site brings no SameSite cookies; the redirect does
		// (RFC 6265bis section 5.6.3). Nothing is decided without them.
		if err := h.save(w, r, in); err != nil {
			return h.tooLarge(err)
		}
		http.Redirect(w, r, string(StepFinish)+"?i="+in.ID, http.StatusSeeOther)
		return nil
	}
	session, err := h.session(r)
	if err != nil {
		return err
	}
	if _, sent := h.cookies.get(r, h.sessionName()); sent && session == nil {
		h.hideState(w, r) // it was ended elsewhere
	}
	p, d, err := h.decide(r.Context(), in, session)
	if err != nil {
		return err
	}
	if d.Step == StepFinish || (d.Error != nil && !d.Denied) || in.Ask.Has("none") {
		return h.follow(w, r, p, d)
	}
	if err := h.keep(w, r, &p.Interaction); err != nil {
		return err
	}
	return h.follow(w, r, p, d)
}

// keep binds the interaction to this browser and saves it.
func (h *Hub) keep(w http.ResponseWriter, r *http.Request, in *Interaction) error {
	b, err := h.ensureBrowser(w, r)
	if err != nil {
		return err
	}
	in.Browser = b.ID
	return h.tooLarge(h.save(w, r, *in))
}

func (h *Hub) tooLarge(err error) error {
	if errors.Is(err, errTooLarge) {
		return &web.Problem{
			Status: http.StatusBadRequest, Heading: "This request is too large",
			Sentence: "The portal sent more than can be kept. Nothing happened. Tell the people who run the portal that its sign-in request is too long.",
			Cause:    err,
		}
	}
	return err
}

// prove is the one transition: facts change, in one commit with what follows.
func (h *Hub) prove(w http.ResponseWriter, r *http.Request, in Interaction, prove func(ctx context.Context, in *Interaction) error) error {
	before, err := h.session(r)
	if err != nil {
		return err
	}
	change := newSessionChange(r)
	var after Interaction
	var session *store.Session
	err = h.store.Do(r.Context(), func(ctx context.Context) error {
		after, session = in.clone(), before
		if err := prove(ctx, &after); err != nil {
			return err
		}
		p, d, err := h.decide(ctx, after, before)
		if err != nil {
			return err
		}
		if !d.Reached && newFactor(in, after) {
			return h.standing(ctx, after.AccountID, after.SecondFactor.At)
		}
		if !d.Reached {
			return nil
		}
		session, err = h.openSession(ctx, p, d.Auth, before, change)
		if err != nil {
			return err
		}
		after.SessionID = session.ID
		return nil
	})
	if errors.Is(err, errEnded) {
		// What was proved before counts no more: ask again from where that leads.
		if err := h.keep(w, r, &in); err != nil {
			return err
		}
		http.Redirect(w, r, string(StepFinish)+"?i="+in.ID, http.StatusSeeOther)
		return nil
	}
	if err != nil {
		return err
	}
	if session != nil && session.TokenHash == change.hash(h) {
		if err := h.saveSession(w, r, change.token, session); err != nil {
			return err
		}
	}
	p, d, err := h.decide(r.Context(), after, session)
	if err != nil {
		return err
	}
	if err := h.keep(w, r, &p.Interaction); err != nil {
		return err
	}
	return h.follow(w, r, p, d)
}

func newFactor(before, after Interaction) bool {
	had, has := before.SecondFactor, after.SecondFactor
	return has != nil && (had == nil || !had.At.Equal(has.At) || had.Method != has.Method)
}

// follow does what a Decision says.
func (h *Hub) follow(w http.ResponseWriter, r *http.Request, p *Pending, d Decision) error {
	switch {
	case d.Error != nil && d.Denied && !p.Ask.Has("none"):
		return h.denied(w, r, p)
	case d.Error != nil:
		return h.refuse(w, r, p, d.Error)
	case d.Step == StepFinish:
		return h.finish(w, r, p, d)
	}
	http.Redirect(w, r, p.URL(string(d.Step)), http.StatusSeeOther)
	return nil
}

var errDead = errors.New("flow: the interaction is over")

// pending loads what the request is about. A dead one is answered with a page.
func (h *Hub) pending(w http.ResponseWriter, r *http.Request) (*Pending, Decision, error) {
	query, err := web.Query(r)
	if err != nil {
		return nil, Decision{}, err
	}
	in, ok := h.loadAny(r, query.Get("i"))
	if !ok || !h.alive(in) {
		return nil, Decision{}, h.dead(r, in)
	}
	session, err := h.session(r)
	if err != nil {
		return nil, Decision{}, err
	}
	p, d, err := h.decide(r.Context(), in, session)
	if err != nil {
		return nil, Decision{}, err
	}
	if in.Browser == "" {
		// Begun by another site's form, seen for the first time with cookies.
		if err := h.keep(w, r, &p.Interaction); err != nil {
			return nil, Decision{}, err
		}
	}
	return p, d, nil
}

// event starts an audit event of this request.
func (h *Hub) event(r *http.Request, kind string, p *Pending) store.AuditEvent {
	return store.AuditEvent{
		At: h.now(), Type: kind, Actor: p.Account.ID, AccountID: p.Account.ID,
		ApplicationID: p.ApplicationID, ClientID: p.ClientID, Address: web.Address(r.Context()),
	}
}

func (h *Hub) record(ctx context.Context, e store.AuditEvent) error {
	return audit.Record(ctx, h.store, e)
}
