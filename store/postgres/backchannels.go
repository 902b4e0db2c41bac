package postgres

import (
	"context"
	"fmt"
	"time"

	"anteroom/store"
)

// backchannelKeep is how long an expired request is remembered: whoever comes
// late is told so.
const backchannelKeep = 24 * time.Hour

var backchannels = newTable("backchannels", 1, func(b *store.Backchannel) []field {
	return []field{
		{"hash", &b.Hash}, {"client_id", &b.ClientID}, {"application_id", &b.ApplicationID}, {"account_id", &b.AccountID},
		{"scopes", &b.Scopes}, {"audiences", &b.Audiences}, {"acr_values", &b.ACRValues}, {"binding", &b.Binding},
		{"sealed", &b.Sealed}, {"address", &b.Address}, {"created_at", when{&b.CreatedAt}}, {"expires_at", when{&b.ExpiresAt}},
		{"decided_at", when{&b.DecidedAt}}, {"grant_id", &b.GrantID}, {"used_at", when{&b.UsedAt}},
	}
})

const waitingBackchannels = `WHERE account_id = $1 AND decided_at IS NULL AND expires_at > $2 ORDER BY created_at DESC, hash`

// CreateBackchannel: see store.Backchannels. The lock on the account lets those
// who ask about her at the same time count one after the other.
func (s *Store) CreateBackchannel(ctx context.Context, b store.Backchannel, most int) error {
	b = store.Canonical(b)
	if err := store.CheckIdentity(b.Hash, b.AccountID); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		if _, err := accounts.rows(ctx, t, accounts.byKey+" FOR UPDATE", store.Text(b.AccountID)); err != nil {
			return err
		}
		if known, err := backchannels.rows(ctx, t, backchannels.byKey, store.Text(b.Hash)); err != nil || len(known) > 0 {
			return errOrExists(err)
		}
		waiting, err := backchannels.rows(ctx, t, waitingBackchannels, store.Text(b.AccountID), at(b.CreatedAt))
		if err != nil {
			return err
		}
		if len(waiting) >= most {
			return fmt.Errorf("backchannel requests: %w", store.ErrTooMany)
		}
		return backchannels.insert(ctx, t, b)
	})
}

func errOrExists(err error) error {
	if err == nil {
		err = fmt.Errorf("backchannel request: %w", store.ErrExists)
	}
	return err
}

// Backchannel: see store.Backchannels.
func (s *Store) Backchannel(ctx context.Context, hash string, now time.Time) (b store.Backchannel, err error) {
	err = s.lookup(ctx, func(ctx context.Context, t *tx) (err error) {
		if b, err = backchannels.get(ctx, t, backchannels.byKey, store.Text(hash)); err != nil {
			return err
		}
		return store.Dead("backchannel request", time.Time{}, time.Time{}, b.ExpiresAt, now)
	})
	return b, err
}

// UpdateBackchannel: see store.Backchannels.
func (s *Store) UpdateBackchannel(ctx context.Context, hash string, change func(*store.Backchannel) error) (b store.Backchannel, err error) {
	err = s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		b, err = backchannels.change(ctx, t, []any{store.Text(hash)}, change, func(before, after *store.Backchannel) error {
			if before.AccountID != after.AccountID {
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
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, err = backchannels.rows(ctx, t, waitingBackchannels, store.Text(accountID), at(now))
		return err
	})
	return rows, err
}
