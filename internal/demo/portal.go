package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// PortalConfig is what a portal needs to know: what the operator gives to its
// developer, and how it looks.
type PortalConfig struct {
	Name         string
	Tagline      string
	Colour       string // #rrggbb
	URL          string // its own, without a slash at the end
	Issuer       string
	ClientID     string
	ClientSecret string
	// Cookie names this portal's cookies. Ports share the cookies of a host, so
	// two portals on localhost need different names.
	Cookie string
	Scopes []string // nil: openid profile email roles
	Log    *slog.Logger
	Now    func() time.Time
}

// Portal is a relying party as anybody would write it, with coreos/go-oidc and
// x/oauth2: authorization code flow, PKCE (RFC 7636), state, nonce, refresh,
// userinfo, and sign-out started by the relying party.
//
//	GET  /            who is signed in, or the button to sign in
//	GET  /login       starts a sign-in; prompt, max_age, acr_values, login_hint and ui_locales are passed on
//	GET  /callback    where the provider returns to
//	POST /refresh     uses the refresh token
//	POST /userinfo    asks the userinfo endpoint
//	POST /logout      signs out here and at the provider
//	GET  /signed-out  where the provider returns to after that
type Portal struct {
	cfg      PortalConfig
	client   *http.Client
	sessions sessions

	mu       sync.Mutex
	provider *oidc.Provider // nil until the issuer answered once
}

// NewPortal returns a portal. It does not need the issuer yet.
func NewPortal(cfg PortalConfig) *Portal {
	if cfg.Scopes == nil {
		cfg.Scopes = []string{oidc.ScopeOpenID, "profile", "email", "roles"}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Portal{
		cfg:      cfg,
		client:   &http.Client{Timeout: 15 * time.Second},
		sessions: sessions{kept: map[string]*session{}, now: cfg.Now},
	}
}

// RedirectURI is what the operator registers.
func (p *Portal) RedirectURI() string { return p.cfg.URL + "/callback" }

// PostLogoutRedirectURI is what the operator registers, too.
func (p *Portal) PostLogoutRedirectURI() string { return p.cfg.URL + "/signed-out" }

// LaunchURL starts a sign-in, so that whoever follows it arrives signed in.
func (p *Portal) LaunchURL() string { return p.cfg.URL + "/login" }

// Handler serves the portal.
func (p *Portal) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.home)
	mux.HandleFunc("GET /login", p.login)
	mux.HandleFunc("GET /callback", p.callback)
	mux.HandleFunc("POST /refresh", p.refresh)
	mux.HandleFunc("POST /userinfo", p.userinfo)
	mux.HandleFunc("POST /logout", p.logout)
	mux.HandleFunc("GET /signed-out", p.signedOut)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusSeeOther) })
	return http.NewCrossOriginProtection().Handler(mux)
}

// discover asks the issuer for its metadata, once.
func (p *Portal) discover(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.provider == nil {
		// The provider's key set outlives the request, and so must its context.
		found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client), p.cfg.Issuer)
		if err != nil {
			return nil, nil, fmt.Errorf("ask %s for its metadata: %w", p.cfg.Issuer, err)
		}
		p.provider = found
	}
	endpoint := p.provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader // as registered; else a refusal is tried again the other way
	return p.provider, &oauth2.Config{
		ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret,
		Endpoint: endpoint, RedirectURL: p.RedirectURI(), Scopes: p.cfg.Scopes,
	}, nil
}

// passedOn are the parameters of /login that go into the authorization request.
var passedOn = []string{"prompt", "max_age", "acr_values", "login_hint", "ui_locales", "claims"}

func (p *Portal) login(w http.ResponseWriter, r *http.Request) {
	_, config, err := p.discover(r.Context())
	if err != nil {
		p.unreachable(w, err)
		return
	}
	attempt := newAttempt(p.cfg.Now())
	p.remember(w, r, attempt)
	options := []oauth2.AuthCodeOption{oidc.Nonce(attempt.nonce), oauth2.S256ChallengeOption(attempt.verifier)}
	for _, name := range passedOn {
		if value := r.URL.Query().Get(name); value != "" {
			options = append(options, oauth2.SetAuthURLParam(name, value))
		}
	}
	http.Redirect(w, r, config.AuthCodeURL(attempt.state, options...), http.StatusSeeOther)
}

