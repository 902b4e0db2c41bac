package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ory/fosite"

	"anteroom/flow"
	"anteroom/internal/fetch"
	"anteroom/internal/seal"
	"anteroom/store"
	"anteroom/templates"
)

// Paths of the endpoints under the issuer: what discovery says and what the url
// map must serve.
const (
	PathAuthorize   = "/authorize"
	PathToken       = "/token"
	PathPushed      = "/par" // RFC 9126 section 2
	PathUserInfo    = "/userinfo"
	PathIntrospect  = "/introspect"
	PathRevoke      = "/revoke"
	PathLogout      = "/logout"
	PathJWKS        = "/jwks.json"
	PathDiscovery   = "/.well-known/openid-configuration"       // OpenID Connect Discovery section 4
	PathOAuthServer = "/.well-known/oauth-authorization-server" // RFC 8414 section 3
)

// Store is what the provider remembers.
type Store interface {
	store.UnitOfWork
	store.Accounts
	store.Applications
	store.Notices
	store.Devices
	store.Backchannels
	store.Failures
	store.Clients
	store.RegistrationTokens
	store.Consents
	store.Sessions
	store.Grants
	store.PushedRequests
	store.SigningKeys
	store.Once
	store.Metadata
	store.AuditLog
}

// Hub is what the provider needs of flow.Hub.
type Hub interface {
	Authorize(w http.ResponseWriter, r *http.Request, req flow.Request) error
	Session(r *http.Request) (store.Session, store.Account, bool, error)
	Own(w http.ResponseWriter, r *http.Request, path string) (store.Session, store.Account, bool, error)
	SignOut(w http.ResponseWriter, r *http.Request) error
	New(kind flow.Kind, applicationID string) flow.Interaction
	Begin(w http.ResponseWriter, r *http.Request, in flow.Interaction, prove func(context.Context, *flow.Interaction) error) error
}

var (
	_ Hub         = (*flow.Hub)(nil)
	_ flow.Engine = (*Provider)(nil)
)

// Roles are an account's rights in one application: what tokens say about them.
type Roles struct {
	Roles         []string       // keys of roles held anywhere
	Organizations []Organization // where which roles are held
}

// Organization is one entry of the claim organizations.
type Organization struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	Roles []string `json:"roles"`
}

// Lifetimes say how long what the provider issues is good for; zero means the
// value in brackets.
type Lifetimes struct {
	Code         time.Duration // [60 s], at most that (OpenID certification, FAPI 2.0)
	AccessToken  time.Duration // [10 min]
	IDToken      time.Duration // [10 min]
	RefreshToken time.Duration // [30 days] unused; each rotation starts anew
	Grant        time.Duration // [365 days] a family of refresh tokens, however often rotated
}

// Mailer tells people what happens to their accounts, in the unit of work of ctx;
// mail.Outbox is one.
type Mailer interface {
	Enqueue(ctx context.Context, to string, m templates.Mail) error
}

// Options configure a Provider. Lifetimes, Keys and Log may be zero; everything
// else is required.
type Options struct {
	Issuer string // URL without path, query or a slash at the end
	Store  Store
	Hub    Hub
	Seal   *seal.Keyring
	// Claims returns what an account holds in an application.
	Claims func(ctx context.Context, accountID, applicationID string) (Roles, error)
	// MayEnter tells whether an account may enter an application; asked again at
	// every refresh.
	MayEnter func(ctx context.Context, a store.Account, app store.Application) (bool, error)
	Pages    *templates.Renderer
	Fetch    *fetch.Fetcher // nil: one that reaches the public internet only
	// RequestURIs turns requests by reference on, for addresses that their client
	// registered.
	RequestURIs       bool
	Mail              Mailer       // nil: nobody is told by mail
	Register          Registration // who may register clients; zero: nobody
	FrontChannel      FrontChannel // who may have tokens in the authorization response
	SessionManagement bool         // portals may watch the session in a frame
	Log               *slog.Logger
	Now               func() time.Time
	Lifetimes         Lifetimes
	Keys              KeyPolicy
	Documents         Documents // clients that are known by what they publish; zero: none
	// KeySource fetches the keys of clients that publish them (jwks_uri); nil:
	// clients register their keys.
	KeySource KeySource
	// MutualTLS turns client certificates on; nil: off.
	MutualTLS *MutualTLS
}

