package bolt

import (
	"context"

	bbolt "go.etcd.io/bbolt"
)

// op is one verb, ready to run, as often as needed, on any transaction.
type op func(t tx) error

// unit is a unit of work: what it wrote so far, for its own eyes, and the verbs
// that wrote it, for the writer.
type unit struct {
	writes changes
	ops    []op
}

func newUnit() *unit { return &unit{writes: changes{}} }

func (u *unit) drop() { u.writes, u.ops = nil, nil }

// Begin: see store.UnitOfWork.
func (s *Store) Begin(ctx context.Context) (context.Context, error) {
	return s.units.Begin(ctx, newUnit)
}

// Commit: see store.UnitOfWork.
func (s *Store) Commit(ctx context.Context) error {
	return s.units.Commit(ctx, func(u *unit) error {
		u.writes = nil
		if len(u.ops) == 0 {
			return nil
		}
		return s.submit(ctx, u.ops)
	})
}

// Rollback: see store.UnitOfWork.
func (s *Store) Rollback(ctx context.Context) error { return s.units.Rollback(ctx) }

// Do: see store.UnitOfWork.
func (s *Store) Do(ctx context.Context, fn func(ctx context.Context) error) error {
	if joined, err := s.units.Join(ctx, fn); joined {
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

// write runs a verb: in the unit of ctx, or as a unit of its own.
func (s *Store) write(ctx context.Context, verb op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.fault(FaultWrite); err != nil {
		return err
	}
	if u := s.units.Open(ctx); u != nil {
		return u.Run(func(u *unit) error { return s.run(u, verb) })
	}
	return s.submit(ctx, []op{verb})
}

// run runs a verb on the unit's own view, and keeps it for the commit if it went
// well. A verb that fails leaves no trace.
func (s *Store) run(u *unit, verb op) error {
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
	u := s.units.Open(ctx)
	if u == nil {
		return s.view(verb)
	}
	return u.Run(func(u *unit) error {
		return s.view(func(base tx) error { return verb(&overlay{base: base, writes: u.writes}) })
	})
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
