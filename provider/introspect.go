package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"anteroom/internal/rar"
	"anteroom/store"
)

// introspection is RFC 7662 section 2.2.
type introspection struct {
	Active        bool           `json:"active"`
	TokenType     string         `json:"token_type,omitempty"`
	Issuer        string         `json:"iss,omitempty"`
	Subject       string         `json:"sub,omitempty"`
	Audience      audience       `json:"aud,omitempty"`
	ClientID      string         `json:"client_id,omitempty"`
	Username      string         `json:"username,omitempty"`
	Scope         string         `json:"scope,omitempty"`
	ID            string         `json:"jti,omitempty"`
	IssuedAt      int64          `json:"iat,omitempty"`
	ExpiresAt     int64          `json:"exp,omitempty"`
	AuthTime      int64          `json:"auth_time,omitempty"`
	ACR           string         `json:"acr,omitempty"`
	AMR           []string       `json:"amr,omitempty"`
	SessionID     string         `json:"sid,omitempty"`
	Roles         []string       `json:"roles,omitzero"`
	Organizations []Organization `json:"organizations,omitzero"`
	Confirmation  *confirmation  `json:"cnf,omitempty"`
	Actor         *actor         `json:"act,omitempty"`

	Details json.RawMessage `json:"authorization_details,omitempty"` // RFC 9396 section 9.2
}

// Introspect tells a confidential client whether a token is good. It tells only
// the client that the token was issued to, and for access tokens their audience;
// everybody else sees what they would see of garbage. It reads only.
func (p *Provider) Introspect(w http.ResponseWriter, r *http.Request) {
	if !p.only(w, r, http.MethodPost) {
		return
	}
	c, answer, err := p.introspect(r)
	var token string
	if err == nil && accepts(r, mediaIntrospection) {
		token, err = p.introspectionJWT(r.Context(), c, answer)
	}
	switch {
	case err != nil:
		p.fail(w, r, err)
	case token != "":
		writeJWT(w, mediaIntrospection, token)
	default:
		writeJSON(w, http.StatusOK, answer)
	}
}

// introspect returns who asks, and what they may know.
func (p *Provider) introspect(r *http.Request) (store.Client, introspection, error) {
	form, err := readStrict(r)
	if err != nil {
		return store.Client{}, introspection{}, err
	}
	c, err := p.confidential(r.Context(), r, form)
	if err != nil {
		return c, introspection{}, err
	}
	raw, look := form.Get("token"), p.introspectRefresh
	if raw == "" {
		return c, introspection{}, refuse("invalid_request", "The parameter token is missing.")
	}
	if strings.Contains(raw, ".") {
		look = p.introspectAccess
	}
	answer, err := look(r.Context(), c, raw)
	return c, answer, err
}

const mediaIntrospection = "application/" + typeIntrospection

// introspectionJWT is the answer that a resource server can keep as evidence (RFC
// 9701 section 5). What is said of the token is inside of one claim; sub and exp
// beside it would let the answer pass for an access token.
func (p *Provider) introspectionJWT(ctx context.Context, c store.Client, answer introspection) (string, error) {
	alg := signsWith(c, setting(c, signedAlg(answerIntrospection)), "RS256")
	token, err := p.keys.sign(ctx, alg, typeIntrospection, map[string]any{
		"iss": p.issuer, "aud": c.ID, "iat": p.now().Unix(), "token_introspection": answer,
	})
	if err != nil {
		return "", fmt.Errorf("sign introspection: %w", err)
	}
	return p.encrypt(ctx, c, answerIntrospection, token, nested)
}

// accepts tells whether a request names a media type in its Accept header (RFC
// 9110 section 12.5.1). A wildcard is no name.
func accepts(r *http.Request, media string) bool {
	for one := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		name, params, err := mime.ParseMediaType(one)
		q, numeric := strconv.ParseFloat(params["q"], 64)
		if err == nil && name == media && (numeric != nil || q > 0) {
			return true
		}
	}
	return false
}

func (p *Provider) introspectAccess(ctx context.Context, c store.Client, raw string) (introspection, error) {
	t, err := p.live(ctx, raw)
	switch {
	case errors.Is(err, errToken), errors.Is(err, errDead):
		return introspection{}, nil
	case err != nil:
		return introspection{}, err
	case t.claims.ClientID != c.ID && !contains(t.claims.Audience, c.ID):
		return introspection{}, nil
	}
	kind := "Bearer"
	if cnf := t.claims.Confirmation; cnf != nil && cnf.JKT != "" {
		kind = "DPoP"
	}
	return introspection{
		Active: true, TokenType: kind, Confirmation: t.claims.Confirmation, Actor: t.claims.Actor, Issuer: t.claims.Issuer, Subject: t.claims.Subject,
		Audience: t.claims.Audience, ClientID: t.claims.ClientID, Username: t.account.UserName,
		Scope: t.claims.Scope, ID: t.claims.ID, IssuedAt: t.claims.IssuedAt, ExpiresAt: t.claims.ExpiresAt,
		AuthTime: t.claims.AuthTime, ACR: t.claims.ACR, AMR: t.claims.AMR, SessionID: t.claims.SessionID,
		Roles: t.claims.Roles, Organizations: t.claims.Organizations, Details: t.claims.Details,
	}, nil
}

func (p *Provider) introspectRefresh(ctx context.Context, c store.Client, raw string) (introspection, error) {
	token, of, err := p.store.RefreshToken(ctx, p.seal.Digest(digestRefresh, raw), p.now())
	g := of.Grant
	switch {
	case over(err), err == nil && g.ClientID != c.ID:
		return introspection{}, nil
	case err != nil:
		return introspection{}, fmt.Errorf("load refresh token: %w", err)
	}
	if err := p.standing(of, token.SessionBound); errors.Is(err, errDead) {
		return introspection{}, nil
	} else if err != nil {
		return introspection{}, err
	}
	return introspection{
		Active: true, Issuer: p.issuer, Subject: p.subject(c, g.AccountID), ClientID: g.ClientID,
		Scope: strings.Join(token.Scopes, " "), IssuedAt: token.IssuedAt.Unix(), ExpiresAt: token.ExpiresAt.Unix(),
		AuthTime: g.AuthTime.Unix(), ACR: g.ACR, AMR: g.AMR, SessionID: g.SessionID, Details: claim(rar.Stored(g.Details)),
	}, nil
}
