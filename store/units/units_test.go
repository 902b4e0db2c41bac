package units

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"anteroom/store"
)

// counted makes units that count how they ended.
type counted struct{ begun, committed, dropped atomic.Int64 }

func (c *counted) units() *Units[*counted] {
	return New(func(c *counted) { c.dropped.Add(1) })
}

func (c *counted) begin() *counted {
	c.begun.Add(1)
	return c
}

func (c *counted) commit(*counted) error {
	c.committed.Add(1)
	return nil
}

func (c *counted) want(t *testing.T, begun, committed, dropped int64) {
	t.Helper()
	if got := [3]int64{c.begun.Load(), c.committed.Load(), c.dropped.Load()}; got != [3]int64{begun, committed, dropped} {
		t.Errorf("%v units begun, committed and dropped, want %v", got, [3]int64{begun, committed, dropped})
	}
}

func TestAUnitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counted
		s := c.units()
		ctx, cancel := context.WithCancel(t.Context())
		unit, err := s.Begin(ctx, c.begin)
		if err != nil {
			t.Fatal(err)
		}
		open := s.Open(unit)
		cancel()
		synctest.Wait()
		c.want(t, 1, 0, 1)
		if s.Open(unit) != nil {
			t.Error("it is open")
		}
		if err := open.Run(c.commit); !errors.Is(err, context.Canceled) {
			t.Errorf("a verb that came in time, and then late: %v", err)
		}
		if err := s.Commit(unit, c.commit); !errors.Is(err, context.Canceled) {
			t.Errorf("commit: %v", err)
		}
		if err := s.Rollback(unit); err != nil {
			t.Errorf("rollback: %v", err)
		}
		if _, err := s.Begin(ctx, c.begin); !errors.Is(err, context.Canceled) {
			t.Errorf("begin: %v", err)
		}
		c.want(t, 1, 0, 1)
	})
}

func TestAUnitIsCommittedOrDroppedAndNeverBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const times = 2000
		var c counted
		s := c.units()
		for range times {
			ctx, cancel := context.WithCancel(t.Context())
			unit, err := s.Begin(ctx, c.begin)
			if err != nil {
				t.Fatal(err)
			}
			go cancel()
			if err := s.Commit(unit, c.commit); err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		c.want(t, times, c.committed.Load(), times-c.committed.Load())
	})
}

func TestInnerUnitsBeginNothingAndDecideNothingButThatAllIsLost(t *testing.T) {
	for _, x := range []struct {
		name  string
		inner func(s *Units[*counted], outer context.Context, c *counted) error
		lost  bool
	}{
		{"committed", func(s *Units[*counted], outer context.Context, c *counted) error {
			inner, err := s.Begin(outer, c.begin)
			return errors.Join(err, s.Commit(inner, c.commit), s.Rollback(inner))
		}, false},
		{"rolled back", func(s *Units[*counted], outer context.Context, c *counted) error {
			inner, err := s.Begin(outer, c.begin)
			return errors.Join(err, s.Rollback(inner), s.Rollback(inner))
		}, true},
		{"joined", func(s *Units[*counted], outer context.Context, _ *counted) error {
			_, err := s.Join(outer, func(context.Context) error { return nil })
			return err
		}, false},
		{"failed", func(s *Units[*counted], outer context.Context, _ *counted) error {
			_, _ = s.Join(outer, func(context.Context) error { return store.ErrInvalid })
			return nil
		}, true},
		{"panicked", func(s *Units[*counted], outer context.Context, _ *counted) error {
			defer func() { _ = recover() }()
			_, _ = s.Join(outer, func(context.Context) error { panic("oh") })
			return nil
		}, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			var c counted
			s := c.units()
			outer, err := s.Begin(t.Context(), c.begin)
			if err != nil {
				t.Fatal(err)
			}
			if err := x.inner(s, outer, &c); err != nil {
				t.Fatal(err)
			}
			err = s.Commit(outer, c.commit)
			if x.lost {
				if !errors.Is(err, store.ErrInvalid) {
					t.Errorf("commit: %v", err)
				}
				c.want(t, 1, 0, 1)
				return
			}
			if err != nil {
				t.Errorf("commit: %v", err)
			}
			c.want(t, 1, 1, 0)
		})
	}
}

func TestAContextCarriesUnitsOfSeveralStores(t *testing.T) {
	var a, b counted
	as, bs := a.units(), b.units()
	ctx, err := as.Begin(t.Context(), a.begin)
	if err != nil {
		t.Fatal(err)
	}
	if bs.Open(ctx) != nil {
		t.Error("the unit of one store is that of another")
	}
	both, err := bs.Begin(ctx, b.begin)
	if err != nil {
		t.Fatal(err)
	}
	if err := bs.Commit(both, b.commit); err != nil {
		t.Error(err)
	}
	if as.Open(both) == nil {
		t.Error("the unit of the first store is over with that of the second")
	}
	if err := as.Rollback(both); err != nil {
		t.Error(err)
	}
	a.want(t, 1, 0, 1)
	b.want(t, 1, 1, 0)
}
