package bolt

import (
	"context"
	"time"

	"anteroom/store"
)

const registrationHashes bucket = "registration_tokens.hash"

var registrationTokens = &table[store.RegistrationToken]{
	bucket:  "registration_tokens",
	key:     func(r *store.RegistrationToken) string { return key(r.ID) },
	indexes: func(r *store.RegistrationToken) []index { return []index{{registrationHashes, key(r.Hash), true}} },
	expires: func(r *store.RegistrationToken) time.Time { return r.ExpiresAt.Add(store.RegistrationTokenKept) },
}

// CreateRegistrationToken: see store.RegistrationTokens.
func (s *Store) CreateRegistrationToken(ctx context.Context, r store.RegistrationToken) error {
	r = store.Canonical(r)
	if err := store.CheckIdentity(r.ID, r.Hash); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error { return registrationTokens.insert(t, r) })
}

func registrationByHash(t tx, hash string, now time.Time) (store.RegistrationToken, error) {
	r, err := registrationTokens.by(t, registrationHashes, key(hash))
	if err != nil {
		return r, err
	}
	return r, r.Dead(now)
}

// RegistrationToken: see store.RegistrationTokens.
func (s *Store) RegistrationToken(ctx context.Context, hash string, now time.Time) (r store.RegistrationToken, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		r, err = registrationByHash(t, hash, now)
		return err
	})
	return r, err
}

// UseRegistrationToken: see store.RegistrationTokens.
func (s *Store) UseRegistrationToken(ctx context.Context, hash string, now time.Time) (r store.RegistrationToken, err error) {
	err = s.write(ctx, func(t tx) (err error) {
		if r, err = registrationByHash(t, hash, now); err != nil {
			return err
		}
		r.Used, r.LastUsed = r.Used+1, store.Time(now)
		return registrationTokens.put(t, r)
	})
	return r, err
}

// RevokeRegistrationToken: see store.RegistrationTokens.
func (s *Store) RevokeRegistrationToken(ctx context.Context, id string, now time.Time) (r store.RegistrationToken, err error) {
	err = s.write(ctx, func(t tx) (err error) {
		r, err = registrationTokens.update(t, key(id), func(r *store.RegistrationToken) error {
			set(&r.RevokedAt, now)
			return nil
		})
		return err
	})
	return r, err
}

// RegistrationTokens: see store.RegistrationTokens.
func (s *Store) RegistrationTokens(ctx context.Context, page store.Page) (rows []store.RegistrationToken, next string, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		rows, next, err = pageByID(t, registrationTokens, registrationTokens.bucket, "", page)
		return err
	})
	return rows, next, err
}
