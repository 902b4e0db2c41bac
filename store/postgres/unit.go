package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"anteroom/store"
)

// unit is a unit of work.
type unit struct {
	mu   sync.Mutex
	tx   *tx
	told *together // not nil: nothing is done yet (together.go)
	lost error     // an inner unit was rolled back
	over bool
	stop func() bool // ends the watch over the context it was begun with
}

// handle is what a context carries: a unit, and whether this context began it.
type handle struct {
	*unit
	inner bool

	mu   sync.Mutex
	done bool // Commit or Rollback was called
}

// inContext is the key of the handle in a context. It holds the store: a context
// may carry units of two of them.
type inContext struct{ *Store }

func (s *Store) handle(ctx context.Context) *handle {
	h, _ := ctx.Value(inContext{s}).(*handle)
	return h
}

// open returns the unit that verbs with ctx belong to, nil if there is none.
func (s *Store) open(ctx context.Context) *unit {
	h := s.handle(ctx)
	if h == nil {
		return nil
	}
	h.unit.mu.Lock()
	defer h.unit.mu.Unlock()
	if h.over {
		return nil
	}
	return h.unit
}

// Begin: see store.UnitOfWork. When ctx ends, a unit that is still open is rolled
// back, so that a caller who forgets it does not keep a connection.
func (s *Store) Begin(ctx context.Context) (context.Context, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h := &handle{unit: s.open(ctx), inner: true}
	if h.unit == nil {
		u := &unit{tx: s.newTx()}
		u.stop = context.AfterFunc(ctx, u.drop)
		h.unit, h.inner = u, false
	}
	return context.WithValue(ctx, inContext{s}, h), nil
}

// Commit: see store.UnitOfWork.
func (s *Store) Commit(ctx context.Context) error {
	h := s.handle(ctx)
	if h == nil || !h.finish() {
		return fmt.Errorf("commit without a unit of work: %w", store.ErrInvalid)
	}
	if h.inner {
		return nil
	}
	h.stop()
	h.unit.mu.Lock()
	defer h.unit.mu.Unlock()
	if h.over {
		return errContextEnded
	}
	h.over = true
	if h.lost != nil {
		h.tx.rollback()
		return h.lost
	}
	return h.tx.commit(ctx)
}

// errContextEnded: the unit was rolled back since the context that it was begun
// with ended.
var errContextEnded = fmt.Errorf("the unit of work ended with the context that it was begun in: %w", context.Canceled)

// Rollback: see store.UnitOfWork.
func (s *Store) Rollback(ctx context.Context) error {
	h := s.handle(ctx)
	if h == nil {
		return fmt.Errorf("rollback without a unit of work: %w", store.ErrInvalid)
	}
	if !h.finish() {
		return nil
	}
	if h.inner {
		h.lose(fmt.Errorf("an inner unit of work was rolled back: %w", store.ErrInvalid))
		return nil
	}
	h.stop()
	h.drop()
	return nil
}

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
	if u := s.open(ctx); u != nil {
		err := fmt.Errorf("it panicked: %w", store.ErrInvalid)
		defer func() {
			if err != nil {
				u.lose(fmt.Errorf("an inner unit of work failed: %w", err))
			}
		}()
		err = fn(ctx)
		return err
	}
	start := time.Now()
	for try := 1; ; try++ {
		err, again := s.try(ctx, fn)
		if err == nil || !again {
			return err
		}
		if try == maxTries || time.Since(start) > retryFor {
			return unavailable(err)
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}

// try runs fn in a new unit, once. again says that the unit was void for a reason
// that passes, whatever fn made of it.
func (s *Store) try(ctx context.Context, fn func(ctx context.Context) error) (err error, again bool) { //nolint:revive,staticcheck // the error is the result
	inner, err := s.Begin(ctx)
	if err != nil {
		return err, false
	}
	defer func() { _ = s.Rollback(inner) }() // after Commit it does nothing
	if err = fn(inner); err == nil {
		err = s.Commit(inner)
	}
	return err, s.handle(inner).again() && ctx.Err() == nil
}

func (u *unit) again() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.tx.again
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

// finish is true the first time.
func (h *handle) finish() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := !h.done
	h.done = true
	return first
}

// drop rolls the unit back if it is open.
func (u *unit) drop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return
	}
	u.over = true
	u.tx.rollback()
}

func (u *unit) lose(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.lost == nil {
		u.lost = err
	}
}

// run runs a verb in the unit's transaction.
func (u *unit) run(ctx context.Context, verb func(ctx context.Context, t *tx) error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return errContextEnded
	}
	if u.told != nil {
		u.told.stray = true
		return errStray
	}
	return verb(ctx, u.tx)
}

// write runs a verb: in the unit of ctx, or as a unit of its own.
func (s *Store) write(ctx context.Context, verb func(ctx context.Context, t *tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if u := s.open(ctx); u != nil {
		return u.run(ctx, verb)
	}
	return s.Do(ctx, func(ctx context.Context) error {
		return s.open(ctx).run(ctx, verb)
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
	if err := ctx.Err(); err != nil {
		return err
	}
	if u := s.open(ctx); u != nil {
		return u.run(ctx, verb)
	}
	start := time.Now()
	for try := 1; ; try++ {
		t := &tx{s: s, auto: true, shared: shared}
		err := t.releasing(ctx, verb)
		if t.spoilt && ctx.Err() == nil {
			shared = false
			continue
		}
		if !t.again || ctx.Err() != nil || try == maxTries || time.Since(start) > retryFor {
			return err
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}
