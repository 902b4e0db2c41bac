package account_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/account"
	"anteroom/internal/audit"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

func TestAnInvitationMakesAnAccountWithInvitedAccess(t *testing.T) {
	r := newRig(t)
	r.must(r.store.CreateOrganisation(r.ctx(), store.Organisation{ID: "acme", Name: "Acme"}))
	r.must(r.store.PutRole(r.ctx(), store.Role{ApplicationID: "pa", Key: "viewer"}))
	inviter := r.member("boss@acme.example")
	out, err := r.Invite(r.ctx(), account.Invite{
		Email: "ann@acme.example", UserName: "ann", OrganisationID: "acme", ApplicationID: "pa",
		Profile: map[string]any{"name": "Ann Smith"},
		Access:  []account.Access{{OrganisationID: "acme", RoleKey: "viewer"}}, By: inviter.ID,
	})
	r.must(err)
	acct := r.account(out.Account.ID)
	if !out.Created || acct.State != store.AccountInvited || acct.UserName != "ann" || acct.OrganisationID != "acme" || acct.PasswordHash != "" || acct.EmailVerified {
		t.Errorf("account %+v", acct)
	}
	held, err := r.store.AssignmentsOf(r.ctx(), acct.ID, "")
	r.must(err)
	if len(held) != 1 || held[0].State != store.AssignmentInvited || held[0].RoleKey != "viewer" || held[0].GrantedBy != inviter.ID {
		t.Errorf("access %+v", held)
	}
	sent := r.mail.take()
	if len(sent) != 1 || sent[0].to != "ann@acme.example" {
		t.Fatalf("mail %+v", sent)
	}
	mail := sent[0].mail.(templates.InvitationMail)
	if mail.Link != out.Link || mail.NewAccess || mail.Portal != "Partner Analytics" || mail.Name != "Ann Smith" || mail.InvitedBy != "boss@acme.example" ||
		!contains(mail.Link, "https://id.example/activate?token=") || !mail.ExpiresAt.Equal(r.clock.Now().Add(7*24*time.Hour)) {
		t.Errorf("mail %+v", mail)
	}
	want := []string{audit.AccountCreated, audit.AccessGranted, audit.Invited}
	if got := r.events(acct.ID); !slices.Equal(got, want) {
		t.Errorf("audit %v, want %v", got, want)
	}
	link, err := r.CheckInvitation(r.ctx(), tokenOf(t, out.Link))
	if err != nil || link.Account.ID != acct.ID || link.Application.ID != "pa" {
		t.Errorf("link %+v, %v", link, err)
	}
}

func TestAnActiveAccountGetsTheMailOfNewAccess(t *testing.T) {
	r := newRig(t)
	ann := r.member("ann@acme.example")
	out, _ := r.invite("ANN@acme.example")
	if out.Created || out.Account.ID != ann.ID {
		t.Errorf("invited %+v", out)
	}
	if mail := r.mail.take()[0].mail.(templates.InvitationMail); !mail.NewAccess {
		t.Errorf("mail %+v", mail)
	}
}

