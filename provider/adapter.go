package provider

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"
	"github.com/ory/fosite/token/jwt"

	"anteroom/store"
)

// client is a store.Client as fosite sees it.
type client struct {
	store.Client
	redirectURIs []string // the one that was matched
}

func (c *client) GetID() string                      { return c.ID }
func (c *client) GetHashedSecret() []byte            { return nil } // authentication is ours
func (c *client) GetRedirectURIs() []string          { return c.redirectURIs }
func (c *client) GetGrantTypes() fosite.Arguments    { return c.GrantTypes }
func (c *client) GetResponseTypes() fosite.Arguments { return c.ResponseTypes }
func (c *client) GetScopes() fosite.Arguments        { return c.Scopes }
func (c *client) IsPublic() bool                     { return public(c.Client) }
func (c *client) GetAudience() fosite.Arguments      { return c.Audiences }

// session is fosite's session. It holds nothing: times are ours (fosite would
// use the machine's clock), and claims come from the grant.
type session struct {
	claims  jwt.IDTokenClaims // only Subject is used
	headers jwt.Headers
}

func newSession(subject string) *session {
	return &session{claims: jwt.IDTokenClaims{Subject: subject}}
}

func (s *session) SetExpiresAt(fosite.TokenType, time.Time) {}
func (s *session) GetExpiresAt(fosite.TokenType) time.Time  { return time.Time{} }
func (s *session) GetUsername() string                      { return "" }
func (s *session) GetSubject() string                       { return s.claims.Subject }
func (s *session) Clone() fosite.Session                    { return s } // never shared between requests
func (s *session) IDTokenClaims() *jwt.IDTokenClaims        { return &s.claims }
func (s *session) IDTokenHeaders() *jwt.Headers             { return &s.headers }

type contextKey int

const (
	clientKey contextKey = iota
	issueKey
	exchangeKey
)

// withClient says which client a request is of: it was loaded and checked before
// fosite asks for it.
func withClient(ctx context.Context, c *client) context.Context {
	return context.WithValue(ctx, clientKey, c)
}

func clientFrom(ctx context.Context) *client {
	c, _ := ctx.Value(clientKey).(*client)
	return c
}

// settings is fosite's configuration: its defaults, but for what depends on the
// client and the grant.
type settings struct {
	*fosite.Config
	byGrant map[string]fosite.TokenEndpointHandlers
}

// GetTokenEndpointHandlers returns those of the request's grant. fosite would ask
// each of them, and take a stack trace of each answer that it is not concerned.
func (s settings) GetTokenEndpointHandlers(ctx context.Context) fosite.TokenEndpointHandlers {
	x := exchangeFrom(ctx)
	if x == nil {
		return nil
	}
	return s.byGrant[x.form.Get("grant_type")]
}

// sortHandlers asks each handler once which grants concern it.
func (s settings) sortHandlers(all ...fosite.TokenEndpointHandler) {
	for _, g := range grantTypes {
		request := fosite.NewAccessRequest(newSession(""))
		request.GrantTypes = fosite.Arguments{g.name}
		request.Form.Set("grant_type", g.name)
		for _, h := range all {
			if h.CanHandleTokenEndpointRequest(context.Background(), request) {
				s.byGrant[g.name] = append(s.byGrant[g.name], h)
			}
		}
	}
}

// GetEnforcePKCE asks the client that the request is of (defect: PKCE can be
// left out at the token endpoint unless it is enforced).
func (settings) GetEnforcePKCE(ctx context.Context) bool {
	c := clientFrom(ctx)
	return c == nil || pkceRequired(c.Client)
}

// GetSanitationWhiteList names what the code's record needs of the request.
func (settings) GetSanitationWhiteList(context.Context) []string {
	return []string{"redirect_uri", "code_challenge", "code_challenge_method"}
}

// compose puts fosite together. Order matters: code, OpenID Connect, PKCE.
func (p *Provider) compose() *fosite.Fosite {
	config := settings{byGrant: map[string]fosite.TokenEndpointHandlers{}, Config: &fosite.Config{
		AccessTokenLifespan:      p.life.AccessToken,
		AuthorizeCodeLifespan:    p.life.Code,
		RefreshTokenLifespan:     p.life.RefreshToken,
		IDTokenLifespan:          p.life.IDToken,
		IDTokenIssuer:            p.issuer,
		EnforcePKCE:              true,
		MinParameterEntropy:      1, // state and nonce never reach fosite
		RefreshTokenScopes:       []string{},
		ScopeStrategy:            fosite.ExactScopeStrategy,
		AudienceMatchingStrategy: fosite.ExactAudienceMatchingStrategy,
		RedirectSecureChecker:    func(context.Context, *url.URL) bool { return true }, // CheckRedirectURI did
		ClientAuthenticationStrategy: func(ctx context.Context, _ *http.Request, _ url.Values) (fosite.Client, error) {
			if c := clientFrom(ctx); c != nil {
				return c, nil
			}
			return nil, fosite.ErrInvalidClient
		},
	}}
	memory, tokens := &memory{p}, &strategy{p}
	helper := &openid.IDTokenHandleHelper{IDTokenStrategy: tokens}
	code := &oauth2.AuthorizeExplicitGrantHandler{
		AccessTokenStrategy: tokens, RefreshTokenStrategy: tokens, AuthorizeCodeStrategy: tokens,
		CoreStorage: memory, TokenRevocationStorage: memory, Config: config,
	}
	explicit := &openid.OpenIDConnectExplicitHandler{
		OpenIDConnectRequestStorage:   memory,
		OpenIDConnectRequestValidator: openid.NewOpenIDConnectRequestValidator(nil, config),
		Config:                        config,
		IDTokenHandleHelper:           helper,
	}
	proof := &pkceHandler{&pkce.Handler{AuthorizeCodeStrategy: tokens, Storage: memory, Config: config}}
	config.AuthorizeEndpointHandlers = fosite.AuthorizeEndpointHandlers{code, explicit, proof}
	config.sortHandlers(
		code,
		&oauth2.RefreshTokenGrantHandler{
			AccessTokenStrategy: tokens, RefreshTokenStrategy: tokens, TokenRevocationStorage: memory, Config: config,
		},
		&oauth2.ClientCredentialsGrantHandler{
			HandleHelper: &oauth2.HandleHelper{AccessTokenStrategy: tokens, AccessTokenStorage: memory, Config: config},
			Config:       config,
		},
		&ownGrants{tokens},
		explicit,
		&openid.OpenIDConnectRefreshHandler{IDTokenHandleHelper: helper, Config: config},
		proof,
	)
	return fosite.NewOAuth2Provider(memory, config)
}

// pkceHandler notes a verifier that is wrong or missing: the code is burnt then,
// so that nobody tries a second time.
type pkceHandler struct {
	*pkce.Handler
}

func (h *pkceHandler) HandleTokenEndpointRequest(ctx context.Context, r fosite.AccessRequester) error {
	err := h.Handler.HandleTokenEndpointRequest(ctx, r)
	if x := exchangeFrom(ctx); err != nil && x != nil {
		x.proofFailed = true
	}
	return err
}
