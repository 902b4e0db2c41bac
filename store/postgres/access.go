package postgres

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"anteroom/store"
)

var organisations = newTable("organisations", 1, func(o *store.Organisation) []field {
	return []field{
		{"id", &o.ID}, {"parent_id", &o.ParentID}, {"name", &o.Name},
		{"created_at", when{&o.CreatedAt}}, {"updated_at", when{&o.UpdatedAt}},
	}
})

// CreateOrganisation: see store.Organisations.
func (s *Store) CreateOrganisation(ctx context.Context, o store.Organisation) error {
	o = store.Canonical(o)
	if err := store.CheckIdentity(o.ID); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		if n, err := t.lock(ctx, `SELECT 1 FROM organisations WHERE id = $1`, o.ID); err != nil || n == 1 {
			return orExists("organisation", err)
		}
		if err := checkParents(ctx, t, &o); err != nil {
			return err
		}
		return organisations.insert(ctx, t, o)
	})
}

func orExists(what string, err error) error {
	if err == nil {
		err = fmt.Errorf("%s: %w", what, store.ErrExists)
	}
	return err
}

// checkParents returns ErrInvalid if a parent is missing or the way up leads back
// to o. It locks the way up: of two changes that make a cycle together, one waits
// for the other.
func checkParents(ctx context.Context, t *tx, o *store.Organisation) error {
	for id := o.ParentID; id != ""; {
		if id == o.ID {
			return fmt.Errorf("organisation %q would be its own ancestor: %w", o.ID, store.ErrInvalid)
		}
		rows, err := organisations.rows(ctx, t, organisations.byKey+` FOR UPDATE`, id)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return fmt.Errorf("no organisation %q: %w", id, store.ErrInvalid)
		}
		id = rows[0].ParentID
	}
	return nil
}

// Organisation: see store.Organisations.
func (s *Store) Organisation(ctx context.Context, id string) (o store.Organisation, err error) {
	err = s.lookup(ctx, func(ctx context.Context, t *tx) (err error) {
		o, err = organisations.get(ctx, t, organisations.byKey, store.Text(id))
		return err
	})
	return o, err
}

// UpdateOrganisation: see store.Organisations.
func (s *Store) UpdateOrganisation(ctx context.Context, id string, change func(*store.Organisation) error) (o store.Organisation, err error) {
	err = s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		o, err = organisations.change(ctx, t, []any{store.Text(id)}, change, func(before, after *store.Organisation) error {
			if before.ParentID == after.ParentID {
				return nil
			}
			return checkParents(ctx, t, after)
		})
		return err
	})
	return o, err
}

// Organisations: see store.Organisations.
func (s *Store) Organisations(ctx context.Context, page store.Page) (rows []store.Organisation, next string, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, next, err = organisations.page(ctx, t, page, "id", "")
		return err
	})
	return rows, next, err
}

var roles = newTable("roles", 2, func(r *store.Role) []field {
	return []field{
		{"application_id", &r.ApplicationID}, {"key", &r.Key}, {"name", &r.Name}, {"description", &r.Description},
		{"created_at", when{&r.CreatedAt}},
	}
})

// PutRole: see store.Roles.
func (s *Store) PutRole(ctx context.Context, r store.Role) error {
	r = store.Canonical(r)
	if err := store.CheckIdentity(r.ApplicationID, r.Key); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		if err := needApplication(ctx, t, r.ApplicationID); err != nil {
			return err
		}
		_, err := t.exec(ctx, `INSERT INTO roles (application_id, key, name, description, created_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (application_id, key) DO UPDATE SET name = excluded.name, description = excluded.description, created_at = excluded.created_at`,
			r.ApplicationID, r.Key, r.Name, r.Description, at(r.CreatedAt))
		return err
	})
}

// DeleteRole: see store.Roles.
func (s *Store) DeleteRole(ctx context.Context, applicationID, key string) error {
	applicationID, key = store.Text(applicationID), store.Text(key)
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `DELETE FROM roles WHERE application_id = $1 AND key = $2`, applicationID, key)
		if err := gone("role", n, err); err != nil {
			return err
		}
		_, err = t.exec(ctx, `DELETE FROM assignments WHERE application_id = $1 AND role_key = $2`, applicationID, key)
		return err
	})
}

// RolesOf: see store.Roles.
func (s *Store) RolesOf(ctx context.Context, applicationID string) (rows []store.Role, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, err = roles.rows(ctx, t, `WHERE application_id = $1 ORDER BY key`, store.Text(applicationID))
		return err
	})
	return rows, err
}

var assignments = newTable("assignments", 4, func(a *store.Assignment) []field {
	return []field{
		{"account_id", &a.AccountID}, {"application_id", &a.ApplicationID}, {"organisation_id", &a.OrganisationID}, {"role_key", &a.RoleKey},
		{"state", &a.State}, {"granted_by", &a.GrantedBy}, {"created_at", when{&a.CreatedAt}}, {"activated_at", when{&a.ActivatedAt}},
	}
})

func assignmentKey(a *store.Assignment) []any {
	return []any{store.Text(a.AccountID), store.Text(a.ApplicationID), store.Text(a.OrganisationID), store.Text(a.RoleKey)}
}

