package pgtest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Private starts a server for a program that is no test. Close it.
func Private(o Options) (*Server, error) { return start(o) }

// Close stops the server and removes all of it.
func (s *Server) Close() error { return s.keeper.Close() }

// Meter looks at a database of the product from beside.
type Meter struct {
	pool *pgxpool.Pool
	next atomic.Int64 // row to insert
}

// meterConns is how many connections Inserts may use.
const meterConns = 64

// NewMeter connects to the database that dsn names. Close it.
func NewMeter(ctx context.Context, dsn string) (*Meter, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.MaxConns = meterConns
	pool, err := pgxpool.NewWithConfig(ctx, config)
	return &Meter{pool: pool}, err
}

// Close ends its connections.
func (m *Meter) Close() { m.pool.Close() }

// Units is how many units of work were committed.
func (m *Meter) Units(ctx context.Context) (n int64, err error) {
	err = m.pool.QueryRow(ctx, "SELECT count(*) FROM units WHERE NOT fenced").Scan(&n)
	return n, err
}

// Writers counts the transactions of the server that wrote something, whosever:
// only those get an id. Asking takes none.
func (m *Meter) Writers(ctx context.Context) (n int64, err error) {
	err = m.pool.QueryRow(ctx, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").Scan(&n)
	return n, err
}

// Transactions reads pg_stat_database: all transactions, also those that only
// read. Each connection reports its own with a delay of up to StatDelay.
func (m *Meter) Transactions(ctx context.Context) (committed, rolledBack int64, err error) {
	err = m.pool.QueryRow(ctx, "SELECT xact_commit, xact_rollback FROM pg_stat_database WHERE datname = current_database()").Scan(&committed, &rolledBack)
	return committed, rolledBack, err
}

// StatDelay is how long an idle connection may keep its numbers to itself.
const StatDelay = 11 * time.Second

// Inserts returns how many transactions a second insert one row each, begun and
// committed by that many callers for that long.
func (m *Meter) Inserts(ctx context.Context, callers int, d time.Duration) (perSecond float64, err error) {
	if _, err := m.pool.Exec(ctx, "CREATE TABLE IF NOT EXISTS meter (id bigint PRIMARY KEY, value text NOT NULL)"); err != nil {
		return 0, err
	}
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	begin := time.Now()
	for range callers {
		all.Go(func() {
			for time.Since(begin) < d && failed.Load() == nil {
				if err := m.insert(ctx); err != nil {
					failed.Store(&err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(done.Load()) / time.Since(begin).Seconds(), nil
}

func (m *Meter) insert(ctx context.Context) error {
	t, err := m.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = t.Rollback(ctx) }() // after Commit it does nothing
	if _, err := t.Exec(ctx, "INSERT INTO meter (id, value) VALUES ($1, 'value')", m.next.Add(1)); err != nil {
		return err
	}
	return t.Commit(ctx)
}
