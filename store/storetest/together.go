package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"anteroom/store"
)

var togetherTests = []Test{
	{"what 32 callers do together is done whole or not at all", togetherWhole},
	{"who loses together with others does not disturb them", togetherNeighbours},
	{"together is Do for whatever it is given", togetherAnything},
}

// used tells whether a value was used once, and uses it.
func used(e *env, name string) bool {
	e.Helper()
	err := e.s.UseOnce(e.ctx, "mark", name, t0, in(minute))
	if err != nil && !errors.Is(err, store.ErrConsumed) {
		e.Fatalf("unexpected error: %v", err)
	}
	return err != nil
}

func token(hash, grantID string) store.RefreshToken {
	return store.RefreshToken{Hash: hash, GrantID: grantID, IssuedAt: t0, ExpiresAt: in(time.Hour)}
}

// togetherWhole has units use a value of their own, something that one of them
// gets, and write an entry. The losers come upon the loss at the beginning, in the
// middle or at the end.
func togetherWhole(e *env) {
	stores := e.handles()
	issue(e, "g", nil)
	e.must(e.s.CreateRefreshToken(e.ctx, token("first", "g")))
	for _, c := range []struct {
		name string
		use  func(ctx context.Context, s store.Store, i int) error
		lost error
	}{
		{"redeem", func(ctx context.Context, s store.Store, i int) error {
			return errors.Join(s.RedeemCode(ctx, "code-g", t0), s.CreateRefreshToken(ctx, token(fmt.Sprint("redeem-", i), "g")))
		}, store.ErrConsumed},
		{"rotate", func(ctx context.Context, s store.Store, i int) error {
			return s.RotateRefreshToken(ctx, "first", token(fmt.Sprint("rotate-", i), "g"), t0)
		}, store.ErrConsumed},
		{"once", func(ctx context.Context, s store.Store, _ int) error {
			return s.UseOnce(ctx, "contested", "x", t0, in(minute))
		}, store.ErrConsumed},
		{"grant", func(ctx context.Context, s store.Store, _ int) error {
			return s.CreateGrant(ctx, store.Grant{ID: "contested", CreatedAt: t0, ExpiresAt: in(time.Hour)})
		}, store.ErrExists},
		{"taken hash", func(ctx context.Context, s store.Store, _ int) error {
			return s.CreateRefreshToken(ctx, token("contested", "g"))
		}, store.ErrExists},
	} {
		won := make([]bool, callers)
		e.together(stores, func(s store.Store, i int) {
			err := s.Together(e.ctx, func(ctx context.Context) error {
				mark := s.UseOnce(ctx, "mark", fmt.Sprint(c.name, i), t0, in(minute))
				if i%2 == 0 {
					return errors.Join(mark, c.use(ctx, s, i), s.AppendAudit(ctx, event(c.name, fmt.Sprint(i), t0)))
				}
				return errors.Join(s.AppendAudit(ctx, event(c.name, fmt.Sprint(i), t0)), c.use(ctx, s, i), mark)
			})
			won[i] = err == nil
			if err != nil && !errors.Is(err, c.lost) {
				e.Errorf("%s: a loser got %v, want %v", c.name, err, c.lost)
			}
		})
		winners := 0
		for i := range callers {
			if won[i] {
				winners++
			}
			e.equal(fmt.Sprintf("%s: what unit %d used", c.name, i), used(e, fmt.Sprint(c.name, i)), won[i])
			_, _, err := e.s.RefreshToken(e.ctx, fmt.Sprint(c.name, "-", i), t0)
			if adds := c.name == "redeem" || c.name == "rotate"; adds {
				e.equal(fmt.Sprintf("%s: the token of unit %d", c.name, i), err == nil, won[i])
			}
		}
		e.equal(c.name+": winners", winners, 1)
	}
	e.equal("entries", len(verifyChain(e, e.s)), 5)
}

// togetherNeighbours has every second unit lose against something that happened
// before, having touched another row.
func togetherNeighbours(e *env) {
	stores := e.handles()
	issue(e, "used", nil)
	e.must(e.s.RedeemCode(e.ctx, "code-used", t0))
	for i := range callers {
		id := fmt.Sprint("g", i)
		issue(e, id, nil)
		e.must(e.s.CreateRefreshToken(e.ctx, token("token-"+id, id)))
	}
	e.together(stores, func(s store.Store, i int) {
		id := fmt.Sprint("g", i)
		err := s.Together(e.ctx, func(ctx context.Context) error {
			if err := s.RotateRefreshToken(ctx, "token-"+id, token("next-"+id, id), t0); err != nil {
				return err
			}
			if i%2 == 1 {
				return s.RedeemCode(ctx, "code-used", t0)
			}
			return s.AppendAudit(ctx, event("rotated", id, t0))
		})
		e.wants("unit "+id, err, map[int]error{1: store.ErrConsumed}[i%2])
	})
	for i := range callers {
		id := fmt.Sprint("g", i)
		_, _, err := e.s.RefreshToken(e.ctx, "token-"+id, t0)
		e.wants("the old token of "+id, err, map[int]error{0: store.ErrConsumed}[i%2])
		_, _, err = e.s.RefreshToken(e.ctx, "next-"+id, t0)
		e.wants("the new token of "+id, err, map[int]error{1: store.ErrNotFound}[i%2])
	}
	e.equal("entries", len(verifyChain(e, e.s)), callers/2)
}

func togetherAnything(e *env) {
	s, mine := e.s, errors.New("mine")
	e.wants("nothing", s.Together(e.ctx, func(context.Context) error { return nil }), nil)
	e.wants("an error of the caller's", s.Together(e.ctx, func(ctx context.Context) error {
		e.must(s.UseOnce(ctx, "mark", "mine", t0, in(minute)))
		return mine
	}), mine)
	e.equal("what it used", used(e, "mine"), false)
	e.wants("verbs of every kind", s.Together(e.ctx, func(ctx context.Context) error {
		if err := s.UseOnce(ctx, "mark", "kinds", t0, in(minute)); err != nil {
			return err
		}
		if err := s.SetMeta(ctx, "kinds", "1"); err != nil {
			return err
		}
		_, err := s.Meta(ctx, "kinds") // its own write
		return err
	}), nil)
	e.equal("what it used", used(e, "kinds"), true)
	e.equal("what it wrote", known(e, "kinds"), []bool{true})
	e.wants("the error of an inner unit, swallowed", s.Together(e.ctx, func(ctx context.Context) error {
		_ = s.Do(ctx, func(context.Context) error { return mine })
		return s.UseOnce(ctx, "mark", "inner", t0, in(minute))
	}), mine)
	e.equal("what it used", used(e, "inner"), false)

	ended, end := context.WithCancel(e.ctx)
	end()
	e.wants("an ended context", s.Together(ended, func(ctx context.Context) error {
		return s.UseOnce(ctx, "mark", "ended", t0, in(minute))
	}), context.Canceled)
	e.equal("what it used", used(e, "ended"), false)

	outer, err := s.Begin(e.ctx)
	e.must(err)
	e.wants("within a unit", s.Together(outer, func(ctx context.Context) error {
		return errors.Join(s.UseOnce(ctx, "mark", "outer", t0, in(minute)), s.AppendAudit(ctx, event("outer", "ann", t0)))
	}), nil)
	e.wants("that is rolled back", s.Rollback(outer), nil)
	e.equal("what it used", used(e, "outer"), false)
	e.equal("entries", len(verifyChain(e, s)), 0)
}