func TestAnInviterMayGiveThePassword(t *testing.T) {
	r := newRig(t)
	invite := account.Invite{Email: "ann@acme.example", ApplicationID: "pa", By: account.Operator, Password: "password1"}
	if _, err := r.Invite(r.ctx(), invite); !isA[*account.Unsuitable](err) {
		t.Errorf("a common password: %v", err)
	}
	invite.Password = rightPassword
	out, err := r.Invite(r.ctx(), invite)
	r.must(err)
	if got, err := r.CheckPassword(r.ctx(), "ann@acme.example", rightPassword, "192.0.2.1", nobodyKnown); err != nil || got.ID != out.Account.ID {
		t.Errorf("sign in: %v, %v", got.ID, err)
	}
	if _, err := r.Invite(r.ctx(), invite); !isA[*account.Refused](err) {
		t.Errorf("a second password by invitation: %v", err)
	}
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func TestInvitationsThatAreRefusedChangeNothing(t *testing.T) {
	r := newRig(t)
	disabled := r.member("dan@acme.example")
	r.must(r.Disable(r.ctx(), disabled.ID, account.Operator))
	r.must(r.store.CreateAccount(r.ctx(), store.Account{ID: "e", UserName: "eve", Email: "eve@acme.example", State: store.AccountActive}))
	r.must(r.store.CreateAccount(r.ctx(), store.Account{ID: "s", UserName: "sam@acme.example", Email: "other@acme.example", State: store.AccountActive}))
	r.mail.take()
	before := len(r.events(""))
	for _, c := range []struct {
		name   string
		invite account.Invite
	}{
		{"no address", account.Invite{UserName: "x", ApplicationID: "pa"}},
		{"an address with a name", account.Invite{Email: "Ann <ann@acme.example>", ApplicationID: "pa"}},
		{"an address with a header", account.Invite{Email: "ann@acme.example\r\nBcc: x@y.example", ApplicationID: "pa"}},
		{"no application", account.Invite{Email: "ann@acme.example", ApplicationID: "nowhere"}},
		{"no organisation", account.Invite{Email: "ann@acme.example", ApplicationID: "pa", OrganisationID: "nowhere"}},
		{"no role", account.Invite{Email: "ann@acme.example", ApplicationID: "pa", Access: []account.Access{{RoleKey: "ghost"}}}},
		{"disabled", account.Invite{Email: "dan@acme.example", ApplicationID: "pa"}},
		{"a user name of another", account.Invite{UserName: "eve", Email: "ann@acme.example", ApplicationID: "pa"}},
		{"an address of another", account.Invite{UserName: "ann", Email: "eve@acme.example", ApplicationID: "pa"}},
		{"an address that is another's user name", account.Invite{Email: "sam@acme.example", ApplicationID: "pa"}},
		{"a user name that is another's address", account.Invite{UserName: "eve@acme.example", Email: "ann@acme.example", ApplicationID: "pa"}},
	} {
		c.invite.By = account.Operator
		_, err := r.Invite(r.ctx(), c.invite)
		refused, ok := errors.AsType[*account.Refused](err)
		if !ok || refused.Explain() == "" {
			t.Errorf("%s: %v, want a sentence", c.name, err)
		}
	}
	if got := len(r.events("")); got != before || len(r.mail.take()) != 0 {
		t.Errorf("the audit log has %d events, want %d, and no mail", got, before)
	}
	if _, err := r.store.AccountByName(r.ctx(), "ann@acme.example"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a refused invitation left an account: %v", err)
	}
}

func TestAFailedMailFailsTheInvitation(t *testing.T) {
	r := newRig(t)
	r.mail.fail = errors.New("outbox full")
	if _, err := r.Invite(r.ctx(), account.Invite{Email: "ann@acme.example", ApplicationID: "pa", By: account.Operator}); err == nil {
		t.Fatal("invited without a mail")
	}
	if _, err := r.store.AccountByName(r.ctx(), "ann@acme.example"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("half an invitation: %v", err)
	}
}

func TestParallelInvitationsMakeOneAccount(t *testing.T) {
	r := newRig(t)
	var wg sync.WaitGroup
	var invited atomic.Int64
	for range 32 {
		wg.Go(func() {
			_, err := r.Invite(r.ctx(), account.Invite{Email: "ann@acme.example", ApplicationID: "pa", By: account.Operator})
			if err == nil {
				invited.Add(1)
			} else if !isA[*account.Refused](err) {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	rows, _, err := r.store.Accounts(r.ctx(), store.Page{})
	r.must(err)
	if len(rows) != 1 || invited.Load() == 0 {
		t.Fatalf("%d accounts by %d invitations", len(rows), invited.Load())
	}
	links, err := r.store.InvitationsOf(r.ctx(), rows[0].ID)
	r.must(err)
	live := slices.DeleteFunc(links, func(i store.Invitation) bool { return !i.RevokedAt.IsZero() })
	if len(live) != 1 {
		t.Errorf("%d links work, want the newest only", len(live))
	}
}

func TestTheProductsNameIsNoPassword(t *testing.T) {
	r := newRig(t)
	r.Product = "Acme Front Desk"
	ann := r.member("ann@other.example")
	if _, err := r.NewPassword(r.ctx(), ann, "pa", "AcmeFrontDesk26"); !isA[*account.Unsuitable](err) {
		t.Errorf("got %v", err)
	}
}

func TestActivateWinsOnce(t *testing.T) {
	r := newRig(t)
	out, token := r.invite("ann@acme.example")
	link, err := r.CheckInvitation(r.ctx(), token)
	r.must(err)
	var won, used atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			switch _, err := r.Activate(r.ctx(), link.Hash, "$argon2id$mine"); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, store.ErrConsumed), errors.Is(err, account.ErrHasPassword):
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
	acct := r.account(out.Account.ID)
	if !acct.EmailVerified || acct.PasswordHash != "$argon2id$mine" || !acct.PasswordChangedAt.Equal(r.clock.Now()) {
		t.Errorf("account %+v", acct)
	}
	events := r.events(acct.ID)[3:]
	if !slices.Equal(events, []string{audit.InvitationUsed, audit.PasswordChosen}) && !slices.Equal(events, []string{audit.PasswordChosen, audit.InvitationUsed}) {
		t.Errorf("audit %v, want one use and one password", events)
	}
	if _, err := r.CheckInvitation(r.ctx(), token); !deadAs(err, account.ReasonUsed) {
		t.Errorf("afterwards: %v", err)
	}
}

func deadAs(err error, why account.Reason) bool {
	dead, ok := errors.AsType[*account.DeadLink](err)
	return ok && dead.Reason == why
}

// Two invitations to two applications, both forms open: the second form must
// not replace the password that the first one chose.
func TestASecondInvitationDoesNotReplaceThePassword(t *testing.T) {
	r := newRig(t)
	r.application("pcc", true)
	_, first := r.invite("ann@acme.example")
	second, err := r.Invite(r.ctx(), account.Invite{Email: "ann@acme.example", ApplicationID: "pcc", By: account.Operator})
	r.must(err)
	one, err := r.CheckInvitation(r.ctx(), first)
	r.must(err)
	two, err := r.CheckInvitation(r.ctx(), tokenOf(t, second.Link))
	r.must(err)
	if _, err := r.Activate(r.ctx(), one.Hash, "$argon2id$first"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Activate(r.ctx(), two.Hash, "$argon2id$second"); !errors.Is(err, account.ErrHasPassword) {
		t.Errorf("got %v, want ErrHasPassword", err)
	}
	if _, err := r.CheckInvitation(r.ctx(), tokenOf(t, second.Link)); err != nil {
		t.Errorf("the second link was used up for nothing: %v", err)
	}
	if got := r.account(second.Account.ID).PasswordHash; got != "$argon2id$first" {
		t.Errorf("password %q", got)
	}
}

func TestLinksDie(t *testing.T) {
	r := newRig(t)
	out, first := r.invite("ann@acme.example")
	_, second := r.invite("ann@acme.example")
	if _, err := r.CheckInvitation(r.ctx(), first); !deadAs(err, account.ReasonRevoked) {
		t.Errorf("replaced: %v", err)
	}
	if _, err := r.CheckInvitation(r.ctx(), "x"); !deadAs(err, account.ReasonUnknown) {
		t.Errorf("unknown: %v", err)
	}
	link, err := r.CheckInvitation(r.ctx(), second)
	r.must(err)
	r.must(r.Disable(r.ctx(), out.Account.ID, account.Operator))
	dead, _ := errors.AsType[*account.DeadLink](second2(r.CheckInvitation(r.ctx(), second)))
	if dead == nil || dead.Reason != account.ReasonRevoked || dead.Fresh || dead.Account.ID != "" {
		t.Errorf("disabled: %+v", dead)
	}
	if _, err := r.Activate(r.ctx(), link.Hash, "$argon2id$x"); !errors.Is(err, store.ErrRevoked) {
		t.Errorf("activate a disabled account: %v", err)
	}
	r.must(r.Enable(r.ctx(), out.Account.ID, account.Operator))
	if got := r.account(out.Account.ID).State; got != store.AccountInvited {
		t.Errorf("enabled without a password: %s", got)
	}
	r.clock.Add(7*24*time.Hour + time.Second)
	if _, err := r.CheckInvitation(r.ctx(), second); !deadAs(err, account.ReasonExpired) {
		t.Errorf("expired: %v", err)
	}
	r.must(r.store.RemoveAssignment(r.ctx(), store.Assignment{AccountID: out.Account.ID, ApplicationID: "pa"}))
	dead, _ = errors.AsType[*account.DeadLink](second2(r.CheckInvitation(r.ctx(), second)))
	if dead == nil || dead.Reason != account.ReasonRevoked || dead.Fresh {
		t.Errorf("access withdrawn: %+v", dead)
	}
}

func second2(_ account.Link, err error) error { return err }

func TestResendGoesToTheSameAddressOnly(t *testing.T) {
	r := newRig(t)
	out, old := r.invite("ann@acme.example")
	r.mail.take()
	r.must(r.ResendInvitation(r.ctx(), old)) // still works: nothing to do
	if sent := r.mail.take(); len(sent) != 0 {
		t.Fatalf("a link that works was replaced: %+v", sent)
	}
	r.clock.Add(8 * 24 * time.Hour)
	r.must(r.ResendInvitation(r.ctx(), old))
	sent := r.mail.take()
	if len(sent) != 1 || sent[0].to != "ann@acme.example" {
		t.Fatalf("mail %+v", sent)
	}
	fresh := tokenOf(t, sent[0].mail.(templates.InvitationMail).Link)
	link, err := r.CheckInvitation(r.ctx(), fresh)
	if err != nil || link.Account.ID != out.Account.ID {
		t.Errorf("fresh link: %v", err)
	}
	if err := r.ResendInvitation(r.ctx(), "unknown"); !deadAs(err, account.ReasonUnknown) {
		t.Errorf("unknown link: %v", err)
	}
	for range 2 {
		r.must(r.ResendInvitation(r.ctx(), old))
	}
	if err := r.ResendInvitation(r.ctx(), old); !isA[*account.Throttled](err) {
		t.Errorf("the fourth mail in an hour: %v", err)
	}
	if _, err := r.Activate(r.ctx(), link.Hash, "$argon2id$x"); !errors.Is(err, store.ErrRevoked) {
		t.Errorf("the first fresh link works after the next one: %v", err)
	}
}

func TestMaskEmail(t *testing.T) {
	for address, want := range map[string]string{
		"ann@acme.example": "a•••@acme.example", "é@x.example": "é•••@x.example", "": "", "@x": "", "none": "",
	} {
		if got := account.MaskEmail(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}

func TestEventsCarryTheAddress(t *testing.T) {
	r := newRig(t)
	if _, err := r.Invite(web.WithAddress(t.Context(), "198.51.100.9"), account.Invite{Email: "ann@acme.example", ApplicationID: "pa", By: account.Operator}); err != nil {
		t.Fatal(err)
	}
	rows, _, err := r.store.AuditEvents(r.ctx(), store.AuditFilter{Type: audit.Invited}, store.Page{})
	r.must(err)
	if len(rows) != 1 || rows[0].Address != "198.51.100.9" || rows[0].Actor != account.Operator || !rows[0].At.Equal(r.clock.Now()) {
		t.Errorf("event %+v", rows)
	}
}
