package mfa

import (
	"anteroom/flow/flowtest"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/account"
	"anteroom/store"
	"anteroom/store/bolt"
)

func TestACodeSignsInHoweverItIsTyped(t *testing.T) {
	s := newHouse(t)
	for _, write := range []func(code string) string{
		func(c string) string { return c },
		func(c string) string { return c[:3] + " " + c[3:] },
		func(c string) string { return " " + c[:3] + "-" + c[3:] + "\n" },
		func(c string) string {
			return strings.Map(func(r rune) rune { return '٠' + r - '0' }, c)
		},
		func(c string) string {
			return strings.Map(func(r rune) rune { return '０' + r - '0' }, c)
		},
	} {
		b := s.browser()
		p := b.at(b.password("pa", "ann"), "/mfa/challenge")
		b.at(b.post(p, "/mfa/challenge", "code", write(s.code(annsPhone))), "/portal")
		if got := s.authenticators("ann")[0].LastUsedAt; !got.Equal(s.Now()) {
			t.Errorf("last used %v, want %v", got, s.Now())
		}
		s.Pass(time.Minute)
	}
}

func TestOneOfManyEqualCodesIsAccepted(t *testing.T) {
	s := newHouse(t)
	b := s.browser()
	p := b.at(b.password("pa", "ann"), "/mfa/challenge")
	code := s.code(annsPhone)
	var mu sync.Mutex
	won := 0
	var all sync.WaitGroup
	for range 32 {
		tab := b.twin()
		all.Go(func() {
			got := tab.post(p, "/mfa/challenge", "code", code)
			mu.Lock()
			defer mu.Unlock()
			if got.status == 303 {
				won++
				return
			}
			got.refused(t, 422, "You used this code already; the next one comes in 12 s.")
		})
	}
	all.Wait()
	events := s.events("ann")
	if won != 1 || count(events, "session.opened") != 1 {
		t.Errorf("%d won, events %q; want one", won, events)
	}
	if got := count(events, "second_factor.refused replayed"); got != 1 {
		t.Errorf("%d events of replays, want one for all", got)
	}
	// A form sent twice locks nobody out.
	s.Pass(30 * time.Second)
	b = s.browser()
	b.at(b.post(b.password("pa", "ann"), "/mfa/challenge", "code", s.code(annsPhone)), "/portal")
}

// Guesses sent at once meet the limit like guesses sent one by one, whatever the
// browser.
func TestGuessesAtOnceMeetTheLimit(t *testing.T) {
	s := newHouse(t)
	var mu sync.Mutex
	answers := map[int]int{}
	var all sync.WaitGroup
	for i := range 32 {
		b := s.browser()
		p := b.at(b.password("pa", "ann"), "/mfa/challenge")
		all.Go(func() {
			got := b.post(p, "/mfa/challenge", "code", fmt.Sprintf("%06d", i))
			mu.Lock()
			defer mu.Unlock()
			answers[got.status]++
			if got.status == http.StatusTooManyRequests {
				wait, err := strconv.Atoi(got.header.Get("Retry-After"))
				if err != nil || wait < 1 || wait > 30 || !strings.Contains(got.text(), "Wait 30 seconds, then try again") {
					t.Errorf("Retry-After %q: %s", got.header.Get("Retry-After"), got.text())
				}
			}
		})
	}
	all.Wait()
	if answers[422] != 5 || answers[429] != 27 {
		t.Errorf("answers %v, want 5 refused and 27 throttled", answers)
	}
	if got := count(s.events("ann"), "second_factor.refused wrong"); got != 5 {
		t.Errorf("%d events, want 5", got)
	}
}

func TestFailuresCountAcrossBrowsersFlowsAndKindsAndEndWithASuccess(t *testing.T) {
	s := newHouse(t)
	for range 3 {
		b := s.browser()
		b.post(b.password("pa", "ann"), "/mfa/challenge", "code", "000000").refused(t, 422, "not right")
	}
	for range 2 {
		b := s.browser()
		b.post(b.password("pcc", "ann"), "/mfa/recovery", "recovery_code", "zzzz-zzzz-zzzz").refused(t, 422, "This recovery code is not right.")
	}
	b := s.browser()
	p := b.password("pa", "ann")
	b.post(p, "/mfa/challenge", "code", s.code(annsPhone)).refused(t, 429, "too many attempts")
	b.post(p, "/mfa/recovery", "recovery_code", annsCodes[0]).refused(t, 429, "too many attempts")
	// Nobody else waits.
	ben := s.browser()
	ben.at(ben.post(ben.password("pa", "ben"), "/mfa/challenge", "code", s.code(bensPhone)), "/portal")

	s.Pass(30 * time.Second)
	b.at(b.post(p, "/mfa/challenge", "code", s.code(annsPhone)), "/portal")
	s.Pass(time.Minute)
	b = s.browser()
	p = b.password("pa", "ann")
	for range 4 {
		b.post(p, "/mfa/challenge", "code", "000000").refused(t, 422, "not right")
	}
	b.at(b.post(p, "/mfa/challenge", "code", s.code(annsPhone)), "/portal")
}

