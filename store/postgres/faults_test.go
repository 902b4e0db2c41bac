package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/store"
	"anteroom/store/postgres/pgtest"

	"github.com/jackc/pgx/v5/pgxpool"
)

func openAt(t *testing.T, dsn string, opts Options) *Store {
	t.Helper()
	if opts.Log == nil {
		opts.Log = quiet()
	}
	s, err := Open(t.Context(), dsn, opts)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// ledger is what callers were told about their units.
type ledger struct {
	mu       sync.Mutex
	acked    map[string]error
	together map[string]bool // which are twoValues
}

func (l *ledger) note(name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acked == nil {
		l.acked = map[string]error{}
	}
	l.acked[name] = err
}

// twoRows is a unit that writes a row of its own, counts in a shared one, and
// reports both.
func twoRows(s *Store, name string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if err := s.UseOnce(ctx, "unit", name, time.Now(), time.Now().Add(time.Hour)); err != nil {
			return err
		}
		if _, err := s.RecordFailure(ctx, "units", time.Now(), time.Hour); err != nil {
			return err
		}
		return s.AppendAudit(ctx, store.AuditEvent{At: time.Now(), Type: "unit", Actor: "system", AccountID: name})
	}
}

// twoValues is a unit like twoRows that can be told before it is done.
func twoValues(s *Store, name string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		return errors.Join(
			s.UseOnce(ctx, "unit", name, time.Now(), time.Now().Add(time.Hour)),
			s.UseOnce(ctx, "together", name, time.Now(), time.Now().Add(time.Hour)),
			s.AppendAudit(ctx, store.AuditEvent{At: time.Now(), Type: "unit", Actor: "system", AccountID: name}))
	}
}

// check compares what callers were told with what is there: a unit is there,
// whole and once, if and only if it was acknowledged.
func (l *ledger) check(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	events := map[string]int{}
	prev := ""
	for after := ""; ; {
		rows, next, err := s.AuditEvents(ctx, store.AuditFilter{}, store.Page{After: after, Limit: 1000})
		if err != nil {
			t.Fatalf("read the audit log: %v", err)
		}
		for _, e := range rows {
			events[e.AccountID]++
			if e.PrevHash != prev || e.Hash != store.AuditHash(e) {
				t.Fatalf("the chain breaks at entry %d", e.Seq)
			}
			prev = e.Hash
		}
		if after = next; after == "" {
			break
		}
	}
	counted := 0
	for name, told := range l.acked {
		present := errors.Is(s.UseOnce(ctx, "unit", name, time.Now(), time.Now().Add(time.Second)), store.ErrConsumed)
		want := 0
		if told == nil {
			want = 1
		}
		if l.together[name] {
			both := errors.Is(s.UseOnce(ctx, "together", name, time.Now(), time.Now().Add(time.Second)), store.ErrConsumed)
			if both != present {
				t.Errorf("unit %s is there by half", name)
			}
		} else if present {
			counted++
		}
		if (told == nil) != present || events[name] != want {
			t.Errorf("unit %s: told %v, present %v, %d events", name, told, present, events[name])
		}
		if told != nil && !errors.Is(told, store.ErrUnavailable) {
			t.Errorf("unit %s: told %v, want ErrUnavailable", name, told)
		}
	}
	f, err := s.Failure(ctx, "units", time.Now())
	if err != nil || f.Count != counted {
		t.Errorf("the shared count is %d (%v), want %d", f.Count, err, counted)
	}
	t.Logf("%d units, %d of them told together", len(l.acked), len(l.together))
}

// noteTogether is note for twoValues.
func (l *ledger) noteTogether(name string, err error) {
	l.note(name, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.together == nil {
		l.together = map[string]bool{}
	}
	l.together[name] = true
}

// load runs units of both kinds from several callers until the context ends.
func (l *ledger) load(ctx context.Context, s *Store, callers int) *sync.WaitGroup {
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("%d-%d", c, i)
				if (c+i)%2 == 0 {
					l.note(name, s.Do(context.WithoutCancel(ctx), twoRows(s, name)))
				} else {
					l.noteTogether(name, s.Together(context.WithoutCancel(ctx), twoValues(s, name)))
				}
			}
		})
	}
	return &wg
}

func TestTerminatedBackendsLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	s := openAt(t, dsn, Options{MaxConns: 6})
	database := pgtest.Name(dsn)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var l ledger
	wg := l.load(ctx, s, 6)
	for ctx.Err() == nil {
		server.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+database+"'")
		time.Sleep(15 * time.Millisecond)
	}
	wg.Wait()
	l.check(t, s)
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("not ready after that: %v", err)
	}
}

func TestTheAuditLogIsReadAlthoughEveryConnectionWasLost(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	const conns = 8
	s := openAt(t, dsn, Options{MaxConns: conns})
	var held []*pgxpool.Conn
	for range conns {
		c, err := s.pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	server.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+pgtest.Name(dsn)+"'")
	for _, c := range held {
		c.Release()
	}
	if _, _, err := s.AuditEvents(t.Context(), store.AuditFilter{}, store.Page{}); err != nil {
		t.Error(err)
	}
}

func TestRestartsLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{Durable: true})
	s := openAt(t, server.Database(t), Options{MaxConns: 6})
	ctx, cancel := context.WithCancel(t.Context())
	var l ledger
	wg := l.load(ctx, s, 6)
	for _, mode := range []string{"fast", "immediate", "fast"} {
		time.Sleep(300 * time.Millisecond)
		server.Stop(t, mode)
		if err := s.Ready(t.Context()); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "cannot be reached") {
			t.Errorf("ready without a server: %v", err)
		}
		server.Start(t)
	}
	time.Sleep(300 * time.Millisecond)
	cancel()
	wg.Wait()
	l.check(t, s)
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("not ready after that: %v", err)
	}
}

func TestAnUnansweredCommitIsResolvedByReading(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	for _, c := range []struct {
		name   string
		f      pgtest.Fault
		commit bool // what a unit that is not tried again is told
		either bool // it is a race, and only has to end in one truth
	}{
		{"the answer is dropped", pgtest.DropAnswer, true, false},
		{"the commit is dropped", pgtest.DropCommit, false, false},
		{"the commit comes late", pgtest.LateCommit, true, true},
		{"the whole of it comes late", pgtest.LateUnit, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dsn := server.Database(t)
			p := pgtest.NewProxy(t, server)
			s := openAt(t, p.Before(dsn), Options{MaxConns: 4})
			var l ledger
			for i := range 6 {
				once, again := fmt.Sprint("once-", i), fmt.Sprint("again-", i)
				ctx, err := s.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := twoRows(s, once)(ctx); err != nil {
					t.Fatal(err)
				}
				p.Next(c.f)
				err = s.Commit(ctx)
				l.note(once, err)
				if (err == nil) != c.commit && !c.either {
					t.Errorf("commit: %v, want success %v", err, c.commit)
				}
				p.Next(c.f)
				var runs atomic.Int32
				err = s.Do(t.Context(), func(ctx context.Context) error {
					runs.Add(1)
					return twoRows(s, again)(ctx)
				})
				l.note(again, err)
				if err != nil {
					t.Errorf("a unit that may be tried again: %v", err)
				}
				if want := map[bool]int32{true: 1, false: 2}[c.commit]; runs.Load() != want && !c.either {
					t.Errorf("the unit ran %d times, want %d", runs.Load(), want)
				}
				shared := fmt.Sprint("together-", i)
				p.Next(c.f)
				err = s.Together(t.Context(), twoValues(s, shared))
				l.noteTogether(shared, err)
				if err != nil {
					t.Errorf("a unit together with others: %v", err)
				}
			}
			p.Settle()
			if got := p.Struck(); got != 18 {
				t.Errorf("the proxy struck %d times, want 18", got)
			}
			l.check(t, s)
		})
	}
}

func TestACommitWithoutAServerIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{Durable: true})
	s := openAt(t, server.Database(t), Options{})
	s.resolveWithin = 500 * time.Millisecond
	ctx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetMeta(ctx, "a", "1"); err != nil {
		t.Fatal(err)
	}
	server.Stop(t, "immediate")
	start := time.Now()
	if err := s.Commit(ctx); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("commit: %v, want ErrUnavailable", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %v to give up", took)
	}
	if _, err := s.Meta(t.Context(), "a"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("read: %v, want ErrUnavailable", err)
	}
	server.Start(t)
	if _, err := s.Meta(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("read after the restart: %v, want ErrNotFound", err)
	}
}

func TestDeadlocksAreTriedAgain(t *testing.T) {
	t.Parallel()
	s := openAt(t, pgtest.Database(t), Options{})
	for _, name := range []string{"a", "b"} {
		if err := s.SetMeta(t.Context(), name, ""); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	var first sync.WaitGroup
	first.Add(2)
	for _, order := range [][]string{{"a", "b"}, {"b", "a"}} {
		wg.Go(func() {
			met := false
			err := s.Do(t.Context(), func(ctx context.Context) error {
				if err := s.SetMeta(ctx, order[0], "1"); err != nil {
					return err
				}
				if !met {
					met = true
					first.Done()
					first.Wait()
				}
				return s.SetMeta(ctx, order[1], "1")
			})
			if err != nil {
				t.Errorf("%v: %v", order, err)
			}
		})
	}
	wg.Wait()
}

func TestAForgottenUnitGivesItsConnectionBack(t *testing.T) {
	t.Parallel()
	s := openAt(t, pgtest.Database(t), Options{MaxConns: 1})
	ctx, cancel := context.WithCancel(t.Context())
	unit, err := s.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetMeta(unit, "a", "1"); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := s.Meta(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("read with the only connection: %v, want ErrNotFound", err)
	}
	if err := s.Commit(context.WithoutCancel(unit)); !errors.Is(err, context.Canceled) {
		t.Errorf("commit after that: %v, want context.Canceled", err)
	}
}

func TestWaitingForALockIsBounded(t *testing.T) {
	t.Parallel()
	s := openAt(t, pgtest.Database(t)+"&lock_timeout=200", Options{})
	unit, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Rollback(unit) }()
	if err := s.SetMeta(unit, "a", "1"); err != nil {
		t.Fatal(err)
	}
	if err := s.SetMeta(t.Context(), "a", "2"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a second writer: %v, want ErrUnavailable", err)
	}
}
