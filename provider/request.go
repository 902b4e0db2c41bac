package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ory/fosite"

	"anteroom/flow"
	"anteroom/internal/rar"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// authorization is an authorization request that was checked.
type authorization struct {
	client store.Client
	app    store.Application
	params
	target    target
	scopes    []string // requested
	resources []string
	details   rar.Details
	claims    claimsRequest
	ask       flow.Ask
	requester fosite.AuthorizeRequester
}

// kept are the parameters that are kept for the second check. No secret is
// among them, and not id_token_hint: what it says is in the Ask.
var kept = []string{
	"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce",
	"code_challenge", "code_challenge_method", "prompt", "max_age", "claims", "acr_values",
	"login_hint", "ui_locales", "claims_locales", "display", "resource", "dpop_jkt", paramDetails,
}

// keep writes the parameters for the second check. Of a pushed request they are
// in the store already: a reference leads there.
func (a *authorization) keep() string {
	if a.pushed != "" {
		return url.Values{"client_id": {a.client.ID}, keptPushed: {a.pushed}}.Encode()
	}
	out := url.Values{}
	for _, name := range kept {
		if all, ok := a.Values[name]; ok {
			out[name] = all
		}
	}
	if a.signed {
		out.Set(keptSigned, "signed")
	}
	return out.Encode()
}

// parse checks an authorization request. While client and redirect URI are not
// known to be right the error is a page (*web.Problem) and the authorization
// nil. Afterwards a *refusal comes together with the authorization, whose target
// is where it goes. Anything else is a failure of ours.
func (p *Provider) parse(ctx context.Context, in params) (*authorization, error) {
	in, wrong := p.unwrap(ctx, in)
	if _, ok := errors.AsType[*refusal](wrong); wrong != nil && !ok {
		return nil, wrong
	}
	a, err := p.resolve(ctx, in)
	if _, page := errors.AsType[*web.Problem](err); page && wrong != nil {
		if in.pushing {
			return nil, wrong
		}
		return nil, stop("What the portal asks for (request) cannot be read, or is not signed as it should be.", wrong)
	}
	if err != nil {
		return nil, err
	}
	if wrong != nil {
		return a, wrong
	}
	for _, check := range []func() error{
		func() error {
			if wrong := in.wrong(); wrong != nil {
				return wrong
			}
			if n := in.size(); n > maxParams {
				return refuse("invalid_request", "The parameters have %d bytes, at most %d are taken.", n, maxParams)
			}
			return nil
		},
		a.checkObjects, a.checkPushed, a.checkFAPI, a.checkSigned, func() error { return p.checkResponse(a) }, a.checkScopes, a.checkDetails, a.checkPKCE, a.checkKey, a.checkPrompt, a.checkClaims,
	} {
		if err := check(); err != nil {
			return a, err
		}
	}
	if !a.asks("code") {
		return a, nil
	}
	if a.requester, err = p.plainRequest(ctx, a); err != nil {
		return a, asRefusal(err)
	}
	return a, nil
}

// resolve finds the client and where answers go.
func (p *Provider) resolve(ctx context.Context, in params) (*authorization, error) {
	id := in.Get("client_id")
	if id == "" {
		return nil, stop("The link that brought you here does not say which portal you want (client_id).", nil)
	}
	c, err := p.client(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, stop("The portal that sent you here is not known (client_id).", err)
	}
	if err != nil {
		return nil, err
	}
	app, err := p.store.Application(ctx, c.ApplicationID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, stop("The portal that sent you here is not known (client_id).", err)
	}
	if err != nil {
		return nil, fmt.Errorf("load application %q: %w", c.ApplicationID, err)
	}
	a := &authorization{client: c, app: app, params: in}
	if a.target, err = p.findTarget(c, in); err != nil {
		problem, _ := errors.AsType[*web.Problem](err)
		problem.Frame = templates.Frame{Portal: flow.Brand(app)}
		return nil, problem
	}
	return a, nil
}

// whatNow ends the sentence of a page for a request that leads nowhere.
const whatNow = " Nothing happened. Go back to the portal and start again; if that does not help, tell the people who run it."

// stop is a page for a request that cannot be answered to the client.
func stop(sentence string, cause error) *web.Problem {
	return &web.Problem{
		Status:   http.StatusBadRequest,
		Heading:  "This sign-in link does not work",
		Sentence: sentence + whatNow,
		Cause:    cause,
	}
}

