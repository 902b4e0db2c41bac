package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/store"

	bbolt "go.etcd.io/bbolt"
)

// gate holds commits back.
type gate struct {
	arrived chan struct{} // a commit is at the gate
	pass    chan struct{} // lets one through; closed: all
}

// gated makes every commit of s wait.
func gated(s *Store) *gate {
	g := &gate{arrived: make(chan struct{}, 1000), pass: make(chan struct{})}
	s.commit = func(t *bbolt.Tx) error {
		g.arrived <- struct{}{}
		<-g.pass
		return t.Commit()
	}
	return g
}

// waitQueued waits until n units are in the queue.
func waitQueued(t *testing.T, s *Store, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); s.queue.Len() < n; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d units are waiting, want %d", s.queue.Len(), n)
		}
	}
}

func TestUnitIsOneCommit(t *testing.T) {
	s := fresh(t)
	err := s.Do(t.Context(), func(ctx context.Context) error {
		for i := range 10 {
			if err := s.SetMeta(ctx, fmt.Sprint(i), "x"); err != nil {
				return err
			}
		}
		return s.AppendAudit(ctx, store.AuditEvent{At: t0, Type: "x"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Commits(); got != 1 {
		t.Errorf("%d commits, want 1", got)
	}
}

func TestUnitsThatArriveDuringASyncShareTheNext(t *testing.T) {
	s := fresh(t)
	g := gated(s)
	var wg sync.WaitGroup
	put := func(name string) {
		wg.Go(func() {
			if err := s.SetMeta(context.Background(), name, "x"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	put("first")
	<-g.arrived
	const others = 200
	for i := range others {
		put(fmt.Sprint(i))
	}
	waitQueued(t, s, others)
	close(g.pass)
	wg.Wait()
	if got := s.Commits(); got != 2 {
		t.Errorf("%d commits for 1 unit and then %d at once, want 2", got, others)
	}
}

func TestWhatChangesNothingCommitsNothing(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.CreateApplication(ctx, store.Application{ID: "app"}))
	must(s.CreateAccount(ctx, store.Account{ID: "ann", UserName: "ann"}))
	a := store.Assignment{AccountID: "ann", ApplicationID: "app", State: store.AssignmentActive}
	must(s.PutAssignment(ctx, a))
	must(s.CreateSession(ctx, store.Session{ID: "s", TokenHash: "h", AccountID: "ann", ExpiresAt: t0.Add(time.Hour)}))
	must(s.EndSession(ctx, "s", t0))
	must(s.SetMeta(ctx, "m", "1"))
	must(s.UseOnce(ctx, "jti", "j", t0, t0.Add(time.Hour)))
	must(s.RevokeAccessToken(ctx, "j", t0.Add(time.Hour)))
	v, err := s.PublishTerms(ctx, store.TermsVersion{ApplicationID: "app", Markdown: "x"})
	must(err)
	accept := store.TermsAcceptance{AccountID: "ann", ApplicationID: "app", Version: 1, Hash: v.Hash}
	must(s.AcceptTerms(ctx, accept))
	two := func(_ any, err error) error { return err }
	for name, verb := range map[string]func(ctx context.Context) error{
		"reading":              func(ctx context.Context) error { return two(s.Account(ctx, "ann")) },
		"activating nothing":   func(ctx context.Context) error { return two(s.ActivateAssignments(ctx, "ann", "app", t0)) },
		"clearing no failures": func(ctx context.Context) error { return s.ClearFailures(ctx, "none") },
		"ending an ended one":  func(ctx context.Context) error { return s.EndSession(ctx, "s", t0) },
		"ending no sessions":   func(ctx context.Context) error { return two(s.EndSessionsOf(ctx, "ann", t0)) },
		"revoking no grants": func(ctx context.Context) error {
			return two(s.RevokeGrants(ctx, store.GrantFilter{ClientID: "c"}, "", t0))
		},
		"revoking no links":   func(ctx context.Context) error { return two(s.RevokeInvitations(ctx, "ann", "", t0)) },
		"assigning again":     func(ctx context.Context) error { return s.PutAssignment(ctx, a) },
		"accepting again":     func(ctx context.Context) error { return s.AcceptTerms(ctx, accept) },
		"denying again":       func(ctx context.Context) error { return s.RevokeAccessToken(ctx, "j", t0) },
		"setting the same":    func(ctx context.Context) error { return s.SetMeta(ctx, "m", "1") },
		"setting once, again": func(ctx context.Context) error { return two(s.SetMetaOnce(ctx, "m", "2")) },
		"forgetting nothing":  func(ctx context.Context) error { return s.DeleteMeta(ctx, "none") },
		"an update to the same": func(ctx context.Context) error {
			return two(s.UpdateAccount(ctx, "ann", func(*store.Account) error { return nil }))
		},
		"claiming no mail":   func(ctx context.Context) error { return two(s.ClaimMail(ctx, t0, time.Minute, 5)) },
		"sweeping nothing":   func(ctx context.Context) error { return two(s.Sweep(ctx, t0, 100)) },
		"replacing no codes": func(ctx context.Context) error { return s.ReplaceRecoveryCodes(ctx, "ann", nil, t0) },
		"being ready":        s.Ready,
		"losing": func(ctx context.Context) error {
			if err := s.UseOnce(ctx, "jti", "j", t0, t0.Add(time.Hour)); !errors.Is(err, store.ErrConsumed) {
				return fmt.Errorf("UseOnce: %w", err)
			}
			return nil
		},
	} {
		before := s.Commits()
		if err := verb(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Do(ctx, verb); err != nil {
			t.Errorf("%s in a unit: %v", name, err)
		}
		if got := s.Commits() - before; got != 0 {
			t.Errorf("%s: %d commits, want 0", name, got)
		}
	}
}

func TestCommitDecidesWhoWins(t *testing.T) {
	s := fresh(t)
	var units []context.Context
	for i := range 3 {
		ctx, err := s.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.SetMeta(ctx, fmt.Sprint(i), "x"), s.UseOnce(ctx, "jti", "j", t0, t0.Add(time.Hour))); err != nil {
			t.Fatalf("unit %d sees what others have not committed: %v", i, err)
		}
		units = append(units, ctx)
	}
	if err := s.Commit(units[1]); err != nil {
		t.Errorf("the first to commit: %v, want success", err)
	}
	for _, i := range []int{0, 2} {
		if err := s.Commit(units[i]); !errors.Is(err, store.ErrConsumed) {
			t.Errorf("unit %d: %v, want %v", i, err, store.ErrConsumed)
		}
		if _, err := s.Meta(t.Context(), fmt.Sprint(i)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("unit %d lost and left something behind: %v", i, err)
		}
	}
}

// TestNeighboursInAGroupDoNotNotice puts units that lose, panic and end their
// goroutine among good ones, all in one commit.
func TestNeighboursInAGroupDoNotNotice(t *testing.T) {
	s := fresh(t)
	for i := range 9 {
		if err := s.CreateAccount(t.Context(), store.Account{ID: fmt.Sprint(i), UserName: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	g := gated(s)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.SetMeta(context.Background(), "first", "x") })
	<-g.arrived
	mine := errors.New("mine")
	var runs [9]atomic.Int32
	var errs [9]error
	var panicked [9]any
	for i := range 9 {
		wg.Go(func() {
			defer func() { panicked[i] = recover() }()
			_, errs[i] = s.UpdateAccount(context.Background(), fmt.Sprint(i), func(a *store.Account) error {
				runs[i].Add(1)
				a.PasswordHash = "changed"
				switch i {
				case 3:
					return mine
				case 5:
					panic("mine too")
				case 7:
					runtime.Goexit()
				}
				return nil
			})
		})
	}
	waitQueued(t, s, 9)
	close(g.pass)
	wg.Wait()
	for i := range 9 {
		want := ""
		switch i {
		case 3:
			if !errors.Is(errs[i], mine) {
				t.Errorf("unit 3: %v, want its own error", errs[i])
			}
		case 5:
			if text, _ := panicked[i].(string); !strings.HasPrefix(text, "mine too\n") || !strings.Contains(text, "group_test.go") {
				t.Errorf("unit 5 panicked with %q, want its own value and where it came from", text)
			}
		case 7:
			if !errors.Is(errs[i], errEnded) {
				t.Errorf("unit 7: %v, want %v", errs[i], errEnded)
			}
		default:
			want = "changed"
			if errs[i] != nil || panicked[i] != nil {
				t.Errorf("unit %d: %v, %v, want success", i, errs[i], panicked[i])
			}
		}
		if got := runs[i].Load(); got != 1 {
			t.Errorf("the function of unit %d ran %d times, want 1", i, got)
		}
		a, err := s.Account(t.Context(), fmt.Sprint(i))
		if err != nil || a.PasswordHash != want {
			t.Errorf("account %d: %q (%v), want %q", i, a.PasswordHash, err, want)
		}
	}
	if err := s.SetMeta(t.Context(), "after", "x"); err != nil {
		t.Errorf("the writer does not go on: %v", err)
	}
}

func TestContextThatEndsInTheQueueWritesNothing(t *testing.T) {
	s := fresh(t)
	g := gated(s)
	var wg sync.WaitGroup
	ctx, end := context.WithCancel(t.Context())
	first := make(chan error, 1)
	wg.Go(func() { first <- s.SetMeta(ctx, "taken", "x") })
	<-g.arrived
	second := make(chan error, 1)
	wg.Go(func() { second <- s.SetMeta(ctx, "queued", "x") })
	waitQueued(t, s, 1)
	end()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("queued: %v, want context.Canceled", err)
	}
	select {
	case err := <-first:
		t.Errorf("the unit in the commit was answered (%v) before anybody knows", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(g.pass)
	wg.Wait()
	if err := <-first; err != nil {
		t.Errorf("taken: %v, want success", err)
	}
	if _, err := s.Meta(t.Context(), "taken"); err != nil {
		t.Errorf("taken: %v, want it written", err)
	}
	if err := s.SetMeta(t.Context(), "flush", "x"); err != nil { // the queue is empty after this
		t.Fatal(err)
	}
	if _, err := s.Meta(t.Context(), "queued"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("queued: %v, want it not written", err)
	}
}

func TestCloseFinishesWhatIsWaiting(t *testing.T) {
	s := fresh(t)
	g := gated(s)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.SetMeta(context.Background(), "first", "x") })
	<-g.arrived
	for i := range 20 {
		wg.Go(func() {
			if err := s.SetMeta(context.Background(), fmt.Sprint(i), "x"); err != nil {
				t.Errorf("waiting unit: %v", err)
			}
		})
	}
	waitQueued(t, s, 20)
	wg.Go(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	close(g.pass)
	wg.Wait()
	again := open(t, s.Path())
	for i := range 20 {
		if _, err := again.Meta(t.Context(), fmt.Sprint(i)); err != nil {
			t.Errorf("row %d: %v", i, err)
		}
	}
}

func TestUnitsOfTwoStoresDoNotMix(t *testing.T) {
	a, b := fresh(t), fresh(t)
	mine := errors.New("mine")
	err := a.Do(t.Context(), func(ctx context.Context) error {
		if err := a.SetMeta(ctx, "x", "1"); err != nil {
			return err
		}
		if err := b.Do(ctx, func(ctx context.Context) error { return b.SetMeta(ctx, "x", "1") }); err != nil {
			return err
		}
		return mine
	})
	if !errors.Is(err, mine) {
		t.Fatal(err)
	}
	if _, err := a.Meta(t.Context(), "x"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("store a: %v, want nothing", err)
	}
	if _, err := b.Meta(t.Context(), "x"); err != nil {
		t.Errorf("store b: %v, want its own unit committed", err)
	}
}
