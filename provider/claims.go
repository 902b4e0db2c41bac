package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"anteroom/store"
)

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// carriesRoles: tokens say what the account holds in the application if the
// scope roles was granted; those of first-party applications always do.
func carriesRoles(app store.Application, scopes []string) bool {
	return app.Consent == store.ConsentSkip || contains(scopes, "roles")
}

// roles are loaded once for all tokens of an exchange.
func (p *Provider) roles(ctx context.Context, accountID, applicationID string) (r Roles, err error) {
	x := exchangeFrom(ctx)
	if x == nil || x.account.ID != accountID || x.app.ID != applicationID {
		return p.loadRoles(ctx, accountID, applicationID)
	}
	if x.roles == nil {
		if r, err = p.loadRoles(ctx, accountID, applicationID); err != nil {
			return r, err
		}
		x.roles = &r
	}
	return *x.roles, nil
}

func (p *Provider) loadRoles(ctx context.Context, accountID, applicationID string) (Roles, error) {
	r, err := p.claims(ctx, accountID, applicationID)
	if err != nil {
		return r, fmt.Errorf("load roles: %w", err)
	}
	r.Roles, r.Organizations = notNil(r.Roles), notNil(slices.Clone(r.Organizations))
	for i := range r.Organizations {
		r.Organizations[i].Roles = notNil(r.Organizations[i].Roles)
	}
	return r, nil
}

// idToken returns the claims of an ID token (OpenID Connect Core section 2). A
// refreshed one has the same iss, sub, aud and auth_time, and no nonce (section
// 12.2). Claims of the person are in userinfo, and here only if the claims
// parameter asked for them here.
func (p *Provider) idToken(ctx context.Context, x *exchange, hashes map[string]string) (map[string]any, error) {
	g := x.grant
	claims := map[string]any{
		"iss": p.issuer, "sub": p.subject(x.client, g.AccountID), "aud": x.client.ID,
		"iat": x.now.Unix(), "exp": x.now.Add(p.life.IDToken).Unix(), "auth_time": g.AuthTime.Unix(),
	}
	for name, value := range hashes {
		claims[name] = value
	}
	for name, value := range map[string]string{"acr": g.ACR, "sid": g.SessionID} {
		if value != "" {
			claims[name] = value
		}
	}
	if len(g.AMR) > 0 {
		claims["amr"] = g.AMR
	}
	if g.Nonce != "" && x.used.Hash == "" {
		claims["nonce"] = g.Nonce
	}
	wanted := decodeClaims(g.Claims).IDToken
	if x.alone { // section 5.4: there is no userinfo to ask
		wanted = append(slices.Clone(wanted), claimsOf(x.scopes)...)
	}
	if carriesRoles(x.app, x.scopes) {
		wanted = append(slices.Clone(wanted), standardClaims["roles"]...)
	}
	return claims, p.addClaims(ctx, claims, wanted, x.account, g.ApplicationID)
}

// userClaims returns what userinfo says (OpenID Connect Core section 5.3.2).
func (p *Provider) userClaims(ctx context.Context, t liveToken) (map[string]any, error) {
	scopes := words(t.claims.Scope)
	claims := map[string]any{"sub": p.subject(t.client, t.grant.AccountID)}
	wanted := append(slices.Clone(decodeClaims(t.grant.Claims).UserInfo), claimsOf(scopes)...)
	if carriesRoles(t.app, scopes) {
		wanted = append(wanted, standardClaims["roles"]...)
	}
	return claims, p.addClaims(ctx, claims, wanted, t.account, t.grant.ApplicationID)
}

// claimsOf returns the claims that scopes stand for.
func claimsOf(scopes []string) (names []string) {
	for _, scope := range scopes {
		names = append(names, standardClaims[scope]...)
	}
	return names
}

// addClaims adds those of the wanted claims that have a value.
func (p *Provider) addClaims(ctx context.Context, claims map[string]any, wanted []string, a store.Account, applicationID string) error {
	if contains(wanted, "roles") || contains(wanted, "organizations") {
		roles, err := p.roles(ctx, a.ID, applicationID)
		if err != nil {
			return err
		}
		if contains(wanted, "roles") {
			claims["roles"] = roles.Roles
		}
		if contains(wanted, "organizations") {
			claims["organizations"] = roles.Organizations
		}
	}
	for _, name := range wanted {
		if value := accountClaim(a, name); value != nil {
			claims[name] = value
		}
	}
	return nil
}

// accountClaim returns a standard claim in its JSON type (section 5.1), nil if
// there is no value.
func accountClaim(a store.Account, name string) any {
	switch name {
	case "preferred_username":
		return text(a.UserName)
	case "email":
		return text(a.Email)
	case "email_verified":
		if a.Email == "" {
			return nil
		}
		return a.EmailVerified
	case "updated_at":
		if a.UpdatedAt.IsZero() {
			return nil
		}
		return a.UpdatedAt.Unix()
	case "name", "family_name", "given_name", "middle_name", "nickname", "profile", "picture", "website",
		"gender", "birthdate", "zoneinfo", "locale", "phone_number":
		s, _ := a.Profile[name].(string)
		return text(s)
	case "phone_number_verified":
		if verified, ok := a.Profile[name].(bool); ok {
			return verified
		}
	case "address":
		if address, ok := a.Profile[name].(map[string]any); ok && len(address) > 0 {
			return address
		}
	}
	return nil
}

func text(s string) any {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	return s
}

// notNil makes an empty list an empty JSON array: it says "none", not "unknown".
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
