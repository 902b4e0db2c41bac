package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"anteroom/store"

	"github.com/jackc/pgx/v5"
)

var grants = newTable("grants", 1, func(g *store.Grant) []field {
	return []field{
		{"id", &g.ID}, {"client_id", &g.ClientID}, {"application_id", &g.ApplicationID}, {"account_id", &g.AccountID}, {"session_id", &g.SessionID},
		{"scopes", &g.Scopes}, {"audiences", &g.Audiences}, {"requested_at", when{&g.RequestedAt}}, {"auth_time", when{&g.AuthTime}},
		{"amr", &g.AMR}, {"acr", &g.ACR}, {"nonce", &g.Nonce}, {"claims", &g.Claims}, {"details", &g.Details}, {"params", &g.Params},
		{"created_at", when{&g.CreatedAt}}, {"expires_at", when{&g.ExpiresAt}}, {"revoked_at", when{&g.RevokedAt}}, {"revoked_reason", &g.RevokedReason},
	}
})

var codes = newTable("codes", 1, func(c *store.Code) []field {
	return []field{
		{"hash", &c.Hash}, {"grant_id", &c.GrantID}, {"redirect_uri", &c.RedirectURI},
		{"code_challenge", &c.CodeChallenge}, {"code_challenge_method", &c.CodeChallengeMethod},
		{"issued_at", when{&c.IssuedAt}}, {"expires_at", when{&c.ExpiresAt}}, {"used_at", when{&c.UsedAt}},
	}
})

var refreshTokens = newTable("refresh_tokens", 1, func(r *store.RefreshToken) []field {
	return []field{
		{"hash", &r.Hash}, {"grant_id", &r.GrantID}, {"scopes", &r.Scopes},
		{"issued_at", when{&r.IssuedAt}}, {"expires_at", when{&r.ExpiresAt}}, {"used_at", when{&r.UsedAt}}, {"session_bound", &r.SessionBound},
	}
})

// forget takes back that a row was added.
func forget(table, column, key string) line {
	return line{"DELETE FROM " + table + " WHERE " + column + " = $1", []any{key}}
}

// revive takes back that a code or token was used.
func revive(table, hash string) line {
	return line{"UPDATE " + table + " SET used_at = NULL WHERE hash = $1", []any{hash}}
}

// IssueCode: see store.Grants. Both inserts go in one round trip; if only one of
// them found its place free, it is taken back.
func (s *Store) IssueCode(ctx context.Context, g store.Grant, c store.Code) error {
	g, c = store.Canonical(g), store.Canonical(c)
	if err := store.CheckIdentity(g.ID, c.Hash); err != nil {
		return err
	}
	if c.GrantID != g.ID {
		return fmt.Errorf("code of grant %q with grant %q: %w", c.GrantID, g.ID, store.ErrInvalid)
	}
	grant, err := grants.values(&g)
	if err != nil {
		return err
	}
	code, err := codes.values(&c)
	if err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.statements(ctx, nil, line{grants.insertSQL, grant}, line{codes.insertSQL, code})
		if err != nil {
			return err
		}
		t.wrote = true
		switch {
		case n[0] == 1 && n[1] == 1:
			return nil
		case n[0] == 1:
			_, err = t.statements(ctx, nil, forget("grants", "id", g.ID))
		case n[1] == 1:
			_, err = t.statements(ctx, nil, forget("codes", "hash", c.Hash))
		}
		return orExists("grant or code", err)
	})
}

var insertGrants = grants.insertSet("")

// CreateGrant: see store.Grants.
func (s *Store) CreateGrant(ctx context.Context, g store.Grant) error {
	g = store.Canonical(g)
	if err := store.CheckIdentity(g.ID); err != nil {
		return err
	}
	values, err := grants.values(&g)
	if err != nil {
		return err
	}
	if s.tells(ctx, step{rankGrant, g.ID, insertGrants, values, []line{forget("grants", "id", g.ID)}}) {
		return nil
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error { return grants.insert(ctx, t, g) })
}

func deadGrant(g store.Grant, now time.Time) error {
	return store.Dead("grant", time.Time{}, g.RevokedAt, g.ExpiresAt, now)
}

