package postgres

import (
	"context"
	"fmt"
	"time"

	"anteroom/store"

	"github.com/jackc/pgx/v5"
)

// RecordFailure: see store.Failures.
func (s *Store) RecordFailure(ctx context.Context, name string, now time.Time, window time.Duration) (f store.Failure, err error) {
	name = store.CounterKey(name)
	if err := store.CheckIdentity(name); err != nil {
		return f, err
	}
	now = store.Time(now)
	err = s.write(ctx, func(ctx context.Context, t *tx) error {
		f = store.Failure{Key: name}
		_, err := t.statement(ctx, `INSERT INTO failures (key, count, first_at, last_at, until) VALUES ($1, 1, $2, $2, $3)
			ON CONFLICT (key) DO UPDATE SET
				count    = CASE WHEN failures.until > excluded.last_at THEN failures.count + 1 ELSE 1 END,
				first_at = CASE WHEN failures.until > excluded.last_at THEN failures.first_at ELSE excluded.first_at END,
				until    = CASE WHEN failures.until > excluded.last_at THEN failures.until ELSE excluded.until END,
				last_at  = excluded.last_at
			RETURNING count, first_at, last_at, until`, []any{name, now, store.Time(now.Add(window))},
			func(r pgx.Rows) error { return scanFailure(r, &f) })
		if err != nil {
			return err
		}
		t.wrote = true
		if f.Count > 1 {
			return nil
		}
		return s.makeRoom(ctx, t, name)
	})
	return f, err
}

func scanFailure(r pgx.Rows, f *store.Failure) error {
	return r.Scan(&f.Count, when{&f.First}, when{&f.Last}, when{&f.Until})
}

// countEvery is how many new keys this node records before it counts them all
// again: what a full table may hold above its bound, for each node. A small bound
// is exact.
func (s *Store) countEvery() int64 { return int64(s.maxFailures / 256) }

// makeRoom forgets what ends first, if there are too many keys; never the one just
// recorded, nor one that somebody else is at.
func (s *Store) makeRoom(ctx context.Context, t *tx, recorded string) error {
	if s.newFailures.Add(1) <= s.countEvery() {
		return nil
	}
	s.newFailures.Store(0)
	var count int
	if _, err := t.statement(ctx, `SELECT count(*) FROM failures`, nil, func(r pgx.Rows) error { return r.Scan(&count) }); err != nil {
		return err
	}
	if count <= s.maxFailures {
		return nil
	}
	_, err := t.exec(ctx, `DELETE FROM failures WHERE key IN (
		SELECT key FROM failures WHERE key <> $1 ORDER BY until, key LIMIT $2 FOR UPDATE SKIP LOCKED)`, recorded, count-s.maxFailures)
	return err
}

// Failure: see store.Failures.
func (s *Store) Failure(ctx context.Context, name string, now time.Time) (f store.Failure, err error) {
	name = store.CounterKey(name)
	err = s.lookup(ctx, func(ctx context.Context, t *tx) error {
		f = store.Failure{}
		_, err := t.statement(ctx, `SELECT count, first_at, last_at, until FROM failures WHERE key = $1 AND until > $2`, []any{name, at(now)},
			func(r pgx.Rows) error {
				f.Key = name
				return scanFailure(r, &f)
			})
		return err
	})
	return f, err
}

// ClearFailures: see store.Failures.
func (s *Store) ClearFailures(ctx context.Context, name string) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `DELETE FROM failures WHERE key = $1`, store.CounterKey(name))
		return err
	})
}

// useOnce: a record that expired makes room for the next. What has expired is
// judged by the first of those who ask at once.
var useOnce = set(`INSERT INTO used_once (space, key, until) SELECT k.space, k.key, k.until FROM ` +
	told("k", "space text", "key text", "until timestamptz", "now timestamptz") + `
	ON CONFLICT (space, key) DO UPDATE SET until = excluded.until WHERE used_once.until <= (SELECT min(n) FROM unnest($4::timestamptz[]) AS n)
	RETURNING space || ' ' || key`)

// UseOnce: see store.Once.
func (s *Store) UseOnce(ctx context.Context, space, name string, now, until time.Time) error {
	space, name = store.Text(space), store.CounterKey(name)
	if err := store.CheckIdentity(space, name); err != nil {
		return err
	}
	// Forgetting an expired record along with the new one changes nothing.
	forget := line{`DELETE FROM used_once WHERE space = $1 AND key = $2`, []any{space, name}}
	use := step{rankOnce, space + " " + name, useOnce, []any{space, name, store.Time(until), store.Time(now)}, []line{forget}}
	if s.tells(ctx, use) {
		return nil
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.run(ctx, use)
		if err == nil && n == 0 {
			return fmt.Errorf("%s: %w", space, store.ErrConsumed)
		}
		return err
	})
}
