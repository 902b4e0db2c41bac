package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/store"
)

const (
	grantJWTBearer   = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	settingIssuers   = "jwt_bearer_issuers"
	maxGrantAsserted = 10 * time.Minute // how far ahead an assertion about a person may expire
)

func badAssertion(cause error) *refusal {
	return refuse("invalid_grant", "The assertion is not one that this client may use here: issuer, signature, audience, times, jti or subject.").because(cause)
}

// trustedIssuer returns the keys of an issuer that the operator lets a client
// bring assertions of: its setting jwt_bearer_issuers, [{"issuer": ..., "jwks":
// {...}}] or with a jwks_uri. Without one a client brings none.
func trustedIssuer(c store.Client, issuer string) (store.Client, bool) {
	list, _ := c.Settings[settingIssuers].([]any)
	for _, one := range list {
		entry, _ := one.(map[string]any)
		if issuer != "" && entry["issuer"] == issuer {
			keys := map[string]any{}
			for _, name := range []string{"jwks", "jwks_uri"} {
				if entry[name] != nil {
					keys[name] = entry[name]
				}
			}
			return store.Client{ID: issuer, Settings: keys}, true
		}
	}
	return store.Client{}, false
}

// admitAsserted is RFC 7523 sections 2.1 and 3: an issuer that the operator trusts
// says for whom the client acts. Nobody signed in here, so the tokens say nothing
// of how (invariant I6), and there is no refresh token.
func (p *Provider) admitAsserted(ctx context.Context, x *exchange) error {
	raw := x.form.Get("assertion")
	if raw == "" {
		return refuse("invalid_request", "The parameter assertion is missing.")
	}
	if public(x.client) {
		return refuse("unauthorized_client", "A public client brings no assertions.")
	}
	if err := x.noDetails(); err != nil {
		return err
	}
	var claims clientJWT
	signed, err := parseClientJWT(raw, clientAlgorithms, &claims)
	if err != nil {
		return badAssertion(err)
	}
	issuer, ok := trustedIssuer(x.client, claims.Issuer)
	if !ok {
		return badAssertion(fmt.Errorf("issuer %q", claims.Issuer))
	}
	if err := p.verifyByClient(ctx, issuer, signed); errors.Is(err, store.ErrUnavailable) {
		return err
	} else if err != nil {
		return badAssertion(err)
	}
	if err := p.checkAsserted(x, claims); err != nil {
		return badAssertion(err)
	}
	x.spends = append(x.spends, spend{
		space: "jwt bearer", key: claims.Issuer + " " + claims.ID, until: claims.expires().Add(clockSkew),
		replayed: badAssertion(errors.New("an assertion that was used before")),
	})
	return p.assertedGrant(ctx, x, claims)
}

func (p *Provider) checkAsserted(x *exchange, claims clientJWT) error {
	var aud audience
	if err := json.Unmarshal(claims.Audience, &aud); err != nil || len(aud) != 1 || (aud[0] != p.issuer && aud[0] != p.issuer+PathToken) {
		return fmt.Errorf("audience %s", claims.Audience)
	}
	if err := claims.checkTimes(x.now, maxGrantAsserted); err != nil {
		return err
	}
	if claims.ID == "" || claims.Subject == "" {
		return errors.New("no jti or sub")
	}
	if x.now.Before(p.restored.Add(maxGrantAsserted)) && !claims.issuedSince(p.restored) {
		return errors.New("an assertion of before the restore, which may have been used")
	}
	return nil
}

// assertedGrant prepares the grant: for an account that is active, may enter,
// and, where the application asks for it, has consented.
func (p *Provider) assertedGrant(ctx context.Context, x *exchange, claims clientJWT) error {
	a, err := p.store.Account(ctx, claims.Subject)
	if errors.Is(err, store.ErrNotFound) {
		a, err = p.store.AccountByName(ctx, claims.Subject)
	}
	if errors.Is(err, store.ErrNotFound) || (err == nil && a.State != store.AccountActive) {
		return badAssertion(errors.New("no active account"))
	}
	if err != nil {
		return fmt.Errorf("load account: %w", err)
	}
	may, err := p.mayEnter(ctx, a, x.app)
	if err != nil {
		return fmt.Errorf("check access: %w", err)
	}
	if !may {
		return badAssertion(errors.New("the account has no access"))
	}
	x.account = a
	x.grant = store.Grant{
		ID: seal.RandomID(), ClientID: x.client.ID, ApplicationID: x.app.ID, AccountID: a.ID,
		RequestedAt: x.now, AuthTime: x.now, CreatedAt: x.now, ExpiresAt: x.now.Add(p.life.AccessToken),
	}
	have := slices.DeleteFunc(slices.Clone(x.client.Scopes), func(s string) bool { return s == "openid" || s == "offline_access" })
	if have, err = p.consented(ctx, x.app, x.grant, have); err != nil {
		return orBad(err, badAssertion)
	}
	x.scopes = have
	if asked := words(x.form.Get("scope")); len(asked) > 0 {
		for _, s := range asked {
			if !contains(have, s) {
				return refuse("invalid_scope", "This client may not have the scope %s for this person.", s)
			}
		}
		x.scopes = asked
	}
	x.grant.Scopes, x.resources = x.scopes, x.form["resource"]
	x.grant.Audiences = x.resources
	return checkResources(x.resources, x.client.Audiences)
}

func (p *Provider) settleAsserted(ctx context.Context, x *exchange) error {
	if err := p.store.CreateGrant(ctx, x.grant); err != nil {
		return err
	}
	return p.record(ctx, audit.GrantAsserted, x, nil)
}

func (p *Provider) lostAsserted(_ context.Context, _ *exchange, cause error) error {
	return badAssertion(cause)
}
