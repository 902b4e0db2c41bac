package account_test

import (
	"errors"
	"slices"
	"testing"

	"anteroom/account"
	"anteroom/internal/audit"
	"anteroom/store"
	"anteroom/templates"
)

// A password that somebody else may know opens nothing from then on, and neither
// does a link that was sent before; the owner gets a new one.
func TestAnInvalidatedPasswordIsWorthless(t *testing.T) {
	r := newRig(t)
	ann := r.member("ann@acme.example")
	session, grant := r.open(ann)
	older := r.requestReset("ann@acme.example")
	mailed, err := r.InvalidatePassword(r.ctx(), ann.ID, account.Operator, "found in a leak")
	r.must(err)
	if !mailed || !r.ended(session, grant) {
		t.Errorf("mailed %v, ended %v", mailed, r.ended(session, grant))
	}
	if n, codes := r.factors(ann); n != 1 || codes != 2 {
		t.Errorf("%d authenticators and %d recovery codes left, want all", n, codes)
	}
	for _, try := range []string{rightPassword, ""} {
		if _, err := r.CheckPassword(r.ctx(), "ann@acme.example", try, "192.0.2.1", nobodyKnown); !errors.Is(err, account.ErrWrongPassword) {
			t.Errorf("password %q: %v", try, err)
		}
	}
	// A sign-in that was under way does not bring the hash back.
	r.must(r.KeepHash(r.ctx(), ann, "$argon2id$stronger"))
	if got := r.account(ann.ID); got.PasswordHash != "" || got.State != store.AccountActive || !got.NotBefore.Equal(r.clock.Now()) {
		t.Errorf("account %+v", got)
	}
	if _, err := r.CheckReset(r.ctx(), older); err == nil {
		t.Error("a link of before still works")
	}
	sent := r.mail.take()
	if len(sent) != 1 || sent[0].to != "ann@acme.example" || !sent[0].mail.(templates.PasswordResetMail).Invalidated {
		t.Fatalf("mail %+v", sent)
	}
	link, err := r.CheckReset(r.ctx(), tokenOf(t, sent[0].mail.(templates.PasswordResetMail).Link))
	r.must(err)
	hash, err := r.NewPassword(r.ctx(), link.Account, "pa", "velvet marmot kiln")
	r.must(err)
	if _, err := r.ResetPassword(r.ctx(), link.Hash, hash); err != nil {
		t.Fatal(err)
	}
	if _, err := r.CheckPassword(r.ctx(), "ann@acme.example", "velvet marmot kiln", "192.0.2.1", nobodyKnown); err != nil {
		t.Errorf("the new password: %v", err)
	}
	if got, want := r.events(ann.ID), []string{audit.PasswordResetAsked, audit.PasswordInvalidated, audit.PasswordReset}; !slices.Equal(got, want) {
		t.Errorf("audit %v, want %v", got, want)
	}
}

func TestInvalidatingAPasswordThatCannotBeMailed(t *testing.T) {
	r := newRig(t)
	ann, bob := r.member("ann@acme.example"), r.member("bob@acme.example")
	r.must(r.Disable(r.ctx(), ann.ID, account.Operator))
	if _, err := r.store.UpdateAccount(r.ctx(), bob.ID, func(a *store.Account) error { a.Email = ""; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, acct := range []store.Account{ann, bob} {
		mailed, err := r.InvalidatePassword(r.ctx(), acct.ID, account.Operator, "leaked")
		if err != nil || mailed || len(r.mail.take()) != 0 || r.account(acct.ID).PasswordHash != "" {
			t.Errorf("%s: mailed %v, %v", acct.UserName, mailed, err)
		}
	}
	// Enabled again she is no newcomer, and still without a password.
	r.must(r.Enable(r.ctx(), ann.ID, account.Operator))
	if got := r.account(ann.ID); got.State != store.AccountActive || got.PasswordHash != "" {
		t.Errorf("enabled: %+v", got)
	}
	if _, err := r.InvalidatePassword(r.ctx(), ann.ID, account.Operator, " "); err == nil {
		t.Error("without a reason")
	}
	if _, err := r.InvalidatePassword(r.ctx(), "nobody", account.Operator, "leaked"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
}
