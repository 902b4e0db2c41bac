package storetest

import (
	"time"

	"anteroom/store"
)

var deviceTests = []Test{
	{"a device request is found by both codes until it expires", deviceLookups},
	{"a device request is decided and used once", deviceOnce},
}

func deviceLookups(e *env) {
	s, ctx := e.s, e.ctx
	d := store.Device{Hash: "d", UserCodeHash: "u", ClientID: "tv", CreatedAt: t0, ExpiresAt: in(minute)}
	e.must(s.CreateDevice(ctx, d))
	e.wants("the hash again", s.CreateDevice(ctx, store.Device{Hash: "d", UserCodeHash: "v", ExpiresAt: in(minute)}), store.ErrExists)
	e.wants("the user code again", s.CreateDevice(ctx, store.Device{Hash: "e", UserCodeHash: "u", ExpiresAt: in(minute)}), store.ErrExists)
	for _, find := range []struct {
		name string
		by   func(string, time.Time) (store.Device, error)
		key  string
	}{
		{"by device code", func(k string, now time.Time) (store.Device, error) { return s.Device(ctx, k, now) }, "d"},
		{"by user code", func(k string, now time.Time) (store.Device, error) { return s.DeviceByUserCode(ctx, k, now) }, "u"},
	} {
		got, err := find.by(find.key, in(minute-time.Microsecond))
		e.must(err)
		e.equal(find.name, got, d)
		got, err = find.by(find.key, in(minute))
		e.wants(find.name+", expired", err, store.ErrExpired)
		e.equal(find.name+", expired", got, d)
		_, err = find.by("nobody", t0)
		e.wants(find.name+", unknown", err, store.ErrNotFound)
	}
	sweepAll(e, in(minute+24*time.Hour-time.Microsecond))
	_, err := s.Device(ctx, "d", in(2*minute))
	e.wants("within a day", err, store.ErrExpired)
	sweepAll(e, in(minute+24*time.Hour))
	_, err = s.Device(ctx, "d", in(2*minute))
	e.wants("after a day", err, store.ErrNotFound)
	_, err = s.DeviceByUserCode(ctx, "u", in(2*minute))
	e.wants("after a day, by user code", err, store.ErrNotFound)
}

func deviceOnce(e *env) {
	s, ctx := e.s, e.ctx
	e.must(s.CreateDevice(ctx, store.Device{Hash: "d", UserCodeHash: "u", ExpiresAt: in(minute)}))
	use := func(d *store.Device) error {
		if !d.UsedAt.IsZero() {
			return store.ErrConsumed
		}
		d.UsedAt = t0
		return nil
	}
	got, err := s.UpdateDevice(ctx, "d", use)
	e.must(err)
	e.equal("used at", got.UsedAt, in(0))
	_, err = s.UpdateDevice(ctx, "d", use)
	e.wants("again", err, store.ErrConsumed)
	_, err = s.UpdateDevice(ctx, "nobody", use)
	e.wants("an unknown one", err, store.ErrNotFound)
	for name, change := range map[string]func(*store.Device){
		"the hash": func(d *store.Device) { d.Hash = "x" }, "the user code": func(d *store.Device) { d.UserCodeHash = "x" },
	} {
		_, err = s.UpdateDevice(ctx, "d", func(d *store.Device) error { change(d); return nil })
		e.wants(name+" never changes", err, store.ErrInvalid)
	}
}
