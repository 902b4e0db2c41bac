package bolt

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"anteroom/store"
)

var organisations = &table[store.Organisation]{
	bucket: "organisations",
	key:    func(o *store.Organisation) string { return key(o.ID) },
}

// CreateOrganisation: see store.Organisations.
func (s *Store) CreateOrganisation(ctx context.Context, o store.Organisation) error {
	o = store.Canonical(o)
	if err := store.CheckIdentity(o.ID); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error {
		if organisations.has(t, key(o.ID)) {
			return fmt.Errorf("organisation: %w", store.ErrExists)
		}
		if err := checkParents(t, &o); err != nil {
			return err
		}
		return organisations.insert(t, o)
	})
}

// checkParents returns ErrInvalid if a parent is missing or the way up leads
// back to o.
func checkParents(t tx, o *store.Organisation) error {
	for id := o.ParentID; id != ""; {
		if id == o.ID {
			return fmt.Errorf("organisation %q would be its own ancestor: %w", o.ID, store.ErrInvalid)
		}
		parent, err := organisations.get(t, key(id))
		if err != nil {
			return fmt.Errorf("no organisation %q: %w", id, store.ErrInvalid)
		}
		id = parent.ParentID
	}
	return nil
}

// Organisation: see store.Organisations.
func (s *Store) Organisation(ctx context.Context, id string) (o store.Organisation, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		o, err = organisations.get(t, key(id))
		return err
	})
	return o, err
}

// UpdateOrganisation: see store.Organisations.
func (s *Store) UpdateOrganisation(ctx context.Context, id string, change func(*store.Organisation) error) (o store.Organisation, err error) {
	err = s.write(ctx, func(t tx) (err error) {
		o, err = organisations.update(t, key(id), func(o *store.Organisation) error {
			if err := change(o); err != nil {
				return err
			}
			return checkParents(t, o)
		})
		return err
	})
	return o, err
}

// Organisations: see store.Organisations.
func (s *Store) Organisations(ctx context.Context, page store.Page) (rows []store.Organisation, next string, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		rows, next, err = pageByID(t, organisations, organisations.bucket, "", page)
		return err
	})
	return rows, next, err
}

var roles = &table[store.Role]{
	bucket: "roles",
	key:    func(r *store.Role) string { return key(r.ApplicationID, r.Key) },
}

// PutRole: see store.Roles.
func (s *Store) PutRole(ctx context.Context, r store.Role) error {
	r = store.Canonical(r)
	if err := store.CheckIdentity(r.ApplicationID, r.Key); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error {
		if err := needApplication(t, r.ApplicationID); err != nil {
			return err
		}
		return roles.put(t, r)
	})
}

// DeleteRole: see store.Roles.
func (s *Store) DeleteRole(ctx context.Context, applicationID, roleKey string) error {
	return s.write(ctx, func(t tx) error {
		if err := roles.remove(t, key(applicationID, roleKey)); err != nil {
			return err
		}
		holders, err := assignments.rows(t, assignmentsIn, key(applicationID))
		for _, a := range holders {
			if a.RoleKey != roleKey {
				continue
			}
			if err := assignments.del(t, assignments.key(&a)); err != nil {
				return err
			}
		}
		return err
	})
}

// RolesOf: see store.Roles.
func (s *Store) RolesOf(ctx context.Context, applicationID string) (rows []store.Role, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		rows, err = roles.rows(t, roles.bucket, key(applicationID))
		return err
	})
	return rows, err
}

const assignmentsIn bucket = "assignments.application"

var assignments = &table[store.Assignment]{
	bucket: "assignments",
	key: func(a *store.Assignment) string {
		return key(a.AccountID, a.ApplicationID, a.OrganisationID, a.RoleKey)
	},
	indexes: func(a *store.Assignment) []index {
		return []index{{assignmentsIn, key(a.ApplicationID, a.AccountID, a.OrganisationID, a.RoleKey), false}}
	},
}

// PutAssignment: see store.Assignments.
func (s *Store) PutAssignment(ctx context.Context, a store.Assignment) error {
	a = store.Canonical(a)
	if a.State != store.AssignmentInvited && a.State != store.AssignmentActive {
		return fmt.Errorf("assignment state %q: %w", a.State, store.ErrInvalid)
	}
	return s.write(ctx, func(t tx) error {
		if assignments.has(t, assignments.key(&a)) {
			return nil
		}
		if !accounts.has(t, key(a.AccountID)) {
			return fmt.Errorf("no account %q: %w", a.AccountID, store.ErrInvalid)
		}
		if err := needApplication(t, a.ApplicationID); err != nil {
			return err
		}
		if a.OrganisationID != "" && !organisations.has(t, key(a.OrganisationID)) {
			return fmt.Errorf("no organisation %q: %w", a.OrganisationID, store.ErrInvalid)
		}
		if a.RoleKey != "" && !roles.has(t, key(a.ApplicationID, a.RoleKey)) {
			return fmt.Errorf("no role %q: %w", a.RoleKey, store.ErrInvalid)
		}
		return assignments.put(t, a)
	})
}

// RemoveAssignment: see store.Assignments.
func (s *Store) RemoveAssignment(ctx context.Context, a store.Assignment) error {
	return s.write(ctx, func(t tx) error { return assignments.remove(t, assignments.key(&a)) })
}

// ActivateAssignments: see store.Assignments.
func (s *Store) ActivateAssignments(ctx context.Context, accountID, applicationID string, now time.Time) (n int, err error) {
	err = s.write(ctx, func(t tx) error {
		n = 0
		rows, err := assignments.rows(t, assignments.bucket, key(accountID, applicationID))
		for _, a := range rows {
			if a.State != store.AssignmentInvited {
				continue
			}
			a.State, a.ActivatedAt = store.AssignmentActive, now
			if err := assignments.put(t, a); err != nil {
				return err
			}
			n++
		}
		return err
	})
	return n, err
}

// AssignmentsOf: see store.Assignments.
func (s *Store) AssignmentsOf(ctx context.Context, accountID, applicationID string) (rows []store.Assignment, err error) {
	prefix := key(accountID)
	if applicationID != "" {
		prefix = key(accountID, applicationID)
	}
	err = s.read(ctx, func(t tx) (err error) {
		rows, err = assignments.rows(t, assignments.bucket, prefix)
		return err
	})
	return rows, err
}

// AssignmentsIn: see store.Assignments. The cursor is the last key within the
// application.
func (s *Store) AssignmentsIn(ctx context.Context, applicationID string, page store.Page) (rows []store.Assignment, next string, err error) {
	n, err := limit(page)
	if err != nil {
		return nil, "", err
	}
	prefix, after := key(applicationID), ""
	if page.After != "" {
		cursor, err := base64.RawURLEncoding.DecodeString(page.After)
		if err != nil {
			return nil, "", fmt.Errorf("cursor %q: %w", page.After, store.ErrInvalid)
		}
		after = prefix + string(cursor)
	}
	err = s.read(ctx, func(t tx) (err error) {
		rows, next, err = assignments.page(t, assignmentsIn, prefix, after, n)
		return err
	})
	if next != "" {
		next = base64.RawURLEncoding.EncodeToString([]byte(strings.TrimPrefix(next, prefix)))
	}
	return rows, next, err
}
