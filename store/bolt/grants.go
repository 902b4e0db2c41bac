package bolt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"anteroom/store"
)

// The indexes of grants hold the live ones only, so that revoking and listing
// never walk over what ended long ago.
const (
	grantsByAccount     bucket = "grants.account"
	grantsByClient      bucket = "grants.client"
	grantsByApplication bucket = "grants.application"
	grantsBySession     bucket = "grants.session"

	codesOf         bucket = "codes.grant"
	refreshTokensOf bucket = "refresh_tokens.grant"
)

var grants = &table[store.Grant]{
	bucket: "grants",
	key:    func(g *store.Grant) string { return key(g.ID) },
	indexes: func(g *store.Grant) (all []index) {
		if !g.RevokedAt.IsZero() {
			return nil
		}
		for _, by := range []struct {
			bucket bucket
			value  string
		}{
			{grantsByAccount, g.AccountID}, {grantsByClient, g.ClientID},
			{grantsByApplication, g.ApplicationID}, {grantsBySession, g.SessionID},
		} {
			if by.value != "" {
				all = append(all, index{by.bucket, key(by.value, g.ID), false})
			}
		}
		return all
	},
	expires: func(g *store.Grant) time.Time { return g.ExpiresAt },
}

// Codes and refresh tokens have no expiry of their own: they stay as long as
// their grant, so that reuse can end the family.
var codes = &table[store.Code]{
	bucket: "codes",
	key:    func(c *store.Code) string { return key(c.Hash) },
	indexes: func(c *store.Code) []index {
		return []index{{codesOf, key(c.GrantID, c.Hash), false}}
	},
}

var refreshTokens = &table[store.RefreshToken]{
	bucket: "refresh_tokens",
	key:    func(r *store.RefreshToken) string { return key(r.Hash) },
	indexes: func(r *store.RefreshToken) []index {
		return []index{{refreshTokensOf, key(r.GrantID, r.Hash), false}}
	},
}

// IssueCode: see store.Grants.
func (s *Store) IssueCode(ctx context.Context, g store.Grant, c store.Code) error {
	g, c = store.Canonical(g), store.Canonical(c)
	if err := store.CheckIdentity(g.ID, c.Hash); err != nil {
		return err
	}
	if c.GrantID != g.ID {
		return fmt.Errorf("code of grant %q with grant %q: %w", c.GrantID, g.ID, store.ErrInvalid)
	}
	return s.write(ctx, func(t tx) error {
		if err := grants.insert(t, g); err != nil {
			return err
		}
		return codes.insert(t, c)
	})
}

// CreateGrant: see store.Grants.
func (s *Store) CreateGrant(ctx context.Context, g store.Grant) error {
	g = store.Canonical(g)
	if err := store.CheckIdentity(g.ID); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error { return grants.insert(t, g) })
}

// Grant: see store.Grants.
func (s *Store) Grant(ctx context.Context, id string, now time.Time) (g store.Grant, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		if g, err = grants.get(t, key(id)); err != nil {
			return err
		}
		return deadGrant(g, now)
	})
	return g, err
}

// Standing: see store.Grants.
func (s *Store) Standing(ctx context.Context, id string, now time.Time) (of store.Standing, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		g, err := grants.get(t, key(id))
		if err == nil {
			of, err = standing(t, g)
		}
		if err != nil {
			return err
		}
		return deadGrant(g, now)
	})
	return of, err
}

// standing adds whom a grant stands for.
func standing(t tx, g store.Grant) (of store.Standing, err error) {
	of.Grant = g
	if of.Account, err = accounts.get(t, key(g.AccountID)); err != nil && !errors.Is(err, store.ErrNotFound) {
		return of, err
	}
	if of.Session, err = sessions.get(t, key(g.SessionID)); err != nil && !errors.Is(err, store.ErrNotFound) {
		return of, err
	}
	return of, nil
}

// withStanding reads what leads to a grant, dead or not, with its standing.
func withStanding[T any](t tx, read func(tx, string, time.Time) (T, store.Grant, error), hash string, now time.Time) (row T, of store.Standing, err error) {
	row, g, dead := read(t, hash, now)
	if g.ID == "" {
		return row, of, dead
	}
	of, err = standing(t, g)
	return row, of, cmp.Or(err, dead)
}