// Grant: see store.Grants.
func (s *Store) Grant(ctx context.Context, id string, now time.Time) (g store.Grant, err error) {
	err = s.lookup(ctx, func(ctx context.Context, t *tx) (err error) {
		if g, err = grants.get(ctx, t, grants.byKey, store.Text(id)); err != nil {
			return err
		}
		return deadGrant(g, now)
	})
	return g, err
}

// Standing: see store.Grants.
func (s *Store) Standing(ctx context.Context, id string, now time.Time) (of store.Standing, err error) {
	err = s.lookup(ctx, func(ctx context.Context, t *tx) (err error) {
		if of, err = readStanding(ctx, t, selectStanding, nil, id); err != nil {
			return err
		}
		return deadGrant(of.Grant, now)
	})
	return of, err
}

// standingOf reads a grant g with whom it stands for, after columns that lead to it
// from a key: one statement, so that all of it is of one moment.
func standingOf(columns, from string) set {
	return set("SELECT k.n, " + columns + grants.of("g") + ", " + accounts.orZero("a") + ", " + sessions.orZero("s") + " FROM " + told("k", "key text") + from +
		" LEFT JOIN accounts a ON a.id = g.account_id LEFT JOIN sessions s ON s.id = g.session_id")
}

// throughGrant is standingOf for a table whose rows belong to a grant.
func throughGrant[T any](tb *table[T]) set {
	return standingOf(tb.of("x")+", ", " JOIN "+tb.name+" x ON x.hash = k.key JOIN grants g ON g.id = x.grant_id")
}

var (
	selectStanding = standingOf("", " JOIN grants g ON g.id = k.key")
	selectCode     = throughGrant(codes)
	selectToken    = throughGrant(refreshTokens)
)

// readStanding asks a set of standingOf; lead takes the columns before it.
func readStanding(ctx context.Context, t *tx, q set, lead []field, key string) (of store.Standing, err error) {
	fields := slices.Concat(lead, grants.fields(&of.Grant), accounts.fields(&of.Account), sessions.fields(&of.Session))
	n, err := t.find(ctx, q, []any{store.Text(key)}, func(r pgx.Rows) error {
		if err := r.Scan(targets(fields)...); err != nil {
			return fmt.Errorf("read standing: %w", err)
		}
		mend(fields)
		return nil
	})
	return of, gone("grant", n, err)
}

func readCode(ctx context.Context, t *tx, hash string, now time.Time) (c store.Code, of store.Standing, err error) {
	if of, err = readStanding(ctx, t, selectCode, codes.fields(&c), hash); err != nil {
		return c, of, err
	}
	return c, of, store.Dead("code", c.UsedAt, of.RevokedAt, sooner(c.ExpiresAt, of.Grant.ExpiresAt), now)
}

func readToken(ctx context.Context, t *tx, hash string, now time.Time) (r store.RefreshToken, of store.Standing, err error) {
	if of, err = readStanding(ctx, t, selectToken, refreshTokens.fields(&r), hash); err != nil {
		return r, of, err
	}
	return r, of, store.Dead("refresh token", r.UsedAt, of.RevokedAt, sooner(r.ExpiresAt, of.Grant.ExpiresAt), now)
}

// sooner is the earlier of two ends.
func sooner(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// useUp marks codes or tokens used, those that are alive like their grant: what
// is told as k names them by hash, with the time now. Whoever wants to know why
// one is left out asks.
func useUp(table, hash, told, condition string) string {
	return `UPDATE ` + table + ` x SET used_at = k.now FROM ` + told + `, grants g
		WHERE x.hash = k.` + hash + ` AND x.used_at IS NULL AND x.expires_at > k.now
		AND g.id = x.grant_id AND g.revoked_at IS NULL AND g.expires_at > k.now` + condition
}

var (
	useCode  = set(useUp("codes", "hash", told("k", "hash text", "now timestamptz"), "") + " RETURNING x.hash")
	useToken = set(useUp("refresh_tokens", "hash", told("k", "hash text", "now timestamptz", "grant_id text"), " AND g.id = k.grant_id") + " RETURNING x.hash")
)

// Code: see store.Grants.
func (s *Store) Code(ctx context.Context, hash string, now time.Time) (c store.Code, of store.Standing, err error) {
	err = s.lookup(ctx, func(ctx context.Context, t *tx) (err error) {
		c, of, err = readCode(ctx, t, hash, now)
		return err
	})
	return c, of, err
}

// errLostRace: a row that was dead a moment ago is alive now, which happens when
// the unit that used it was rolled back in between.
var errLostRace = fmt.Errorf("somebody else was at it: %w", store.ErrUnavailable)

// RedeemCode: see store.Grants.
func (s *Store) RedeemCode(ctx context.Context, hash string, now time.Time) error {
	hash = store.Text(hash)
	use := step{rankCode, hash, useCode, []any{hash, at(now)}, []line{revive("codes", hash)}}
	if s.tells(ctx, use) {
		return nil
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		for range maxTries {
			if n, err := t.run(ctx, use); err != nil || n == 1 {
				return err
			}
			if _, _, err := readCode(ctx, t, hash, now); err != nil {
				return err
			}
		}
		return errLostRace
	})
}