// PutAssignment: see store.Assignments.
func (s *Store) PutAssignment(ctx context.Context, a store.Assignment) error {
	a = store.Canonical(a)
	if a.State != store.AssignmentInvited && a.State != store.AssignmentActive {
		return fmt.Errorf("assignment state %q: %w", a.State, store.ErrInvalid)
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		if n, err := t.lock(ctx, `SELECT 1 FROM assignments `+assignments.byKey, assignmentKey(&a)...); err != nil || n == 1 {
			return err
		}
		for _, needed := range []struct {
			what, sql string
			skip      bool
			args      []any
		}{
			{"account", `SELECT 1 FROM accounts WHERE id = $1`, false, []any{a.AccountID}},
			{"application", `SELECT 1 FROM applications WHERE id = $1 FOR SHARE`, false, []any{a.ApplicationID}},
			{"organisation", `SELECT 1 FROM organisations WHERE id = $1`, a.OrganisationID == "", []any{a.OrganisationID}},
			{"role", `SELECT 1 FROM roles WHERE application_id = $1 AND key = $2 FOR SHARE`, a.RoleKey == "", []any{a.ApplicationID, a.RoleKey}},
		} {
			if needed.skip {
				continue
			}
			n, err := t.lock(ctx, needed.sql, needed.args...)
			if err != nil {
				return err
			}
			if n == 0 {
				return fmt.Errorf("no %s %q: %w", needed.what, needed.args[len(needed.args)-1], store.ErrInvalid)
			}
		}
		_, err := assignments.add(ctx, t, a)
		return err
	})
}

// RemoveAssignment: see store.Assignments.
func (s *Store) RemoveAssignment(ctx context.Context, a store.Assignment) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `DELETE FROM assignments `+assignments.byKey, assignmentKey(&a)...)
		return gone("assignment", n, err)
	})
}

// ActivateAssignments: see store.Assignments.
func (s *Store) ActivateAssignments(ctx context.Context, accountID, applicationID string, now time.Time) (n int, err error) {
	const invited = `account_id = $1 AND application_id = $2 AND state = 'invited'`
	accountID, applicationID = store.Text(accountID), store.Text(applicationID)
	err = s.write(ctx, func(ctx context.Context, t *tx) error {
		n = 0
		// In order, so that two who do the same do not wait for each other.
		locked, err := t.lock(ctx, `SELECT 1 FROM assignments WHERE `+invited+` ORDER BY organisation_id, role_key FOR UPDATE`, accountID, applicationID)
		if err != nil || locked == 0 {
			return err
		}
		turned, err := t.exec(ctx, `UPDATE assignments SET state = 'active', activated_at = $3 WHERE `+invited, accountID, applicationID, at(now))
		n = int(turned)
		return err
	})
	return n, err
}

var selectAssignments = set("SELECT k.n, " + assignments.of("a") + " FROM " + told("k", "account_id text", "application_id text") +
	" JOIN assignments a ON a.account_id = k.account_id AND a.application_id = k.application_id")

// AssignmentsOf: see store.Assignments.
func (s *Store) AssignmentsOf(ctx context.Context, accountID, applicationID string) (rows []store.Assignment, err error) {
	accountID, applicationID = store.Text(accountID), store.Text(applicationID)
	err = s.lookup(ctx, func(ctx context.Context, t *tx) (err error) {
		if applicationID == "" {
			rows, err = assignments.rows(ctx, t, `WHERE account_id = $1`, accountID)
		} else {
			rows, err = assignments.found(ctx, t, selectAssignments, accountID, applicationID)
		}
		return err
	})
	slices.SortFunc(rows, func(a, b store.Assignment) int {
		return cmp.Or(cmp.Compare(a.ApplicationID, b.ApplicationID), cmp.Compare(a.OrganisationID, b.OrganisationID), cmp.Compare(a.RoleKey, b.RoleKey))
	})
	return rows, err
}

// AssignmentsIn: see store.Assignments. The cursor is what identifies the last
// row within the application.
func (s *Store) AssignmentsIn(ctx context.Context, applicationID string, page store.Page) (rows []store.Assignment, next string, err error) {
	n, err := limit(page)
	if err != nil {
		return nil, "", err
	}
	after := []string{"", "", ""}
	if page.After != "" {
		cursor, err := base64.RawURLEncoding.DecodeString(page.After)
		after = store.Canonical(strings.Split(string(cursor), "\x00"))
		if err != nil || len(after) != 3 {
			return nil, "", fmt.Errorf("cursor %q: %w", page.After, store.ErrInvalid)
		}
	}
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, err = assignments.rows(ctx, t, `WHERE application_id = $1 AND (account_id, organisation_id, role_key) > ($2, $3, $4)
			ORDER BY account_id, organisation_id, role_key LIMIT $5`, store.Text(applicationID), after[0], after[1], after[2], n+1)
		return err
	})
	if err != nil || len(rows) <= n {
		return rows, "", err
	}
	last := rows[n-1]
	cursor := strings.Join([]string{last.AccountID, last.OrganisationID, last.RoleKey}, "\x00")
	return rows[:n], base64.RawURLEncoding.EncodeToString([]byte(cursor)), nil
}
