package account_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/account"
	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// open gives the account a session, a grant, an authenticator and recovery codes.
func (r *rig) open(acct store.Account) (sessionHash, grantID string) {
	r.Helper()
	now := r.clock.Now()
	sessionHash, grantID = seal.RandomID(), seal.RandomID()
	if _, err := r.store.Client(r.ctx(), "client"); errors.Is(err, store.ErrNotFound) {
		r.must(r.store.CreateClient(r.ctx(), store.Client{ID: "client", ApplicationID: "pa"}))
	}
	r.must(r.store.CreateSession(r.ctx(), store.Session{ID: seal.RandomID(), TokenHash: sessionHash, AccountID: acct.ID, AuthTime: now, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}))
	r.must(r.store.CreateGrant(r.ctx(), store.Grant{ID: grantID, ClientID: "client", ApplicationID: "pa", AccountID: acct.ID, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}))
	r.must(r.store.AddAuthenticator(r.ctx(), store.Authenticator{ID: seal.RandomID(), AccountID: acct.ID, Kind: "totp", Sealed: account.SealTOTP(r.keys, acct.ID, []byte("secret")), CreatedAt: now}))
	r.must(r.store.ReplaceRecoveryCodes(r.ctx(), acct.ID, []string{"a", "b"}, now))
	r.clock.Add(time.Second)
	return sessionHash, grantID
}

// ended tells whether what open opened is over.
func (r *rig) ended(sessionHash, grantID string) bool {
	r.Helper()
	_, noSession := r.store.SessionByToken(r.ctx(), sessionHash, r.clock.Now())
	_, noGrant := r.store.Grant(r.ctx(), grantID, r.clock.Now())
	if errors.Is(noSession, store.ErrRevoked) != errors.Is(noGrant, store.ErrRevoked) {
		r.Errorf("half ended: session %v, grant %v", noSession, noGrant)
	}
	return errors.Is(noSession, store.ErrRevoked)
}

func (r *rig) factors(acct store.Account) (authenticators, codes int) {
	r.Helper()
	bound, err := r.store.AuthenticatorsOf(r.ctx(), acct.ID)
	r.must(err)
	codes, err = r.store.RecoveryCodesLeft(r.ctx(), acct.ID)
	r.must(err)
	return len(bound), codes
}

func (r *rig) requestReset(name string) (token string) {
	r.Helper()
	r.mail.take()
	r.must(r.RequestReset(r.ctx(), name, "pa", "interaction"))
	for _, one := range r.mail.take() {
		return tokenOf(r.T, one.mail.(templates.PasswordResetMail).Link)
	}
	return ""
}

func TestAResetEndsEverythingButTheSecondFactor(t *testing.T) {
	r := newRig(t)
	ann := r.member("ann@acme.example")
	session, grant := r.open(ann)
	token := r.requestReset("Ann@acme.example")
	link, err := r.CheckReset(r.ctx(), token)
	r.must(err)
	if link.Account.ID != ann.ID || link.Application.ID != "pa" || link.Reset.InteractionID != "interaction" {
		t.Errorf("link %+v", link)
	}
	if r.ended(session, grant) {
		t.Error("asking for a link ended something")
	}
	hash, err := r.NewPassword(r.ctx(), link.Account, "pa", "velvet marmot kiln")
	r.must(err)
	if _, err := r.ResetPassword(r.ctx(), link.Hash, hash); err != nil {
		t.Fatal(err)
	}
	if !r.ended(session, grant) {
		t.Error("the session outlives the password")
	}
	now := r.account(ann.ID)
	if !now.NotBefore.Equal(r.clock.Now()) || !now.EmailVerified {
		t.Errorf("account %+v", now)
	}
	if n, codes := r.factors(ann); n != 1 || codes != 2 {
		t.Errorf("%d authenticators and %d recovery codes left, want all", n, codes)
	}
	if _, err := r.CheckPassword(r.ctx(), "ann@acme.example", rightPassword, "192.0.2.1", nobodyKnown); !errors.Is(err, account.ErrWrongPassword) {
		t.Errorf("the old password: %v", err)
	}
	if _, err := r.CheckPassword(r.ctx(), "ann@acme.example", "velvet marmot kiln", "192.0.2.1", nobodyKnown); err != nil {
		t.Errorf("the new password: %v", err)
	}
	if sent := r.mail.take(); len(sent) != 1 || sent[0].to != "ann@acme.example" {
		t.Errorf("mail %+v", sent)
	}
	if got, want := r.events(ann.ID), []string{audit.PasswordResetAsked, audit.PasswordReset}; !slices.Equal(got, want) {
		t.Errorf("audit %v, want %v", got, want)
	}
}