// CreateRefreshToken: see store.Grants.
func (s *Store) CreateRefreshToken(ctx context.Context, r store.RefreshToken) error {
	r = store.Canonical(r)
	if err := store.CheckIdentity(r.Hash); err != nil {
		return err
	}
	values, err := refreshTokens.values(&r)
	if err != nil {
		return err
	}
	add := step{rankNewToken, r.Hash, insertFirst, values, []line{forget("refresh_tokens", "hash", r.Hash)}}
	if s.tells(ctx, add) {
		return nil
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		if n, err := t.run(ctx, add); err != nil || n == 1 {
			return err
		}
		g, err := grants.get(ctx, t, grants.byKey, r.GrantID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("no grant %q: %w", r.GrantID, store.ErrInvalid)
		case err != nil:
			return err
		case !g.RevokedAt.IsZero():
			return fmt.Errorf("grant: %w", store.ErrRevoked)
		}
		return orExists("refresh token", nil)
	})
}

// RefreshToken: see store.Grants.
func (s *Store) RefreshToken(ctx context.Context, hash string, now time.Time) (r store.RefreshToken, of store.Standing, err error) {
	err = s.lookup(ctx, func(ctx context.Context, t *tx) (err error) {
		r, of, err = readToken(ctx, t, hash, now)
		return err
	})
	return r, of, err
}

// A token is added only if its grant is there, which the foreign key would say in a
// way that spoils the unit. The first needs one that is not revoked. One that is
// revoked at the same moment takes its tokens along: what is read of a token is read
// together with its grant.
var (
	insertFirst = refreshTokens.insertSet("WHERE (SELECT g.revoked_at IS NULL FROM grants g WHERE g.id = k.grant_id)")
	insertNext  = refreshTokens.insertSet("JOIN grants g ON g.id = k.grant_id")
)

// rotateTokens is useToken with insertNext in one statement, which fails if the hash
// of a next token is taken. What is told has the columns of the next token, and then
// those of useToken.
var rotateTokens = func() set {
	columns, values := refreshTokens.toldColumns("used")
	next := told("k", append(columns, "old text", "now timestamptz")...)
	return set("WITH used AS (" + useUp("refresh_tokens", "old", next, " AND g.id = k.grant_id") + " RETURNING k.*), " +
		"added AS (INSERT INTO refresh_tokens (" + refreshTokens.columns + ") SELECT " + values + " FROM used) SELECT old FROM used")
}()

// RotateRefreshToken: see store.Grants. Both statements go in one round trip; if
// only one of them found what it needs, it is taken back.
func (s *Store) RotateRefreshToken(ctx context.Context, oldHash string, next store.RefreshToken, now time.Time) error {
	next, oldHash = store.Canonical(next), store.Text(oldHash)
	if err := store.CheckIdentity(next.Hash); err != nil {
		return err
	}
	values, err := refreshTokens.values(&next)
	if err != nil {
		return err
	}
	use, add := useToken.line([]any{oldHash, at(now), next.GrantID}), insertNext.line(values)
	undo := []line{forget("refresh_tokens", "hash", next.Hash), revive("refresh_tokens", oldHash)}
	if s.tells(ctx, step{rankToken, oldHash, rotateTokens, append(values, oldHash, at(now)), undo}) {
		return nil
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		for range maxTries {
			n, err := t.statements(ctx, nil, use, add)
			if err != nil {
				return err
			}
			used, added := n[0] == 1, n[1] == 1
			switch {
			case used && added:
				t.wrote = true
				return nil
			case used:
				_, err = t.statements(ctx, nil, revive("refresh_tokens", oldHash))
				return orExists("refresh token", err)
			case added:
				_, err = t.statements(ctx, nil, forget("refresh_tokens", "hash", next.Hash))
			}
			if err == nil {
				err = whyNot(ctx, t, oldHash, next.GrantID, now)
			}
			if err != nil {
				return err
			}
		}
		return errLostRace
	})
}

