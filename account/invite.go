package account

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// Access is a role for an organisation; both empty: bare access.
type Access struct {
	OrganisationID string
	RoleKey        string
}

// Invite is what an inviter asks for. Whether they may is decided before
// (package access); commands of the operator are unrestricted.
type Invite struct {
	Email          string
	UserName       string         // empty: the e-mail address
	Profile        map[string]any // standard claims of a new account; may be nil
	OrganisationID string         // of a new account; may be empty
	ApplicationID  string
	Access         []Access // empty: bare access
	Password       string   // of a new account; empty: she chooses one herself
	By             string   // account id, or Operator
}

// Invited is what came of it. Link is the secret of the mail, for operators who
// have no mail server: whoever has it can activate the account.
type Invited struct {
	Account   store.Account
	Created   bool
	Link      string
	ExpiresAt time.Time
}

// Invite creates the account if there is none, gives it invited access, and puts
// an invitation with a fresh link into the outbox, all in one commit. An earlier
// open invitation to the same application ends. Returns *Refused, *Unsuitable,
// ErrBusy.
func (a *Accounts) Invite(ctx context.Context, inv Invite) (Invited, error) {
	if inv.UserName = strings.TrimSpace(inv.UserName); inv.UserName == "" {
		inv.UserName = strings.TrimSpace(inv.Email)
	}
	inv.Email = strings.TrimSpace(inv.Email)
	if err := errors.Join(checkEmail(inv.Email), checkUserName(inv.UserName)); err != nil {
		return Invited{}, firstRefused(err)
	}
	app, err := a.Store.Application(ctx, inv.ApplicationID)
	if errors.Is(err, store.ErrNotFound) {
		return Invited{}, &Refused{Sentence: fmt.Sprintf("There is no application %q.", inv.ApplicationID), Cause: err}
	}
	if err != nil {
		return Invited{}, fmt.Errorf("load application %q: %w", inv.ApplicationID, err)
	}
	fresh, err := a.newAccount(ctx, inv)
	if err != nil {
		return Invited{}, err
	}
	ticket := a.newTicket()
	var out Invited
	err = a.Store.Do(ctx, func(ctx context.Context) error {
		acct, created, err := a.invitee(ctx, fresh, inv)
		if err != nil {
			return err
		}
		if err := a.assign(ctx, acct, inv); err != nil {
			return err
		}
		out = Invited{Account: acct, Created: created, Link: a.link("/activate", ticket.token), ExpiresAt: ticket.expires}
		return a.sendInvitation(ctx, acct, app, ticket, inv.By)
	})
	if errors.Is(err, store.ErrExists) {
		return Invited{}, &Refused{Sentence: "Somebody took this user name or e-mail address just now. Try again.", Cause: err}
	}
	return out, err
}

func firstRefused(err error) error {
	refused, _ := errors.AsType[*Refused](err)
	return refused
}

// newAccount prepares the row that is kept if there is no such account. The
// password is hashed here, outside of the unit of work.
func (a *Accounts) newAccount(ctx context.Context, inv Invite) (store.Account, error) {
	now := a.Now()
	acct := store.Account{
		ID: seal.RandomID(), UserName: inv.UserName, Email: inv.Email, State: store.AccountInvited,
		OrganisationID: inv.OrganisationID, Profile: maps.Clone(inv.Profile), CreatedAt: now, UpdatedAt: now,
	}
	if inv.Password == "" {
		return acct, nil
	}
	hash, err := a.NewPassword(ctx, acct, inv.ApplicationID, inv.Password)
	if err != nil {
		return store.Account{}, err
	}
	acct.PasswordHash, acct.PasswordChangedAt = hash, now
	return acct, nil
}

// invitee finds the account of the invitation, or creates it.
func (a *Accounts) invitee(ctx context.Context, fresh store.Account, inv Invite) (acct store.Account, created bool, err error) {
	named, hasName, err := a.byName(ctx, inv.UserName)
	if err != nil {
		return acct, false, err
	}
	mailed, hasMail, err := a.byName(ctx, inv.Email)
	if err != nil {
		return acct, false, err
	}
	switch {
	case !hasName && !hasMail:
		return fresh, true, a.create(ctx, fresh, inv.By, audit.AccountCreated)
	case !hasMail || (hasName && named.ID != mailed.ID):
		return acct, false, &Refused{Sentence: fmt.Sprintf("The user name %q belongs to an account with another e-mail address.", inv.UserName)}
	case !hasName && store.FoldName(inv.UserName) != store.FoldName(inv.Email):
		return acct, false, &Refused{Sentence: fmt.Sprintf("The e-mail address %s belongs to the account %q.", inv.Email, mailed.UserName)}
	case store.FoldName(mailed.Email) != store.FoldName(inv.Email):
		return acct, false, &Refused{Sentence: fmt.Sprintf("%s is the user name of an account with another e-mail address.", inv.Email)}
	case mailed.State == store.AccountDisabled:
		return acct, false, &Refused{Sentence: "This account is disabled. Enable it first."}
	case inv.Password != "":
		return acct, false, &Refused{Sentence: "This account exists already: it cannot be given a password with an invitation."}
	}
	return mailed, false, nil
}

