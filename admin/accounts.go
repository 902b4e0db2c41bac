package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"anteroom/internal/audit"
	"anteroom/store"
)

// Account is an account as callers see it. Passwords and secrets are not in it.
type Account struct {
	ID                string             `json:"id"`
	UserName          string             `json:"user_name"`
	Email             string             `json:"email"`
	EmailVerified     bool               `json:"email_verified"`
	State             store.AccountState `json:"state"` // invited, active, disabled
	Organisation      string             `json:"organisation"`
	Name              string             `json:"name"` // what pages call the person
	Profile           map[string]any     `json:"profile"`
	HasPassword       bool               `json:"has_password"`
	PasswordChangedAt time.Time          `json:"password_changed_at,omitzero"`
	CreatedAt         time.Time          `json:"created_at"`
	UpdatedAt         time.Time          `json:"updated_at"`
}

// AccountDetail is an account with what belongs to it.
type AccountDetail struct {
	Account
	Assignments       []Assignment    `json:"assignments"`
	Authenticators    []Authenticator `json:"authenticators"`
	RecoveryCodesLeft int             `json:"recovery_codes_left"`
	Invitations       []Invitation    `json:"invitations"`
	Sessions          []Session       `json:"sessions"`
}

// Authenticator is a bound second factor.
type Authenticator struct {
	ID         string    `json:"id"`
	Kind       string    `json:"kind"`
	Label      string    `json:"label"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

// Invitation is a link that was sent.
type Invitation struct {
	ID          string    `json:"id"`
	Application string    `json:"application"`
	InvitedBy   string    `json:"invited_by"`
	State       string    `json:"state"` // open, used, revoked, expired
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at"`
	UsedAt      time.Time `json:"used_at,omitzero"`
}

// Session is a signed-in browser.
type Session struct {
	ID        string    `json:"id"`
	AuthTime  time.Time `json:"auth_time"`
	AMR       []string  `json:"amr"`
	ACR       string    `json:"acr"`
	ExpiresAt time.Time `json:"expires_at"`
	Address   string    `json:"address"`
	UserAgent string    `json:"user_agent"`
}

// ChangeAccount names what is to change; keys that are left out stay. An empty
// value clears.
type ChangeAccount struct {
	UserName      *string         `json:"user_name,omitempty"`
	Email         *string         `json:"email,omitempty"`
	EmailVerified *bool           `json:"email_verified,omitempty"`
	Organisation  *string         `json:"organisation,omitempty"`
	Profile       *map[string]any `json:"profile,omitempty"` // each claim: a value, or "" to remove it
}

// Reason says why, for the audit log.
type Reason struct {
	Reason string `json:"reason,omitempty"`
}

func viewAccount(a store.Account) Account {
	profile := a.Profile
	if profile == nil {
		profile = map[string]any{} // {} rather than null
	}
	return Account{
		ID: a.ID, UserName: a.UserName, Email: a.Email, EmailVerified: a.EmailVerified, State: a.State,
		Organisation: a.OrganisationID, Name: a.DisplayName(), Profile: profile,
		HasPassword: a.PasswordHash != "", PasswordChangedAt: a.PasswordChangedAt,
		CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt,
	}
}

// account finds the account that the path names: by id, else by user name or
// e-mail address.
func (a *API) account(c call) (store.Account, error) {
	return a.accountByRef(c.ctx, c.PathValue("account"))
}

func (a *API) accountByRef(ctx context.Context, ref string) (store.Account, error) {
	acct, err := a.Store.Account(ctx, ref)
	if errors.Is(err, store.ErrNotFound) {
		acct, err = a.Store.AccountByName(ctx, ref)
	}
	return acct, notFound(err, "account", ref)
}

func (a *API) listAccounts(c call) (List[Account], error) {
	p, err := page(c)
	if err != nil {
		return List[Account]{}, err
	}
	if name := c.URL.Query().Get("name"); name != "" {
		acct, err := a.Store.AccountByName(c.ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			return List[Account]{Items: []Account{}}, nil
		}
		return list([]store.Account{acct}, "", viewAccount), err
	}
	rows, next, err := a.Store.Accounts(c.ctx, p)
	return list(rows, next, viewAccount), err
}

