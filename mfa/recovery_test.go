package mfa

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/flow"
)

func TestARecoveryCodeLeadsToANewAuthenticatorAndNoFurther(t *testing.T) {
	s := newHouse(t)
	b := s.browser()
	p := b.at(b.password("pa", "ann"), "/mfa/challenge")
	p = b.at(b.again(p, "/mfa/recovery"), "/mfa/recovery")
	p = b.at(b.post(p, "/mfa/recovery", "recovery_code", "K7M2 X9QD 4HNT"), "/mfa/enroll")

	// Nobody is signed in by a recovery code (invariant I6).
	if home := b.get("/"); strings.Contains(home.body, "ann@acme.example") || len(s.Issued) != 0 || count(s.events("ann"), "session.opened") != 0 {
		t.Error("signed in by the recovery code alone")
	}
	if s.codesLeft("ann") != 2 || !slices.Equal(s.mails(), []string{"recovery_code_used ann@acme.example"}) || count(s.events("ann"), "recovery_code.used") != 1 {
		t.Errorf("%d codes left, mails %q, events %q", s.codesLeft("ann"), s.mails(), s.events("ann"))
	}
	for _, path := range []string{"/mfa/challenge", "/mfa/recovery", "/continue"} {
		b.at(b.again(p, path), "/mfa/enroll")
	}
	if !strings.Contains(p.text(), "The old entry in your app stops working") {
		t.Errorf("the page does not say what happens to the old entry: %s", p.text())
	}

	secret, p := b.enroll(p)
	shown := p.codes()
	b.at(b.post(p, "/mfa/recovery-codes"), "/portal")
	if got := s.Issued[0].AMR; !slices.Equal(got, []string{"pwd", "otp", "mfa"}) {
		t.Errorf("amr %q", got)
	}
	if got := s.authenticators("ann"); len(got) != 1 || got[0].ID == "ann-1" {
		t.Errorf("authenticators %+v, want the new one alone", got)
	}
	if got := s.mails(); !slices.Contains(got, "authenticator_added ann@acme.example") {
		t.Errorf("mails %q", got)
	}
	events := s.events("ann")
	for _, want := range []string{"authenticator.removed", "authenticator.added", "recovery_codes.created", "session.opened"} {
		if count(events, want) != 1 {
			t.Errorf("events %q, want one %s", events, want)
		}
	}

	s.Pass(time.Minute)
	b = s.browser()
	p = b.password("pa", "ann")
	b.post(p, "/mfa/challenge", "code", s.code(annsPhone)).refused(t, 422, "not right")
	b.post(p, "/mfa/recovery", "recovery_code", annsCodes[1]).refused(t, 422, "This recovery code is not right. Check it, or enter another one of your newest list.")
	b.at(b.post(p, "/mfa/challenge", "code", s.code(secret)), "/portal")
	b = s.browser()
	b.at(b.post(b.password("pa", "ann"), "/mfa/recovery", "recovery_code", shown[9]), "/mfa/enroll")
}

// A recovery code is no one-time password, whatever the hub makes of it
// (invariant I6).
func TestARecoveryCodeIsNeverProvedAsACode(t *testing.T) {
	s := newHouse(t)
	spy := &spyHub{Hub: s.Hub}
	s.room.Hub = spy
	b := s.browser()
	b.post(b.password("pa", "ann"), "/mfa/recovery", "recovery_code", annsCodes[0])
	if got := spy.proved; got.SecondFactor == nil || got.SecondFactor.Method != "recovery" || got.SecondFactor.Enrolment || !got.EnrolmentOwed {
		t.Errorf("proved %+v, owed %v; want recovery, and an enrolment owed", got.SecondFactor, got.EnrolmentOwed)
	}
}

// spyHub keeps what was proved.
type spyHub struct {
	Hub
	proved flow.Interaction
}

func (h *spyHub) Done(w http.ResponseWriter, r *http.Request, prove func(ctx context.Context, in *flow.Interaction) error) error {
	return h.Hub.Done(w, r, func(ctx context.Context, in *flow.Interaction) error {
		err := prove(ctx, in)
		h.proved = *in
		return err
	})
}