func deadGrant(g store.Grant, now time.Time) error {
	return store.Dead("grant", time.Time{}, g.RevokedAt, g.ExpiresAt, now)
}

// sooner is the earlier of two ends.
func sooner(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Code: see store.Grants.
func (s *Store) Code(ctx context.Context, hash string, now time.Time) (c store.Code, of store.Standing, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		c, of, err = withStanding(t, code, hash, now)
		return err
	})
	return c, of, err
}

func code(t tx, hash string, now time.Time) (store.Code, store.Grant, error) {
	c, err := codes.get(t, key(hash))
	if err != nil {
		return store.Code{}, store.Grant{}, err
	}
	g, err := grants.get(t, key(c.GrantID))
	if err != nil {
		return store.Code{}, store.Grant{}, err
	}
	return c, g, store.Dead("code", c.UsedAt, g.RevokedAt, sooner(c.ExpiresAt, g.ExpiresAt), now)
}

// RedeemCode: see store.Grants.
func (s *Store) RedeemCode(ctx context.Context, hash string, now time.Time) error {
	return s.write(ctx, func(t tx) error {
		c, _, err := code(t, hash, now)
		if err != nil {
			return err
		}
		c.UsedAt = now
		return codes.put(t, c)
	})
}

// CreateRefreshToken: see store.Grants.
func (s *Store) CreateRefreshToken(ctx context.Context, r store.RefreshToken) error {
	r = store.Canonical(r)
	if err := store.CheckIdentity(r.Hash); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error {
		g, err := grants.get(t, key(r.GrantID))
		if err != nil {
			return fmt.Errorf("no grant %q: %w", r.GrantID, store.ErrInvalid)
		}
		if !g.RevokedAt.IsZero() {
			return fmt.Errorf("grant: %w", store.ErrRevoked)
		}
		return refreshTokens.insert(t, r)
	})
}

// RefreshToken: see store.Grants.
func (s *Store) RefreshToken(ctx context.Context, hash string, now time.Time) (r store.RefreshToken, of store.Standing, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		r, of, err = withStanding(t, refreshToken, hash, now)
		return err
	})
	return r, of, err
}

func refreshToken(t tx, hash string, now time.Time) (store.RefreshToken, store.Grant, error) {
	r, err := refreshTokens.get(t, key(hash))
	if err != nil {
		return store.RefreshToken{}, store.Grant{}, err
	}
	g, err := grants.get(t, key(r.GrantID))
	if err != nil {
		return store.RefreshToken{}, store.Grant{}, err
	}
	return r, g, store.Dead("refresh token", r.UsedAt, g.RevokedAt, sooner(r.ExpiresAt, g.ExpiresAt), now)
}

// RotateRefreshToken: see store.Grants.
func (s *Store) RotateRefreshToken(ctx context.Context, oldHash string, next store.RefreshToken, now time.Time) error {
	next = store.Canonical(next)
	if err := store.CheckIdentity(next.Hash); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error {
		old, g, err := refreshToken(t, oldHash, now)
		if err != nil {
			return err
		}
		if next.GrantID != g.ID {
			return fmt.Errorf("a token of grant %q follows one of %q: %w", next.GrantID, g.ID, store.ErrInvalid)
		}
		old.UsedAt = now
		if err := refreshTokens.put(t, old); err != nil {
			return err
		}
		return refreshTokens.insert(t, next)
	})
}

// RevokeGrant: see store.Grants.
func (s *Store) RevokeGrant(ctx context.Context, id, reason string, now time.Time) error {
	return s.write(ctx, func(t tx) error {
		g, err := grants.get(t, key(id))
		if err != nil {
			return err
		}
		if !g.RevokedAt.IsZero() {
			return nil
		}
		g.RevokedAt, g.RevokedReason = now, reason
		return grants.put(t, g)
	})
}

