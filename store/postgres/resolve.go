package postgres

import (
	"context"
	"fmt"
	"time"

	"anteroom/store"

	"github.com/jackc/pgx/v5"
)

// Limits of finding out about a commit. A server that restarts is usually back
// within the first; the second bounds one look.
const (
	resolveWithin = 10 * time.Second
	lookWithin    = 4 * time.Second
	lookEvery     = 100 * time.Millisecond
)

// expired is a context that is over.
var expired = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// resolve finds out whether a unit whose COMMIT was not answered took place: nil
// if it did. If it did not, it never will (a fence is in its place), and the unit
// may be tried again. If the server says neither in time, the outcome stays
// unknown, and nothing is acknowledged.
func (t *tx) resolve(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, t.s.resolveWithin)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		committed, err := t.s.look(ctx, t.id)
		switch {
		case err == nil && committed:
			t.s.committed(t)
			return nil
		case err == nil:
			t.again = true
			t.lost = fmt.Errorf("%w: the connection was lost before the commit: %w", store.ErrUnavailable, cause)
			return t.lost
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.lost = fmt.Errorf("%w: the connection was lost at the commit, and the database did not say in time whether it took place: %w", store.ErrUnavailable, cause)
			t.s.log.Error("the outcome of a commit stays unknown; it was not acknowledged", "unit", t.id, "error", err)
			return t.lost
		}
	}
}

// look tells whether a unit was committed, and makes sure that the answer stays
// true: it puts a fence where the unit's row would go. The insert waits for a
// transaction that is still running.
func (s *Store) look(ctx context.Context, id string) (committed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	tag, err := conn.Exec(ctx, fenceUnit, id)
	if err != nil {
		return false, err
	}
	if tag.RowsAffected() == 1 {
		return false, nil
	}
	var fenced bool
	err = conn.QueryRow(ctx, unitFenced, id).Scan(&fenced)
	if err == pgx.ErrNoRows { //nolint:errorlint // never wrapped
		return false, fmt.Errorf("the row of unit %s was swept", id)
	}
	return !fenced, err
}
