package bolt

import (
	"context"
	"time"

	"anteroom/store"
)

// deviceKeep is how long an expired request is remembered: whoever comes late is
// told so.
const deviceKeep = 24 * time.Hour

const deviceUserCodes bucket = "devices.user_code"

var devices = &table[store.Device]{
	bucket:  "devices",
	key:     func(d *store.Device) string { return key(d.Hash) },
	indexes: func(d *store.Device) []index { return []index{{deviceUserCodes, key(d.UserCodeHash), true}} },
	expires: func(d *store.Device) time.Time { return d.ExpiresAt.Add(deviceKeep) },
}

func deadDevice(d store.Device, now time.Time) error {
	return store.Dead("device request", time.Time{}, time.Time{}, d.ExpiresAt, now)
}

// CreateDevice: see store.Devices.
func (s *Store) CreateDevice(ctx context.Context, d store.Device) error {
	d = store.Canonical(d)
	if err := store.CheckIdentity(d.Hash, d.UserCodeHash); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error { return devices.insert(t, d) })
}

// Device: see store.Devices.
func (s *Store) Device(ctx context.Context, hash string, now time.Time) (d store.Device, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		if d, err = devices.get(t, key(hash)); err != nil {
			return err
		}
		return deadDevice(d, now)
	})
	return d, err
}

// DeviceByUserCode: see store.Devices.
func (s *Store) DeviceByUserCode(ctx context.Context, userCodeHash string, now time.Time) (d store.Device, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		if d, err = devices.by(t, deviceUserCodes, key(userCodeHash)); err != nil {
			return err
		}
		return deadDevice(d, now)
	})
	return d, err
}

// UpdateDevice: see store.Devices.
func (s *Store) UpdateDevice(ctx context.Context, hash string, change func(*store.Device) error) (d store.Device, err error) {
	err = s.write(ctx, func(t tx) (err error) {
		d, err = devices.update(t, key(hash), func(d *store.Device) error {
			userCode := d.UserCodeHash
			if err := change(d); err != nil {
				return err
			}
			if d.UserCodeHash != userCode {
				return store.ErrInvalid
			}
			return nil
		})
		return err
	})
	return d, err
}
