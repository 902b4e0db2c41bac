package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"anteroom/internal/audit"
	"anteroom/store"
)

// Assignment is access to an application, with a role for an organisation or
// without.
type Assignment struct {
	Account      string                `json:"account"`
	Application  string                `json:"application"`
	Organisation string                `json:"organisation"`
	Role         string                `json:"role"`
	State        store.AssignmentState `json:"state"` // invited, active
	GrantedBy    string                `json:"granted_by"`
	CreatedAt    time.Time             `json:"created_at"`
	ActivatedAt  time.Time             `json:"activated_at,omitzero"`
}

// Assign gives access. Without a role it is bare access.
type Assign struct {
	Application  string `json:"application,omitempty"`
	Role         string `json:"role,omitempty"`
	Organisation string `json:"organisation,omitempty"`
}

func viewAssignment(a store.Assignment) Assignment {
	return Assignment{a.AccountID, a.ApplicationID, a.OrganisationID, a.RoleKey, a.State, a.GrantedBy, a.CreatedAt, a.ActivatedAt}
}

func (a *API) listAccess(c call) (List[Assignment], error) {
	acct, err := a.account(c)
	if err != nil {
		return List[Assignment]{}, err
	}
	rows, err := a.Store.AssignmentsOf(c.ctx, acct.ID, "")
	return list(rows, "", viewAssignment), err
}

func (a *API) listPeople(c call) (List[Assignment], error) {
	p, err := page(c)
	if err != nil {
		return List[Assignment]{}, err
	}
	app, err := a.application(c)
	if err != nil {
		return List[Assignment]{}, err
	}
	rows, next, err := a.Store.AssignmentsIn(c.ctx, app.ID, p)
	return list(rows, next, viewAssignment), err
}

// assign gives active access at once: nobody is mailed.
func (a *API) assign(c call, in Assign) (List[Assignment], error) {
	acct, err := a.account(c)
	if err != nil {
		return List[Assignment]{}, err
	}
	if err := a.checkAssign(c.ctx, in); err != nil {
		return List[Assignment]{}, err
	}
	now := a.Now()
	row := store.Assignment{
		AccountID: acct.ID, ApplicationID: in.Application, OrganisationID: in.Organisation, RoleKey: in.Role,
		State: store.AssignmentActive, GrantedBy: c.actor, CreatedAt: now, ActivatedAt: now,
	}
	err = a.Store.Do(c.ctx, func(ctx context.Context) error {
		if err := a.Store.PutAssignment(ctx, row); err != nil {
			return fmt.Errorf("give access: %w", err)
		}
		return a.record(ctx, c, accessEvent(audit.AccessGranted, row))
	})
	if errors.Is(err, store.ErrInvalid) {
		return List[Assignment]{}, refused("The application, role or organisation was deleted just now. Look at them and try again.")
	}
	if err != nil {
		return List[Assignment]{}, err
	}
	return a.listAccess(c)
}

func accessEvent(kind string, row store.Assignment) store.AuditEvent {
	return store.AuditEvent{
		Type: kind, AccountID: row.AccountID, ApplicationID: row.ApplicationID,
		Details: map[string]string{"organisation": row.OrganisationID, "role": row.RoleKey, "state": string(row.State)},
	}
}

// checkAssign says which of the named things do not exist.
func (a *API) checkAssign(ctx context.Context, in Assign) error {
	var found mistakes
	if in.Application == "" {
		found.add("application", "is missing")
	} else if _, err := a.Store.Application(ctx, in.Application); errors.Is(err, store.ErrNotFound) {
		found.add("application", "there is no application %q", in.Application)
	} else if err != nil {
		return fmt.Errorf("load application: %w", err)
	} else if in.Role != "" {
		roles, err := a.Store.RolesOf(ctx, in.Application)
		if err != nil {
			return fmt.Errorf("list roles: %w", err)
		}
		if !hasRole(roles, in.Role) {
			found.add("role", "the application has no role %q; %s", in.Role, knownRoles(roles))
		}
	}
	if in.Organisation != "" {
		if in.Role == "" {
			found.add("organisation", "an organisation needs a role")
		}
		if _, err := a.Store.Organisation(ctx, in.Organisation); errors.Is(err, store.ErrNotFound) {
			found.add("organisation", "there is no organisation %q", in.Organisation)
		} else if err != nil {
			return fmt.Errorf("load organisation: %w", err)
		}
	}
	return found.problem()
}

func hasRole(roles []store.Role, key string) bool {
	for _, r := range roles {
		if r.Key == key {
			return true
		}
	}
	return false
}

func knownRoles(roles []store.Role) string {
	if len(roles) == 0 {
		return "it has none yet"
	}
	text := "it has"
	for i, r := range roles {
		if i > 0 {
			text += ","
		}
		text += " " + r.Key
	}
	return text
}

// unassign takes one assignment away, or all of them to an application. Who can
// no longer enter loses the grants of that application at once.
func (a *API) unassign(c call) (List[Assignment], error) {
	acct, err := a.account(c)
	if err != nil {
		return List[Assignment]{}, err
	}
	q := c.URL.Query()
	want := store.Assignment{
		AccountID: acct.ID, ApplicationID: q.Get("application"), OrganisationID: q.Get("organisation"), RoleKey: q.Get("role"),
	}
	all := q.Get("all") == "true"
	var found mistakes
	if want.ApplicationID == "" {
		found.add("application", "is missing")
	}
	if v := q.Get("all"); v != "" && v != "true" && v != "false" {
		found.add("all", "must be true or false")
	}
	if all && (want.RoleKey != "" || want.OrganisationID != "") {
		found.add("all", "does not go with a role or an organisation")
	}
	if err := found.problem(); err != nil {
		return List[Assignment]{}, err
	}
	err = a.Store.Do(c.ctx, func(ctx context.Context) error { return a.takeAway(ctx, c, want, all) })
	if err != nil {
		return List[Assignment]{}, err
	}
	return a.listAccess(c)
}

func (a *API) takeAway(ctx context.Context, c call, want store.Assignment, all bool) error {
	held, err := a.Store.AssignmentsOf(ctx, want.AccountID, want.ApplicationID)
	if err != nil {
		return fmt.Errorf("list access: %w", err)
	}
	left := 0
	taken := 0
	for _, row := range held {
		if !all && (row.OrganisationID != want.OrganisationID || row.RoleKey != want.RoleKey) {
			left++
			continue
		}
		taken++
		if err := a.Store.RemoveAssignment(ctx, row); err != nil {
			return fmt.Errorf("take access away: %w", err)
		}
		if err := a.record(ctx, c, accessEvent(audit.AccessRevoked, row)); err != nil {
			return err
		}
	}
	if taken == 0 {
		return refused("The account does not have this access. Show the account to see what it has.")
	}
	if left > 0 {
		return nil
	}
	now := a.Now()
	if _, err := a.Store.RevokeInvitations(ctx, want.AccountID, want.ApplicationID, now); err != nil {
		return fmt.Errorf("revoke invitations: %w", err)
	}
	filter := store.GrantFilter{AccountID: want.AccountID, ApplicationID: want.ApplicationID}
	if _, err := a.Store.RevokeGrants(ctx, filter, "access revoked", now); err != nil {
		return fmt.Errorf("revoke grants: %w", err)
	}
	return nil
}
