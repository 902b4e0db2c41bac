package bolt

import (
	"context"
	"fmt"
	"time"

	"anteroom/store"
)

var applications = &table[store.Application]{
	bucket: "applications",
	key:    func(a *store.Application) string { return key(a.ID) },

	decoded: &memo[store.Application]{},
}

const clientsByApplication bucket = "clients.application"

var clients = &table[store.Client]{
	bucket: "clients",
	key:    func(c *store.Client) string { return key(c.ID) },
	indexes: func(c *store.Client) []index {
		return []index{{clientsByApplication, key(c.ApplicationID, c.ID), false}}
	},
	decoded: &memo[store.Client]{},
}

// CreateApplication: see store.Applications.
func (s *Store) CreateApplication(ctx context.Context, a store.Application) error {
	a = store.Canonical(a)
	if err := store.CheckIdentity(a.ID); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error { return applications.insert(t, a) })
}

// Application: see store.Applications.
func (s *Store) Application(ctx context.Context, id string) (a store.Application, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		a, err = applications.get(t, key(id))
		return err
	})
	return a, err
}

// UpdateApplication: see store.Applications.
func (s *Store) UpdateApplication(ctx context.Context, id string, change func(*store.Application) error) (a store.Application, err error) {
	err = s.write(ctx, func(t tx) (err error) {
		a, err = applications.update(t, key(id), change)
		return err
	})
	return a, err
}

// DeleteApplication: see store.Applications.
func (s *Store) DeleteApplication(ctx context.Context, id string) error {
	now := s.now()
	return s.write(ctx, func(t tx) error {
		if err := applications.remove(t, key(id)); err != nil {
			return err
		}
		owned, err := clients.rows(t, clientsByApplication, key(id))
		if err != nil {
			return err
		}
		for _, c := range owned {
			if err := deleteClient(t, c.ID, now); err != nil {
				return err
			}
		}
		for _, drop := range []func(tx, string) error{
			dropAll(roles, roles.bucket), dropAll(assignments, assignmentsIn),
			dropAll(terms, terms.bucket), dropAll(acceptances, acceptancesIn),
			dropAll(invitations, invitationsByTarget),
		} {
			if err := drop(t, key(id)); err != nil {
				return err
			}
		}
		return nil
	})
}

// dropAll removes the rows that an index lists under a prefix.
func dropAll[T any](tb *table[T], b bucket) func(tx, string) error {
	return func(t tx, prefix string) error {
		for k, primary := range t.scan(b, prefix, "") {
			if b != tb.bucket {
				k = string(primary)
			}
			if err := tb.del(t, k); err != nil {
				return err
			}
		}
		return nil
	}
}

// Applications: see store.Applications.
func (s *Store) Applications(ctx context.Context, page store.Page) (rows []store.Application, next string, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		rows, next, err = pageByID(t, applications, applications.bucket, "", page)
		return err
	})
	return rows, next, err
}

// needApplication returns ErrInvalid if there is no such application.
func needApplication(t tx, id string) error {
	if !applications.has(t, key(id)) {
		return fmt.Errorf("no application %q: %w", id, store.ErrInvalid)
	}
	return nil
}

// CreateClient: see store.Clients.
func (s *Store) CreateClient(ctx context.Context, c store.Client) error {
	c = store.Canonical(c)
	if err := store.CheckIdentity(c.ID); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error {
		if err := needApplication(t, c.ApplicationID); err != nil {
			return err
		}
		return clients.insert(t, c)
	})
}

// Client: see store.Clients.
func (s *Store) Client(ctx context.Context, id string) (c store.Client, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		c, err = clients.get(t, key(id))
		return err
	})
	return c, err
}

// UpdateClient: see store.Clients.
func (s *Store) UpdateClient(ctx context.Context, id string, change func(*store.Client) error) (c store.Client, err error) {
	err = s.write(ctx, func(t tx) (err error) {
		c, err = clients.update(t, key(id), func(c *store.Client) error {
			if err := change(c); err != nil {
				return err
			}
			return needApplication(t, c.ApplicationID)
		})
		return err
	})
	return c, err
}

// DeleteClient: see store.Clients.
func (s *Store) DeleteClient(ctx context.Context, id string) error {
	now := s.now()
	return s.write(ctx, func(t tx) error { return deleteClient(t, id, now) })
}

func deleteClient(t tx, id string, now time.Time) error {
	if err := clients.remove(t, key(id)); err != nil {
		return err
	}
	if err := dropAll(consents, consentsTo)(t, key(id)); err != nil {
		return err
	}
	// Expired ones, too, whatever time it is.
	rows, err := liveGrants(t, store.GrantFilter{ClientID: id}, time.Time{})
	if err != nil {
		return err
	}
	return endAll(t, rows, "client deleted", now)
}

// Clients: see store.Clients.
func (s *Store) Clients(ctx context.Context, applicationID string, page store.Page) (rows []store.Client, next string, err error) {
	b, prefix := clients.bucket, ""
	if applicationID != "" {
		b, prefix = clientsByApplication, key(applicationID)
	}
	err = s.read(ctx, func(t tx) (err error) {
		rows, next, err = pageByID(t, clients, b, prefix, page)
		return err
	})
	return rows, next, err
}