func TestAResetWinsOnce(t *testing.T) {
	r := newRig(t)
	ann := r.member("ann@acme.example")
	link, err := r.CheckReset(r.ctx(), r.requestReset("ann@acme.example"))
	r.must(err)
	var won, used atomic.Int64
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			switch _, err := r.ResetPassword(r.ctx(), link.Hash, fmt.Sprintf("$argon2id$%d", i)); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, store.ErrConsumed):
				used.Add(1)
			default:
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || used.Load() != 31 {
		t.Errorf("%d won and %d lost", won.Load(), used.Load())
	}
	if got := r.events(ann.ID); len(got) != 2 {
		t.Errorf("audit %v, want one request and one reset", got)
	}
}

func TestForgottenPasswordsAnswerAlike(t *testing.T) {
	r := newRig(t)
	r.Floor = 100 * time.Millisecond
	disabled := r.member("dan@acme.example")
	r.must(r.Disable(r.ctx(), disabled.ID, account.Operator))
	r.must(r.store.CreateAccount(r.ctx(), store.Account{ID: "n", UserName: "nomail", State: store.AccountActive}))
	r.member("ann@acme.example")
	for name, mails := range map[string]int{"ann@acme.example": 1, "nobody@acme.example": 0, "dan@acme.example": 0, "nomail": 0} {
		start := time.Now()
		if err := r.RequestReset(r.ctx(), name, "", ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took < r.Floor {
			t.Errorf("%s was answered after %v, want at least %v", name, took, r.Floor)
		}
		if sent := r.mail.take(); len(sent) != mails {
			t.Errorf("%s: %d mails, want %d", name, len(sent), mails)
		}
	}
}

func TestResetMailsAreBoundedWithoutTelling(t *testing.T) {
	r := newRig(t)
	r.member("ann@acme.example")
	sent := 0
	for i := range 10 { // from ten addresses
		ctx := web.WithAddress(t.Context(), fmt.Sprintf("198.51.100.%d", i))
		r.must(r.RequestReset(ctx, "ann@acme.example", "", ""))
		sent += len(r.mail.take())
	}
	if sent != 3 {
		t.Errorf("%d mails in an hour, want 3", sent)
	}
	for i := range 21 { // one address, many names: alike for all
		err := r.RequestReset(r.ctx(), fmt.Sprintf("name%d", i), "", "")
		if refused := isA[*account.Throttled](err); refused != (i == 20) {
			t.Errorf("request %d: %v", i, err)
		}
	}
}

func TestOnlyTheNewestResetWorks(t *testing.T) {
	r := newRig(t)
	r.member("ann@acme.example")
	first := r.requestReset("ann@acme.example")
	second := r.requestReset("ann@acme.example")
	if _, err := r.CheckReset(r.ctx(), first); !deadAs(err, account.ReasonRevoked) {
		t.Errorf("the first: %v", err)
	}
	if _, err := r.CheckReset(r.ctx(), second); err != nil {
		t.Errorf("the second: %v", err)
	}
	r.clock.Add(time.Hour + time.Second)
	if _, err := r.CheckReset(r.ctx(), second); !deadAs(err, account.ReasonExpired) {
		t.Errorf("an hour later: %v", err)
	}
	if _, err := r.CheckReset(r.ctx(), "nonsense"); !deadAs(err, account.ReasonUnknown) {
		t.Errorf("unknown: %v", err)
	}
	// An invitation link is no reset link.
	_, invitation := r.invite("new@acme.example")
	if _, err := r.CheckReset(r.ctx(), invitation); !deadAs(err, account.ReasonUnknown) {
		t.Errorf("an invitation link: %v", err)
	}
}

func TestDisableAndEndSessionsEndEverything(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		do    func(id string) error
		event string
		state store.AccountState
	}{
		"disable":      {func(id string) error { return r.Disable(r.ctx(), id, account.Operator) }, audit.AccountDisabled, store.AccountDisabled},
		"end sessions": {func(id string) error { return r.EndSessions(r.ctx(), id, account.Operator) }, audit.SessionsEnded, store.AccountActive},
	} {
		acct := r.member(name + "x@acme.example")
		session, grant := r.open(acct)
		r.must(c.do(acct.ID))
		now := r.account(acct.ID)
		if !r.ended(session, grant) || !now.NotBefore.Equal(r.clock.Now()) || now.State != c.state {
			t.Errorf("%s: %+v", name, now)
		}
		if got := r.events(acct.ID); !slices.Equal(got, []string{c.event}) {
			t.Errorf("%s: audit %v", name, got)
		}
		if n, codes := r.factors(acct); n != 1 || codes != 2 {
			t.Errorf("%s removed a factor", name)
		}
		r.must(r.Enable(r.ctx(), acct.ID, account.Operator))
		if got := r.account(acct.ID).State; got != store.AccountActive {
			t.Errorf("%s, enabled again: %s", name, got)
		}
	}
	if err := r.Disable(r.ctx(), "nobody", account.Operator); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown account: %v", err)
	}
}

