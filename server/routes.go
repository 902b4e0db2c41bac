package server

import (
	"errors"
	"net/http"

	"github.com/gorilla/mux"

	"anteroom/consent"
	"anteroom/flow"
	"anteroom/internal/web"
	"anteroom/login"
	"anteroom/mfa"
	"anteroom/provider"
	"anteroom/store"
)

const (
	get  = http.MethodGet
	post = http.MethodPost
)

// page is one row of the url map: a page for people.
type page struct {
	method, path string
	handler      web.Handler
}

// endpoint is one row of the url map: an endpoint for clients.
type endpoint struct {
	path    string
	handler http.HandlerFunc
}

// pages is the url map of what people see. Steps of the flow run under
// flow.Require; everything else checks what it needs itself.
func (s *Server) pages() []page {
	h := s.Hub
	step := h.Require
	in := &login.Login{Hub: h, Accounts: s.Accounts, Pages: s.Pages, Now: s.Now}
	activate := &login.Activate{Hub: h, Accounts: s.Accounts, Pages: s.Pages, Now: s.Now}
	forgot := &login.Forgot{Hub: h, Accounts: s.Accounts, Pages: s.Pages}
	reset := &login.Reset{Hub: h, Accounts: s.Accounts, Pages: s.Pages, Now: s.Now}
	factor := &mfa.Handler{
		Hub: h, Store: s.Store, Seal: s.Seal, Pages: s.Pages, Outbox: s.Outbox, Throttle: s.Accounts.Throttle,
		Issuer: s.config.Issuer, Label: s.config.Product.IssuerLabel(), Now: s.Now, Log: s.log,
	}
	terms := &consent.Terms{Hub: h, Store: s.Store, Pages: s.Pages, Now: s.Now}
	scopes := &consent.Scopes{Hub: h, Store: s.Store, Pages: s.Pages, Now: s.Now}
	return []page{
		{get, "/", h.Home},
		{get, "/signin", h.SignIn},
		{get, "/continue", h.Continue},
		{post, "/switch", h.Switch},
		{post, "/refuse", h.Abandon},
		{get, "/activated", h.Activated},

		{get, "/login", step(flow.StepLogin, in.Show)},
		{post, "/login", step(flow.StepLogin, in.Submit)},
		{get, "/activate", activate.Show},
		{post, "/activate", activate.Submit},
		{post, "/activate/resend", activate.Resend},
		{get, "/forgot", forgot.Show},
		{post, "/forgot", forgot.Submit},
		{get, "/reset", reset.Show},
		{post, "/reset", reset.Submit},

		{get, "/mfa/enroll", step(flow.StepEnroll, factor.Enroll)},
		{post, "/mfa/enroll", step(flow.StepEnroll, factor.Enroll)},
		{post, "/mfa/enroll/restart", step(flow.StepEnroll, factor.EnrollRestart)},
		{get, "/mfa/recovery-codes", step(flow.StepRecoveryCodes, factor.RecoveryCodes)},
		{post, "/mfa/recovery-codes", step(flow.StepRecoveryCodes, factor.RecoveryCodes)},
		{get, "/mfa/recovery-codes.txt", step(flow.StepRecoveryCodes, factor.DownloadRecoveryCodes)},
		{get, "/mfa/challenge", step(flow.StepChallenge, factor.Challenge)},
		{post, "/mfa/challenge", step(flow.StepChallenge, factor.Challenge)},
		{get, "/mfa/recovery", step(flow.StepChallenge, factor.Recovery)},
		{post, "/mfa/recovery", step(flow.StepChallenge, factor.Recovery)},

		{get, "/terms", step(flow.StepTerms, terms.Show)},
		{post, "/terms", step(flow.StepTerms, terms.Submit)},
		{get, "/consent", step(flow.StepConsent, scopes.Show)},
		{post, "/consent", step(flow.StepConsent, scopes.Submit)},

		{get, provider.PathAuthorize, s.Provider.Authorize},
		{post, provider.PathAuthorize, s.Provider.Authorize},
		{get, provider.PathDevice, s.Provider.Device},
		{post, provider.PathDevice, s.Provider.Device},
		{get, provider.PathRequests, s.Provider.Requests},
		{post, provider.PathRequests, s.Provider.Requests},
		{get, provider.PathLogout, s.Provider.Logout},
		{post, provider.PathLogout, s.Provider.Logout},
	}
}

