package postgres

import (
	"context"
	"time"

	"anteroom/store"
)

var registrationTokens = newTable("registration_tokens", 1, func(r *store.RegistrationToken) []field {
	return []field{
		{"id", &r.ID}, {"hash", &r.Hash}, {"name", &r.Name}, {"created_by", &r.CreatedBy}, {"uses", &r.Uses}, {"used", &r.Used},
		{"created_at", when{&r.CreatedAt}}, {"expires_at", when{&r.ExpiresAt}}, {"last_used", when{&r.LastUsed}}, {"revoked_at", when{&r.RevokedAt}},
	}
})

// CreateRegistrationToken: see store.RegistrationTokens.
func (s *Store) CreateRegistrationToken(ctx context.Context, r store.RegistrationToken) error {
	r = store.Canonical(r)
	if err := store.CheckIdentity(r.ID, r.Hash); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error { return registrationTokens.insert(ctx, t, r) })
}

// RegistrationToken: see store.RegistrationTokens.
func (s *Store) RegistrationToken(ctx context.Context, hash string, now time.Time) (r store.RegistrationToken, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		if r, err = registrationTokens.get(ctx, t, `WHERE hash = $1`, store.Text(hash)); err != nil {
			return err
		}
		return r.Dead(now)
	})
	return r, err
}

// UseRegistrationToken: see store.RegistrationTokens.
func (s *Store) UseRegistrationToken(ctx context.Context, hash string, now time.Time) (r store.RegistrationToken, err error) {
	err = s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		n, err := t.exec(ctx, `UPDATE registration_tokens SET used = used + 1, last_used = $2
			WHERE hash = $1 AND used < uses AND revoked_at IS NULL AND expires_at > $2`, store.Text(hash), at(now))
		if err != nil {
			return err
		}
		if r, err = registrationTokens.get(ctx, t, `WHERE hash = $1`, store.Text(hash)); err != nil || n == 1 {
			return err
		}
		return r.Dead(now)
	})
	return r, err
}

// RevokeRegistrationToken: see store.RegistrationTokens.
func (s *Store) RevokeRegistrationToken(ctx context.Context, id string, now time.Time) (r store.RegistrationToken, err error) {
	err = s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		r, err = registrationTokens.change(ctx, t, []any{store.Text(id)}, func(r *store.RegistrationToken) error {
			if r.RevokedAt.IsZero() {
				r.RevokedAt = now
			}
			return nil
		}, nil)
		return err
	})
	return r, err
}

// RegistrationTokens: see store.RegistrationTokens.
func (s *Store) RegistrationTokens(ctx context.Context, page store.Page) (rows []store.RegistrationToken, next string, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, next, err = registrationTokens.page(ctx, t, page, "id", "")
		return err
	})
	return rows, next, err
}
