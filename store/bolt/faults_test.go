package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"anteroom/store"

	bbolt "go.etcd.io/bbolt"
)

// failing makes commits of s end with err after the pages were discarded.
func failing(s *Store, err error) {
	s.commit = func(t *bbolt.Tx) error { return errors.Join(t.Rollback(), err) }
}

var (
	noSpace   = &fs.PathError{Op: "write", Path: "a.db", Err: syscall.ENOSPC}
	noResize  = errors.New("file resize error: truncate a.db: no space left on device")
	syncSpace = &fs.PathError{Op: "sync", Path: "a.db", Err: syscall.ENOSPC}
)

func TestFullDiskRecoversWithSpace(t *testing.T) {
	for _, cause := range []error{noSpace, noResize} {
		s := fresh(t)
		if err := s.SetMeta(t.Context(), "before", "x"); err != nil {
			t.Fatal(err)
		}
		failing(s, cause)
		if err := s.SetMeta(t.Context(), "lost", "x"); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("write: %v, want ErrUnavailable with the cause", err)
		}
		if err := s.Ready(t.Context()); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("Ready: %v, want ErrUnavailable with the cause", err)
		}
		if _, err := s.Meta(t.Context(), "before"); err != nil {
			t.Errorf("read on a full disk: %v", err)
		}
		s.commit = (*bbolt.Tx).Commit // there is space again
		if err := s.Ready(t.Context()); err != nil {
			t.Errorf("Ready with space: %v", err)
		}
		if err := s.SetMeta(t.Context(), "after", "x"); err != nil {
			t.Errorf("write with space: %v", err)
		}
		if _, err := s.Meta(t.Context(), "lost"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the refused write: %v, want nothing", err)
		}
	}
}

func TestSyncErrorStopsWritesUntilReopened(t *testing.T) {
	for name, cause := range map[string]error{
		"fdatasync": syscall.EIO, "write": &fs.PathError{Op: "write", Path: "a.db", Err: syscall.EIO},
		"read-only":                &fs.PathError{Op: "write", Path: "a.db", Err: syscall.EROFS},
		"no space found by a sync": syncSpace, "no space found by fdatasync": syscall.ENOSPC,
	} {
		s := fresh(t)
		if err := s.SetMeta(t.Context(), "before", "x"); err != nil {
			t.Fatal(err)
		}
		failing(s, cause)
		if err := s.SetMeta(t.Context(), "lost", "x"); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, cause) {
			t.Errorf("%s: write: %v, want ErrUnavailable with the cause", name, err)
		}
		s.commit = (*bbolt.Tx).Commit // as if it had never happened
		if err := s.SetMeta(t.Context(), "later", "x"); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: a later write: %v, want ErrUnavailable", name, err)
		}
		if err := s.Ready(t.Context()); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, cause) {
			t.Errorf("%s: Ready: %v, want ErrUnavailable with the cause", name, err)
		}
		if _, err := s.Meta(t.Context(), "before"); err != nil {
			t.Errorf("%s: read: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again := open(t, s.Path())
		if err := errors.Join(again.Ready(t.Context()), again.SetMeta(t.Context(), "later", "x")); err != nil {
			t.Errorf("%s: after opening again: %v", name, err)
		}
	}
}

func TestPanicOfTheFileStopsWritesNotTheProcess(t *testing.T) {
	s := fresh(t)
	s.commit = func(*bbolt.Tx) error { panic("page 7 already freed") }
	if err := s.SetMeta(t.Context(), "a", "x"); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "page 7") {
		t.Errorf("write: %v, want ErrUnavailable with the cause", err)
	}
	if err := s.Ready(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Ready: %v, want ErrUnavailable", err)
	}
}

// TestFailedCommitTellsTheWholeGroup: also who lost in that group, because it
// lost against what never happened.
func TestFailedCommitTellsTheWholeGroup(t *testing.T) {
	s := fresh(t)
	g := gated(s)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.SetMeta(context.Background(), "first", "x") })
	<-g.arrived
	for range 10 {
		wg.Go(func() {
			if err := s.UseOnce(context.Background(), "jti", "j", t0, t0.Add(time.Hour)); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("a unit of a failed group: %v, want ErrUnavailable", err)
			}
		})
	}
	waitQueued(t, s, 10)
	failing(s, noSpace) // read by the writer after it passed the gate
	close(g.pass)
	wg.Wait()
	s.commit = (*bbolt.Tx).Commit
	if err := s.UseOnce(t.Context(), "jti", "j", t0, t0.Add(time.Hour)); err != nil {
		t.Errorf("the next use: %v, want success", err)
	}
}

