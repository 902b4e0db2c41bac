package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/store"
)

// Organisation is a node of the tree vendor, distributor, partner, company.
type Organisation struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Parent    string    `json:"parent"` // "": at the top
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// CreateOrganisation makes one. Without an id it gets a random one.
type CreateOrganisation struct {
	ID     string `json:"id,omitempty"`
	Name   string `json:"name,omitempty"`
	Parent string `json:"parent,omitempty"`
}

// ChangeOrganisation renames or moves; keys that are left out stay.
type ChangeOrganisation struct {
	Name   *string `json:"name,omitempty"`
	Parent *string `json:"parent,omitempty"` // "": to the top
}

func viewOrganisation(o store.Organisation) Organisation {
	return Organisation{o.ID, o.Name, o.ParentID, o.CreatedAt, o.UpdatedAt}
}

func (a *API) listOrganisations(c call) (List[Organisation], error) {
	p, err := page(c)
	if err != nil {
		return List[Organisation]{}, err
	}
	rows, next, err := a.Store.Organisations(c.ctx, p)
	return list(rows, next, viewOrganisation), err
}

func (a *API) showOrganisation(c call) (Organisation, error) {
	id := c.PathValue("organisation")
	o, err := a.Store.Organisation(c.ctx, id)
	return viewOrganisation(o), notFound(err, "organisation", id)
}

func (a *API) createOrganisation(c call, in CreateOrganisation) (Organisation, error) {
	var found mistakes
	if in.ID != "" {
		found.slug("id", in.ID)
	}
	found.line("name", in.Name, 1, 200)
	if err := a.checkParent(c.ctx, in.Parent, &found); err != nil {
		return Organisation{}, err
	}
	if err := found.problem(); err != nil {
		return Organisation{}, err
	}
	now := a.Now()
	row := store.Organisation{ID: cmp.Or(in.ID, seal.RandomID()), ParentID: in.Parent, Name: in.Name, CreatedAt: now, UpdatedAt: now}
	err := a.Store.Do(c.ctx, func(ctx context.Context) error {
		if err := a.Store.CreateOrganisation(ctx, row); err != nil {
			return fmt.Errorf("create organisation: %w", err)
		}
		return a.record(ctx, c, store.AuditEvent{
			Type: audit.OrganisationCreated, Details: map[string]string{"organisation": row.ID, "parent": row.ParentID},
		})
	})
	if err != nil {
		return Organisation{}, conflict(err, fmt.Sprintf("There is an organisation %q already.", row.ID))
	}
	return viewOrganisation(row), nil
}

// checkParent adds a mistake if the parent does not exist.
func (a *API) checkParent(ctx context.Context, parent string, found *mistakes) error {
	if parent == "" {
		return nil
	}
	_, err := a.Store.Organisation(ctx, parent)
	if errors.Is(err, store.ErrNotFound) {
		found.add("parent", "there is no organisation %q", parent)
		return nil
	}
	if err != nil {
		return fmt.Errorf("load organisation: %w", err)
	}
	return nil
}

func (a *API) changeOrganisation(c call, in ChangeOrganisation) (Organisation, error) {
	var found mistakes
	var fields []string
	if in.Name != nil {
		fields = append(fields, "name")
		found.line("name", *in.Name, 1, 200)
	}
	if in.Parent != nil {
		fields = append(fields, "parent")
		if err := a.checkParent(c.ctx, *in.Parent, &found); err != nil {
			return Organisation{}, err
		}
	}
	if err := found.problem(); err != nil {
		return Organisation{}, err
	}
	if len(fields) == 0 {
		return Organisation{}, nothingToChange()
	}
	id := c.PathValue("organisation")
	var row store.Organisation
	err := a.Store.Do(c.ctx, func(ctx context.Context) (err error) {
		row, err = a.Store.UpdateOrganisation(ctx, id, func(o *store.Organisation) error {
			if in.Name != nil {
				o.Name = *in.Name
			}
			if in.Parent != nil {
				o.ParentID = *in.Parent
			}
			o.UpdatedAt = a.Now()
			return nil
		})
		if err != nil {
			return fmt.Errorf("update organisation: %w", err)
		}
		return a.record(ctx, c, store.AuditEvent{
			Type: audit.OrganisationUpdated, Details: map[string]string{"organisation": id, "fields": strings.Join(fields, ", ")},
		})
	})
	if errors.Is(err, store.ErrInvalid) {
		return Organisation{}, refused("An organisation cannot be moved under itself or under one of its own.")
	}
	return viewOrganisation(row), notFound(err, "organisation", id)
}
