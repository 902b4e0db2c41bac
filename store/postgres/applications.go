package postgres

import (
	"context"
	"fmt"
	"time"

	"anteroom/store"

	"github.com/jackc/pgx/v5"
)

var applications = newTable("applications", 1, func(a *store.Application) []field {
	return []field{
		{"id", &a.ID}, {"name", &a.Name}, {"launch_url", &a.LaunchURL}, {"logo_url", &a.LogoURL}, {"colour", &a.Colour},
		{"require_mfa", &a.RequireMFA}, {"challenge_after_enrolment", &a.ChallengeAfterEnrolment},
		{"consent", &a.Consent}, {"access", &a.Access}, {"enrolment_hint", &a.EnrolmentHint},
		{"session_max_age_ns", (*int64)(&a.SessionMaxAge)}, {"detail_types", &a.DetailTypes},
		{"created_at", when{&a.CreatedAt}}, {"updated_at", when{&a.UpdatedAt}},
	}
})

// CreateApplication: see store.Applications.
func (s *Store) CreateApplication(ctx context.Context, a store.Application) error {
	a = store.Canonical(a)
	if err := store.CheckIdentity(a.ID); err != nil {
		return err
	}
	return s.writePolicy(ctx, func(ctx context.Context, t *tx) error { return applications.insert(ctx, t, a) })
}

// Application: see store.Applications.
func (s *Store) Application(ctx context.Context, id string) (store.Application, error) {
	return readPolicy(ctx, s, &s.applications, store.Text(id), func(ctx context.Context, t *tx, id string) (store.Application, error) {
		return applications.get(ctx, t, applications.byKey, id)
	})
}

// UpdateApplication: see store.Applications.
func (s *Store) UpdateApplication(ctx context.Context, id string, change func(*store.Application) error) (a store.Application, err error) {
	err = s.writePolicy(ctx, func(ctx context.Context, t *tx) (err error) {
		a, err = applications.change(ctx, t, []any{store.Text(id)}, change, nil)
		return err
	})
	return a, err
}

// DeleteApplication: see store.Applications.
func (s *Store) DeleteApplication(ctx context.Context, id string) error {
	id = store.Text(id)
	now := s.now()
	return s.writePolicy(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.lock(ctx, `SELECT 1 FROM applications WHERE id = $1 FOR UPDATE`, id)
		if err := gone("application", n, err); err != nil {
			return err
		}
		if err := endClients(ctx, t, `application_id = $1`, id, now); err != nil {
			return err
		}
		for _, from := range []string{"roles", "assignments", "terms_acceptances", "terms_versions", "invitations"} {
			if _, err := t.exec(ctx, `DELETE FROM `+from+` WHERE application_id = $1`, id); err != nil {
				return err
			}
		}
		_, err = t.exec(ctx, `DELETE FROM applications WHERE id = $1`, id)
		return err
	})
}

// Applications: see store.Applications.
func (s *Store) Applications(ctx context.Context, page store.Page) (rows []store.Application, next string, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, next, err = applications.page(ctx, t, page, "id", "")
		return err
	})
	return rows, next, err
}

// needApplication returns ErrInvalid if there is no such application, and keeps
// one from being deleted before the unit is over.
func needApplication(ctx context.Context, t *tx, id string) error {
	n, err := t.lock(ctx, `SELECT 1 FROM applications WHERE id = $1 FOR SHARE`, id)
	if err == nil && n == 0 {
		err = fmt.Errorf("no application %q: %w", id, store.ErrInvalid)
	}
	return err
}

// clientRow is a client with its secrets as columns: one array for each field.
type clientRow struct {
	store.Client
	hashes           []string
	created, expires []*time.Time
}

// clients reads secrets together with their client, and writes the client alone.
var clients = newTable("clients", 1, func(c *store.Client) []field {
	return []field{
		{"id", &c.ID}, {"application_id", &c.ApplicationID}, {"name", &c.Name},
		{"redirect_uris", &c.RedirectURIs}, {"post_logout_redirect_uris", &c.PostLogoutRedirectURIs},
		{"grant_types", &c.GrantTypes}, {"response_types", &c.ResponseTypes}, {"scopes", &c.Scopes}, {"audiences", &c.Audiences},
		{"token_endpoint_auth_method", &c.TokenEndpointAuthMethod}, {"application_type", &c.ApplicationType},
		{"id_token_signed_response_alg", &c.IDTokenSignedResponseAlg}, {"access_token_signing_alg", &c.AccessTokenSigningAlg},
		{"pkce_optional", &c.PKCEOptional}, {"disabled", &c.Disabled}, {"settings", &c.Settings},
		{"created_at", when{&c.CreatedAt}}, {"updated_at", when{&c.UpdatedAt}},
	}
})

var selectClients = "SELECT " + clients.of("c") + `,
	ARRAY(SELECT s.hash FROM client_secrets s WHERE s.client_id = c.id ORDER BY s.position),
	ARRAY(SELECT s.created_at FROM client_secrets s WHERE s.client_id = c.id ORDER BY s.position),
	ARRAY(SELECT s.expires_at FROM client_secrets s WHERE s.client_id = c.id ORDER BY s.position)
	FROM clients c `

func clientRows(ctx context.Context, t *tx, tail string, args ...any) (out []store.Client, err error) {
	_, err = t.statement(ctx, selectClients+tail, args, func(r pgx.Rows) error {
		c, err := scanClient(r)
		out = append(out, c)
		return err
	})
	return out, err
}

