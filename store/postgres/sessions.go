package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"anteroom/store"

	"github.com/jackc/pgx/v5"
)

// sessionKeep is how long a session is remembered after its end.
const sessionKeep = 24 * time.Hour

var sessions = newTable("sessions", 1, func(s *store.Session) []field {
	return []field{
		{"id", &s.ID}, {"token_hash", &s.TokenHash}, {"account_id", &s.AccountID}, {"auth_time", when{&s.AuthTime}},
		{"amr", &s.AMR}, {"acr", &s.ACR}, {"created_at", when{&s.CreatedAt}}, {"expires_at", when{&s.ExpiresAt}},
		{"ended_at", when{&s.EndedAt}}, {"user_agent", &s.UserAgent}, {"address", &s.Address},
	}
})

func checkSession(row *store.Session) error {
	return store.CheckIdentity(row.ID, row.TokenHash, row.AccountID)
}

// CreateSession: see store.Sessions.
func (s *Store) CreateSession(ctx context.Context, row store.Session) error {
	row = store.Canonical(row)
	if err := checkSession(&row); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error { return sessions.insert(ctx, t, row) })
}

func (s *Store) session(ctx context.Context, now time.Time, tail, key string) (row store.Session, err error) {
	err = s.lookup(ctx, func(ctx context.Context, t *tx) (err error) {
		if row, err = sessions.get(ctx, t, tail, store.Text(key)); err != nil {
			return err
		}
		return row.Dead(now)
	})
	return row, err
}

// SessionByToken: see store.Sessions.
func (s *Store) SessionByToken(ctx context.Context, tokenHash string, now time.Time) (store.Session, error) {
	return s.session(ctx, now, byToken, tokenHash)
}

// Session: see store.Sessions.
func (s *Store) Session(ctx context.Context, id string, now time.Time) (store.Session, error) {
	return s.session(ctx, now, sessions.byKey, id)
}

// RenewSession: see store.Sessions.
func (s *Store) RenewSession(ctx context.Context, id string, now time.Time, change func(*store.Session) error) (row store.Session, err error) {
	err = s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		before, err := sessions.get(ctx, t, sessions.byKey+` FOR UPDATE`, store.Text(id))
		if err == nil {
			err = before.Dead(now)
		}
		if err != nil {
			row = before
			return err
		}
		row, err = sessions.change(ctx, t, []any{before.ID}, change, func(before, after *store.Session) error {
			if err := checkSession(after); err != nil {
				return err
			}
			if before.TokenHash == after.TokenHash {
				return nil
			}
			n, err := t.lock(ctx, `SELECT 1 FROM sessions WHERE token_hash = $1`, after.TokenHash)
			if err != nil || n == 1 {
				return orExists("session token", err)
			}
			return nil
		})
		return err
	})
	return row, err
}

// EndSession: see store.Sessions.
func (s *Store) EndSession(ctx context.Context, id string, now time.Time) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `UPDATE sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL`, store.Text(id), at(now))
		if err != nil || n == 1 {
			return err
		}
		n, err = t.lock(ctx, `SELECT 1 FROM sessions WHERE id = $1`, store.Text(id))
		return gone("session", n, err)
	})
}

const liveSessions = `WHERE account_id = $1 AND ended_at IS NULL AND expires_at > $2`

// newestFirst also makes no session at all nil.
func newestFirst(rows []store.Session) {
	slices.SortFunc(rows, func(a, b store.Session) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
}

// EndSessionsOf: see store.Sessions.
func (s *Store) EndSessionsOf(ctx context.Context, accountID string, now time.Time) (ended []store.Session, err error) {
	err = s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		ended, err = sessions.rows(ctx, t, liveSessions+` ORDER BY id FOR UPDATE`, store.Text(accountID), at(now))
		if err != nil || len(ended) == 0 {
			return err
		}
		_, err = t.exec(ctx, `UPDATE sessions SET ended_at = $2 WHERE id = ANY($1)`, idsOf(ended, func(s store.Session) string { return s.ID }), at(now))
		return err
	})
	for i := range ended {
		ended[i].EndedAt = store.Time(now)
	}
	newestFirst(ended)
	return ended, err
}