func (a *API) showAccount(c call) (AccountDetail, error) {
	acct, err := a.account(c)
	if err != nil {
		return AccountDetail{}, err
	}
	return a.detail(c.ctx, acct)
}

func (a *API) detail(ctx context.Context, acct store.Account) (AccountDetail, error) {
	out := AccountDetail{Account: viewAccount(acct)}
	now := a.Now()
	assigned, err := a.Store.AssignmentsOf(ctx, acct.ID, "")
	if err != nil {
		return out, fmt.Errorf("list access: %w", err)
	}
	bound, err := a.Store.AuthenticatorsOf(ctx, acct.ID)
	if err != nil {
		return out, fmt.Errorf("list authenticators: %w", err)
	}
	if out.RecoveryCodesLeft, err = a.Store.RecoveryCodesLeft(ctx, acct.ID); err != nil {
		return out, fmt.Errorf("count recovery codes: %w", err)
	}
	invited, err := a.Store.InvitationsOf(ctx, acct.ID)
	if err != nil {
		return out, fmt.Errorf("list invitations: %w", err)
	}
	sessions, err := a.Store.SessionsOf(ctx, acct.ID, now)
	if err != nil {
		return out, fmt.Errorf("list sessions: %w", err)
	}
	out.Assignments = list(assigned, "", viewAssignment).Items
	out.Authenticators = list(bound, "", func(b store.Authenticator) Authenticator {
		return Authenticator{b.ID, b.Kind, b.Label, b.CreatedAt, b.LastUsedAt}
	}).Items
	out.Invitations = list(invited, "", func(i store.Invitation) Invitation { return viewInvitation(i, now) }).Items
	out.Sessions = list(sessions, "", func(s store.Session) Session {
		return Session{s.ID, s.AuthTime, filled(s.AMR), s.ACR, s.ExpiresAt, s.Address, s.UserAgent}
	}).Items
	return out, nil
}

func viewInvitation(i store.Invitation, now time.Time) Invitation {
	state := "open"
	switch {
	case !i.UsedAt.IsZero():
		state = "used"
	case !i.RevokedAt.IsZero():
		state = "revoked"
	case !i.ExpiresAt.After(now):
		state = "expired"
	}
	return Invitation{i.ID, i.ApplicationID, i.InvitedBy, state, i.CreatedAt, i.ExpiresAt, i.UsedAt}
}

func (a *API) changeAccount(c call, in ChangeAccount) (AccountDetail, error) {
	acct, err := a.account(c)
	if err != nil {
		return AccountDetail{}, err
	}
	fields, err := checkChangeAccount(in)
	if err != nil {
		return AccountDetail{}, err
	}
	err = a.Store.Do(c.ctx, func(ctx context.Context) error {
		if err := a.checkReferences(ctx, acct.ID, in); err != nil {
			return err
		}
		changed, err := a.Store.UpdateAccount(ctx, acct.ID, func(row *store.Account) error {
			in.apply(row)
			row.UpdatedAt = a.Now()
			return nil
		})
		if err != nil {
			return conflict(err, "Another account has this user name or e-mail address.")
		}
		acct = changed
		return a.record(ctx, c, store.AuditEvent{
			Type: audit.AccountUpdated, AccountID: acct.ID, Details: map[string]string{"fields": strings.Join(fields, ", ")},
		})
	})
	if err != nil {
		return AccountDetail{}, conflict(err, "Another account has this user name or e-mail address.")
	}
	return a.detail(c.ctx, acct)
}

