package access

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"anteroom/store"
)

// Store is what access decisions read.
type Store interface {
	store.Assignments
	store.Organisations
}

// Control answers questions about access. It only reads.
type Control struct {
	Store Store
}

// MayEnter tells whether the account may sign in to the application: everybody
// where the application lets everybody in, else whoever has an assignment,
// invited or active. An invited one turns active by the sign-in. Disabled accounts
// enter nowhere.
func (c *Control) MayEnter(ctx context.Context, a store.Account, app store.Application) (bool, error) {
	if a.ID == "" || a.State == store.AccountDisabled {
		return false, nil
	}
	if app.Access == store.AccessEveryone {
		return true, nil
	}
	held, err := c.assignments(ctx, a.ID, app.ID)
	if err != nil {
		return false, fmt.Errorf("load access of %s to %q: %w", a.ID, app.ID, err)
	}
	return len(held) > 0, nil
}

// OrganisationClaim is one organisation in the claim "organizations".
type OrganisationClaim struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	Roles []string `json:"roles"` // keys held for it, sorted; never null
}

// Claims are what tokens of one application say about access to it. Both are
// sorted, and empty rather than null in JSON.
type Claims struct {
	Roles         []string            `json:"roles"` // keys held anywhere, each once
	Organisations []OrganisationClaim `json:"organizations"`
}

// Claims returns the roles and organisations of the account's active
// assignments to this application, and of no other. An assignment to an
// organisation without a role names the organisation; a role without an
// organisation is a role.
func (c *Control) Claims(ctx context.Context, accountID, applicationID string) (Claims, error) {
	held, err := c.assignments(ctx, accountID, applicationID)
	if err != nil {
		return Claims{}, fmt.Errorf("load access of %s to %q: %w", accountID, applicationID, err)
	}
	claims := Claims{Roles: []string{}, Organisations: []OrganisationClaim{}}
	at := map[string]int{}
	for _, one := range held {
		if one.State != store.AssignmentActive || one.ApplicationID != applicationID {
			continue
		}
		if one.RoleKey != "" {
			claims.Roles = append(claims.Roles, one.RoleKey)
		}
		if one.OrganisationID == "" {
			continue
		}
		i, seen := at[one.OrganisationID]
		if !seen {
			org, err := c.Store.Organisation(ctx, one.OrganisationID)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return Claims{}, fmt.Errorf("load organisation %q: %w", one.OrganisationID, err)
			}
			i, at[org.ID] = len(claims.Organisations), len(claims.Organisations)
			claims.Organisations = append(claims.Organisations, OrganisationClaim{ID: org.ID, Name: org.Name, Roles: []string{}})
		}
		if one.RoleKey != "" {
			claims.Organisations[i].Roles = append(claims.Organisations[i].Roles, one.RoleKey)
		}
	}
	slices.Sort(claims.Roles)
	claims.Roles = slices.Compact(claims.Roles)
	slices.SortFunc(claims.Organisations, func(a, b OrganisationClaim) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	for i := range claims.Organisations {
		slices.Sort(claims.Organisations[i].Roles)
		claims.Organisations[i].Roles = slices.Compact(claims.Organisations[i].Roles)
	}
	return claims, nil
}
