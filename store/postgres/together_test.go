package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"anteroom/store"
	"anteroom/store/postgres/pgtest"

	"github.com/jackc/pgx/v5"
)

// family makes a grant with a refresh token named after it.
func family(t *testing.T, s *Store, id string, now time.Time) {
	t.Helper()
	err := errors.Join(
		s.CreateGrant(t.Context(), store.Grant{ID: id, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}),
		s.CreateRefreshToken(t.Context(), store.RefreshToken{Hash: id, GrantID: id, ExpiresAt: now.Add(time.Hour)}))
	if err != nil {
		t.Fatal(err)
	}
}

// families makes n of them: f0, f1, ...
func families(t *testing.T, s *Store, n int, now time.Time) {
	t.Helper()
	for i := range n {
		family(t, s, fmt.Sprint("f", i), now)
	}
}

// rotate is a unit that replaces the token of a family, and says so.
func rotate(s *Store, id string, now time.Time) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		return errors.Join(
			s.RotateRefreshToken(ctx, id, store.RefreshToken{Hash: "next of " + id, GrantID: id, ExpiresAt: now.Add(time.Hour)}, now),
			s.AppendAudit(ctx, store.AuditEvent{At: now, Type: "rotated", Actor: "system", AccountID: id}))
	}
}

// all runs a rotation for each family, and returns when all wait for a group or
// are done.
func all(s *Store, ctx context.Context, n int, now time.Time) (errs []error, wait func()) { //nolint:revive // the store is what it is about
	errs = make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = s.Together(ctx, rotate(s, fmt.Sprint("f", i), now)) })
	}
	return errs, wg.Wait
}

