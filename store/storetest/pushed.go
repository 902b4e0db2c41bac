package storetest

import (
	"time"

	"anteroom/store"
)

var pushedTests = []Test{
	{"a pushed request is there until it expires, and used once by whoever began in time", pushedRequest},
}

func pushedRequest(e *env) {
	s, ctx := e.s, e.ctx
	r := store.PushedRequest{Hash: "p", ClientID: "c", Sealed: []byte{1, 2}, CreatedAt: t0, ExpiresAt: in(minute)}
	e.must(s.PushRequest(ctx, r))
	e.wants("the hash again", s.PushRequest(ctx, store.PushedRequest{Hash: "p", ExpiresAt: in(minute)}), store.ErrExists)
	for range 2 {
		got, err := s.PushedRequest(ctx, "p", in(minute-time.Microsecond))
		e.must(err)
		e.equal("looking changes nothing", got, r)
	}
	got, err := s.PushedRequest(ctx, "p", in(minute))
	e.wants("expired", err, store.ErrExpired)
	e.equal("expired", got, r)
	e.wants("use it late", s.UsePushedRequest(ctx, "p", in(2*minute)), nil)
	e.wants("use it again", s.UsePushedRequest(ctx, "p", t0), store.ErrConsumed)
	got, err = s.PushedRequest(ctx, "p", t0)
	e.wants("used", err, store.ErrConsumed)
	e.equal("when", got.UsedAt, in(2*minute))
	_, err = s.PushedRequest(ctx, "p", in(time.Hour))
	e.wants("used and expired", err, store.ErrConsumed)
	sweepAll(e, in(minute+24*time.Hour-time.Microsecond))
	_, err = s.PushedRequest(ctx, "p", t0)
	e.wants("within a day", err, store.ErrConsumed)
	sweepAll(e, in(minute+24*time.Hour))
	_, err = s.PushedRequest(ctx, "p", t0)
	e.wants("after a day", err, store.ErrNotFound)
}