// endpoints is the url map of what clients call. The provider answers every
// method, in the protocol's own form.
func (s *Server) endpoints() []endpoint {
	p := s.Provider
	return []endpoint{
		{provider.PathDiscovery, p.Discovery},
		{provider.PathOAuthServer, p.Discovery},
		{provider.PathJWKS, p.JWKS},
		{provider.PathToken, p.Token},
		{provider.PathPushed, p.PushAuthorization},
		{provider.PathUserInfo, p.UserInfo},
		{provider.PathIntrospect, p.Introspect},
		{provider.PathRevoke, p.Revoke},
		{provider.PathRegister, p.Register},
		{provider.PathCheckSession, p.CheckSession},
		{provider.PathDeviceAuthorization, p.DeviceAuthorization},
		{provider.PathBackchannel, p.AuthenticateBackchannel},
	}
}

// crossOrigin are the paths that other sites may post to (OpenID Connect Core
// section 3.1.2.1, RP-Initiated Logout section 2). Everything else that posts is
// a form of ours.
var crossOrigin = []string{
	provider.PathAuthorize, provider.PathLogout, provider.PathPushed, provider.PathToken, provider.PathUserInfo,
	provider.PathIntrospect, provider.PathRevoke, provider.PathRegister, provider.PathDeviceAuthorization,
	provider.PathBackchannel,
}

// Handler returns what the public listener serves.
func (s *Server) Handler() http.Handler {
	edge := &web.Edge{Pages: s.Pages, Log: s.log, Classify: classify}
	router := mux.NewRouter()
	for _, p := range s.pages() {
		methods := []string{p.method}
		if p.method == get {
			methods = append(methods, http.MethodHead)
		}
		router.Handle(p.path, edge.Handle(p.handler)).Methods(methods...)
	}
	for _, e := range s.endpoints() {
		router.HandleFunc(e.path, e.handler)
	}
	router.PathPrefix("/static/").Handler(s.Pages.Static())
	for prefix, h := range s.extra {
		router.PathPrefix(prefix).Handler(h)
	}
	router.NotFoundHandler = edge.Handle(notFound)
	router.MethodNotAllowedHandler = edge.Handle(notAllowed)

	protect := http.NewCrossOriginProtection()
	for _, path := range crossOrigin {
		protect.AddInsecureBypassPattern(path)
	}
	// Behind a proxy that rewrites Host, Origin still is the issuer.
	_ = protect.AddTrustedOrigin(s.config.Issuer) // a valid issuer is a valid origin
	protect.SetDenyHandler(edge.Handle(foreignForm))

	wear := &web.Wear{Log: s.log, TrustedProxies: s.config.TrustedProxies, Observe: s.metrics.observe}
	return wear.Handler(s.strictTransport(protect.Handler(router)))
}

// strictTransport tells browsers to come over TLS only (RFC 6797).
func (s *Server) strictTransport(next http.Handler) http.Handler {
	if !s.config.Secure() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		next.ServeHTTP(w, r)
	})
}

// knownPaths are the labels of the metrics.
func (s *Server) knownPaths() []string {
	var all []string
	for _, p := range s.pages() {
		all = append(all, p.path)
	}
	for _, e := range s.endpoints() {
		all = append(all, e.path)
	}
	return all
}

func notFound(http.ResponseWriter, *http.Request) error {
	return &web.Problem{
		Status: http.StatusNotFound, Heading: "There is no such page",
		Sentence: "Check the address, or go back to the portal that you came from and start again.",
	}
}

func notAllowed(http.ResponseWriter, *http.Request) error {
	return &web.Problem{
		Status: http.StatusMethodNotAllowed, Heading: "This page cannot be used this way",
		Sentence: "Open it with your browser, or go to the start page.",
	}
}

func foreignForm(http.ResponseWriter, *http.Request) error {
	return &web.Problem{
		Status: http.StatusForbidden, Heading: "This form came from somewhere else",
		Sentence: "For your safety it was not used. Go to the start page and sign in from there.",
	}
}

// classify gives words to errors that can come from every room.
func classify(err error) *web.Problem {
	if errors.Is(err, store.ErrUnavailable) {
		return &web.Problem{
			Status: http.StatusServiceUnavailable, Heading: "Please try again in a moment", RetryAfter: 5,
			Sentence: "We cannot save anything just now. Wait a few seconds and send the page again.",
			Cause:    err,
		}
	}
	return nil
}
