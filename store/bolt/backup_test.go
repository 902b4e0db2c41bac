package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/store"
)

// lively fills a store with one of everything that a restore must end.
func lively(t *testing.T, s *Store) {
	t.Helper()
	ctx, later := t.Context(), t0.Add(24*time.Hour)
	for _, err := range []error{
		s.CreateAccount(ctx, store.Account{ID: "ann", UserName: "ann"}),
		s.CreateAccount(ctx, store.Account{ID: "bob", UserName: "bob"}),
		s.AdvanceTOTP(ctx, "bob", t0.Unix()/30+50), // somebody's clock was ahead
		s.ReplaceRecoveryCodes(ctx, "ann", []string{"r1", "r2"}, t0),
		s.CreateInvitation(ctx, store.Invitation{ID: "i", TokenHash: "i", AccountID: "ann", ApplicationID: "app", ExpiresAt: later}),
		s.CreateReset(ctx, store.Reset{ID: "r", TokenHash: "r", AccountID: "ann", ExpiresAt: later}),
		s.CreateSession(ctx, store.Session{ID: "s", TokenHash: "s", AccountID: "ann", ExpiresAt: later}),
		s.IssueCode(ctx, store.Grant{ID: "g", AccountID: "ann", ExpiresAt: later}, store.Code{Hash: "c", GrantID: "g", ExpiresAt: later}),
		s.CreateRefreshToken(ctx, store.RefreshToken{Hash: "t", GrantID: "g", ExpiresAt: later}),
		s.EnqueueMail(ctx, store.OutboxMessage{ID: "m", Delivery: store.Delivery{NextAttempt: t0}}),
		s.CreateRegistrationToken(ctx, store.RegistrationToken{ID: "n", Hash: "n", Uses: 9, ExpiresAt: later}),
		s.AppendAudit(ctx, store.AuditEvent{At: t0, Type: "x", Actor: "system"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRestoringRevivesNothing uses everything up after the backup, and tries
// again on the copy.
func TestRestoringRevivesNothing(t *testing.T) {
	s := fresh(t)
	lively(t, s)
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := s.Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	again := func(s *Store) map[string]error {
		ctx := t.Context()
		_, invitation := s.UseInvitation(ctx, "i", t0)
		_, reset := s.UseReset(ctx, "r", t0)
		_, registration := s.UseRegistrationToken(ctx, "n", t0)
		_, session := s.SessionByToken(ctx, "s", t0)
		return map[string]error{
			"code":                 s.RedeemCode(ctx, "c", t0),
			"refresh token":        s.RotateRefreshToken(ctx, "t", store.RefreshToken{Hash: "t2", GrantID: "g"}, t0),
			"TOTP step":            s.AdvanceTOTP(ctx, "ann", t0.Unix()/30),
			"TOTP step of skew":    s.AdvanceTOTP(ctx, "ann", t0.Unix()/30+1),
			"recovery code":        s.UseRecoveryCode(ctx, "ann", "r1", t0),
			"invitation":           invitation,
			"reset":                reset,
			"session":              session,
			"registration token":   registration,
			"bob's TOTP step":      s.AdvanceTOTP(ctx, "bob", t0.Unix()/30+50),
			"new TOTP step of ann": s.AdvanceTOTP(ctx, "ann", t0.Unix()/30+2),
		}
	}
	for what, err := range again(s) {
		if err != nil && !strings.HasPrefix(what, "bob") {
			t.Errorf("before the restore, %s: %v, want success", what, err)
		}
	}
	r := open(t, copied)
	for what, err := range again(r) {
		want := store.ErrConsumed
		switch what {
		case "refresh token", "invitation", "reset", "session", "registration token":
			want = store.ErrRevoked
		case "new TOTP step of ann":
			want = nil
		}
		if !errors.Is(err, want) {
			t.Errorf("after the restore, %s: %v, want %v", what, err, want)
		}
	}
	if mail, err := r.ClaimMail(t.Context(), t0.Add(time.Hour), time.Minute, 10); err != nil || len(mail) != 0 {
		t.Errorf("mail that may have been sent is sent again: %v, %v", mail, err)
	}
	if since, err := r.Meta(t.Context(), store.MetaRestored); err != nil || since != t0.Format(time.RFC3339Nano) {
		t.Errorf("%s = %q, %v, want the time of the restore", store.MetaRestored, since, err)
	}
	events, _, err := r.AuditEvents(t.Context(), store.AuditFilter{}, store.Page{})
	if err != nil || len(events) != 2 {
		t.Fatalf("events %v, %v, want two", events, err)
	}
	if e := events[1]; e.Type != "backup.restored" || e.PrevHash != events[0].Hash || e.Hash != store.AuditHash(e) {
		t.Errorf("last entry %+v, want backup.restored in the chain", e)
	}
}

func TestRestoreHappensOnce(t *testing.T) {
	s := fresh(t)
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := s.Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	first := open(t, copied)
	lively(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, copied)
	if err := second.RedeemCode(t.Context(), "c", t0); err != nil {
		t.Errorf("a code issued after the restore: %v, want success", err)
	}
	events, _, err := second.AuditEvents(t.Context(), store.AuditFilter{Type: "backup.restored"}, store.Page{})
	if err != nil || len(events) != 1 {
		t.Errorf("%d entries of a restore (%v), want 1", len(events), err)
	}
	// The database that was copied is not touched.
	if _, err := s.Meta(t.Context(), store.MetaRestored); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the original says it was restored: %v", err)
	}
}

// TestBackupUnderLoadIsOnePointInTime: each unit writes two rows; a copy has both
// or none, and every unit that was acknowledged before it began.
func TestBackupUnderLoadIsOnePointInTime(t *testing.T) {
	s := fresh(t)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	var acknowledged []string
	for worker := range 8 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("%d-%d", worker, i)
				err := s.Do(context.Background(), func(ctx context.Context) error {
					return errors.Join(s.SetMeta(ctx, "a-"+name, strings.Repeat("x", 500)), s.SetMeta(ctx, "b-"+name, "x"),
						s.AppendAudit(ctx, store.AuditEvent{At: t0, Type: "x", AccountID: name}))
				})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, name)
				mu.Unlock()
			}
		})
	}
	for round := range 5 {
		time.Sleep(20 * time.Millisecond)
		mu.Lock()
		before := len(acknowledged)
		mu.Unlock()
		path := filepath.Join(t.TempDir(), fmt.Sprint(round))
		if err := s.Backup(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		all := acknowledged[:len(acknowledged):len(acknowledged)]
		mu.Unlock()
		r := open(t, path)
		for i, name := range all {
			_, a := r.Meta(t.Context(), "a-"+name)
			_, b := r.Meta(t.Context(), "b-"+name)
			if (a == nil) != (b == nil) {
				t.Errorf("unit %s is in the copy by half: %v, %v", name, a, b)
			}
			if i < before && a != nil {
				t.Errorf("unit %s was acknowledged before the backup and is missing", name)
			}
		}
	}
	stop()
	wg.Wait()
}

func TestBackupThatFailsLeavesNothing(t *testing.T) {
	s := fresh(t)
	dir := t.TempDir()
	target := filepath.Join(dir, "copy.db")
	if err := os.WriteFile(target, []byte("the one before"), 0o600); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.Backup(ended, target); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v, want context.Canceled", err)
	}
	if err := s.Backup(t.Context(), s.Path()); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("onto itself: %v, want ErrInvalid", err)
	}
	if err := s.Backup(t.Context(), filepath.Join(dir, "no", "copy.db")); err == nil {
		t.Error("into a folder that is not there: success")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("files left: %v (%v), want the backup before alone", left, err)
	}
	if data, err := os.ReadFile(target); err != nil || string(data) != "the one before" {
		t.Errorf("the backup before: %q, %v", data, err)
	}
	if err := s.Backup(t.Context(), target); err != nil {
		t.Errorf("over the one before: %v", err)
	}
	open(t, target)
}
