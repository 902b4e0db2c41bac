package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"anteroom/store"
)

// errDead: what a token or code stands for is over. What it wraps is for the log.
var errDead = errors.New("no longer good")

// over tells whether a store error says that a thing is over, rather than that
// the store failed.
func over(err error) bool {
	for _, e := range []error{store.ErrNotFound, store.ErrConsumed, store.ErrExpired, store.ErrRevoked, store.ErrInvalid} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// dead wraps an error that says that a thing is over as errDead.
func dead(what string, err error) error {
	if over(err) {
		return fmt.Errorf("%s: %w (%w)", what, errDead, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// standing returns the account of a grant if it is still good for something:
// active, not signed out everywhere since, and, unless the grant outlives the
// browser session, with that session alive.
func (p *Provider) standing(ctx context.Context, g store.Grant, bound bool) (store.Account, error) {
	a, err := p.store.Account(ctx, g.AccountID)
	if err != nil {
		return a, dead("load account", err)
	}
	if a.State != store.AccountActive || g.AuthTime.Before(a.NotBefore) || g.CreatedAt.Before(a.NotBefore) {
		return a, fmt.Errorf("account is %s, not before %s: %w", a.State, a.NotBefore, errDead)
	}
	if bound && g.SessionID != "" {
		if _, err := p.store.Session(ctx, g.SessionID, p.now()); err != nil {
			return a, dead("load session", err)
		}
	}
	return a, nil
}

// consented returns the scopes that the account still lets the client have.
func (p *Provider) consented(ctx context.Context, app store.Application, g store.Grant, scopes []string) ([]string, error) {
	if app.Consent == store.ConsentSkip && !asksForDetails(app, g) {
		return scopes, nil
	}
	c, err := p.store.Consent(ctx, g.AccountID, g.ClientID)
	if err != nil {
		return nil, dead("load consent", err)
	}
	if app.Consent == store.ConsentSkip {
		return scopes, nil
	}
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return !contains(c.Scopes, s) }), nil
}

// liveToken is an access token with what it stands for.
type liveToken struct {
	claims  accessClaims
	client  store.Client
	app     store.Application
	grant   store.Grant   // zero for a client's own token
	account store.Account // likewise
}

// live returns what an access token stands for. Returns errToken if it is not
// one of ours, errDead if it is over: expired, denied, its client disabled, its
// grant revoked, its session ended, its account disabled. It reads only.
func (p *Provider) live(ctx context.Context, raw string) (liveToken, error) {
	var t liveToken
	var err error
	if t.claims, err = p.openAccessToken(ctx, raw); err != nil {
		return t, err
	}
	denied, err := p.store.AccessTokenRevoked(ctx, t.claims.ID)
	if err != nil {
		return t, fmt.Errorf("look up denied token: %w", err)
	}
	if denied {
		return t, fmt.Errorf("revoked: %w", errDead)
	}
	if t.client, err = p.client(ctx, t.claims.ClientID); err != nil {
		return t, dead("load client", err)
	}
	if t.claims.IssuedAt <= t.client.TokensEnded().Unix() { // in whole seconds: rather one token too many
		return t, fmt.Errorf("the client's tokens were ended: %w", errDead)
	}
	if t.app, err = p.store.Application(ctx, t.client.ApplicationID); err != nil {
		return t, dead("load application", err)
	}
	if t.claims.GrantID == "" {
		return t, nil
	}
	if t.grant, err = p.store.Grant(ctx, t.claims.GrantID, p.now()); err != nil {
		return t, dead("load grant", err)
	}
	t.account, err = p.standing(ctx, t.grant, !contains(t.grant.Scopes, "offline_access"))
	return t, err
}
