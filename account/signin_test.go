package account_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/account"
	"anteroom/store"
	"anteroom/store/bolt"

	"golang.org/x/crypto/bcrypt"
)

func TestCheckPassword(t *testing.T) {
	r := newRig(t)
	ann := r.member("ann@acme.example")
	disabled := r.member("dan@acme.example")
	r.must(r.Disable(r.ctx(), disabled.ID, account.Operator))
	invited, _ := r.invite("new@acme.example")

	got, err := r.CheckPassword(r.ctx(), " ANN@Acme.Example ", rightPassword, "192.0.2.1", nobodyKnown)
	if err != nil || got.ID != ann.ID {
		t.Fatalf("right password: %v, %v", got.ID, err)
	}
	for _, c := range []struct{ name, user, password string }{
		{"wrong password", "ann@acme.example", "tangerine quarry flutf"},
		{"unknown name", "nobody@acme.example", rightPassword},
		{"disabled, right password", "dan@acme.example", rightPassword},
		{"no password chosen yet", invited.Account.UserName, ""},
		{"empty name", "", rightPassword},
		{"a name longer than any", string(make([]byte, 5000)), rightPassword},
	} {
		acct, err := r.CheckPassword(r.ctx(), c.user, c.password, "192.0.2.1", nobodyKnown)
		if !errors.Is(err, account.ErrWrongPassword) || acct.ID != "" {
			t.Errorf("%s: %q, %v, want ErrWrongPassword and no account", c.name, acct.ID, err)
		}
	}
}

// Whatever is wrong takes at least the floor; that includes hashes of other
// systems that cost more than ours.
func TestRefusalsTakeAsLong(t *testing.T) {
	r := newRig(t)
	r.Floor = 150 * time.Millisecond
	r.member("ann@acme.example")
	for _, name := range []string{"ann@acme.example", "nobody@acme.example"} {
		start := time.Now()
		if _, err := r.CheckPassword(r.ctx(), name, "wrong", "192.0.2.1", nobodyKnown); !errors.Is(err, account.ErrWrongPassword) {
			t.Fatal(err)
		}
		if took := time.Since(start); took < r.Floor {
			t.Errorf("%s was refused after %v, want at least %v", name, took, r.Floor)
		}
	}
}

func TestUnknownNamesAreThrottledLikeAccounts(t *testing.T) {
	r := newRig(t)
	r.member("ann@acme.example")
	for _, name := range []string{"ann@acme.example", "nobody@acme.example"} {
		r.clock.Add(2 * time.Hour)
		for range 5 {
			if _, err := r.CheckPassword(r.ctx(), name, "wrong", "192.0.2.1", nobodyKnown); !errors.Is(err, account.ErrWrongPassword) {
				t.Fatalf("%s: %v", name, err)
			}
		}
		_, err := r.CheckPassword(r.ctx(), name, rightPassword, "192.0.2.1", nobodyKnown)
		throttled, ok := errors.AsType[*account.Throttled](err)
		if !ok || throttled.Wait != 15*time.Second {
			t.Errorf("%s: %v, want 15 s of waiting", name, err)
		}
	}
}

// readOnly refuses every write of a sign-in.
type readOnly struct{ *bolt.Store }

var errWrote = errors.New("the store was written to")

func (readOnly) Do(context.Context, func(context.Context) error) error { return errWrote }
func (readOnly) RecordFailure(context.Context, string, time.Time, time.Duration) (store.Failure, error) {
	return store.Failure{}, errWrote
}
func (readOnly) ClearFailures(context.Context, string) error         { return errWrote }
func (readOnly) AppendAudit(context.Context, store.AuditEvent) error { return errWrote }
func (readOnly) UpdateAccount(context.Context, string, func(*store.Account) error) (store.Account, error) {
	return store.Account{}, errWrote
}

func TestARightPasswordCommitsNothing(t *testing.T) {
	r := newRig(t)
	ann := r.member("ann@acme.example")
	r.Accounts.Store, r.Throttle.Failures = readOnly{r.store}, readOnly{r.store}
	got, err := r.CheckPassword(r.ctx(), "ann@acme.example", rightPassword, "192.0.2.1", nobodyKnown)
	if err != nil || got.ID != ann.ID {
		t.Errorf("right password: %v, %v", got.ID, err)
	}
	if _, err := r.CheckPassword(r.ctx(), "ann@acme.example", "wrong", "192.0.2.1", nobodyKnown); !errors.Is(err, errWrote) {
		t.Errorf("a failure that cannot be counted: %v, want the store's error", err)
	}
}

