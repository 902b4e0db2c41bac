package bolt

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"anteroom/store"
)

// sessionKeep is how long a session is remembered after its end.
const sessionKeep = 24 * time.Hour

const (
	sessionHashes bucket = "sessions.hash"
	sessionsByWho bucket = "sessions.account"
)

var sessions = &table[store.Session]{
	bucket: "sessions",
	key:    func(s *store.Session) string { return key(s.ID) },
	indexes: func(s *store.Session) []index {
		return []index{
			{sessionHashes, key(s.TokenHash), true},
			{sessionsByWho, key(s.AccountID, s.ID), false},
		}
	},
	expires: func(s *store.Session) time.Time {
		end := s.ExpiresAt
		if !s.EndedAt.IsZero() && s.EndedAt.Before(end) {
			end = s.EndedAt
		}
		return end.Add(sessionKeep)
	},
}

func checkSession(row *store.Session) error {
	return store.CheckIdentity(row.ID, row.TokenHash, row.AccountID)
}

// CreateSession: see store.Sessions.
func (s *Store) CreateSession(ctx context.Context, row store.Session) error {
	row = store.Canonical(row)
	if err := checkSession(&row); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error { return sessions.insert(t, row) })
}

// SessionByToken: see store.Sessions.
func (s *Store) SessionByToken(ctx context.Context, tokenHash string, now time.Time) (row store.Session, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		if row, err = sessions.by(t, sessionHashes, key(tokenHash)); err != nil {
			return err
		}
		return row.Dead(now)
	})
	return row, err
}

// Session: see store.Sessions.
func (s *Store) Session(ctx context.Context, id string, now time.Time) (row store.Session, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		if row, err = sessions.get(t, key(id)); err != nil {
			return err
		}
		return row.Dead(now)
	})
	return row, err
}

// RenewSession: see store.Sessions.
func (s *Store) RenewSession(ctx context.Context, id string, now time.Time, change func(*store.Session) error) (row store.Session, err error) {
	err = s.write(ctx, func(t tx) (err error) {
		if row, err = sessions.get(t, key(id)); err != nil {
			return err
		}
		if err := row.Dead(now); err != nil {
			return err
		}
		row, err = sessions.update(t, key(id), func(row *store.Session) error {
			if err := change(row); err != nil {
				return err
			}
			return checkSession(row)
		})
		return err
	})
	return row, err
}

// EndSession: see store.Sessions.
func (s *Store) EndSession(ctx context.Context, id string, now time.Time) error {
	return s.write(ctx, func(t tx) error {
		row, err := sessions.get(t, key(id))
		if err != nil {
			return err
		}
		if !row.EndedAt.IsZero() {
			return nil
		}
		row.EndedAt = now
		return sessions.put(t, row)
	})
}

// EndSessionsOf: see store.Sessions.
func (s *Store) EndSessionsOf(ctx context.Context, accountID string, now time.Time) (ended []store.Session, err error) {
	err = s.write(ctx, func(t tx) (err error) {
		if ended, err = liveSessions(t, accountID, now); err != nil {
			return err
		}
		for i := range ended {
			ended[i].EndedAt = store.Time(now)
			if err := sessions.put(t, ended[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return ended, err
}

// SessionsOf: see store.Sessions.
func (s *Store) SessionsOf(ctx context.Context, accountID string, now time.Time) (rows []store.Session, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		rows, err = liveSessions(t, accountID, now)
		return err
	})
	return rows, err
}

func liveSessions(t tx, accountID string, now time.Time) ([]store.Session, error) {
	rows, err := sessions.rows(t, sessionsByWho, key(accountID))
	rows = slices.DeleteFunc(rows, func(row store.Session) bool { return row.Dead(now) != nil })
	slices.SortStableFunc(rows, func(a, b store.Session) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	if len(rows) == 0 {
		rows = nil
	}
	return rows, err
}

var signingKeys = &table[store.SigningKey]{
	bucket: "signing_keys",
	key:    func(k *store.SigningKey) string { return key(k.KID) },
}

// CreateSigningKey: see store.SigningKeys.
func (s *Store) CreateSigningKey(ctx context.Context, k store.SigningKey) error {
	k = store.Canonical(k)
	if err := store.CheckIdentity(k.KID); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error { return signingKeys.insert(t, k) })
}

// SigningKeys: see store.SigningKeys.
func (s *Store) SigningKeys(ctx context.Context) (rows []store.SigningKey, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		rows, err = signingKeys.rows(t, signingKeys.bucket, "")
		return err
	})
	slices.SortStableFunc(rows, func(a, b store.SigningKey) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.KID, b.KID))
	})
	return rows, err
}

// UpdateSigningKey: see store.SigningKeys.
func (s *Store) UpdateSigningKey(ctx context.Context, kid string, change func(*store.SigningKey) error) error {
	return s.write(ctx, func(t tx) error {
		_, err := signingKeys.update(t, key(kid), change)
		return err
	})
}

// DeleteSigningKey: see store.SigningKeys.
func (s *Store) DeleteSigningKey(ctx context.Context, kid string) error {
	return s.write(ctx, func(t tx) error { return signingKeys.remove(t, key(kid)) })
}

const metadata bucket = "metadata"

// Meta: see store.Metadata.
func (s *Store) Meta(ctx context.Context, name string) (value string, err error) {
	err = s.read(ctx, func(t tx) error {
		data := t.get(metadata, key(name))
		if data == nil {
			return fmt.Errorf("metadata %q: %w", name, store.ErrNotFound)
		}
		value = string(data)
		return nil
	})
	return value, err
}

// SetMetaOnce: see store.Metadata.
func (s *Store) SetMetaOnce(ctx context.Context, name, value string) (inForce string, err error) {
	if err := store.CheckIdentity(name); err != nil {
		return "", err
	}
	err = s.write(ctx, func(t tx) error {
		if data := t.get(metadata, key(name)); data != nil {
			inForce = string(data)
			return nil
		}
		inForce = store.Text(value)
		return t.put(metadata, key(name), []byte(inForce))
	})
	return inForce, err
}

// SetMeta: see store.Metadata.
func (s *Store) SetMeta(ctx context.Context, name, value string) error {
	if err := store.CheckIdentity(name); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error { return t.put(metadata, key(name), []byte(store.Text(value))) })
}

// DeleteMeta: see store.Metadata.
func (s *Store) DeleteMeta(ctx context.Context, name string) error {
	return s.write(ctx, func(t tx) error { return t.del(metadata, key(name)) })
}