func (p *Portal) callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	attempt, mine := p.recall(w, r, q.Get("state"))
	if !mine {
		p.show(w, http.StatusBadRequest, view{Error: &failure{
			Heading:  "This sign-in cannot be finished here",
			Sentence: "It was started in another browser, is finished already, or is too old. Start it again.",
		}})
		return
	}
	// RFC 9207: an answer of another issuer is not for us.
	if iss := q.Get("iss"); iss != "" && iss != p.cfg.Issuer {
		p.show(w, http.StatusBadRequest, view{Error: &failure{Heading: "This answer is from somebody else", Sentence: "It names the issuer " + iss + "."}})
		return
	}
	if code := q.Get("error"); code != "" {
		p.show(w, http.StatusOK, view{Error: refused(code, q.Get("error_description"))})
		return
	}
	s, err := p.exchange(r.Context(), q.Get("code"), attempt)
	if err != nil {
		p.cfg.Log.Warn("code exchange", "portal", p.cfg.Name, "error", err.Error())
		p.show(w, http.StatusBadGateway, view{Error: explain("The sign-in did not arrive", err)})
		return
	}
	p.open(w, r, s)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// exchange turns a code into a session: tokens whose ID token is ours, fresh and
// for this attempt.
func (p *Portal) exchange(ctx context.Context, code string, a attempt) (*session, error) {
	provider, config, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	tokens, err := config.Exchange(ctx, code, oauth2.VerifierOption(a.verifier))
	if err != nil {
		return nil, err
	}
	raw, _ := tokens.Extra("id_token").(string)
	if raw == "" {
		return nil, errors.New("the token answer has no id_token")
	}
	id, err := p.verify(ctx, provider, raw)
	if err != nil {
		return nil, err
	}
	if id.Nonce != a.nonce {
		return nil, errors.New("the ID token has another nonce than this sign-in")
	}
	s := &session{tokens: tokens, idToken: raw}
	if err := id.Claims(&s.claims); err != nil {
		return nil, err
	}
	// Name and e-mail address come from userinfo (OpenID Connect Core section 5.4).
	if s.profile, err = p.ask(ctx, provider, s); err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	return s, nil
}

// ask calls userinfo. An answer about somebody else is refused (OpenID Connect
// Core section 5.3.2).
func (p *Portal) ask(ctx context.Context, provider *oidc.Provider, s *session) (map[string]any, error) {
	info, err := provider.UserInfo(oidc.ClientContext(ctx, p.client), oauth2.StaticTokenSource(s.tokens))
	if err != nil {
		return nil, err
	}
	if sub, _ := s.claims["sub"].(string); info.Subject != sub {
		return nil, errors.New("the answer is about somebody else")
	}
	var claims map[string]any
	return claims, info.Claims(&claims)
}

func (p *Portal) verify(ctx context.Context, provider *oidc.Provider, raw string) (*oidc.IDToken, error) {
	return provider.VerifierContext(ctx, &oidc.Config{ClientID: p.cfg.ClientID, Now: p.cfg.Now}).Verify(ctx, raw)
}

func (p *Portal) home(w http.ResponseWriter, r *http.Request) {
	p.show(w, http.StatusOK, view{Session: p.current(r)})
}

func (p *Portal) refresh(w http.ResponseWriter, r *http.Request) {
	s := p.current(r)
	if s == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	next, err := p.renew(r.Context(), s)
	if err != nil {
		p.show(w, http.StatusOK, view{Session: s, Error: explain("Refreshing did not work", err)})
		return
	}
	next.notice = "New tokens, " + p.cfg.Now().Local().Format("15:04:05") + "."
	p.sessions.replace(s.id, next)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// renew uses the refresh token. An ID token that comes along must be about the
// same person (OpenID Connect Core section 12.2).
func (p *Portal) renew(ctx context.Context, s *session) (*session, error) {
	provider, config, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	if s.tokens.RefreshToken == "" {
		return nil, errors.New("the provider gave no refresh token")
	}
	ctx = oidc.ClientContext(ctx, p.client)
	tokens, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: s.tokens.RefreshToken}).Token()
	if err != nil {
		return nil, err
	}
	next := &session{id: s.id, tokens: tokens, idToken: s.idToken, claims: s.claims, profile: s.profile, userinfo: s.userinfo, opened: s.opened}
	raw, _ := tokens.Extra("id_token").(string)
	if raw == "" {
		return next, nil
	}
	id, err := p.verify(ctx, provider, raw)
	if err != nil {
		return nil, err
	}
	if sub, _ := s.claims["sub"].(string); id.Subject != sub {
		return nil, errors.New("the new ID token is about somebody else")
	}
	next.idToken, next.claims = raw, nil
	return next, id.Claims(&next.claims)
}