func TestMissingFileIsNotReady(t *testing.T) {
	s := fresh(t)
	if err := os.Remove(s.Path()); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Ready without the file: %v, want ErrUnavailable", err)
	}
}

// TestLostPagesOfAnUnfinishedCommit opens what a power cut may leave: some data
// pages of a commit without its head, or half of the head.
func TestLostPagesOfAnUnfinishedCommit(t *testing.T) {
	s := fresh(t)
	var before, after []byte
	commit := func(t *bbolt.Tx) error {
		var err error
		if before, err = os.ReadFile(s.path); err == nil {
			err = t.Commit()
		}
		if err == nil {
			after, err = os.ReadFile(s.path)
		}
		return err
	}
	random := rand.New(rand.NewPCG(3, 4))
	page := os.Getpagesize()
	for i := range 25 {
		s.commit = commit
		if err := s.SetMeta(t.Context(), fmt.Sprintf("row-%03d", i), strings.Repeat("x", random.IntN(3000))); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			torn := slices.Clone(after)
			if random.IntN(2) == 0 {
				torn = torn[:min(len(before), len(after))]
			}
			for at := 0; at < len(torn); at += page {
				old := before[min(at, len(before)):min(at+page, len(before))]
				switch {
				case at < 2*page && !bytes.Equal(old, after[at:at+page]):
					// The head is written last, after a sync: it is the old one, or a
					// mixture that ends before the new checksum (bytes 72 to 80).
					from := random.IntN(73)
					copy(torn[at+from:at+page], old[from:])
				case at >= 2*page && random.IntN(2) == 0:
					copy(torn[at:at+page], old)
				}
			}
			path := filepath.Join(t.TempDir(), "torn.db")
			if err := os.WriteFile(path, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			recovered, err := Open(path, Options{Log: quiet()})
			if err != nil {
				t.Fatalf("after commit %d: %v", i, err)
			}
			for j := range i { // row i was never acknowledged
				if _, err := recovered.Meta(t.Context(), fmt.Sprintf("row-%03d", j)); err != nil {
					t.Errorf("after commit %d: acknowledged row %d: %v", i, j, err)
				}
			}
			if err := errors.Join(recovered.SetMeta(t.Context(), "new", "x"), recovered.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestEveryCallMayFail runs a journey with a store that fails at its nth call,
// for each n, and then without: what was acknowledged is there, what was not is
// there whole or not at all.
func TestEveryCallMayFail(t *testing.T) {
	down := fmt.Errorf("made to fail: %w", store.ErrUnavailable)
	for n := 1; ; n++ {
		path, calls, failed := filepath.Join(t.TempDir(), "a.db"), 0, ""
		s, err := Open(path, Options{Log: quiet(), Fault: func(point string) error {
			if calls++; calls == n {
				failed = point
				return down
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		steps := []func() error{
			func() error { return s.CreateAccount(t.Context(), store.Account{ID: "ann", UserName: "ann"}) },
			func() error {
				return s.Do(t.Context(), func(ctx context.Context) error {
					if _, err := s.Account(ctx, "ann"); err != nil {
						return err
					}
					if err := s.AdvanceTOTP(ctx, "ann", 5); err != nil {
						return err
					}
					return s.AppendAudit(ctx, store.AuditEvent{At: t0, Type: "x", AccountID: "ann"})
				})
			},
		}
		done := 0
		for _, step := range steps {
			if err := step(); err != nil {
				if !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("call %d (%s) fails: %v, want the error it was given", n, failed, err)
				}
				break
			}
			done++
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, path)
		last, err := s.LastTOTP(t.Context(), "ann")
		if err != nil {
			t.Fatal(err)
		}
		events, _, err := s.AuditEvents(t.Context(), store.AuditFilter{}, store.Page{})
		if err != nil || (last == 5) != (len(events) == 1) {
			t.Errorf("call %d (%s) fails: step %d with %d events (%v), want both or none", n, failed, last, len(events), err)
		}
		_, account := s.Account(t.Context(), "ann")
		if done > 0 && account != nil || done > 1 && last != 5 {
			t.Errorf("call %d (%s) fails: what was acknowledged is lost: %v, step %d", n, failed, account, last)
		}
		if failed == FaultCommitted && done == 1 && last != 5 {
			t.Errorf("call %d: the commit before the lost answer is lost", n)
		}
		if failed == "" { // n is more than the journey has calls
			if n < 8 {
				t.Errorf("the journey has %d calls, want at least 7", n-1)
			}
			return
		}
	}
}