func TestKnownIsAskedForTheAccountThatWasFound(t *testing.T) {
	r := newRig(t)
	ann := r.member("ann@acme.example")
	r.failTimes(9, password(ann.ID, "192.0.2.1"))
	var asked []string
	got, err := r.CheckPassword(r.ctx(), "ann@acme.example", rightPassword, "192.0.2.1", func(id string) bool {
		asked = append(asked, id)
		return true
	})
	if err != nil || got.ID != ann.ID || !slices.Equal(asked, []string{ann.ID}) {
		t.Errorf("%v, %v, asked for %v", got.ID, err, asked)
	}
}

// Guesses that arrive at once do not all pass the limit before the first is
// counted.
func TestParallelGuessesAreLimited(t *testing.T) {
	r := newRig(t)
	r.member("ann@acme.example")
	var compared atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			_, err := r.CheckPassword(r.ctx(), "ann@acme.example", "wrong", "192.0.2.1", nobodyKnown)
			if errors.Is(err, account.ErrWrongPassword) {
				compared.Add(1)
			} else if _, ok := errors.AsType[*account.Throttled](err); !ok {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if got := compared.Load(); got < 5 || got > 6 { // 5 free, and one more for the second slot
		t.Errorf("%d of 32 guesses were compared, want 5 or 6", got)
	}
}

func TestAWeakHashIsReplacedAtSignIn(t *testing.T) {
	r := newRig(t)
	ann := r.member("ann@acme.example")
	old, err := bcrypt.GenerateFromPassword([]byte(rightPassword), 8)
	r.must(err)
	_, err = r.store.UpdateAccount(r.ctx(), ann.ID, func(a *store.Account) error { a.PasswordHash = string(old); return nil })
	r.must(err)
	acct, err := r.CheckPassword(r.ctx(), "ann@acme.example", rightPassword, "192.0.2.1", nobodyKnown)
	r.must(err)
	hash, err := r.Rehash(r.ctx(), acct, rightPassword)
	r.must(err)
	r.must(r.KeepHash(r.ctx(), acct, hash))
	now := r.account(ann.ID)
	if now.PasswordHash != hash || hasher.Weak(now.PasswordHash) || !now.NotBefore.IsZero() {
		t.Errorf("kept %q, not before %v", now.PasswordHash, now.NotBefore)
	}
	if _, err := r.CheckPassword(r.ctx(), "ann@acme.example", rightPassword, "192.0.2.1", nobodyKnown); err != nil {
		t.Errorf("the new hash: %v", err)
	}
	// A password that was changed meanwhile wins.
	r.must(r.KeepHash(r.ctx(), acct, "$argon2id$other"))
	if got := r.account(ann.ID).PasswordHash; got != hash {
		t.Errorf("a stale rehash replaced the password by %q", got)
	}
	if again, err := r.Rehash(r.ctx(), now, rightPassword); err != nil || again != "" {
		t.Errorf("a strong hash is hashed again: %q, %v", again, err)
	}
}

func TestMinLengthDependsOnEveryWayIn(t *testing.T) {
	r := newRig(t) // pa asks a second factor
	ann := r.member("ann@acme.example")
	length := func(app string) int {
		t.Helper()
		n, err := r.MinLength(r.ctx(), ann, app)
		r.must(err)
		return n
	}
	if got := length(""); got != account.MinAlone {
		t.Errorf("no application: %d", got)
	}
	if got := length("pa"); got != account.MinWithSecond {
		t.Errorf("an application with a second factor: %d", got)
	}
	r.application("open", false)
	if got := length("pa"); got != account.MinWithSecond {
		t.Errorf("an application that she may not enter counts: %d", got)
	}
	r.must(r.store.PutAssignment(r.ctx(), store.Assignment{AccountID: ann.ID, ApplicationID: "open", State: store.AssignmentActive, CreatedAt: r.clock.Now()}))
	if got := length("pa"); got != account.MinAlone {
		t.Errorf("the password alone opens another application: %d", got)
	}
}
