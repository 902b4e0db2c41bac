package provider

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"
	"github.com/ory/fosite/storage"

	"anteroom/store"
)

// memory is the storage that fosite's handlers work on. What they read was
// loaded and checked before they run; what they write is noted, and committed
// after they are done. Only the authorization code is written at once, in the
// hub's unit of work.
type memory struct {
	p *Provider
}

// fosite asks for optional interfaces at run time and does without when they
// are not there: no transaction, for instance.
var (
	_ fosite.Storage                     = (*memory)(nil)
	_ oauth2.CoreStorage                 = (*memory)(nil)
	_ oauth2.TokenRevocationStorage      = (*memory)(nil)
	_ openid.OpenIDConnectRequestStorage = (*memory)(nil)
	_ pkce.PKCERequestStorage            = (*memory)(nil)
	_ storage.Transactional              = (*memory)(nil)
)

var errOutside = errors.New("provider: fosite's storage used outside of a request")

// GetClient returns the client that the request was found to be of.
func (m *memory) GetClient(ctx context.Context, id string) (fosite.Client, error) {
	if c := clientFrom(ctx); c != nil && c.ID == id {
		return c, nil
	}
	return nil, fosite.ErrNotFound
}

// Assertions are checked by client authentication, not by fosite.
func (m *memory) ClientAssertionJWTValid(context.Context, string) error          { return errOutside }
func (m *memory) SetClientAssertionJWT(context.Context, string, time.Time) error { return errOutside }

// CreateAuthorizeCodeSession writes the grant with its code. PKCE belongs to the
// code: there is no second row that could get lost on the way.
func (m *memory) CreateAuthorizeCodeSession(ctx context.Context, hash string, r fosite.Requester) error {
	i := issueFrom(ctx)
	if i == nil {
		return errOutside
	}
	form := r.GetRequestForm()
	return m.p.store.IssueCode(ctx, i.grant, store.Code{
		Hash: hash, GrantID: i.grant.ID, RedirectURI: form.Get("redirect_uri"),
		CodeChallenge: form.Get("code_challenge"), CodeChallengeMethod: form.Get("code_challenge_method"),
		IssuedAt: i.now, ExpiresAt: i.now.Add(m.p.life.Code),
	})
}

// GetAuthorizeCodeSession returns the code that the exchange was admitted with.
func (m *memory) GetAuthorizeCodeSession(ctx context.Context, hash string, s fosite.Session) (fosite.Requester, error) {
	x := exchangeFrom(ctx)
	if x == nil || x.code.Hash != hash {
		return nil, fosite.ErrNotFound
	}
	return m.requester(ctx, x, s, url.Values{
		"redirect_uri":          {x.code.RedirectURI},
		"code_challenge":        {x.code.CodeChallenge},
		"code_challenge_method": {x.code.CodeChallengeMethod},
	}), nil
}

func (m *memory) requester(ctx context.Context, x *exchange, s fosite.Session, form url.Values) fosite.Requester {
	return &fosite.Request{
		ID: x.grant.ID, RequestedAt: x.grant.RequestedAt, Client: clientFrom(ctx), Session: s, Form: form,
		RequestedScope: x.grant.Scopes, GrantedScope: x.scopes,
		RequestedAudience: x.grant.Audiences, GrantedAudience: x.resources,
	}
}

// InvalidateAuthorizeCodeSession notes that the code is to be used up.
func (m *memory) InvalidateAuthorizeCodeSession(ctx context.Context, hash string) error {
	x := exchangeFrom(ctx)
	if x == nil || x.code.Hash != hash {
		return errOutside
	}
	x.redeems = true
	return nil
}

// Access tokens are JWTs and are not stored.
func (m *memory) CreateAccessTokenSession(context.Context, string, fosite.Requester) error {
	return nil
}
func (m *memory) DeleteAccessTokenSession(context.Context, string) error { return nil }
func (m *memory) GetAccessTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, fosite.ErrNotFound
}

// CreateRefreshTokenSession notes the token that strategy made.
func (m *memory) CreateRefreshTokenSession(ctx context.Context, hash, _ string, _ fosite.Requester) error {
	x := exchangeFrom(ctx)
	if x == nil || x.next == nil || x.next.Hash != hash {
		return errOutside
	}
	return nil
}

// GetRefreshTokenSession returns the token that the exchange was admitted with.
func (m *memory) GetRefreshTokenSession(ctx context.Context, hash string, s fosite.Session) (fosite.Requester, error) {
	x := exchangeFrom(ctx)
	if x == nil || x.used.Hash != hash {
		return nil, fosite.ErrNotFound
	}
	return m.requester(ctx, x, s, url.Values{}), nil
}

// RotateRefreshToken notes that the presented token is to be replaced.
func (m *memory) RotateRefreshToken(ctx context.Context, _ string, hash string) error {
	x := exchangeFrom(ctx)
	if x == nil || x.used.Hash != hash {
		return errOutside
	}
	x.rotates = true
	return nil
}

// Families are ended by us, after checking the client (reuse).
func (m *memory) DeleteRefreshTokenSession(context.Context, string) error { return errOutside }
func (m *memory) RevokeRefreshToken(context.Context, string) error        { return errOutside }
func (m *memory) RevokeAccessToken(context.Context, string) error         { return errOutside }

// OpenID Connect needs nothing beyond the grant.
func (m *memory) CreateOpenIDConnectSession(context.Context, string, fosite.Requester) error {
	return nil
}
func (m *memory) DeleteOpenIDConnectSession(context.Context, string) error { return nil }

func (m *memory) GetOpenIDConnectSession(ctx context.Context, _ string, r fosite.Requester) (fosite.Requester, error) {
	x := exchangeFrom(ctx)
	if x == nil || !contains(x.scopes, "openid") {
		return nil, openid.ErrNoSessionFound
	}
	return m.requester(ctx, x, r.GetSession(), url.Values{}), nil
}

// PKCE is in the code's row. A code without a challenge has no PKCE session, and
// then a verifier is refused.
func (m *memory) CreatePKCERequestSession(context.Context, string, fosite.Requester) error {
	return nil
}
func (m *memory) DeletePKCERequestSession(context.Context, string) error { return nil }

func (m *memory) GetPKCERequestSession(ctx context.Context, hash string, s fosite.Session) (fosite.Requester, error) {
	x := exchangeFrom(ctx)
	if x == nil || x.code.Hash != hash || x.code.CodeChallenge == "" {
		return nil, fosite.ErrNotFound
	}
	return m.GetAuthorizeCodeSession(ctx, hash, s)
}

// BeginTX, Commit and Rollback bracket what fosite wants to be one transaction.
// It is: everything noted is committed in one unit of work afterwards, unless
// it was rolled back.
func (m *memory) BeginTX(ctx context.Context) (context.Context, error) { return ctx, nil }
func (m *memory) Commit(context.Context) error                         { return nil }

func (m *memory) Rollback(ctx context.Context) error {
	if x := exchangeFrom(ctx); x != nil {
		x.rolledBack = true
	}
	return nil
}