// SessionsOf: see store.Sessions.
func (s *Store) SessionsOf(ctx context.Context, accountID string, now time.Time) (rows []store.Session, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, err = sessions.rows(ctx, t, liveSessions, store.Text(accountID), at(now))
		return err
	})
	newestFirst(rows)
	return rows, err
}

var signingKeys = newTable("signing_keys", 1, func(k *store.SigningKey) []field {
	return []field{
		{"kid", &k.KID}, {"algorithm", &k.Algorithm}, {"sealed", &k.Sealed}, {"public_jwk", &k.PublicJWK},
		{"created_at", when{&k.CreatedAt}}, {"active_at", when{&k.ActiveAt}}, {"retired_at", when{&k.RetiredAt}},
	}
})

// CreateSigningKey: see store.SigningKeys.
func (s *Store) CreateSigningKey(ctx context.Context, k store.SigningKey) error {
	k = store.Canonical(k)
	if err := store.CheckIdentity(k.KID); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error { return signingKeys.insert(ctx, t, k) })
}

// SigningKeys: see store.SigningKeys.
func (s *Store) SigningKeys(ctx context.Context) (rows []store.SigningKey, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, err = signingKeys.rows(ctx, t, "")
		return err
	})
	slices.SortFunc(rows, func(a, b store.SigningKey) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.KID, b.KID))
	})
	return rows, err
}

// UpdateSigningKey: see store.SigningKeys.
func (s *Store) UpdateSigningKey(ctx context.Context, kid string, change func(*store.SigningKey) error) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := signingKeys.change(ctx, t, []any{store.Text(kid)}, change, nil)
		return err
	})
}

// DeleteSigningKey: see store.SigningKeys.
func (s *Store) DeleteSigningKey(ctx context.Context, kid string) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `DELETE FROM signing_keys WHERE kid = $1`, store.Text(kid))
		return gone("signing key", n, err)
	})
}

func meta(ctx context.Context, t *tx, name string) (value string, err error) {
	n, err := t.statement(ctx, `SELECT value FROM metadata WHERE name = $1`, []any{store.Text(name)}, func(r pgx.Rows) error { return r.Scan(&value) })
	if err == nil && n == 0 {
		err = fmt.Errorf("metadata %q: %w", name, store.ErrNotFound)
	}
	return value, err
}

// Meta: see store.Metadata.
func (s *Store) Meta(ctx context.Context, name string) (value string, err error) {
	err = s.lookup(ctx, func(ctx context.Context, t *tx) (err error) {
		value, err = meta(ctx, t, name)
		return err
	})
	return value, err
}

// SetMetaOnce: see store.Metadata.
func (s *Store) SetMetaOnce(ctx context.Context, name, value string) (inForce string, err error) {
	if err := store.CheckIdentity(name); err != nil {
		return "", err
	}
	name, value = store.Text(name), store.Text(value)
	err = s.write(ctx, func(ctx context.Context, t *tx) error {
		for {
			n, err := t.exec(ctx, `INSERT INTO metadata (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, value)
			if err != nil {
				return err
			}
			if n == 1 {
				inForce = value
				return nil
			}
			inForce, err = meta(ctx, t, name)
			if !errors.Is(err, store.ErrNotFound) { // deleted in between
				return err
			}
		}
	})
	return inForce, err
}

// SetMeta: see store.Metadata.
func (s *Store) SetMeta(ctx context.Context, name, value string) error {
	if err := store.CheckIdentity(name); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO metadata (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, store.Text(name), store.Text(value))
		return err
	})
}

// DeleteMeta: see store.Metadata.
func (s *Store) DeleteMeta(ctx context.Context, name string) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `DELETE FROM metadata WHERE name = $1`, store.Text(name))
		return err
	})
}