func TestOneOfManyEqualRecoveryCodesIsAccepted(t *testing.T) {
	s := newHouse(t)
	b := s.browser()
	p := b.at(b.password("pa", "ann"), "/mfa/challenge")
	var mu sync.Mutex
	won := 0
	var all sync.WaitGroup
	for range 32 {
		tab := b.twin()
		all.Go(func() {
			got := tab.post(p, "/mfa/recovery", "recovery_code", annsCodes[0])
			mu.Lock()
			defer mu.Unlock()
			if got.status == 303 {
				won++
				return
			}
			got.refused(t, 422, "You used this recovery code already.")
		})
	}
	all.Wait()
	if won != 1 || s.codesLeft("ann") != 2 || count(s.events("ann"), "recovery_code.used") != 1 || len(s.mails()) != 1 {
		t.Errorf("%d won, %d left, events %q, mails %q", won, s.codesLeft("ann"), s.events("ann"), s.mails())
	}
}

// One recovery code buys one enrolment: an old copy of the cookies does not
// replace the authenticator again.
func TestAnOwedEnrolmentIsPaidOnce(t *testing.T) {
	s := newHouse(t)
	b := s.browser()
	p := b.password("pa", "ann")
	p = b.at(b.post(p, "/mfa/recovery", "recovery_code", annsCodes[0]), "/mfa/enroll")
	copied := b.twin()
	b.enroll(p)
	mine := s.authenticators("ann")[0].ID

	s.Pass(time.Minute)
	again := copied.again(p, "/mfa/enroll")
	got := copied.post(p, "/mfa/enroll", "code", s.code(again.secret(t)))
	got.refused(t, 409, "This page was used before.")
	if now := s.authenticators("ann"); len(now) != 1 || now[0].ID != mine {
		t.Errorf("authenticators %+v, want only %s", now, mine)
	}
}

// While an authenticator is being replaced, its codes are explained: that is
// worth guessing, so it counts, and what is said is spent.
func TestCodesOfTheReplacedEntryAreExplainedCountedAndSpent(t *testing.T) {
	s := newHouse(t)
	b := s.browser()
	p := b.password("pa", "ann")
	p = b.at(b.post(p, "/mfa/recovery", "recovery_code", annsCodes[0]), "/mfa/enroll")
	old := s.code(annsPhone)
	b.post(p, "/mfa/enroll", "code", old).refused(t, 422, "This is a code of an older entry in your app: delete that entry")
	if got := count(s.events("ann"), "second_factor.refused older_entry"); got != 1 {
		t.Errorf("%d events", got)
	}
	other := s.browser()
	other.post(other.password("pa", "ann"), "/mfa/challenge", "code", old).refused(t, 422, "You used this code already")

	for range 4 {
		b.post(p, "/mfa/enroll", "code", "000000").refused(t, 422, "not right")
	}
	b.post(p, "/mfa/enroll", "code", "000000").refused(t, 429, "too many attempts")
	s.Pass(31 * time.Second)
	b.enroll(b.again(p, "/mfa/enroll"))
}

func TestTheRecoveryPageNeverEndsTheWay(t *testing.T) {
	s := newHouse(t)
	b := s.browser()
	p := b.password("pa", "ben") // has no recovery codes
	p = b.at(b.again(p, "/mfa/recovery"), "/mfa/recovery")
	p.refused(t, 200, "There are no recovery codes left for this account. Ask your administrator to reset your authenticator.")
	if !strings.Contains(p.body, `href="/mfa/challenge?i=`) {
		t.Error("no way back")
	}
	b.post(p, "/mfa/recovery", "recovery_code", "short").refused(t, 422, "A recovery code has twelve letters and digits")
}

func TestADamagedAuthenticatorCanBeReplaced(t *testing.T) {
	s := newHouse(t)
	s.Must(s.Store.RemoveAuthenticator(t.Context(), "ann", "ann-1"))
	damaged := annsRow
	damaged.CreatedAt = s.Now()
	s.Must(s.Store.AddAuthenticator(t.Context(), damaged))
	b := s.browser()
	p := b.password("pa", "ann")
	b.post(p, "/mfa/challenge", "code", s.code(annsPhone)).refused(t, 422, "not right")
	p = b.at(b.post(p, "/mfa/recovery", "recovery_code", annsCodes[0]), "/mfa/enroll")
	_, p = b.enroll(p)
	b.at(b.post(p, "/mfa/recovery-codes"), "/portal")
	if got := s.authenticators("ann"); len(got) != 1 || got[0].ID == damaged.ID {
		t.Errorf("authenticators %+v", got)
	}
}