func (p *Portal) userinfo(w http.ResponseWriter, r *http.Request) {
	s := p.current(r)
	if s == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	next := *s
	provider, _, err := p.discover(r.Context())
	if err == nil {
		next.userinfo, err = p.ask(r.Context(), provider, s)
	}
	if err != nil {
		p.show(w, http.StatusOK, view{Session: s, Error: explain("Userinfo did not answer", err)})
		return
	}
	next.notice = "Userinfo answered, " + p.cfg.Now().Local().Format("15:04:05") + "."
	p.sessions.replace(s.id, &next)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// logout ends the session here, then asks the provider to end its own (OpenID
// Connect RP-Initiated Logout 1.0).
func (p *Portal) logout(w http.ResponseWriter, r *http.Request) {
	s := p.current(r)
	p.close(w, r)
	if s == nil {
		http.Redirect(w, r, "/signed-out", http.StatusSeeOther)
		return
	}
	provider, _, err := p.discover(r.Context())
	if err != nil {
		p.unreachable(w, err)
		return
	}
	var metadata struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := provider.Claims(&metadata); err != nil || metadata.EndSession == "" {
		http.Redirect(w, r, "/signed-out", http.StatusSeeOther)
		return
	}
	q := url.Values{
		"id_token_hint":            {s.idToken},
		"client_id":                {p.cfg.ClientID},
		"post_logout_redirect_uri": {p.PostLogoutRedirectURI()},
		"state":                    {rand.Text()},
	}
	http.Redirect(w, r, metadata.EndSession+"?"+q.Encode(), http.StatusSeeOther)
}

func (p *Portal) signedOut(w http.ResponseWriter, r *http.Request) {
	if p.current(r) != nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	p.show(w, http.StatusOK, view{SignedOut: true})
}

func (p *Portal) unreachable(w http.ResponseWriter, err error) {
	p.cfg.Log.Warn("issuer does not answer", "portal", p.cfg.Name, "error", err.Error())
	p.show(w, http.StatusBadGateway, view{Error: explain("The sign-in service does not answer", err)})
}

// failure is what the page says when something was refused.
type failure struct {
	Heading  string
	Sentence string
	Code     string // the protocol's own word, for the developer
}

// refused puts an OpenID error of the provider into words.
func refused(code, description string) *failure {
	f := &failure{Heading: "You are not signed in", Code: code, Sentence: description}
	switch code {
	case "access_denied":
		f.Heading = "The sign-in was refused"
		if f.Sentence == "" {
			f.Sentence = "You declined, or you have no access to this portal."
		}
	case "login_required", "interaction_required", "consent_required", "account_selection_required":
		if f.Sentence == "" {
			f.Sentence = "The provider would have to ask you something, and this portal asked it not to."
		}
	case "temporarily_unavailable", "server_error":
		f.Heading = "The sign-in service cannot answer now"
		if f.Sentence == "" {
			f.Sentence = "Try again in a moment."
		}
	}
	if f.Sentence == "" {
		f.Sentence = "The provider gave no reason."
	}
	return f
}

// explain shows an error as it is: this page is for the developers of portals.
func explain(heading string, err error) *failure {
	f := &failure{Heading: heading, Sentence: strings.ToUpper(err.Error()[:1]) + err.Error()[1:]}
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		f.Code = answer.ErrorCode
		if answer.ErrorDescription != "" {
			f.Sentence = answer.ErrorDescription
		}
	}
	return f
}
