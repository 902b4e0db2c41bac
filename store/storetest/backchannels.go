package storetest

import (
	"time"

	"anteroom/store"
)

var backchannelTests = []Test{
	{"a backchannel request is found until it expires", backchannelLookups},
	{"a backchannel request waits for its account until somebody decides", backchannelsWait},
	{"a backchannel request is decided and used once", backchannelOnce},
}

func backchannelOf(hash, account string, created, expires time.Time) store.Backchannel {
	return store.Backchannel{Hash: hash, ClientID: "shop", AccountID: account, CreatedAt: created, ExpiresAt: expires}
}

func backchannelLookups(e *env) {
	s, ctx := e.s, e.ctx
	b := backchannelOf("b", "ann", t0, in(minute))
	e.must(s.CreateBackchannel(ctx, b, 5))
	e.wants("the hash again", s.CreateBackchannel(ctx, backchannelOf("b", "bob", t0, in(minute)), 5), store.ErrExists)
	e.equal("alive", value[store.Backchannel](e)(s.Backchannel(ctx, "b", in(minute-time.Microsecond))), b)
	got, err := s.Backchannel(ctx, "b", in(minute))
	e.wants("expired", err, store.ErrExpired)
	e.equal("expired", got, b)
	sweepAll(e, in(minute+24*time.Hour-time.Microsecond))
	_, err = s.Backchannel(ctx, "b", in(2*minute))
	e.wants("within a day", err, store.ErrExpired)
	sweepAll(e, in(minute+24*time.Hour))
	_, err = s.Backchannel(ctx, "b", in(2*minute))
	e.wants("after a day", err, store.ErrNotFound)
	e.must(s.CreateBackchannel(ctx, b, 1))
}

func backchannelsWait(e *env) {
	s, ctx := e.s, e.ctx
	e.world()
	waiting := func(account string, now time.Time) (hashes []string) {
		for _, b := range value[[]store.Backchannel](e)(s.BackchannelsOf(ctx, account, now)) {
			hashes = append(hashes, b.Hash)
		}
		return hashes
	}
	e.equal("nothing", waiting("ann", t0), []string(nil))
	e.must(s.CreateBackchannel(ctx, backchannelOf("1", "ann", t0, in(minute)), 3))
	e.must(s.CreateBackchannel(ctx, backchannelOf("2", "ann", in(time.Second), in(2*minute)), 3))
	e.must(s.CreateBackchannel(ctx, backchannelOf("3", "ann", in(2*time.Second), in(3*minute)), 3))
	e.wants("one too many", s.CreateBackchannel(ctx, backchannelOf("4", "ann", in(3*time.Second), in(3*minute)), 3), store.ErrTooMany)
	e.must(s.CreateBackchannel(ctx, backchannelOf("5", "nobody at all", t0, in(minute)), 3))
	e.must(s.CreateBackchannel(ctx, backchannelOf("6", "bob", t0, in(minute)), 1))
	e.equal("newest first", waiting("ann", t0), []string{"3", "2", "1"})
	e.equal("when one is over", waiting("ann", in(minute)), []string{"3", "2"})
	e.equal("of somebody else", waiting("bob", t0), []string{"6"})
	e.wants("room again", s.CreateBackchannel(ctx, backchannelOf("7", "ann", in(minute), in(3*minute)), 3), nil)
	decided := value[store.Backchannel](e)(s.UpdateBackchannel(ctx, "3", func(b *store.Backchannel) error { b.DecidedAt = t0; return nil }))
	e.equal("decided at", decided.DecidedAt, in(0))
	e.equal("when one is decided", waiting("ann", in(minute)), []string{"7", "2"})
	e.wants("its place is free", s.CreateBackchannel(ctx, backchannelOf("8", "ann", in(minute), in(3*minute)), 3), nil)
}

func backchannelOnce(e *env) {
	s, ctx := e.s, e.ctx
	e.must(s.CreateBackchannel(ctx, backchannelOf("b", "ann", t0, in(minute)), 1))
	use := func(b *store.Backchannel) error {
		if !b.UsedAt.IsZero() {
			return store.ErrConsumed
		}
		b.UsedAt = t0
		return nil
	}
	got, err := s.UpdateBackchannel(ctx, "b", use)
	e.must(err)
	e.equal("used at", got.UsedAt, in(0))
	_, err = s.UpdateBackchannel(ctx, "b", use)
	e.wants("again", err, store.ErrConsumed)
	for name, change := range map[string]func(*store.Backchannel){
		"the hash": func(b *store.Backchannel) { b.Hash = "x" }, "the account": func(b *store.Backchannel) { b.AccountID = "eve" },
	} {
		_, err = s.UpdateBackchannel(ctx, "b", func(b *store.Backchannel) error { change(b); return nil })
		e.wants(name+" never changes", err, store.ErrInvalid)
	}
}
