package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/ory/fosite"

	"anteroom/access"
	"anteroom/internal/rar"
	"anteroom/store"
)

// grantType is one way to tokens. One that is not in grantTypes does not exist:
// neither here nor in discovery.
type grantType struct {
	name string
	// admit loads what the request presents, and refuses what is not good for
	// tokens.
	admit func(p *Provider, ctx context.Context, x *exchange) error
	// settle writes, in one unit of work, once the tokens are made; nil: nothing
	// is written.
	settle func(p *Provider, ctx context.Context, x *exchange) error
	// lost makes the refusal of a request that another one was faster than, or
	// whose code or token died meanwhile.
	lost func(p *Provider, ctx context.Context, x *exchange, cause error) error
}

var grantTypes = []grantType{
	{name: "authorization_code", admit: (*Provider).admitCode, settle: (*Provider).settleCode, lost: (*Provider).lostCode},
	{name: "refresh_token", admit: (*Provider).admitRefresh, settle: (*Provider).settleRefresh, lost: (*Provider).lostRefresh},
	{name: "client_credentials", admit: (*Provider).admitClient},
	{name: grantExchange, admit: (*Provider).admitExchange, settle: (*Provider).settleExchange, lost: (*Provider).lostExchange},
	{name: grantJWTBearer, admit: (*Provider).admitAsserted, settle: (*Provider).settleAsserted, lost: (*Provider).lostAsserted},
	{name: grantDevice, admit: (*Provider).admitDevice, settle: (*Provider).settleDevice, lost: (*Provider).lostDevice},
	{name: grantBackchannel, admit: (*Provider).admitBackchannel, settle: (*Provider).settleBackchannel, lost: (*Provider).lostBackchannel},
}