// RevokeGrants: see store.Grants.
func (s *Store) RevokeGrants(ctx context.Context, f store.GrantFilter, reason string, now time.Time) (ids []string, err error) {
	err = s.write(ctx, func(t tx) (err error) {
		ids, err = revokeGrants(t, f, reason, now)
		return err
	})
	return ids, err
}

func revokeGrants(t tx, f store.GrantFilter, reason string, now time.Time) ([]string, error) {
	rows, err := liveGrants(t, f, now)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, g := range rows {
		ids = append(ids, g.ID)
	}
	return ids, endAll(t, rows, reason, now)
}

func endAll(t tx, rows []store.Grant, reason string, now time.Time) error {
	for _, g := range rows {
		g.RevokedAt, g.RevokedReason = now, reason
		if err := grants.put(t, g); err != nil {
			return err
		}
	}
	return nil
}

// liveGrants lists by the narrowest index that the filter allows, newest first.
func liveGrants(t tx, f store.GrantFilter, now time.Time) ([]store.Grant, error) {
	var b bucket
	var value string
	switch {
	case f.SessionID != "":
		b, value = grantsBySession, f.SessionID
	case f.AccountID != "":
		b, value = grantsByAccount, f.AccountID
	case f.ClientID != "":
		b, value = grantsByClient, f.ClientID
	case f.ApplicationID != "":
		b, value = grantsByApplication, f.ApplicationID
	default:
		return nil, fmt.Errorf("a filter that selects every grant: %w", store.ErrInvalid)
	}
	var live []store.Grant
	for _, id := range t.scan(b, key(value), "") {
		g, err := grants.get(t, string(id))
		if err != nil {
			return nil, err
		}
		if deadGrant(g, now) == nil && matches(f.AccountID, g.AccountID) && matches(f.ClientID, g.ClientID) &&
			matches(f.ApplicationID, g.ApplicationID) && matches(f.SessionID, g.SessionID) {
			live = append(live, g)
		}
	}
	slices.SortStableFunc(live, func(a, b store.Grant) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return live, nil
}

// matches tells whether a filter's field, empty for any, fits.
func matches(want, have string) bool { return want == "" || store.Text(want) == have }

// GrantsOf: see store.Grants.
func (s *Store) GrantsOf(ctx context.Context, f store.GrantFilter, now time.Time) (rows []store.Grant, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		rows, err = liveGrants(t, f, now)
		return err
	})
	return rows, err
}

// sweepGrant removes at most limit rows of an expired family, the grant last.
func sweepGrant(t tx, primary string, limit int) (removed int, err error) {
	for _, children := range []struct {
		index bucket
		del   func(tx, string) error
	}{{codesOf, codes.del}, {refreshTokensOf, refreshTokens.del}} {
		for _, child := range t.scan(children.index, primary, "") {
			if removed == limit {
				return removed, nil
			}
			if err := children.del(t, string(child)); err != nil {
				return removed, err
			}
			removed++
		}
	}
	if removed == limit {
		return removed, nil
	}
	return removed + 1, grants.del(t, primary)
}

// deniedToken is an access token that was revoked before its end.
type deniedToken struct {
	JTI   string
	Until time.Time
}

var deniedTokens = &table[deniedToken]{
	bucket:  "denied_tokens",
	key:     func(d *deniedToken) string { return key(d.JTI) },
	expires: func(d *deniedToken) time.Time { return d.Until },
}

// RevokeAccessToken: see store.Grants.
func (s *Store) RevokeAccessToken(ctx context.Context, jti string, until time.Time) error {
	if err := store.CheckIdentity(jti); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error {
		before, err := deniedTokens.get(t, key(jti))
		if err == nil && !before.Until.Before(until) {
			return nil
		}
		return deniedTokens.put(t, deniedToken{JTI: jti, Until: until})
	})
}

// AccessTokenRevoked: see store.Grants.
func (s *Store) AccessTokenRevoked(ctx context.Context, jti string) (denied bool, err error) {
	err = s.read(ctx, func(t tx) error {
		denied = deniedTokens.has(t, key(jti))
		return nil
	})
	return denied, err
}