// create stores a new account. Its user name is nobody's address and its
// address nobody's user name, or one of the two could not sign in.
func (a *Accounts) create(ctx context.Context, acct store.Account, by, event string) error {
	for _, name := range []string{acct.UserName, acct.Email} {
		if _, taken, err := a.byName(ctx, name); err != nil {
			return err
		} else if taken {
			return fmt.Errorf("%q: %w", name, store.ErrExists)
		}
	}
	if acct.OrganisationID != "" {
		if _, err := a.Store.Organisation(ctx, acct.OrganisationID); errors.Is(err, store.ErrNotFound) {
			return &Refused{Sentence: fmt.Sprintf("There is no organisation %q.", acct.OrganisationID), Cause: err}
		} else if err != nil {
			return fmt.Errorf("load organisation: %w", err)
		}
	}
	if err := a.Store.CreateAccount(ctx, acct); err != nil {
		return fmt.Errorf("create account: %w", err)
	}
	return a.record(ctx, store.AuditEvent{Type: event, Actor: by, AccountID: acct.ID})
}

// assign gives invited access. What the account has already stays as it is.
func (a *Accounts) assign(ctx context.Context, acct store.Account, inv Invite) error {
	held, err := a.Store.AssignmentsOf(ctx, acct.ID, inv.ApplicationID)
	if err != nil {
		return fmt.Errorf("list access: %w", err)
	}
	wanted := inv.Access
	if len(wanted) == 0 && len(held) == 0 {
		wanted = []Access{{}}
	}
	for _, one := range wanted {
		if err := a.grant(ctx, held, store.Assignment{
			AccountID: acct.ID, ApplicationID: inv.ApplicationID,
			OrganisationID: one.OrganisationID, RoleKey: one.RoleKey,
			State: store.AssignmentInvited, GrantedBy: inv.By, CreatedAt: a.Now(),
		}); err != nil {
			return err
		}
	}
	return nil
}

func (a *Accounts) grant(ctx context.Context, held []store.Assignment, one store.Assignment) error {
	for _, h := range held {
		if h.OrganisationID == one.OrganisationID && h.RoleKey == one.RoleKey {
			return nil
		}
	}
	err := a.Store.PutAssignment(ctx, one)
	if errors.Is(err, store.ErrInvalid) {
		return &Refused{Sentence: noSuchAccess(one), Cause: err}
	}
	if err != nil {
		return fmt.Errorf("give access: %w", err)
	}
	return a.record(ctx, store.AuditEvent{
		Type: audit.AccessGranted, Actor: one.GrantedBy, AccountID: one.AccountID, ApplicationID: one.ApplicationID,
		Details: map[string]string{"organisation": one.OrganisationID, "role": one.RoleKey, "state": string(one.State)},
	})
}

// noSuchAccess says which of the things that an access is made of may be missing:
// only those that were given.
func noSuchAccess(one store.Assignment) string {
	sentence := fmt.Sprintf("There is no application %q", one.ApplicationID)
	if one.RoleKey != "" {
		sentence = fmt.Sprintf("There is no role %q in application %q", one.RoleKey, one.ApplicationID)
	}
	if one.OrganisationID != "" {
		sentence += fmt.Sprintf(", or no organisation %q", one.OrganisationID)
	}
	return sentence + "."
}

// ticket is a new link, made before the unit of work that keeps its hash.
type ticket struct {
	id, token, hash string
	expires         time.Time
}

func (a *Accounts) newTicket() ticket {
	token := seal.Token()
	return ticket{
		id: seal.RandomID(), token: token, hash: a.Seal.Digest(purposeInvitation, token),
		expires: a.Now().Add(a.invitationLife()),
	}
}

// sendInvitation replaces the open invitations of the account to the
// application by a new one, and mails it.
func (a *Accounts) sendInvitation(ctx context.Context, acct store.Account, app store.Application, t ticket, by string) error {
	now := a.Now()
	if _, err := a.Store.RevokeInvitations(ctx, acct.ID, app.ID, now); err != nil {
		return fmt.Errorf("revoke earlier invitations: %w", err)
	}
	if err := a.Store.CreateInvitation(ctx, store.Invitation{
		ID: t.id, TokenHash: t.hash, AccountID: acct.ID, ApplicationID: app.ID,
		InvitedBy: by, CreatedAt: now, ExpiresAt: t.expires,
	}); err != nil {
		return fmt.Errorf("create invitation: %w", err)
	}
	inviter, err := a.InviterName(ctx, by)
	if err != nil {
		return err
	}
	if err := a.Outbox.Enqueue(ctx, acct.Email, templates.InvitationMail{
		MailFrame: a.frame(acct, app), InvitedBy: inviter, UserName: acct.UserName,
		Link: a.link("/activate", t.token), ExpiresAt: t.expires,
		NewAccess: acct.State == store.AccountActive,
	}); err != nil {
		return fmt.Errorf("enqueue invitation: %w", err)
	}
	return a.record(ctx, store.AuditEvent{
		Type: audit.Invited, Actor: by, AccountID: acct.ID, ApplicationID: app.ID,
		Details: map[string]string{"invitation": t.id},
	})
}

