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

// standing returns why a grant is good for nothing: its account is not active, or
// signed out everywhere since, or the browser session that it is bound to is over.
func (p *Provider) standing(of store.Standing, bound bool) error {
	a := of.Account
	switch {
	case a.ID == "":
		return fmt.Errorf("there is no account any more: %w", errDead)
	case a.State != store.AccountActive, of.AuthTime.Before(a.NotBefore), of.CreatedAt.Before(a.NotBefore):
		return fmt.Errorf("account is %s, not before %s: %w", a.State, a.NotBefore, errDead)
	case !bound || of.SessionID == "":
		return nil
	case of.Session.ID == "":
		return fmt.Errorf("there is no session any more: %w", errDead)
	}
	if err := of.Session.Dead(p.now()); err != nil {
		return dead("session", err)
	}
	return nil
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
	of, err := p.store.Standing(ctx, t.claims.GrantID, p.now())
	if err != nil {
		return t, dead("load grant", err)
	}
	t.grant, t.account = of.Grant, of.Account
	return t, p.standing(of, !contains(t.grant.Scopes, "offline_access"))
}
