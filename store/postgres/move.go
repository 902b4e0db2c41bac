package postgres

import (
	"context"
	"fmt"

	"anteroom/store"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

var _ store.Mover = (*Store)(nil)

// movable is a noun as rows of the contract.
type movable struct {
	query string
	scan  func(rows pgx.Rows) (any, error)
	lines func(row any) ([]line, error) // the statements that add it
	after string                        // a statement after each load; "" for none
}

// moves makes a table movable; order lists its key.
func moves[T any](tb *table[T], order string) movable {
	return movable{
		query: "SELECT " + tb.columns + " FROM " + tb.name + " ORDER BY " + order,
		scan: func(rows pgx.Rows) (any, error) {
			var row T
			err := tb.scan(rows, &row)
			return row, err
		},
		lines: func(row any) ([]line, error) {
			own, ok := row.(T)
			if !ok {
				return nil, fmt.Errorf("%s: a row of type %T: %w", tb.name, row, store.ErrInvalid)
			}
			own = store.Canonical(own)
			values, err := tb.values(&own)
			return []line{{tb.insertSQL, values}}, err
		},
	}
}

var (
	facts         = newTable("metadata", 1, func(f *store.Fact) []field { return []field{{"name", &f.Name}, {"value", &f.Value}} })
	totpSteps     = newTable("totp_steps", 1, func(s *store.TOTPStep) []field { return []field{{"account_id", &s.AccountID}, {"step", &s.Step}} })
	recoveryCodes = newTable("recovery_codes", 2, func(c *store.RecoveryCode) []field {
		return []field{{"account_id", &c.AccountID}, {"hash", &c.Hash}, {"created_at", when{&c.CreatedAt}}, {"used_at", when{&c.UsedAt}}}
	})
	deniedTokens = newTable("denied_tokens", 1, func(d *store.DeniedToken) []field { return []field{{"jti", &d.JTI}, {"until", when{&d.Until}}} })
	failures     = newTable("failures", 1, func(f *store.Failure) []field {
		return []field{{"key", &f.Key}, {"count", &f.Count}, {"first_at", when{&f.First}}, {"last_at", when{&f.Last}}, {"until", when{&f.Until}}}
	})
	usedOnce = newTable("used_once", 2, func(u *store.Used) []field {
		return []field{{"space", &u.Space}, {"key", &u.Key}, {"until", when{&u.Until}}}
	})
)

var movables = map[store.Noun]movable{
	"metadata": moves(facts, "name"), "accounts": movingAccounts(), "authenticators": moves(authenticators, "id"),
	"totp_steps": moves(totpSteps, "account_id"), "recovery_codes": moves(recoveryCodes, "account_id, hash"),
	"applications": moves(applications, "id"), "clients": movingClients(),
	"organisations": moves(organisations, "id"), "roles": moves(roles, "application_id, key"),
	"assignments":    moves(assignments, "account_id, application_id, organisation_id, role_key"),
	"terms_versions": moves(terms, "application_id, version"), "terms_acceptances": moves(acceptances, "account_id, application_id, version"),
	"consents": moves(consents, "account_id, client_id"), "invitations": moves(invitations, "id"), "resets": moves(resets, "id"),
	"sessions": moves(sessions, "id"), "signing_keys": moves(signingKeys, "kid"),
	"grants": moves(grants, "id"), "codes": moves(codes, "hash"), "refresh_tokens": moves(refreshTokens, "hash"),
	"denied_tokens": moves(deniedTokens, "jti"), "failures": moves(failures, "key"), "used_once": moves(usedOnce, "space, key"),
	"outbox": moves(outbox.table, "id"), "notices": moves(notices.table, "id"), "devices": moves(devices, "hash"), "pushed_requests": moves(pushedRequests, "hash"), "backchannels": moves(backchannels, "hash"),
	"registration_tokens": moves(registrationTokens, "id"),
	"audit_log":           movingAudit(),
}

func movingAccounts() movable {
	m := moves(accounts, "id")
	plain := m.lines
	m.lines = func(row any) ([]line, error) {
		lines, err := plain(row)
		if err != nil {
			return nil, err
		}
		a := row.(store.Account) // lines looked
		for _, name := range namesOf(&a) {
			lines = append(lines, line{`INSERT INTO account_names (name, account_id) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, []any{store.Text(name), a.ID}})
		}
		return lines, nil
	}
	return m
}

func movingClients() movable {
	m := moves(clients, "id")
	m.query = selectClients + "ORDER BY c.id"
	m.scan = func(rows pgx.Rows) (any, error) { return scanClient(rows) }
	plain := m.lines
	m.lines = func(row any) ([]line, error) {
		lines, err := plain(row)
		if err != nil {
			return nil, err
		}
		c := row.(store.Client) // lines looked
		for i, secret := range c.Secrets {
			lines = append(lines, line{insertSecret + ` ON CONFLICT (client_id, position) DO NOTHING`, []any{c.ID, i, secret.Hash, at(secret.CreatedAt), at(secret.ExpiresAt)}})
		}
		return lines, nil
	}
	return m
}

// movingAudit also moves the end of the chain, so that the next entry continues
// it.
func movingAudit() movable {
	m := moves(auditLog, "seq")
	m.after = `UPDATE audit_head SET seq = l.seq, hash = l.hash FROM audit_log l
		WHERE audit_head.id = 1 AND l.seq = (SELECT max(seq) FROM audit_log)`
	return m
}

// snapshot is one transaction that sees one moment.
type snapshot struct{ conn *pgxpool.Conn }

// Snapshot: see store.Mover. Entries that wait for their place in the audit log
// get it before.
func (s *Store) Snapshot(ctx context.Context) (store.Snapshot, error) {
	if err := s.chainForReader(ctx); err != nil {
		return nil, err
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, typed(ctx, err)
	}
	for _, sql := range []string{
		"begin isolation level repeatable read read only",
		"SET LOCAL statement_timeout = 0", "SET LOCAL idle_in_transaction_session_timeout = 0",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			conn.Release()
			return nil, typed(ctx, err)
		}
	}
	return snapshot{conn}, nil
}

// Rows: see store.Snapshot. Rows stream; they are never all in memory.
func (s snapshot) Rows(ctx context.Context, noun store.Noun, each func(row any) error) error {
	m, ok := movables[noun]
	if !ok {
		return fmt.Errorf("noun %q: %w", noun, store.ErrInvalid)
	}
	rows, err := s.conn.Query(ctx, m.query)
	if err != nil {
		return typed(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		row, err := m.scan(rows)
		if err != nil {
			return err
		}
		if err := each(row); err != nil {
			return err
		}
	}
	return typed(ctx, rows.Err())
}

// Close ends the transaction.
func (s snapshot) Close() error {
	_, err := s.conn.Exec(context.Background(), "rollback")
	s.conn.Release()
	return err
}

// Load: see store.Mover.
func (s *Store) Load(ctx context.Context, noun store.Noun, rows []any) error {
	m, ok := movables[noun]
	if !ok {
		return fmt.Errorf("noun %q: %w", noun, store.ErrInvalid)
	}
	var lines []line
	for _, row := range rows {
		more, err := m.lines(row)
		if err != nil {
			return err
		}
		lines = append(lines, more...)
	}
	if m.after != "" {
		lines = append(lines, line{m.after, nil})
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.statements(ctx, nil, lines...)
		t.wrote = true
		return err
	})
}