// client returns a client that may be used; store.ErrNotFound if there is none
// or it is disabled.
func (p *Provider) client(ctx context.Context, id string) (store.Client, error) {
	if len(id) > store.MaxIdentity {
		return store.Client{}, store.ErrNotFound
	}
	c, err := p.store.Client(ctx, id)
	if errors.Is(err, store.ErrNotFound) && p.documents.On() && strings.HasPrefix(id, "https://") {
		c, err = p.published(ctx, id)
	}
	if err == nil && c.Disabled {
		return store.Client{}, store.ErrNotFound
	}
	if err != nil {
		return store.Client{}, fmt.Errorf("load client %q: %w", id, err)
	}
	return withDefaults(c), nil
}

// Client returns a client that may be used, for the hub; store.ErrNotFound if there
// is none or it is disabled.
func (p *Provider) Client(ctx context.Context, id string) (store.Client, error) {
	return p.client(ctx, id)
}

// withDefaults fills what RFC 7591 section 2 defaults.
func withDefaults(c store.Client) store.Client {
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []string{"authorization_code"}
	}
	if len(c.ResponseTypes) == 0 {
		c.ResponseTypes = []string{"code"}
	}
	if c.TokenEndpointAuthMethod == "" {
		c.TokenEndpointAuthMethod = "client_secret_basic"
	}
	return c
}

func public(c store.Client) bool { return c.TokenEndpointAuthMethod == "none" }

// findTarget returns where the answer goes, or a page.
func (p *Provider) findTarget(c store.Client, in params) (target, error) {
	sent := in.Get("redirect_uri")
	t := target{sent: sent, uri: sent, state: in.Get("state"), client: c, mode: defaultMode(in.Get("response_type"))}
	if m := in.Get("response_mode"); slices.Contains(responseModes, m) {
		t.mode, t.alg = answerMode(c, m, in.Get("response_type"))
	}
	if t.mode == "query" {
		t.mode = defaultMode(in.Get("response_type")) // where tokens never go, their errors do not go
	}
	switch {
	case slices.Contains(in.bad, "redirect_uri") || slices.Contains(in.bad, "client_id"):
		return t, stop("The address to return to (redirect_uri) was sent twice or cannot be read.", nil)
	case sent == "" && slices.Contains(words(in.Get("scope")), "openid"):
		return t, stop("The portal did not say where to return to (redirect_uri).", nil)
	case sent == "" && len(c.RedirectURIs) != 1:
		return t, stop("The portal did not say which of its addresses to return to (redirect_uri).", nil)
	case sent == "":
		t.uri = c.RedirectURIs[0]
	}
	if !matchRedirect(c, t.uri) {
		return t, stop("The address to return to (redirect_uri) is not registered for this portal.", nil)
	}
	if err := CheckRedirectURI(t.uri, c.ApplicationType, p.issuer); err != nil {
		return t, stop("The address to return to (redirect_uri) is not a safe one.", err)
	}
	return t, nil
}

// checkObjects refuses what is not supported (OpenID Connect Core sections 6.2
// and 7.2.1). Request objects that are supported were unwrapped before.
func (a *authorization) checkObjects() error {
	for _, name := range []string{"request_uri", "registration"} {
		if a.Get(name) != "" {
			return refuse(name+"_not_supported", "The parameter %s is not supported.", name)
		}
	}
	return nil
}

func (a *authorization) checkScopes() error {
	a.scopes = words(a.Get("scope"))
	if !a.asks("code") { // no code, no refresh token (OpenID Connect Core section 11)
		a.scopes = slices.DeleteFunc(a.scopes, func(s string) bool { return s == "offline_access" })
	}
	for _, s := range a.scopes {
		if !slices.Contains(a.client.Scopes, s) {
			return refuse("invalid_scope", "This client is not registered for the scope %s.", s)
		}
	}
	a.ask.Scopes = slices.Clone(a.scopes)
	a.resources = a.Values["resource"]
	return checkResources(a.resources, a.client.Audiences)
}

// checkResources applies RFC 8707 section 2.
func checkResources(asked, allowed []string) error {
	for _, r := range asked {
		if !slices.Contains(allowed, r) {
			return refuse("invalid_target", "This client is not registered for the resource %s.", r)
		}
	}
	return nil
}

