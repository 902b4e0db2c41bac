// Package units is what units of work have in common in every store: the context
// that carries one, who may end it, what becomes of it when an inner unit fails, and
// that it ends with its context. What a unit holds, W, is the store's own affair.
//
//	Begin ── Run, Run, ... ── Commit    the work is the store's to make durable
//	                      └── Rollback  it is dropped; so it is when the context ends
//
// A unit that is over is as if there were none: Open returns nil.
package units

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"anteroom/store"
)

// Units are those of one store. A context may carry units of several.
type Units[W any] struct {
	drop func(W)
}

// New makes the units of a store. drop is called once for each unit that is not
// committed.
func New[W any](drop func(W)) *Units[W] { return &Units[W]{drop} }

// Unit is a unit of work.
type Unit[W any] struct {
	mu   sync.Mutex
	work W
	lost error // an inner unit was rolled back
	over error // why it can do nothing more
	stop func() bool
}

// handle is what a context carries: a unit, and whether this context began it.
type handle[W any] struct {
	*Unit[W]
	inner bool
	done  atomic.Bool // Commit or Rollback was called
}

// inContext is the key of the handle in a context.
type inContext[W any] struct{ *Units[W] }

var (
	errOver  = fmt.Errorf("the unit of work is over: %w", store.ErrInvalid)
	errEnded = fmt.Errorf("the unit of work ended with the context that it was begun in: %w", context.Canceled)
)

func (s *Units[W]) handle(ctx context.Context) *handle[W] {
	h, _ := ctx.Value(inContext[W]{s}).(*handle[W])
	return h
}

// Open returns the unit that verbs with ctx belong to, nil if there is none.
func (s *Units[W]) Open(ctx context.Context) *Unit[W] {
	h := s.handle(ctx)
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over != nil {
		return nil
	}
	return h.Unit
}

// Begin: see store.UnitOfWork. begin makes the work of a unit that joins no other.
// When ctx ends, a unit that is still open is rolled back, so that a caller who
// forgets it keeps nothing.
func (s *Units[W]) Begin(ctx context.Context, begin func() W) (context.Context, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h := &handle[W]{Unit: s.Open(ctx), inner: true}
	if h.Unit == nil {
		u := &Unit[W]{work: begin()}
		u.stop = context.AfterFunc(ctx, func() { s.end(u, errEnded) })
		h.Unit, h.inner = u, false
	}
	return context.WithValue(ctx, inContext[W]{s}, h), nil
}

// Commit: see store.UnitOfWork. commit makes the work durable; nobody else has it
// any more.
func (s *Units[W]) Commit(ctx context.Context, commit func(W) error) error {
	h := s.handle(ctx)
	if h == nil || h.done.Swap(true) {
		return fmt.Errorf("commit without a unit of work: %w", store.ErrInvalid)
	}
	if h.inner {
		return nil
	}
	h.stop()
	lost, err := h.close()
	if err != nil {
		return err
	}
	if lost != nil {
		s.drop(h.work)
		return lost
	}
	return commit(h.work)
}

// close ends the unit for everybody but its caller, and says why it is lost, if it is.
func (u *Unit[W]) close() (lost, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over != nil {
		return nil, u.over
	}
	u.over = errOver
	return u.lost, nil
}

// Rollback: see store.UnitOfWork.
func (s *Units[W]) Rollback(ctx context.Context) error {
	h := s.handle(ctx)
	if h == nil {
		return fmt.Errorf("rollback without a unit of work: %w", store.ErrInvalid)
	}
	if h.done.Swap(true) {
		return nil
	}
	if h.inner {
		h.lose(fmt.Errorf("an inner unit of work was rolled back: %w", store.ErrInvalid))
		return nil
	}
	h.stop()
	s.end(h.Unit, errOver)
	return nil
}

// end drops what the unit holds, if it is open.
func (s *Units[W]) end(u *Unit[W], why error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over != nil {
		return
	}
	u.over = why
	s.drop(u.work)
}

// Join runs fn in the unit of ctx, if there is one: the part of store.UnitOfWork's
// Do that concerns inner units. A unit whose inner one fails or panics is lost.
func (s *Units[W]) Join(ctx context.Context, fn func(ctx context.Context) error) (joined bool, err error) {
	u := s.Open(ctx)
	if u == nil {
		return false, nil
	}
	err = fmt.Errorf("it panicked: %w", store.ErrInvalid)
	defer func() {
		if err != nil {
			u.lose(fmt.Errorf("an inner unit of work failed: %w", err))
		}
	}()
	err = fn(ctx)
	return true, err
}

func (u *Unit[W]) lose(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.lost == nil {
		u.lost = err
	}
}

// Run hands the work to do, and to nobody else meanwhile. A unit that is over by now
// does nothing and says why.
func (u *Unit[W]) Run(do func(W) error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over != nil {
		return u.over
	}
	return do(u.work)
}
