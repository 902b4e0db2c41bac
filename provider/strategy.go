package provider

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"strings"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"

	"anteroom/internal/seal"
	"anteroom/store"
)

// Purposes of keyed hashes; that of client secrets is seal.ClientSecret.
const (
	digestCode    = "authorization code"
	digestRefresh = "refresh token"
)

// strategy makes codes and tokens for fosite's handlers. Codes and refresh
// tokens have 256 random bits and mean nothing by themselves; their hashes are
// looked up, so there is nothing to validate here.
type strategy struct {
	p *Provider
}

var (
	_ oauth2.CoreStrategy               = (*strategy)(nil)
	_ openid.OpenIDConnectTokenStrategy = (*strategy)(nil)
)

func (s *strategy) AuthorizeCodeSignature(_ context.Context, code string) string {
	return s.p.seal.Digest(digestCode, code)
}

func (s *strategy) GenerateAuthorizeCode(ctx context.Context, _ fosite.Requester) (string, string, error) {
	code := seal.Token()
	return code, s.AuthorizeCodeSignature(ctx, code), nil
}

func (s *strategy) ValidateAuthorizeCode(context.Context, fosite.Requester, string) error { return nil }

func (s *strategy) RefreshTokenSignature(_ context.Context, token string) string {
	return s.p.seal.Digest(digestRefresh, token)
}

func (s *strategy) ValidateRefreshToken(context.Context, fosite.Requester, string) error { return nil }

// GenerateRefreshToken makes the next leaf of the family. It keeps the scopes of
// the token that it replaces (RFC 6749 section 6).
func (s *strategy) GenerateRefreshToken(ctx context.Context, _ fosite.Requester) (string, string, error) {
	x := exchangeFrom(ctx)
	if x == nil {
		return "", "", errOutside
	}
	token := seal.Token() + x.bound()
	next := store.RefreshToken{
		Hash: s.RefreshTokenSignature(ctx, token), GrantID: x.grant.ID, IssuedAt: x.now,
		ExpiresAt: earlier(x.now.Add(s.p.life.RefreshToken), x.grant.ExpiresAt),
		Scopes:    x.used.Scopes, SessionBound: x.used.SessionBound,
	}
	if x.used.Hash == "" {
		next.Scopes, next.SessionBound = x.grant.Scopes, !contains(x.grant.Scopes, "offline_access")
	}
	x.next = &next
	return token, next.Hash, nil
}

func (s *strategy) AccessTokenSignature(_ context.Context, token string) string {
	return s.p.seal.Digest("access token", token)
}

func (s *strategy) ValidateAccessToken(context.Context, fosite.Requester, string) error { return nil }

// GenerateAccessToken makes a JWT of RFC 9068.
func (s *strategy) GenerateAccessToken(ctx context.Context, _ fosite.Requester) (string, string, error) {
	x := exchangeFrom(ctx)
	if x == nil {
		return "", "", errOutside
	}
	err := s.p.makeAccessToken(ctx, x)
	return x.token, x.access.ID, err
}

func (p *Provider) makeAccessToken(ctx context.Context, x *exchange) error {
	if err := p.fillAccess(ctx, x); err != nil {
		return err
	}
	var err error
	alg := signsWith(x.client, x.client.AccessTokenSigningAlg, "ES256")
	x.token, err = p.keys.sign(ctx, alg, typeAccessToken, x.access)
	return err
}

// GenerateIDToken makes the ID token of an exchange.
func (s *strategy) GenerateIDToken(ctx context.Context, _ time.Duration, _ fosite.Requester) (string, error) {
	x := exchangeFrom(ctx)
	if x == nil {
		return "", errOutside
	}
	hashes := map[string]string{}
	if x.token != "" {
		hashes["at_hash"] = halfHash(idTokenAlgorithm(x.client), x.token)
	}
	return s.p.makeIDToken(ctx, x, hashes)
}

// makeIDToken makes the ID token of an exchange, with hashes of what it comes
// with.
func (p *Provider) makeIDToken(ctx context.Context, x *exchange, hashes map[string]string) (string, error) {
	claims, err := p.idToken(ctx, x, hashes)
	if err != nil {
		return "", err
	}
	token, err := p.keys.sign(ctx, idTokenAlgorithm(x.client), typeIDToken, claims)
	if err != nil {
		return "", err
	}
	return p.encrypt(ctx, x.client, answerIDToken, token, nested)
}

// halfHash is the left half of the hash that goes with an algorithm (OpenID
// Connect Core section 3.1.3.6); that of Ed25519 is SHA-512.
func halfHash(alg, token string) string {
	if alg == "EdDSA" {
		sum := sha512.Sum512([]byte(token))
		return base64.RawURLEncoding.EncodeToString(sum[:32])
	}
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func idTokenAlgorithm(c store.Client) string {
	return signsWith(c, c.IDTokenSignedResponseAlg, "RS256") // OpenID Connect Registration section 2
}

// fillAccess says what the access token of an exchange is.
func (p *Provider) fillAccess(ctx context.Context, x *exchange) error {
	expires := x.now.Add(p.life.AccessToken)
	x.access = accessClaims{
		Issuer: p.issuer, Subject: x.client.ID, Audience: x.resources, ClientID: x.client.ID,
		Scope: strings.Join(x.scopes, " "), ID: seal.RandomID(), IssuedAt: x.now.Unix(),
		Confirmation: x.cnf, Details: claim(x.details),
	}
	if len(x.resources) == 0 {
		x.access.Audience = audience{x.client.ID}
	}
	if x.grant.ID != "" {
		expires = earlier(expires, x.grant.ExpiresAt)
		g := x.grant
		x.access.Subject, x.access.GrantID = p.subject(x.client, g.AccountID), g.ID
		x.access.AuthTime, x.access.ACR, x.access.AMR, x.access.SessionID = g.AuthTime.Unix(), g.ACR, g.AMR, g.SessionID
		if carriesRoles(x.app, x.scopes) {
			roles, err := p.roles(ctx, g.AccountID, g.ApplicationID)
			if err != nil {
				return err
			}
			x.access.Roles, x.access.Organizations = roles.Roles, roles.Organizations
		}
	}
	if x.grant.ACR == "" {
		x.access.AuthTime = 0 // nobody signed in for this grant
	}
	x.access.ExpiresAt, x.access.Actor = expires.Unix(), x.actor
	if x.subjectExpires > 0 {
		x.access.ExpiresAt = min(x.access.ExpiresAt, x.subjectExpires)
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
