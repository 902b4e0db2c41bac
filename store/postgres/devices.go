package postgres

import (
	"context"
	"time"

	"anteroom/store"
)

// deviceKeep is how long an expired request is remembered: whoever comes late is
// told so.
const deviceKeep = 24 * time.Hour

var devices = newTable("devices", 1, func(d *store.Device) []field {
	return []field{
		{"hash", &d.Hash}, {"user_code_hash", &d.UserCodeHash}, {"client_id", &d.ClientID}, {"application_id", &d.ApplicationID},
		{"scopes", &d.Scopes}, {"audiences", &d.Audiences}, {"details", &d.Details}, {"address", &d.Address}, {"user_agent", &d.UserAgent},
		{"created_at", when{&d.CreatedAt}}, {"expires_at", when{&d.ExpiresAt}}, {"decided_at", when{&d.DecidedAt}},
		{"grant_id", &d.GrantID}, {"used_at", when{&d.UsedAt}},
	}
})

// CreateDevice: see store.Devices.
func (s *Store) CreateDevice(ctx context.Context, d store.Device) error {
	d = store.Canonical(d)
	if err := store.CheckIdentity(d.Hash, d.UserCodeHash); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error { return devices.insert(ctx, t, d) })
}

func (s *Store) device(ctx context.Context, now time.Time, tail, key string) (d store.Device, err error) {
	err = s.lookup(ctx, func(ctx context.Context, t *tx) (err error) {
		if d, err = devices.get(ctx, t, tail, store.Text(key)); err != nil {
			return err
		}
		return store.Dead("device request", time.Time{}, time.Time{}, d.ExpiresAt, now)
	})
	return d, err
}

// Device: see store.Devices.
func (s *Store) Device(ctx context.Context, hash string, now time.Time) (store.Device, error) {
	return s.device(ctx, now, devices.byKey, hash)
}

// DeviceByUserCode: see store.Devices.
func (s *Store) DeviceByUserCode(ctx context.Context, userCodeHash string, now time.Time) (store.Device, error) {
	return s.device(ctx, now, "WHERE user_code_hash = $1", userCodeHash)
}

// UpdateDevice: see store.Devices.
func (s *Store) UpdateDevice(ctx context.Context, hash string, change func(*store.Device) error) (d store.Device, err error) {
	err = s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		d, err = devices.change(ctx, t, []any{store.Text(hash)}, change, func(before, after *store.Device) error {
			if before.UserCodeHash != after.UserCodeHash {
				return store.ErrInvalid
			}
			return nil
		})
		return err
	})
	return d, err
}
