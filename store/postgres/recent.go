package postgres

import (
	"context"
	"sync"
	"time"

	"anteroom/store"
)

// maxRecent bounds the rows that are remembered of one kind.
const maxRecent = 4096

// recent remembers what rows said a moment ago, for those that are policy and that
// every request reads. What this node changes it forgets; what another node
// changes is seen when the time is over. An age of zero remembers nothing.
type recent[T any] struct {
	age time.Duration

	mu      sync.Mutex
	changes int // how often it forgot
	rows    map[string]remembered[T]
}

type remembered[T any] struct {
	row T
	at  time.Time // read from the database not before
}

// get returns a copy, or how often it had forgotten, for put.
func (r *recent[T]) get(id string, now time.Time) (row T, changes int, ok bool) {
	if r.age == 0 {
		return row, 0, false
	}
	r.mu.Lock()
	found, ok := r.rows[id]
	changes = r.changes
	r.mu.Unlock()
	if !ok || now.Sub(found.at) >= r.age {
		return row, changes, false
	}
	return store.Canonical(found.row), changes, true
}

// put remembers a row that was asked for at the given time, unless something was
// changed since.
func (r *recent[T]) put(id string, row T, asked time.Time, changes int) {
	if r.age == 0 {
		return
	}
	row = store.Canonical(row)
	r.mu.Lock()
	defer r.mu.Unlock()
	if changes != r.changes {
		return
	}
	if r.rows == nil || len(r.rows) >= maxRecent {
		r.rows = map[string]remembered[T]{}
	}
	r.rows[id] = remembered[T]{row, asked}
}

func (r *recent[T]) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	r.rows = nil
}

// readPolicy reads a row, or remembers it. A unit of work always reads.
func readPolicy[T any](ctx context.Context, s *Store, r *recent[T], id string, get func(context.Context, *tx, string) (T, error)) (row T, err error) {
	asked, inUnit := time.Now(), s.units.Open(ctx) != nil
	row, changes, ok := r.get(id, asked)
	if ok && !inUnit && ctx.Err() == nil && !s.closed.Load() {
		return row, nil
	}
	err = s.lookup(ctx, func(ctx context.Context, t *tx) (err error) {
		row, err = get(ctx, t, id)
		return err
	})
	if err == nil && !inUnit {
		r.put(id, row, asked, changes)
	}
	return row, err
}

// writePolicy is write for what readPolicy reads.
func (s *Store) writePolicy(ctx context.Context, verb func(ctx context.Context, t *tx) error) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		t.policy = true
		return verb(ctx, t)
	})
}