func TestUnitsThatComeDuringACommitShareTheNext(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s, now := openAt(t, dsn, Options{}), time.Now()
	const n, writers = 40, 2 // one group, and one that overtakes it
	families(t, s, n, now)
	meter, err := pgtest.NewMeter(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer meter.Close()
	before, err := meter.Units(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	commits := s.Commits()
	// Both writers are busy with a row that is locked; the rest comes meanwhile.
	unit, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range writers {
		if err := s.RotateRefreshToken(unit, fmt.Sprint("f", i), store.RefreshToken{Hash: fmt.Sprint("x", i), GrantID: fmt.Sprint("f", i), ExpiresAt: now.Add(time.Hour)}, now); err != nil {
			t.Fatal(err)
		}
	}
	var busy sync.WaitGroup
	for i := range writers {
		busy.Go(func() { _ = s.Together(t.Context(), rotate(s, fmt.Sprint("f", i), now)) })
		time.Sleep(2 * late) // so that the next one overtakes
	}
	errs := make([]error, n)
	var rest sync.WaitGroup
	for i := writers; i < n; i++ {
		rest.Go(func() { errs[i] = s.Together(t.Context(), rotate(s, fmt.Sprint("f", i), now)) })
	}
	for end := time.Now().Add(10 * time.Second); s.groups.Len() < n-writers && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if err := s.Rollback(unit); err != nil {
		t.Fatal(err)
	}
	busy.Wait()
	rest.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("unit %d: %v", i, err)
		}
	}
	after, err := meter.Units(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Commits() - commits; got != n {
		t.Errorf("%d units were committed, want %d", got, n)
	}
	// One for each of the two that were held up, and as many again at most for
	// those that came meanwhile: both writers take from the queue.
	if got := after - before; got > 2*writers {
		t.Errorf("%d units took %d transactions, want %d at most", n, got, 2*writers)
	}
}

func TestAGroupDoesNotWaitForARowThatOneOfItWants(t *testing.T) {
	t.Parallel()
	s, now := openAt(t, pgtest.Database(t), Options{}), time.Now()
	const n = 10
	families(t, s, n, now)
	holder, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RevokeGrant(holder, "f0", "held", now); err != nil {
		t.Fatal(err)
	}
	if err := s.RotateRefreshToken(holder, "f1", store.RefreshToken{Hash: "x", GrantID: "f1", ExpiresAt: now.Add(time.Hour)}, now); err != nil {
		t.Fatal(err)
	}
	done := make([]chan error, n)
	for i := range n {
		done[i] = make(chan error, 1)
		go func() { done[i] <- s.Together(t.Context(), rotate(s, fmt.Sprint("f", i), now)) }()
	}
	for i := 2; i < n; i++ {
		select {
		case err := <-done[i]:
			if err != nil {
				t.Errorf("unit %d: %v", i, err)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("unit %d waits for the row of another", i)
		}
	}
	select {
	case err := <-done[1]:
		t.Errorf("the unit whose row is held was told %v", err)
	default:
	}
	if err := s.Commit(holder); err != nil {
		t.Fatal(err)
	}
	if err := <-done[1]; !errors.Is(err, store.ErrConsumed) {
		t.Errorf("the unit whose token was rotated meanwhile: %v, want ErrConsumed", err)
	}
	<-done[0] // either order is right: revoked before, or rotated and then revoked
	if _, _, err := s.RefreshToken(t.Context(), "next of f0", now); err == nil {
		t.Error("a token of a revoked grant is alive")
	}
}

func TestAStatementThatFailsTakesNoNeighbourAlong(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s, now := openAt(t, dsn, Options{}), time.Now()
	const n = 8
	families(t, s, n, now)
	// The hash of its next token is taken, which fails the statement.
	family(t, s, "next of f0", now)
	errs, wait := all(s, t.Context(), n, now)
	wait()
	for i, err := range errs {
		switch {
		case i == 0 && !errors.Is(err, store.ErrExists):
			t.Errorf("the unit that cannot be done: %v, want ErrExists", err)
		case i > 0 && err != nil:
			t.Errorf("unit %d: %v", i, err)
		}
	}
}

func TestLookupsShareARoundTripAndNotTheirErrors(t *testing.T) {
	t.Parallel()
	s, now := openAt(t, pgtest.Database(t), Options{}), time.Now()
	family(t, s, "f", now)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			switch i % 5 {
			case 0, 1:
				if of, err := s.Standing(t.Context(), "f", now); err != nil || of.ID != "f" {
					t.Errorf("a row that is there: %q, %v", of.ID, err)
				}
			case 2:
				if _, err := s.Grant(t.Context(), "none", now); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("a row that is not there: %v", err)
				}
			case 3:
				err := s.lookup(t.Context(), func(ctx context.Context, t *tx) error {
					_, err := t.statement(ctx, "SELECT 1/(length($1) - length($1))", []any{"x"}, nil)
					return err
				})
				if !errors.Is(err, store.ErrInvalid) {
					t.Errorf("a statement that fails: %v, want ErrInvalid", err)
				}
			case 4:
				defer func() {
					if recover() != "mine" {
						t.Error("who panics while reading an answer does not learn of it")
					}
				}()
				_ = s.lookup(t.Context(), func(ctx context.Context, t *tx) error {
					_, err := t.statement(ctx, "SELECT 1", nil, func(pgx.Rows) error { panic("mine") })
					return err
				})
			}
		})
	}
	wg.Wait()
}

func TestWhatWaitsAtCloseIsDoneOrRefused(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s, now := openAt(t, dsn, Options{}), time.Now()
	const n = 50
	families(t, s, n, now)
	errs, wait := all(s, t.Context(), n, now)
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	wait()
	again := openAt(t, dsn, Options{})
	events, _, err := again.AuditEvents(t.Context(), store.AuditFilter{Type: "rotated"}, store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	done := 0
	for i, err := range errs {
		_, _, found := again.RefreshToken(t.Context(), fmt.Sprint("next of f", i), now)
		switch {
		case err == nil && found == nil:
			done++
		case err == nil || found == nil || !errors.Is(err, store.ErrUnavailable):
			t.Errorf("unit %d was told %v, and its token is %v", i, err, found)
		}
	}
	if len(events) != done {
		t.Errorf("%d entries for %d units", len(events), done)
	}
}