func (in ChangeAccount) apply(row *store.Account) {
	if in.UserName != nil {
		row.UserName = *in.UserName
	}
	if in.Email != nil {
		if store.FoldName(row.Email) != store.FoldName(*in.Email) {
			row.EmailVerified = false // nobody proved the new mailbox
		}
		row.Email = *in.Email
	}
	if in.EmailVerified != nil {
		row.EmailVerified = *in.EmailVerified && row.Email != ""
	}
	if in.Organisation != nil {
		row.OrganisationID = *in.Organisation
	}
	if in.Profile != nil {
		profile := maps.Clone(row.Profile)
		if profile == nil {
			profile = map[string]any{}
		}
		for claim, value := range *in.Profile {
			if value == "" {
				delete(profile, claim)
			} else {
				profile[claim] = value
			}
		}
		row.Profile = profile
	}
}

// checkChangeAccount returns the names of the fields that change.
func checkChangeAccount(in ChangeAccount) (fields []string, err error) {
	var found mistakes
	if in.UserName != nil {
		fields = append(fields, "user_name")
		found.line("user_name", *in.UserName, 1, 128)
	}
	if in.Email != nil {
		fields = append(fields, "email")
		if *in.Email != "" {
			found.email("email", *in.Email)
		}
	}
	if in.EmailVerified != nil {
		fields = append(fields, "email_verified")
	}
	if in.Organisation != nil {
		fields = append(fields, "organisation")
	}
	if in.Profile != nil {
		fields = append(fields, slices.Sorted(maps.Keys(*in.Profile))...)
		found.profile("profile", *in.Profile)
	}
	if len(fields) == 0 && len(found) == 0 {
		return nil, nothingToChange()
	}
	return fields, found.problem()
}

func nothingToChange() error {
	return problem(http.StatusBadRequest, "invalid-input", "There is nothing to change in the request.")
}

// checkReferences keeps names from meaning two people, and organisations real.
func (a *API) checkReferences(ctx context.Context, id string, in ChangeAccount) error {
	for _, name := range []*string{in.UserName, in.Email} {
		if name == nil || *name == "" {
			continue
		}
		other, err := a.Store.AccountByName(ctx, *name)
		if err == nil && other.ID != id {
			return conflict(store.ErrExists, fmt.Sprintf("Another account goes by %q.", *name))
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("find account: %w", err)
		}
	}
	if in.Organisation == nil || *in.Organisation == "" {
		return nil
	}
	_, err := a.Store.Organisation(ctx, *in.Organisation)
	return notFound(err, "organisation", *in.Organisation)
}

func (a *API) disable(c call) (AccountDetail, error) {
	return a.onAccount(c, a.Accounts.Disable)
}

func (a *API) enable(c call) (AccountDetail, error) {
	return a.onAccount(c, a.Accounts.Enable)
}

func (a *API) endSessions(c call) (AccountDetail, error) {
	return a.onAccount(c, a.Accounts.EndSessions)
}

func (a *API) resetMFA(c call, in Reason) (AccountDetail, error) {
	return a.onAccount(c, func(ctx context.Context, id, by string) error {
		return a.Accounts.ResetSecondFactor(ctx, id, by, in.Reason)
	})
}

// Invalidated is an account whose password was ended.
type Invalidated struct {
	AccountDetail
	Mailed bool `json:"mailed"` // a link to choose a new password was sent
}

func (a *API) invalidatePassword(c call, in Reason) (out Invalidated, err error) {
	out.AccountDetail, err = a.onAccount(c, func(ctx context.Context, id, by string) (err error) {
		out.Mailed, err = a.Accounts.InvalidatePassword(ctx, id, by, in.Reason)
		return err
	})
	return out, err
}

// onAccount does something to an account and shows what became of it.
func (a *API) onAccount(c call, do func(ctx context.Context, id, by string) error) (AccountDetail, error) {
	acct, err := a.account(c)
	if err != nil {
		return AccountDetail{}, err
	}
	if err := do(c.ctx, acct.ID, c.actor); err != nil {
		return AccountDetail{}, notFound(err, "account", c.PathValue("account"))
	}
	if acct, err = a.Store.Account(c.ctx, acct.ID); err != nil {
		return AccountDetail{}, notFound(err, "account", c.PathValue("account"))
	}
	return a.detail(c.ctx, acct)
}
