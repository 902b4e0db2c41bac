package postgres

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/store"
	"anteroom/store/postgres/pgtest"

	"github.com/jackc/pgx/v5/pgxpool"
)

// BenchmarkUnits measures units of work a second beside a transaction that inserts
// one row, at 1, 16 and 64 callers, on a server that syncs. "refresh" is what a
// refresh of tokens writes: a token used up, the next one, an audit entry.
func BenchmarkUnits(b *testing.B) {
	server := pgtest.Start(b, pgtest.Options{Durable: true})
	dsn := server.Database(b)
	s, err := Open(b.Context(), dsn, Options{Log: quiet(), MaxConns: 64})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	pool, err := pgxpool.New(b.Context(), dsn+"&pool_max_conns=64")
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(b.Context(), "CREATE TABLE plain (id bigint PRIMARY KEY, value text NOT NULL)"); err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	now := time.Now()
	for _, callers := range []int{1, 16, 64} {
		for _, c := range []struct {
			name string
			do   func(ctx context.Context, caller int) error
		}{
			{"insert", func(ctx context.Context, _ int) error {
				t, err := pool.Begin(ctx)
				if err != nil {
					return err
				}
				if _, err := t.Exec(ctx, "INSERT INTO plain (id, value) VALUES ($1, 'value')", n.Add(1)); err != nil {
					return err
				}
				return t.Commit(ctx)
			}},
			{"one verb", func(ctx context.Context, _ int) error {
				return s.UseOnce(ctx, "bench", fmt.Sprint(n.Add(1)), now, now.Add(time.Hour))
			}},
			{"refresh", refresher(b, s, callers, now)},
		} {
			b.Run(fmt.Sprintf("%s/%d callers", c.name, callers), func(b *testing.B) {
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				for caller := range callers {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							if err := c.do(b.Context(), caller); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "units/s")
			})
		}
	}
}

// refresher gives each caller a family of its own, and rotates its token.
func refresher(b *testing.B, s *Store, callers int, now time.Time) func(context.Context, int) error {
	leaf := make([]int, callers)
	name := func(caller int) string { return fmt.Sprintf("%d-%d-%d", callers, caller, leaf[caller]) }
	token := func(caller int) store.RefreshToken {
		return store.RefreshToken{Hash: name(caller), GrantID: fmt.Sprintf("%d-%d", callers, caller), Scopes: []string{"openid"}, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
	}
	for caller := range callers {
		t := token(caller)
		if err := s.CreateGrant(b.Context(), store.Grant{ID: t.GrantID, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}); err != nil {
			b.Fatal(err)
		}
		if err := s.CreateRefreshToken(b.Context(), t); err != nil {
			b.Fatal(err)
		}
	}
	return func(ctx context.Context, caller int) error {
		old := name(caller)
		leaf[caller]++
		next := token(caller)
		return s.Do(ctx, func(ctx context.Context) error {
			if err := s.RotateRefreshToken(ctx, old, next, now); err != nil {
				return err
			}
			return s.AppendAudit(ctx, store.AuditEvent{At: now, Type: "grant.refreshed", Actor: "system", AccountID: "ann"})
		})
	}
}
