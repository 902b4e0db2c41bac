package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"anteroom/store"
)

// UserInfo serves the claims of the person of an access token (OpenID Connect
// Core section 5.3). It reads only.
func (p *Provider) UserInfo(w http.ResponseWriter, r *http.Request) {
	if cors(w, r, http.MethodGet, http.MethodPost) || !p.only(w, r, http.MethodGet, http.MethodPost) {
		return
	}
	p.offerNonce(w, r)
	claims, token, err := p.userInfo(r)
	switch {
	case err != nil:
		p.challenge(w, err)
		proofChallenge(w, r)
		p.fail(w, r, err)
	case token != "":
		writeJWT(w, "application/jwt", token)
	default:
		writeJSON(w, http.StatusOK, claims)
	}
}

// userInfo returns the claims, and the JWT that they are sent as if the client
// wants one.
func (p *Provider) userInfo(r *http.Request) (claims map[string]any, token string, err error) {
	t, err := p.userInfoToken(r)
	if err != nil {
		return nil, "", err
	}
	if claims, err = p.userClaims(r.Context(), t); err != nil {
		return nil, "", err
	}
	token, err = p.userInfoJWT(r.Context(), t.client, claims)
	return claims, token, err
}

// userInfoJWT is the signed answer, the encrypted one, or both (OpenID Connect
// Core section 5.3.2). It has no exp, so that it never passes for an ID token.
func (p *Provider) userInfoJWT(ctx context.Context, c store.Client, claims map[string]any) (string, error) {
	signed := c.Settings[signedAlg(answerUserInfo)] != nil
	if !signed && !wantsEncrypted(c, answerUserInfo) {
		return "", nil
	}
	claims["iss"], claims["aud"] = p.issuer, c.ID
	if signed {
		alg := signsWith(c, setting(c, signedAlg(answerUserInfo)), "RS256")
		token, err := p.keys.sign(ctx, alg, typeIDToken, claims)
		if err != nil {
			return "", fmt.Errorf("sign userinfo: %w", err)
		}
		return p.encrypt(ctx, c, answerUserInfo, token, nested)
	}
	plain, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode userinfo: %w", err)
	}
	return p.encrypt(ctx, c, answerUserInfo, string(plain), nil)
}

// userInfoToken returns the access token of a request, if it is good for
// userinfo.
func (p *Provider) userInfoToken(r *http.Request) (liveToken, error) {
	var nothing liveToken
	scheme, raw, err := bearer(r)
	if err != nil {
		return nothing, err
	}
	t, err := p.live(r.Context(), raw)
	if errors.Is(err, errToken) || errors.Is(err, errDead) {
		return nothing, errBearer(err)
	}
	if err != nil {
		return nothing, err
	}
	if err := p.checkHolder(r.Context(), r, scheme, raw, t); err != nil {
		return nothing, err
	}
	if t.grant.ID == "" || !contains(words(t.claims.Scope), "openid") {
		return nothing, refuse("insufficient_scope", "The access token was not granted the scope openid.").
			withStatus(http.StatusForbidden)
	}
	return t, nil
}

func errBearer(cause error) *refusal {
	return refuse("invalid_token", "The access token is unknown, expired or revoked.").
		withStatus(http.StatusUnauthorized).because(cause)
}

var errNoToken = errors.New("no access token")

// bearer returns the access token of a request: in the header, or in a posted
// form, once (RFC 6750 section 2); and whether it came as one that a key holds
// (DPoP, RFC 9449 section 7.1). A token in the query would be in every log.
func bearer(r *http.Request) (as, token string, err error) {
	var found []string
	as = "Bearer"
	for _, header := range r.Header.Values("Authorization") {
		scheme, token, _ := strings.Cut(header, " ")
		switch {
		case strings.EqualFold(scheme, "DPoP"):
			as = "DPoP"
		case !strings.EqualFold(scheme, "Bearer"):
			return "", "", errBearer(errors.New("an Authorization header that is not Bearer"))
		}
		found = append(found, strings.TrimSpace(token))
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method == http.MethodPost && kind == "application/x-www-form-urlencoded" {
		form, err := readStrict(r)
		if err != nil {
			return "", "", err
		}
		if token, sent := form["access_token"]; sent {
			found = append(found, token...)
		}
	}
	switch len(found) {
	case 0:
		return "", "", refuse("invalid_token", "Send an access token in the Authorization header.").
			withStatus(http.StatusUnauthorized).because(errNoToken)
	case 1:
		return as, found[0], nil
	}
	return "", "", refuse("invalid_request", "The access token was sent twice.")
}

// challenge adds the WWW-Authenticate of RFC 6750 section 3. A request without
// any token is told the scheme and nothing else.
func (p *Provider) challenge(w http.ResponseWriter, err error) {
	e := asRefusal(err)
	if e.status != http.StatusUnauthorized && e.status != http.StatusForbidden && e.Code != "invalid_request" {
		return
	}
	value := `Bearer realm="` + p.issuer + `"`
	if !errors.Is(err, errNoToken) {
		value += `, error="` + e.Code + `", error_description="` + e.Description + `"`
	}
	if e.Code == "insufficient_scope" {
		value += `, scope="openid"`
	}
	w.Header().Set("WWW-Authenticate", value)
}

// proofChallenge makes a challenge one for those who hold their tokens by a key
// (RFC 9449 section 7.1).
func proofChallenge(w http.ResponseWriter, r *http.Request) {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	rest, ok := strings.CutPrefix(w.Header().Get("WWW-Authenticate"), "Bearer ")
	if ok && (strings.EqualFold(scheme, "DPoP") || len(r.Header.Values("DPoP")) > 0) {
		w.Header().Set("WWW-Authenticate", `DPoP algs="`+strings.Join(clientAlgorithms, " ")+`", `+rest)
	}
}
