package bolt

import (
	"context"
	"fmt"
	"sync"

	"anteroom/store"

	bbolt "go.etcd.io/bbolt"
)

// op is one verb, ready to run, as often as needed, on any transaction.
type op func(t tx) error

// unit is a unit of work: what it wrote so far, for its own eyes, and the verbs
// that wrote it, for the writer.
type unit struct {
	mu     sync.Mutex
	writes changes
	ops    []op
	lost   error // an inner unit was rolled back
	over   bool
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

// Begin: see store.UnitOfWork.
func (s *Store) Begin(ctx context.Context) (context.Context, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h := &handle{unit: s.open(ctx), inner: true}
	if h.unit == nil {
		h.unit, h.inner = &unit{writes: changes{}}, false
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
	ops, err := h.close()
	if err != nil || len(ops) == 0 {
		return err
	}
	return s.submit(ctx, ops)
}

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
	_, _ = h.close()
	return nil
}

// Do: see store.UnitOfWork.
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
	inner, err := s.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = s.Rollback(inner) }() // after Commit it does nothing
	if err := fn(inner); err != nil {
		return err
	}
	return s.Commit(inner)
}

// Together: see store.UnitOfWork. Every unit shares its commit here.
func (s *Store) Together(ctx context.Context, fn func(ctx context.Context) error) error {
	return s.Do(ctx, fn)
}

// finish is true the first time.
func (h *handle) finish() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := !h.done
	h.done = true
	return first
}

// close ends the unit and returns its verbs, or why it cannot be committed.
func (u *unit) close() ([]op, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = true
	u.writes = nil
	ops := u.ops
	u.ops = nil
	return ops, u.lost
}

func (u *unit) lose(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.lost == nil {
		u.lost = err
	}
}

// write runs a verb: in the unit of ctx, or as a unit of its own.
func (s *Store) write(ctx context.Context, verb op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.fault(FaultWrite); err != nil {
		return err
	}
	if u := s.open(ctx); u != nil {
		return u.run(s, verb)
	}
	return s.submit(ctx, []op{verb})
}

// run runs a verb on the unit's own view, and keeps it for the commit if it went
// well. A verb that fails leaves no trace.
func (u *unit) run(s *Store, verb op) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return fmt.Errorf("the unit of work is over: %w", store.ErrInvalid)
	}
	return s.view(func(base tx) error {
		mine := &overlay{base: base, writes: u.writes}
		step := newOverlay(mine)
		if err := verb(step); err != nil {
			return err
		}
		if _, err := step.flush(); err != nil {
			return err
		}
		u.ops = append(u.ops, verb)
		return nil
	})
}

// read runs a reading verb on what the unit of ctx sees, or on what is committed.
func (s *Store) read(ctx context.Context, verb op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.fault(FaultRead); err != nil {
		return err
	}
	u := s.open(ctx)
	if u == nil {
		return s.view(verb)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return s.view(func(base tx) error { return verb(&overlay{base: base, writes: u.writes}) })
}

// view runs fn on a short read transaction of the file.
func (s *Store) view(fn op) error {
	t, err := s.db.Begin(false)
	if err != nil {
		return unavailable(err)
	}
	defer func(t *bbolt.Tx) { _ = t.Rollback() }(t) // of a read transaction: only closes it
	return fn(boltTx{t})
}