// InviterName is how mails and pages call who invited; "" for the operator.
func (a *Accounts) InviterName(ctx context.Context, by string) (string, error) {
	if by == Operator || by == "" {
		return "", nil
	}
	acct, err := a.Store.Account(ctx, by)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("load inviter: %w", err)
	}
	return acct.DisplayName(), nil
}

// CheckInvitation tells whose invitation a link is. It changes nothing: mail
// scanners open links, too. Returns *DeadLink.
func (a *Accounts) CheckInvitation(ctx context.Context, token string) (Link, error) {
	hash := a.Seal.Digest(purposeInvitation, token)
	inv, verdict := a.Store.InvitationByToken(ctx, hash, a.Now())
	link := Link{ID: inv.ID, Hash: hash, Invitation: inv}
	link, err := a.examine(ctx, link, inv.AccountID, inv.ApplicationID, verdict)
	dead, isDead := errors.AsType[*DeadLink](err)
	if err != nil && (!isDead || dead.Account.ID == "") {
		return Link{}, err
	}
	held, listErr := a.Store.AssignmentsOf(ctx, inv.AccountID, inv.ApplicationID)
	if listErr != nil {
		return Link{}, fmt.Errorf("list access: %w", listErr)
	}
	if len(held) > 0 {
		return link, err
	}
	// The access was withdrawn since: no link leads there, not even a fresh one.
	return Link{}, &DeadLink{Reason: ReasonRevoked}
}

// ResendInvitation sends a fresh link to the address of a dead one, on behalf of
// whoever invited. Returns *DeadLink if none can be sent, *Throttled; a link that
// still works is nothing to replace and returns nil.
func (a *Accounts) ResendInvitation(ctx context.Context, token string) error {
	_, err := a.CheckInvitation(ctx, token)
	dead, ok := errors.AsType[*DeadLink](err)
	if !ok || !dead.Fresh {
		return err
	}
	old, err := a.Store.InvitationByToken(ctx, a.Seal.Digest(purposeInvitation, token), a.Now())
	if _, known := reason(err); err != nil && !known {
		return fmt.Errorf("look up link: %w", err)
	}
	tries := []Attempt{{Factor: factorLink, Account: dead.Account.ID}, {Factor: factorLinkFrom, Address: web.Address(ctx)}}
	for _, try := range tries {
		if err := a.Throttle.Allow(ctx, try); err != nil {
			return err
		}
	}
	fresh := a.newTicket()
	return a.Store.Do(ctx, func(ctx context.Context) error {
		if err := a.count(ctx, tries...); err != nil {
			return err
		}
		return a.sendInvitation(ctx, dead.Account, dead.Application, fresh, old.InvitedBy)
	})
}

// UseInvitation uses the link up, in the unit of work that proves who it was
// for: of two tabs one wins, the other gets store.ErrConsumed. The link proves
// the mailbox.
func (a *Accounts) UseInvitation(ctx context.Context, hash string) (store.Invitation, error) {
	var inv store.Invitation
	err := a.Store.Do(ctx, func(ctx context.Context) error {
		var err error
		if inv, err = a.Store.UseInvitation(ctx, hash, a.Now()); err != nil {
			return fmt.Errorf("use invitation: %w", err)
		}
		if _, err := a.update(ctx, inv.AccountID, func(acct *store.Account) error {
			if acct.State == store.AccountDisabled {
				return store.ErrRevoked
			}
			acct.EmailVerified = acct.Email != ""
			return nil
		}); err != nil {
			return err
		}
		return a.record(ctx, store.AuditEvent{
			Type: audit.InvitationUsed, Actor: inv.AccountID, AccountID: inv.AccountID, ApplicationID: inv.ApplicationID,
			Details: map[string]string{"invitation": inv.ID},
		})
	})
	return inv, err
}

// ErrHasPassword: an account that has a password already signs in with it; an
// invitation does not replace it.
var ErrHasPassword = errors.New("the account has a password already")

// Activate uses the link up and keeps the account's first password (a hash of
// NewPassword), together or not at all. Of two tabs one wins; the other gets
// store.ErrConsumed, or ErrHasPassword if it saw the new password first. Returns
// what UseInvitation returns.
func (a *Accounts) Activate(ctx context.Context, hash, passwordHash string) (store.Invitation, error) {
	var inv store.Invitation
	err := a.Store.Do(ctx, func(ctx context.Context) error {
		var err error
		if inv, err = a.UseInvitation(ctx, hash); err != nil {
			return err
		}
		now := a.Now()
		if _, err := a.update(ctx, inv.AccountID, func(acct *store.Account) error {
			if acct.PasswordHash != "" {
				return ErrHasPassword
			}
			acct.PasswordHash, acct.PasswordChangedAt = passwordHash, now
			return nil
		}); err != nil {
			return err
		}
		return a.record(ctx, store.AuditEvent{Type: audit.PasswordChosen, Actor: inv.AccountID, AccountID: inv.AccountID})
	})
	return inv, err
}
