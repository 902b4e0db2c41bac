package bolt

import (
	"context"
	"fmt"
	"time"

	"anteroom/store"
)

// pushedKeep is how long an expired request is kept for those who began in time.
const pushedKeep = 24 * time.Hour

var pushedRequests = &table[store.PushedRequest]{
	bucket:  "pushed_requests",
	key:     func(r *store.PushedRequest) string { return key(r.Hash) },
	expires: func(r *store.PushedRequest) time.Time { return r.ExpiresAt.Add(pushedKeep) },
}

// PushRequest: see store.PushedRequests.
func (s *Store) PushRequest(ctx context.Context, r store.PushedRequest) error {
	r = store.Canonical(r)
	if err := store.CheckIdentity(r.Hash); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error { return pushedRequests.insert(t, r) })
}

// PushedRequest: see store.PushedRequests.
func (s *Store) PushedRequest(ctx context.Context, hash string, now time.Time) (r store.PushedRequest, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		if r, err = pushedRequests.get(t, key(hash)); err != nil {
			return err
		}
		return store.Dead("pushed request", r.UsedAt, time.Time{}, r.ExpiresAt, now)
	})
	return r, err
}

// UsePushedRequest: see store.PushedRequests.
func (s *Store) UsePushedRequest(ctx context.Context, hash string, now time.Time) error {
	return s.write(ctx, func(t tx) error {
		r, err := pushedRequests.get(t, key(hash))
		if err != nil {
			return err
		}
		if !r.UsedAt.IsZero() {
			return fmt.Errorf("pushed request: %w", store.ErrConsumed)
		}
		r.UsedAt = store.Time(now)
		return pushedRequests.put(t, r)
	})
}