// whyNot says why a token could not be rotated; nil if it can be by now.
func whyNot(ctx context.Context, t *tx, hash, grantID string, now time.Time) error {
	_, of, err := readToken(ctx, t, hash, now)
	if err == nil && grantID != of.Grant.ID {
		err = fmt.Errorf("a token of grant %q follows one of %q: %w", grantID, of.Grant.ID, store.ErrInvalid)
	}
	return err
}

// RevokeGrant: see store.Grants.
func (s *Store) RevokeGrant(ctx context.Context, id, reason string, now time.Time) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `UPDATE grants SET revoked_at = $2, revoked_reason = $3 WHERE id = $1 AND revoked_at IS NULL`, store.Text(id), at(now), store.Text(reason))
		if err != nil || n == 1 {
			return err
		}
		n, err = t.lock(ctx, `SELECT 1 FROM grants WHERE id = $1`, store.Text(id))
		return gone("grant", n, err)
	})
}

// live is the condition that a filter stands for, with the arguments; now is $1.
func live(f store.GrantFilter, now time.Time) (condition string, args []any, err error) {
	all := []string{"revoked_at IS NULL", "expires_at > $1"}
	args = []any{at(now)}
	for _, by := range []struct{ column, value string }{
		{"account_id", f.AccountID}, {"client_id", f.ClientID}, {"application_id", f.ApplicationID}, {"session_id", f.SessionID},
	} {
		if by.value != "" {
			args = append(args, store.Text(by.value))
			all = append(all, fmt.Sprintf("%s = $%d", by.column, len(args)))
		}
	}
	if len(args) == 1 {
		return "", nil, fmt.Errorf("a filter that selects every grant: %w", store.ErrInvalid)
	}
	return "WHERE " + strings.Join(all, " AND "), args, nil
}

func newestGrants(rows []store.Grant) {
	slices.SortFunc(rows, func(a, b store.Grant) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
}

// RevokeGrants: see store.Grants.
func (s *Store) RevokeGrants(ctx context.Context, f store.GrantFilter, reason string, now time.Time) (ids []string, err error) {
	condition, args, err := live(f, now)
	if err != nil {
		return nil, err
	}
	err = s.write(ctx, func(ctx context.Context, t *tx) error {
		ids = nil
		rows, err := grants.rows(ctx, t, condition+` ORDER BY id FOR UPDATE`, args...)
		if err != nil || len(rows) == 0 {
			return err
		}
		newestGrants(rows)
		ids = idsOf(rows, func(g store.Grant) string { return g.ID })
		_, err = t.exec(ctx, `UPDATE grants SET revoked_at = $2, revoked_reason = $3 WHERE id = ANY($1)`, ids, at(now), store.Text(reason))
		return err
	})
	return ids, err
}

// GrantsOf: see store.Grants.
func (s *Store) GrantsOf(ctx context.Context, f store.GrantFilter, now time.Time) (rows []store.Grant, err error) {
	condition, args, err := live(f, now)
	if err != nil {
		return nil, err
	}
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, err = grants.rows(ctx, t, condition, args...)
		return err
	})
	newestGrants(rows)
	return rows, err
}

// RevokeAccessToken: see store.Grants.
func (s *Store) RevokeAccessToken(ctx context.Context, jti string, until time.Time) error {
	if err := store.CheckIdentity(jti); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO denied_tokens (jti, until) VALUES ($1, $2)
			ON CONFLICT (jti) DO UPDATE SET until = excluded.until WHERE denied_tokens.until < excluded.until`, store.Text(jti), store.Time(until))
		return err
	})
}

// AccessTokenRevoked: see store.Grants.
func (s *Store) AccessTokenRevoked(ctx context.Context, jti string) (denied bool, err error) {
	err = s.lookup(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.lock(ctx, `SELECT 1 FROM denied_tokens WHERE jti = $1`, store.Text(jti))
		denied = n == 1
		return err
	})
	return denied, err
}