// Provider is the OpenID Provider. Its methods serve the endpoints; it is safe
// for concurrent use.
type Provider struct {
	issuer             string
	store              Store
	hub                Hub
	seal               *seal.Keyring
	claims             func(ctx context.Context, accountID, applicationID string) (Roles, error)
	mayEnter           func(ctx context.Context, a store.Account, app store.Application) (bool, error)
	pages              *templates.Renderer
	fetch              *fetch.Fetcher
	mail               Mailer
	notices            chan struct{} // there are some to deliver
	requestURIs        bool
	registration       Registration
	documents          Documents
	lastDocuments      remembered
	frontChannelTokens FrontChannel
	sessionManagement  bool
	origins            origins
	polls              polls
	log                *slog.Logger
	clock              func() time.Time
	life               Lifetimes
	keys               *Keys
	fosite             *fosite.Fosite
	described          described
	keySource          KeySource
	mutualTLS          *MutualTLS
	restored           time.Time // the store's backup was put back then; zero: never
}

// New returns a Provider. It makes the first signing keys if there are none, and
// fails if an option is missing, the store cannot answer, or the keys do not
// open under the master key.
func New(o Options) (*Provider, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	p := &Provider{
		issuer: o.Issuer, store: o.Store, hub: o.Hub, seal: o.Seal, claims: o.Claims,
		mayEnter: o.MayEnter, pages: o.Pages, log: o.Log, clock: o.Now, life: o.Lifetimes.withDefaults(),
		keySource: o.KeySource, mutualTLS: o.MutualTLS, requestURIs: o.RequestURIs,
	}
	if p.log == nil {
		p.log = slog.Default()
	}
	var err error
	if p.restored, err = restoredAt(o.Store); err != nil {
		return nil, err
	}
	p.keys, err = OpenKeys(KeyOptions{
		Store: o.Store, Seal: o.Seal, Log: p.log, Now: o.Now, Policy: o.Keys,
		TokenLife: max(p.life.AccessToken, p.life.IDToken),
	})
	if err != nil {
		return nil, err
	}
	for _, issuer := range o.Register.Issuers {
		if err := issuer.check(); err != nil {
			return nil, err
		}
	}
	p.fetch, p.mail, p.notices, p.registration = o.Fetch, o.Mail, make(chan struct{}, 1), o.Register
	p.frontChannelTokens, p.sessionManagement = o.FrontChannel, o.SessionManagement
	if p.fetch == nil {
		p.fetch = fetch.New(fetch.Options{Now: o.Now})
	}
	if p.documents = o.Documents; p.documents.Fetch == nil {
		p.documents.Fetch = documentFetcher(o.Now)
	}
	p.fosite = p.compose()
	if err := p.describe(context.Background()); err != nil {
		return nil, fmt.Errorf("make the discovery document: %w", err)
	}
	return p, nil
}

// restoredAt is when a backup was put back. What was used up between the backup
// and then is forgotten (store.MetaRestored).
func restoredAt(s store.Metadata) (time.Time, error) {
	text, err := s.Meta(context.Background(), store.MetaRestored)
	if errors.Is(err, store.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read when the database was restored: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return at, fmt.Errorf("read when the database was restored: %w", err)
	}
	return at, nil
}

func (o Options) check() error {
	issuer, err := url.Parse(o.Issuer)
	if err != nil || issuer.Host == "" || issuer.Path != "" || strings.ContainsAny(o.Issuer, "?#") {
		return fmt.Errorf("issuer %q is not a URL without path and query", o.Issuer)
	}
	switch {
	case o.Store == nil, o.Hub == nil, o.Seal == nil, o.Claims == nil, o.MayEnter == nil, o.Pages == nil, o.Now == nil:
		return errors.New("provider: an option is missing")
	}
	return nil
}

func (l Lifetimes) withDefaults() Lifetimes {
	const day = 24 * time.Hour
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&l.Code, time.Minute},
		{&l.AccessToken, 10 * time.Minute},
		{&l.IDToken, 10 * time.Minute},
		{&l.RefreshToken, 30 * day},
		{&l.Grant, 365 * day},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	l.Code = min(l.Code, time.Minute)
	l.RefreshToken = min(l.RefreshToken, l.Grant)
	return l
}

// Keys returns the ring of signing keys, to list and rotate them.
func (p *Provider) Keys() *Keys { return p.keys }

// Run keeps the signing keys fresh until ctx ends. Any number of nodes may.
func (p *Provider) Run(ctx context.Context) { p.keys.Run(ctx) }

func (p *Provider) now() time.Time { return store.Time(p.clock()) }
