package storetest

import (
	"errors"
	"sync/atomic"
	"time"

	"anteroom/store"
)

var registrationTests = []Test{
	{"a registration token is good for its uses, until it expires or is revoked", registrationUses},
	{"of 32 callers no more win than a registration token has uses", registrationRace},
}

func registrationToken(id string, uses int) store.RegistrationToken {
	return store.RegistrationToken{ID: id, Hash: "hash-" + id, Name: "CI", CreatedBy: "operator", Uses: uses, CreatedAt: t0, ExpiresAt: in(minute)}
}

func registrationUses(e *env) {
	s, ctx := e.s, e.ctx
	e.must(s.CreateRegistrationToken(ctx, registrationToken("a", 2)))
	e.wants("the id again", s.CreateRegistrationToken(ctx, store.RegistrationToken{ID: "a", Hash: "other"}), store.ErrExists)
	e.wants("the hash again", s.CreateRegistrationToken(ctx, store.RegistrationToken{ID: "other", Hash: "hash-a"}), store.ErrExists)
	for i := range 2 {
		at := in(time.Duration(i) * time.Second)
		got := value[store.RegistrationToken](e)(s.UseRegistrationToken(ctx, "hash-a", at))
		want := registrationToken("a", 2)
		want.Used, want.LastUsed = i+1, at
		e.equal("after a use", got, want)
	}
	got, err := s.UseRegistrationToken(ctx, "hash-a", t0)
	e.wants("used up", err, store.ErrConsumed)
	e.equal("used", got.Used, 2)
	_, err = s.RegistrationToken(ctx, "hash-a", t0)
	e.wants("looking at it", err, store.ErrConsumed)

	e.must(s.CreateRegistrationToken(ctx, registrationToken("b", 1)))
	e.equal("looking uses nothing", value[store.RegistrationToken](e)(s.RegistrationToken(ctx, "hash-b", in(minute-time.Microsecond))), registrationToken("b", 1))
	_, err = s.UseRegistrationToken(ctx, "hash-b", in(minute))
	e.wants("expired", err, store.ErrExpired)
	for _, now := range []time.Time{in(time.Second), in(2 * time.Second)} {
		got = value[store.RegistrationToken](e)(s.RevokeRegistrationToken(ctx, "b", now))
		e.equal("revoked once", got.RevokedAt, in(time.Second))
	}
	_, err = s.UseRegistrationToken(ctx, "hash-b", in(minute))
	e.wants("revoked", err, store.ErrRevoked)
	_, err = s.UseRegistrationToken(ctx, "nobody", t0)
	e.wants("unknown", err, store.ErrNotFound)

	sweepAll(e, in(minute+30*24*time.Hour-time.Microsecond))
	_, err = s.RegistrationToken(ctx, "hash-b", t0)
	e.wants("within 30 days", err, store.ErrRevoked)
	sweepAll(e, in(minute+30*24*time.Hour))
	_, err = s.RegistrationToken(ctx, "hash-b", t0)
	e.wants("after 30 days", err, store.ErrNotFound)
}

func registrationRace(e *env) {
	e.must(e.s.CreateRegistrationToken(e.ctx, registrationToken("race", 5)))
	var won, lost atomic.Int64
	e.together([]store.Store{e.s}, func(s store.Store, _ int) {
		switch _, err := s.UseRegistrationToken(e.ctx, "hash-race", t0); {
		case err == nil:
			won.Add(1)
		case errors.Is(err, store.ErrConsumed):
			lost.Add(1)
		default:
			e.Errorf("a caller got %v", err)
		}
	})
	if won.Load() != 5 || lost.Load() != callers-5 {
		e.Errorf("%d won and %d lost, want 5 and %d", won.Load(), lost.Load(), callers-5)
	}
}