func scanClient(r pgx.Rows) (store.Client, error) {
	var row clientRow
	fields := clients.fields(&row.Client)
	if err := r.Scan(append(targets(fields), &row.hashes, &row.created, &row.expires)...); err != nil {
		return store.Client{}, fmt.Errorf("read clients: %w", err)
	}
	mend(fields)
	for i, hash := range row.hashes {
		secret := store.ClientSecret{Hash: hash}
		if row.created[i] != nil {
			secret.CreatedAt = store.Time(*row.created[i])
		}
		if row.expires[i] != nil {
			secret.ExpiresAt = store.Time(*row.expires[i])
		}
		row.Secrets = append(row.Secrets, secret)
	}
	return row.Client, nil
}

func oneClient(ctx context.Context, t *tx, id string) (store.Client, error) {
	rows, err := clientRows(ctx, t, `WHERE c.id = $1`, id)
	if err := gone("client", int64(len(rows)), err); err != nil {
		return store.Client{}, err
	}
	return rows[0], nil
}

const insertSecret = `INSERT INTO client_secrets (client_id, position, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)`

func putSecrets(ctx context.Context, t *tx, c store.Client) error {
	for i, secret := range c.Secrets {
		_, err := t.exec(ctx, insertSecret,
			c.ID, i, secret.Hash, at(secret.CreatedAt), at(secret.ExpiresAt))
		if err != nil {
			return err
		}
	}
	return nil
}

// CreateClient: see store.Clients.
func (s *Store) CreateClient(ctx context.Context, c store.Client) error {
	c = store.Canonical(c)
	if err := store.CheckIdentity(c.ID); err != nil {
		return err
	}
	return s.writePolicy(ctx, func(ctx context.Context, t *tx) error {
		if err := needApplication(ctx, t, c.ApplicationID); err != nil {
			return err
		}
		if err := clients.insert(ctx, t, c); err != nil {
			return err
		}
		return putSecrets(ctx, t, c)
	})
}

// Client: see store.Clients.
func (s *Store) Client(ctx context.Context, id string) (store.Client, error) {
	return readPolicy(ctx, s, &s.clients, store.Text(id), oneClient)
}

// UpdateClient: see store.Clients.
func (s *Store) UpdateClient(ctx context.Context, id string, change func(*store.Client) error) (c store.Client, err error) {
	id = store.Text(id)
	err = s.writePolicy(ctx, func(ctx context.Context, t *tx) (err error) {
		n, err := t.lock(ctx, `SELECT 1 FROM clients WHERE id = $1 FOR UPDATE`, id)
		if err := gone("client", n, err); err != nil {
			return err
		}
		before, err := oneClient(ctx, t, id)
		if err != nil {
			return err
		}
		c, err = s.changeClient(ctx, t, before, change)
		return err
	})
	return c, err
}

func (s *Store) changeClient(ctx context.Context, t *tx, before store.Client, change func(*store.Client) error) (store.Client, error) {
	after := store.Canonical(before)
	if err := change(&after); err != nil {
		return store.Client{}, err
	}
	after = store.Canonical(after)
	if after.ID != before.ID {
		return store.Client{}, fmt.Errorf("client: the identity of a row never changes: %w", store.ErrInvalid)
	}
	if err := needApplication(ctx, t, after.ApplicationID); err != nil {
		return store.Client{}, err
	}
	if err := clients.save(ctx, t, after); err != nil {
		return store.Client{}, err
	}
	if _, err := t.exec(ctx, `DELETE FROM client_secrets WHERE client_id = $1`, after.ID); err != nil {
		return store.Client{}, err
	}
	return after, putSecrets(ctx, t, after)
}

// DeleteClient: see store.Clients.
func (s *Store) DeleteClient(ctx context.Context, id string) error {
	id = store.Text(id)
	now := s.now()
	return s.writePolicy(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.lock(ctx, `SELECT 1 FROM clients WHERE id = $1 FOR UPDATE`, id)
		if err := gone("client", n, err); err != nil {
			return err
		}
		return endClients(ctx, t, `id = $1`, id, now)
	})
}

// endClients removes the clients that a condition selects, with their consents,
// and ends their grants, expired ones too.
func endClients(ctx context.Context, t *tx, condition, value string, now time.Time) error {
	var ids []string
	_, err := t.statement(ctx, `SELECT id FROM clients WHERE `+condition+` ORDER BY id FOR UPDATE`, []any{value}, func(r pgx.Rows) error {
		var id string
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	for _, l := range []line{
		{`UPDATE grants SET revoked_at = $2, revoked_reason = 'client deleted' WHERE client_id = ANY($1) AND revoked_at IS NULL`, []any{ids, at(now)}},
		{`DELETE FROM consents WHERE client_id = ANY($1)`, []any{ids}},
		{`DELETE FROM client_secrets WHERE client_id = ANY($1)`, []any{ids}},
		{`DELETE FROM clients WHERE id = ANY($1)`, []any{ids}},
	} {
		if _, err := t.exec(ctx, l.sql, l.args...); err != nil {
			return err
		}
	}
	return nil
}

// Clients: see store.Clients.
func (s *Store) Clients(ctx context.Context, applicationID string, page store.Page) (rows []store.Client, next string, err error) {
	n, err := limit(page)
	if err != nil {
		return nil, "", err
	}
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		if applicationID == "" {
			rows, err = clientRows(ctx, t, `WHERE c.id > $1 ORDER BY c.id LIMIT $2`, store.Text(page.After), n+1)
		} else {
			rows, err = clientRows(ctx, t, `WHERE c.application_id = $1 AND c.id > $2 ORDER BY c.id LIMIT $3`, store.Text(applicationID), store.Text(page.After), n+1)
		}
		return err
	})
	if err != nil || len(rows) <= n {
		return rows, "", err
	}
	return rows[:n], rows[n-1].ID, nil
}