func TestRefusedCodesAreExplainedAndRecordedAndNeverAccepted(t *testing.T) {
	cases := []struct{ name, code, says, reason string }{
		{"slow phone", codeAt(annsPhone, at.Add(-2*time.Minute)), "Your phone is about two minutes behind. Turn on automatic time", "clock_off"},
		{"fast phone", codeAt(annsPhone, at.Add(5*time.Minute)), "Your phone is about five minutes ahead.", "clock_off"},
		{"wrong zone", codeAt(annsPhone, at.Add(time.Hour)), "one hour ahead", "clock_off"},
		{"eight digits", independent8(annsPhone, at), "Your app shows eight digits.", "digits"},
		{"nonsense", "123450", "This code is not right.", "wrong"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newHouse(t)
			b := s.browser()
			p := b.at(b.password("pa", "ann"), "/mfa/challenge")
			b.post(p, "/mfa/challenge", "code", c.code).refused(t, 422, c.says)
			if got := s.events("ann"); count(got, "second_factor.refused "+c.reason) != 1 || count(got, "session.opened") != 0 {
				t.Errorf("events %q", got)
			}
			if s.last("ann") != 0 || len(s.Issued) != 0 {
				t.Error("it was accepted")
			}
			f, err := s.Store.Failure(context.Background(), failureKey(t, s), s.Now())
			if err != nil || f.Count != 1 {
				t.Errorf("counted %+v, %v; want one failure", f, err)
			}
		})
	}
}

// at is when each house begins.
var at = time.Date(2026, 5, 4, 10, 0, 18, 0, time.UTC)

func independent8(secret []byte, t time.Time) string {
	return independent(sha1.New, secret, uint64(t.Unix()/30), 8)
}

// failureKey finds the throttle's key of ann by what it does: it is the only one
// that Allow reads.
func failureKey(t *testing.T, s *house) string {
	t.Helper()
	spy := &spyFailures{FailureStore: s.Store}
	throttle := &account.Throttle{Failures: spy, Now: s.Now}
	if err := throttle.Allow(t.Context(), account.Attempt{Factor: account.FactorSecond, Account: "ann"}); err != nil {
		t.Fatal(err)
	}
	return spy.key
}

type spyFailures struct {
	account.FailureStore
	key string
}

func (f *spyFailures) Failure(ctx context.Context, key string, now time.Time) (store.Failure, error) {
	f.key = key
	return f.FailureStore.Failure(ctx, key, now)
}

// A guess that is told to be right in five minutes' time must not be.
func TestWhatADiagnosisRevealsIsSpent(t *testing.T) {
	s := newHouse(t)
	thief := s.browser()
	p := thief.at(thief.password("pa", "ann"), "/mfa/challenge")
	soon := codeAt(annsPhone, s.Now().Add(5*time.Minute))
	thief.post(p, "/mfa/challenge", "code", soon).refused(t, 422, "five minutes ahead")

	s.Pass(5 * time.Minute)
	if s.code(annsPhone) != soon {
		t.Fatal("the test's own clock is wrong")
	}
	thief.post(p, "/mfa/challenge", "code", soon).refused(t, 422, "You used this code already")
	if got := count(s.events("ann"), "second_factor.refused replayed"); got != 1 {
		t.Errorf("events %q, want one of the replay", s.events("ann"))
	}
	for _, off := range []time.Duration{-30 * time.Second, 30 * time.Second} {
		s.Pass(off)
		thief.post(p, "/mfa/challenge", "code", soon).refused(t, 422, "already")
		s.Pass(-off)
	}
	// The member is kept waiting for one code at most.
	s.Pass(30 * time.Second)
	ann := s.browser()
	ann.at(ann.post(ann.password("pa", "ann"), "/mfa/challenge", "code", s.code(annsPhone)), "/portal")
}

// What a finding says must not be told for nothing.
func TestNothingIsExplainedThatIsNotCounted(t *testing.T) {
	for _, verb := range []string{"RecordFailure", "UseOnce"} {
		t.Run(verb, func(t *testing.T) {
			s := newHouse(t)
			broken := &brokenStore{Store: s.Store, verb: verb}
			s.room.Store = broken
			s.room.Throttle = &account.Throttle{Failures: broken, Now: s.Now}
			b := s.browser()
			p := b.at(b.password("pa", "ann"), "/mfa/challenge")
			got := b.post(p, "/mfa/challenge", "code", codeAt(annsPhone, s.Now().Add(5*time.Minute)))
			if got.status < 500 || strings.Contains(got.text(), "minutes ahead") {
				t.Errorf("%d %s", got.status, got.text())
			}
			if len(s.events("ann")) != 0 {
				t.Errorf("events %q of what was not counted", s.events("ann"))
			}
		})
	}
}