func TestNotBeforeNeverGoesBack(t *testing.T) {
	r := newRig(t)
	ann := r.member("ann@acme.example")
	r.must(r.EndSessions(r.ctx(), ann.ID, account.Operator))
	first := r.account(ann.ID).NotBefore
	r.clock.Add(-time.Hour)
	r.must(r.EndSessions(r.ctx(), ann.ID, account.Operator))
	if got := r.account(ann.ID).NotBefore; !got.Equal(first) {
		t.Errorf("not before %v, want %v", got, first)
	}
}

func TestResetSecondFactor(t *testing.T) {
	r := newRig(t)
	ann := r.member("ann@acme.example")
	boss := r.member("boss@acme.example")
	session, grant := r.open(ann)
	r.must(r.store.AdvanceTOTP(r.ctx(), ann.ID, 59_000_000))
	for _, reason := range []string{"", "  \t", "two\nlines", string(bytes.Repeat([]byte("x"), 501))} {
		if err := r.ResetSecondFactor(r.ctx(), ann.ID, boss.ID, reason); !isA[*account.Refused](err) {
			t.Errorf("reason %q: %v", reason, err)
		}
	}
	if n, _ := r.factors(ann); n != 1 {
		t.Fatal("removed without a reason")
	}
	r.must(r.ResetSecondFactor(r.ctx(), ann.ID, boss.ID, "phone lost, identity checked by phone"))
	if n, codes := r.factors(ann); n != 0 || codes != 0 {
		t.Errorf("%d authenticators and %d codes left", n, codes)
	}
	if !r.ended(session, grant) || r.account(ann.ID).NotBefore.IsZero() {
		t.Error("the sessions stay")
	}
	if last, err := r.store.LastTOTP(r.ctx(), ann.ID); err != nil || last != 59_000_000 {
		t.Errorf("last accepted step %d, %v: a used code would work again", last, err)
	}
	sent := r.mail.take()
	if len(sent) != 1 || sent[0].mail.(templates.SecondFactorResetMail).By != "boss@acme.example" {
		t.Errorf("mail %+v", sent)
	}
	rows, _, err := r.store.AuditEvents(r.ctx(), store.AuditFilter{AccountID: ann.ID}, store.Page{})
	r.must(err)
	if len(rows) != 1 || rows[0].Type != audit.SecondFactorReset || rows[0].Actor != boss.ID || rows[0].Details["reason"] != "phone lost, identity checked by phone" {
		t.Errorf("audit %+v", rows)
	}
	if _, err := r.CheckPassword(r.ctx(), "ann@acme.example", rightPassword, "192.0.2.1", nobodyKnown); err != nil {
		t.Errorf("the password stays: %v", err)
	}
	if err := r.ResetSecondFactor(r.ctx(), "nobody", boss.ID, "x"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown account: %v", err)
	}
}

func TestSealedSecretsOpenForTheirAccountOnly(t *testing.T) {
	r := newRig(t)
	sealed := account.SealTOTP(r.keys, "ann", []byte("secret"))
	if got, err := account.OpenTOTP(r.keys, "ann", sealed); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := account.OpenTOTP(r.keys, "bob", sealed); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("another account: %v", err)
	}
}

// An operator who got no answer asks again. The log says what happened, once.
func TestDisablingAndEnablingTwiceAreOneEventEach(t *testing.T) {
	r := newRig(t)
	ann := r.member("ann@acme.example")
	r.must(r.Enable(r.ctx(), ann.ID, account.Operator)) // she was
	for range 2 {
		r.must(r.Disable(r.ctx(), ann.ID, account.Operator))
	}
	for range 2 {
		r.must(r.Enable(r.ctx(), ann.ID, account.Operator))
	}
	if got := r.events(ann.ID); !slices.Equal(got, []string{audit.AccountDisabled, audit.AccountEnabled}) {
		t.Errorf("audit %v", got)
	}
}