// tokenAnswer is RFC 6749 section 5.1.
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	Scope        string `json:"scope"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	IssuedType   string `json:"issued_token_type,omitempty"` // RFC 8693 section 2.2.1

	Details json.RawMessage `json:"authorization_details,omitempty"` // RFC 9396 section 7
}

// Token is the token endpoint (RFC 6749 section 3.2).
func (p *Provider) Token(w http.ResponseWriter, r *http.Request) {
	if cors(w, r, http.MethodPost) || !p.only(w, r, http.MethodPost) {
		return
	}
	p.offerNonce(w, r)
	answer, err := p.token(r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// authenticated reads the form of a request and finds out which client sent it.
// What it returns besides is used up with the request.
func (p *Provider) authenticated(r *http.Request) (c store.Client, form url.Values, values []spend, err error) {
	if form, err = readStrict(r); err == nil {
		c, values, err = p.identify(r.Context(), r, form)
	}
	return c, form, values, err
}

func (p *Provider) token(r *http.Request) (*tokenAnswer, error) {
	ctx := access.Once(r.Context())
	c, form, values, err := p.authenticated(r)
	if err != nil {
		return nil, err
	}
	x := &exchange{now: p.now(), client: c, form: form, request: r, spends: values}
	var answer *tokenAnswer
	if err = p.constrain(x); err == nil {
		answer, err = p.exchange(ctx, x)
	}
	// What works once is used up by a refusal, too: in the unit of work of the
	// tokens if there is one, else here.
	if !x.spent {
		if err := p.useNow(ctx, x.spends); err != nil {
			return nil, err
		}
	}
	return answer, err
}

// exchange makes the tokens for an authenticated client.
func (p *Provider) exchange(ctx context.Context, x *exchange) (*tokenAnswer, error) {
	c := x.client
	grant, err := findGrantType(x.form.Get("grant_type"), c)
	if err != nil {
		return nil, err
	}
	x.app, err = p.store.Application(ctx, c.ApplicationID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errClient(err) // deleted a moment ago, with its clients
	}
	if err != nil {
		return nil, fmt.Errorf("load application %q: %w", c.ApplicationID, err)
	}
	if err := grant.admit(p, ctx, x); err != nil {
		return nil, err
	}
	answer, err := p.run(ctx, x)
	if x.proofFailed {
		return nil, p.burn(ctx, x, err)
	}
	if err != nil {
		return nil, err
	}
	if grant.settle == nil {
		return answer, nil
	}
	err = p.store.Together(ctx, func(ctx context.Context) error {
		if err := p.use(ctx, x.spends); err != nil {
			return err
		}
		return grant.settle(p, ctx, x)
	})
	if wrong, ok := errors.AsType[*refusal](err); ok {
		x.spent = true // by somebody before
		return nil, wrong
	}
	if over(err) {
		return nil, p.lost(ctx, grant, x, err)
	}
	x.spent = err == nil
	if err != nil {
		return nil, fmt.Errorf("commit tokens: %w", err)
	}
	return answer, nil
}

// lost makes the refusal of a request that another one was faster than. Either
// its code or token is over by now, or what it proved itself with was used.
func (p *Provider) lost(ctx context.Context, grant grantType, x *exchange, cause error) error {
	if len(x.spends) == 0 {
		return grant.lost(p, ctx, x, cause)
	}
	again := *x
	if err := grant.admit(p, ctx, &again); err != nil {
		return err
	}
	x.spent = true
	return x.spends[0].replayed.because(cause)
}

func findGrantType(name string, c store.Client) (grantType, error) {
	if name == "" {
		return grantType{}, refuse("invalid_request", "The parameter grant_type is missing.")
	}
	for _, g := range grantTypes {
		if g.name != name {
			continue
		}
		if !contains(c.GrantTypes, name) {
			return g, refuse("unauthorized_client", "This client is not registered for grant_type %s.", name)
		}
		return g, nil
	}
	return grantType{}, refuse("unsupported_grant_type", "The grant_type %s is not supported.", name)
}

// run lets fosite's handlers make the tokens. They write nothing.
func (p *Provider) run(ctx context.Context, x *exchange) (*tokenAnswer, error) {
	form := url.Values{"grant_type": {x.form.Get("grant_type")}}
	for _, name := range []string{"code", "redirect_uri", "code_verifier", "refresh_token"} {
		if v := x.form.Get(name); v != "" {
			form.Set(name, v)
		}
	}
	ctx = withExchange(withClient(ctx, &client{Client: x.client}), x)
	r := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: PathToken}, Header: http.Header{}, Form: form, PostForm: form}
	request, err := p.fosite.NewAccessRequest(ctx, r.WithContext(ctx), newSession(x.account.ID))
	if err != nil {
		return nil, err
	}
	for _, s := range x.scopes {
		request.GrantScope(s)
	}
	response, err := p.fosite.NewAccessResponse(ctx, request)
	if err != nil {
		return nil, err
	}
	if x.rolledBack {
		return nil, errors.New("the handlers rolled back and reported success")
	}
	return newTokenAnswer(x, response), nil
}

func newTokenAnswer(x *exchange, response fosite.AccessResponder) *tokenAnswer {
	answer := &tokenAnswer{
		AccessToken: response.GetAccessToken(),
		TokenType:   "Bearer",
		ExpiresIn:   x.access.ExpiresAt - x.access.IssuedAt,
		Scope:       x.access.Scope,
		Details:     x.access.Details,
	}
	if x.cnf != nil && x.cnf.JKT != "" {
		answer.TokenType = "DPoP"
	}
	answer.RefreshToken, _ = response.GetExtra("refresh_token").(string)
	if x.used.Hash != "" && fapi(x.client) {
		answer.RefreshToken = x.form.Get("refresh_token")
	}
	answer.IssuedType, _ = response.GetExtra("issued_token_type").(string)
	answer.IDToken, _ = response.GetExtra("id_token").(string)
	return answer
}

// narrow applies the resource parameter of a token request (RFC 8707 section
// 2.2): some of what was granted, or all of it. What the client is not registered
// for any more is not granted any more.
func (x *exchange) narrow() error {
	granted := slices.DeleteFunc(slices.Clone(x.grant.Audiences), func(r string) bool { return !contains(x.client.Audiences, r) })
	if len(granted) == 0 && len(x.grant.Audiences) > 0 {
		return refuse("invalid_target", "This client is no longer registered for the resources of this grant.")
	}
	x.resources = granted
	if asked := x.form["resource"]; len(asked) > 0 {
		x.resources = asked
	}
	for _, r := range x.resources {
		if !contains(granted, r) {
			return refuse("invalid_target", "The resource %s was not granted.", r)
		}
	}
	return x.narrowDetails(rar.Stored(x.grant.Details))
}