var challenge = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`) // base64url of a SHA-256 digest

// checkPKCE demands RFC 7636 with S256 of every client. A confidential client
// may be exempted by the operator, and must send a nonce instead (RFC 9700
// section 2.1.1).
func (a *authorization) checkPKCE() error {
	sent, method := a.Get("code_challenge"), a.Get("code_challenge_method")
	if !a.asks("code") {
		return nil
	}
	if sent == "" && method == "" {
		if pkceRequired(a.client) {
			return refuse("invalid_request", "The parameter code_challenge is missing: PKCE (RFC 7636) is required.")
		}
		if a.Get("nonce") == "" {
			return refuse("invalid_request", "Send a code_challenge (RFC 7636) or a nonce.")
		}
		return nil
	}
	if method != "S256" {
		return refuse("invalid_request", "The code_challenge_method is not S256.")
	}
	if !challenge.MatchString(sent) {
		return refuse("invalid_request", "The code_challenge is not the base64url SHA-256 digest of a verifier.")
	}
	return nil
}

func pkceRequired(c store.Client) bool { return public(c) || !c.PKCEOptional || fapi(c) }

func (a *authorization) checkPrompt() error {
	a.ask.Prompt = words(a.Get("prompt"))
	for _, v := range a.ask.Prompt {
		if v == promptCreate {
			return refuse("invalid_request", "The prompt create is not supported: accounts are made by invitation here.")
		}
		if !slices.Contains(prompts, v) {
			return refuse("invalid_request", "The prompt %s is not supported.", v)
		}
	}
	if a.ask.Has("none") && len(a.ask.Prompt) > 1 {
		return refuse("invalid_request", "The prompt none stands alone.")
	}
	if raw, sent := a.Values["max_age"]; sent && raw[0] != "" {
		n, err := strconv.ParseUint(raw[0], 10, 31)
		if err != nil {
			return refuse("invalid_request", "The max_age is not a number of seconds.")
		}
		age := int64(n)
		a.ask.MaxAge = &age
	}
	return nil
}

func (a *authorization) checkClaims() error {
	request, ask, err := parseClaims(a.Get("claims"))
	if err != nil {
		return err
	}
	a.claims = request.within(a.client.Scopes)
	for _, s := range a.claims.scopes() {
		if !slices.Contains(a.ask.Scopes, s) {
			a.ask.Scopes = append(a.ask.Scopes, s)
		}
	}
	a.ask.EssentialACR, a.ask.HintSubject = ask.essentialACR, ask.subject
	a.ask.ACRValues = words(a.Get("acr_values"))
	if len(a.ask.ACRValues) == 0 {
		a.ask.ACRValues = ask.voluntaryACR
	}
	a.ask.Locales = words(a.Get("ui_locales"))
	if hint := strings.TrimSpace(a.Get("login_hint")); len(hint) <= 320 {
		a.ask.LoginHint = hint
	}
	return nil
}

// plainRequest lets fosite parse what is left for it: a form without anything
// that it would understand differently, for a client with one redirect URI.
// It makes codes only; tokens of the authorization response are ours.
func (p *Provider) plainRequest(ctx context.Context, a *authorization) (fosite.AuthorizeRequester, error) {
	form := url.Values{
		"client_id":     {a.client.ID},
		"response_type": {"code"},
		"scope":         {strings.Join(a.scopes, " ")},
		// State is returned by us; fosite demands one of at least 8 characters.
		"state": {"kept-by-anteroom"},
	}
	for _, name := range []string{"redirect_uri", "code_challenge", "code_challenge_method"} {
		if v := a.Get(name); v != "" {
			form.Set(name, v)
		}
	}
	if len(a.resources) > 0 {
		form["audience"] = a.resources
	}
	ctx = withClient(ctx, a.plainClient())
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: PathAuthorize}, Header: http.Header{}, Form: form}
	return p.fosite.NewAuthorizeRequest(ctx, r.WithContext(ctx))
}

// plainClient is a client as fosite sees it here: one redirect URI, and codes.
func (a *authorization) plainClient() *client {
	c := a.client
	c.ResponseTypes = []string{"code"}
	return &client{Client: c, redirectURIs: []string{a.target.uri}}
}
