package bolt

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"anteroom/store"
)

// backchannelKeep is how long an expired request is remembered: whoever comes
// late is told so.
const backchannelKeep = 24 * time.Hour

// backchannelsByWho lists what nobody decided yet.
const backchannelsByWho bucket = "backchannels.account"

var backchannels = &table[store.Backchannel]{
	bucket: "backchannels",
	key:    func(b *store.Backchannel) string { return key(b.Hash) },
	indexes: func(b *store.Backchannel) []index {
		if !b.DecidedAt.IsZero() {
			return nil
		}
		return []index{{backchannelsByWho, key(b.AccountID, b.Hash), false}}
	},
	expires: func(b *store.Backchannel) time.Time { return b.ExpiresAt.Add(backchannelKeep) },
}

// CreateBackchannel: see store.Backchannels.
func (s *Store) CreateBackchannel(ctx context.Context, b store.Backchannel, most int) error {
	b = store.Canonical(b)
	if err := store.CheckIdentity(b.Hash, b.AccountID); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error {
		if backchannels.has(t, key(b.Hash)) {
			return fmt.Errorf("backchannel request: %w", store.ErrExists)
		}
		waiting, err := waitingBackchannels(t, b.AccountID, b.CreatedAt)
		if err != nil {
			return err
		}
		if len(waiting) >= most {
			return fmt.Errorf("backchannel requests: %w", store.ErrTooMany)
		}
		return backchannels.insert(t, b)
	})
}

// Backchannel: see store.Backchannels.
func (s *Store) Backchannel(ctx context.Context, hash string, now time.Time) (b store.Backchannel, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		if b, err = backchannels.get(t, key(hash)); err != nil {
			return err
		}
		return store.Dead("backchannel request", time.Time{}, time.Time{}, b.ExpiresAt, now)
	})
	return b, err
}

// UpdateBackchannel: see store.Backchannels.
func (s *Store) UpdateBackchannel(ctx context.Context, hash string, change func(*store.Backchannel) error) (b store.Backchannel, err error) {
	err = s.write(ctx, func(t tx) (err error) {
		b, err = backchannels.update(t, key(hash), func(b *store.Backchannel) error {
			who := b.AccountID
			if err := change(b); err != nil {
				return err
			}
			if b.AccountID != who {
				return store.ErrInvalid
			}
			return nil
		})
		return err
	})
	return b, err
}

// BackchannelsOf: see store.Backchannels.
func (s *Store) BackchannelsOf(ctx context.Context, accountID string, now time.Time) (rows []store.Backchannel, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		rows, err = waitingBackchannels(t, accountID, now)
		return err
	})
	return rows, err
}

func waitingBackchannels(t tx, accountID string, now time.Time) ([]store.Backchannel, error) {
	rows, err := backchannels.rows(t, backchannelsByWho, key(accountID))
	rows = slices.DeleteFunc(rows, func(b store.Backchannel) bool { return store.Over(b.ExpiresAt, now) })
	slices.SortStableFunc(rows, func(a, b store.Backchannel) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.Hash, b.Hash))
	})
	if len(rows) == 0 {
		return nil, err
	}
	return rows, err
}