// brokenStore fails one verb.
type brokenStore struct {
	*bolt.Store
	verb string
}

func (b *brokenStore) RecordFailure(ctx context.Context, key string, now time.Time, window time.Duration) (store.Failure, error) {
	if b.verb == "RecordFailure" {
		return store.Failure{}, store.ErrUnavailable
	}
	return b.Store.RecordFailure(ctx, key, now, window)
}

func (b *brokenStore) UseOnce(ctx context.Context, space, key string, now, until time.Time) error {
	if b.verb == "UseOnce" {
		return store.ErrUnavailable
	}
	return b.Store.UseOnce(ctx, space, key, now, until)
}

func TestEitherOfTwoAuthenticatorsSignsIn(t *testing.T) {
	s := newHouse(t)
	second := []byte("ann's tablet 20 byte")
	s.Must(s.Store.AddAuthenticator(t.Context(), store.Authenticator{
		ID: "ann-2", AccountID: "ann", Kind: "totp", CreatedAt: s.Now().Add(time.Hour), Sealed: account.SealTOTP(flowtest.Keys(t), "ann", second),
	}))
	s.Must(s.Store.AddAuthenticator(t.Context(), store.Authenticator{
		ID: "ann-3", AccountID: "ann", Kind: "totp", CreatedAt: s.Now().Add(2 * time.Hour), Sealed: []byte("damaged"),
	}))
	for _, secret := range [][]byte{annsPhone, second} {
		b := s.browser()
		b.at(b.post(b.password("pa", "ann"), "/mfa/challenge", "code", s.code(secret)), "/portal")
		// The step belongs to the account: the other's code of this moment is spent, too.
		b = s.browser()
		b.post(b.password("pa", "ann"), "/mfa/challenge", "code", s.code(annsPhone)).refused(t, 422, "already")
		s.Pass(time.Minute)
	}
}

func TestAnEntryThatThisBrowserShowedIsRecognised(t *testing.T) {
	s := newHouse(t)
	laptop, phone := s.browser(), s.browser()
	shown := laptop.at(laptop.password("pa", "new"), "/mfa/enroll").secret(t)
	confirmed, _ := phone.enroll(phone.password("pa", "new"))
	s.Pass(time.Minute)
	p := laptop.at(laptop.password("pa", "new"), "/mfa/challenge")
	laptop.post(p, "/mfa/challenge", "code", s.code(shown)).refused(t, 422, "This is a code of an older entry in your app: delete that entry")
	laptop.at(laptop.post(p, "/mfa/challenge", "code", s.code(confirmed)), "/portal")
}

// What was accepted between a backup and its restore is forgotten by the store.
func TestAfterARestoreNoCodeOfBeforeIsAccepted(t *testing.T) {
	s := newHouse(t)
	s.Must(s.Store.SetMeta(t.Context(), store.MetaRestored, s.Now().Format(time.RFC3339)))
	b := s.browser()
	p := b.password("pa", "ann")
	for _, off := range []time.Duration{-30 * time.Second, 0, 30 * time.Second} {
		b.post(p, "/mfa/challenge", "code", codeAt(annsPhone, s.Now().Add(off))).refused(t, 422, "already")
	}
	s.Pass(time.Minute)
	b.at(b.post(p, "/mfa/challenge", "code", s.code(annsPhone)), "/portal")
}

func TestARightCodeOfARemovedAuthenticatorLeadsOn(t *testing.T) {
	s := newHouse(t)
	s.room.Store = &removing{Store: s.Store, s: s}
	b := s.browser()
	p := b.at(b.password("pa", "ann"), "/mfa/challenge")
	b.at(b.post(p, "/mfa/challenge", "code", s.code(annsPhone)), "/mfa/enroll")
	if len(s.Issued) != 0 {
		t.Error("signed in")
	}
}

// removing takes the authenticator away just before the commit.
type removing struct {
	Store
	s *house
}

func (r *removing) TouchAuthenticator(ctx context.Context, accountID, id string, at time.Time) error {
	if err := r.s.Store.RemoveAuthenticator(context.Background(), accountID, id); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return r.Store.TouchAuthenticator(ctx, accountID, id, at)
}

func TestCodesInTheWrongFieldAreToldWhere(t *testing.T) {
	s := newHouse(t)
	b := s.browser()
	p := b.at(b.password("pa", "ann"), "/mfa/challenge")
	if !strings.Contains(p.body, `id="use-recovery-code"`) || !strings.Contains(p.body, "/mfa/recovery?i=") {
		t.Error("no way to the recovery codes")
	}
	b.post(p, "/mfa/challenge", "code", annsCodes[0]).refused(t, 422, "This looks like a recovery code.")
	b.post(p, "/mfa/recovery", "recovery_code", s.code(annsPhone)).refused(t, 422, "This looks like a code from your authenticator app.")
	if s.codesLeft("ann") != 3 || len(s.events("ann")) != 0 {
		t.Error("something was used or counted")
	}
}
