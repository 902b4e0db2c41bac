package postgres

import (
	"context"
	"math/rand/v2"
	"time"
)

// unit is a unit of work: a transaction, or what it is told to do in one.
type unit struct {
	tx   *tx
	told *together // not nil: nothing is done yet (together.go)
}

func (u *unit) drop() {
	if u.tx != nil {
		u.tx.rollback()
	}
}

// Begin: see store.UnitOfWork.
func (s *Store) Begin(ctx context.Context) (context.Context, error) {
	return s.units.Begin(ctx, s.newUnit)
}

func (s *Store) newUnit() *unit { return &unit{tx: s.newTx()} }

// Commit: see store.UnitOfWork.
func (s *Store) Commit(ctx context.Context) error {
	return s.units.Commit(ctx, func(u *unit) error { return u.tx.commit(ctx) })
}

// Rollback: see store.UnitOfWork.
func (s *Store) Rollback(ctx context.Context) error { return s.units.Rollback(ctx) }

// A unit that failed for a reason that passes is tried again, this often and for
// this long.
const (
	maxTries   = 10
	retryFor   = 5 * time.Second
	firstPause = 4 * time.Millisecond
	longPause  = 500 * time.Millisecond
)

// Do: see store.UnitOfWork. It runs fn again when the transaction was the victim
// of a conflict or of a lost connection, and when it is known not to have been
// committed.
func (s *Store) Do(ctx context.Context, fn func(ctx context.Context) error) error {
	if joined, err := s.units.Join(ctx, fn); joined {
		return err
	}
	return retry(ctx, func() (error, bool) {
		err, again := s.try(ctx, fn)
		if again {
			return unavailable(err), true
		}
		return err, false
	})
}

// retry calls do until it says that there is no need to do it again, with pauses, and
// returns its last error, or that of ctx.
func retry(ctx context.Context, do func() (err error, again bool)) error { //nolint:revive,staticcheck // the error is the result
	start := time.Now()
	for try := 1; ; try++ {
		err, again := do()
		if !again || try == maxTries || time.Since(start) > retryFor {
			return err
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}

// try runs fn in a new unit, once. again says that the unit was void for a reason
// that passes, whatever fn made of it.
func (s *Store) try(ctx context.Context, fn func(ctx context.Context) error) (err error, again bool) { //nolint:revive,staticcheck // the error is the result
	u := s.newUnit()
	inner, err := s.units.Begin(ctx, func() *unit { return u })
	if err != nil {
		return err, false
	}
	defer func() { _ = s.Rollback(inner) }() // after Commit it does nothing
	if err = fn(inner); err == nil {
		err = s.Commit(inner)
	}
	_ = s.Rollback(inner) // now the transaction is nobody else's
	return err, err != nil && u.tx.again && ctx.Err() == nil
}

// pause waits longer each time, and never as long as others do.
func pause(ctx context.Context, try int) error {
	longest := min(firstPause<<try, longPause)
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(longest))) + firstPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run runs a verb in the unit's transaction.
func (u *unit) run(ctx context.Context, verb func(ctx context.Context, t *tx) error) error {
	if u.told != nil {
		u.told.stray = true
		return errStray
	}
	return verb(ctx, u.tx)
}

// join runs a verb in the unit of ctx, if there is one.
func (s *Store) join(ctx context.Context, verb func(ctx context.Context, t *tx) error) (joined bool, err error) {
	if err := ctx.Err(); err != nil {
		return true, err
	}
	u := s.units.Open(ctx)
	if u == nil {
		return false, nil
	}
	return true, u.Run(func(u *unit) error { return u.run(ctx, verb) })
}

// write runs a verb: in the unit of ctx, or as a unit of its own.
func (s *Store) write(ctx context.Context, verb func(ctx context.Context, t *tx) error) error {
	if joined, err := s.join(ctx, verb); joined {
		return err
	}
	return s.Do(ctx, func(ctx context.Context) error {
		_, err := s.join(ctx, verb)
		return err
	})
}

// read runs a verb that only reads, in one statement: in the unit of ctx, or on
// any connection. On a lost connection the latter is tried again.
func (s *Store) read(ctx context.Context, verb func(ctx context.Context, t *tx) error) error {
	return s.reading(ctx, false, verb)
}

// reading is read; shared says that the statement is quick and may go with those
// of others.
func (s *Store) reading(ctx context.Context, shared bool, verb func(ctx context.Context, t *tx) error) error {
	if joined, err := s.join(ctx, verb); joined {
		return err
	}
	return retry(ctx, func() (error, bool) {
		t := &tx{s: s, auto: true, shared: shared}
		err := t.releasing(ctx, verb)
		if t.spoilt && ctx.Err() == nil {
			t = &tx{s: s, auto: true}
			err = t.releasing(ctx, verb)
		}
		return err, t.again && ctx.Err() == nil
	})
}
