package postgres

import (
	"context"
	"fmt"
	"time"

	"anteroom/store"
)

// pushedKeep is how long an expired request is kept for those who began in time.
const pushedKeep = 24 * time.Hour

var pushedRequests = newTable("pushed_requests", 1, func(r *store.PushedRequest) []field {
	return []field{
		{"hash", &r.Hash}, {"client_id", &r.ClientID}, {"sealed", &r.Sealed}, {"created_at", when{&r.CreatedAt}},
		{"expires_at", when{&r.ExpiresAt}}, {"used_at", when{&r.UsedAt}},
	}
})

// PushRequest: see store.PushedRequests.
func (s *Store) PushRequest(ctx context.Context, r store.PushedRequest) error {
	r = store.Canonical(r)
	if err := store.CheckIdentity(r.Hash); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error { return pushedRequests.insert(ctx, t, r) })
}

// PushedRequest: see store.PushedRequests.
func (s *Store) PushedRequest(ctx context.Context, hash string, now time.Time) (r store.PushedRequest, err error) {
	err = s.lookup(ctx, func(ctx context.Context, t *tx) (err error) {
		if r, err = pushedRequests.get(ctx, t, pushedRequests.byKey, store.Text(hash)); err != nil {
			return err
		}
		return store.Dead("pushed request", r.UsedAt, time.Time{}, r.ExpiresAt, now)
	})
	return r, err
}

// UsePushedRequest: see store.PushedRequests.
func (s *Store) UsePushedRequest(ctx context.Context, hash string, now time.Time) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `UPDATE pushed_requests SET used_at = $2 WHERE hash = $1 AND used_at IS NULL`, store.Text(hash), at(now))
		if err != nil || n == 1 {
			return err
		}
		if _, err := pushedRequests.get(ctx, t, pushedRequests.byKey, store.Text(hash)); err != nil {
			return err
		}
		return fmt.Errorf("pushed request: %w", store.ErrConsumed)
	})
}
