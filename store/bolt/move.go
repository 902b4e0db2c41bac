package bolt

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"anteroom/store"

	bbolt "go.etcd.io/bbolt"
)

var _ store.Mover = (*Store)(nil)

// movable is a noun as rows of the contract.
type movable struct {
	rows func(t tx, each func(any) error) error
	load func(s *Store, t tx, row any) error
}

// plain moves a table whose rows are those of the contract.
func plain[T any](tb *table[T]) movable {
	return converted(tb, func(row T) T { return row }, func(row T) T { return row })
}

// converted moves a table whose rows have another type in the contract.
func converted[T, R any](tb *table[T], out func(T) R, in func(R) T) movable {
	return movable{
		rows: func(t tx, each func(any) error) error {
			for _, data := range t.scan(tb.bucket, "", "") {
				row, err := tb.decode(data)
				if err != nil {
					return err
				}
				if err := each(out(row)); err != nil {
					return err
				}
			}
			return nil
		},
		load: func(_ *Store, t tx, row any) error {
			given, ok := row.(R)
			if !ok {
				return fmt.Errorf("%s: a row of type %T: %w", tb.bucket, row, store.ErrInvalid)
			}
			own := in(given)
			if tb.has(t, tb.key(&own)) {
				return nil
			}
			return tb.put(t, own)
		},
	}
}

var movables = map[store.Noun]movable{
	"metadata":       {metadataRows, loadMetadata},
	"accounts":       plain(accounts),
	"authenticators": plain(authenticators),
	"totp_steps":     {totpRows, loadTOTP},
	"recovery_codes": converted(recoveryCodes, func(c recoveryCode) store.RecoveryCode { return store.RecoveryCode(c) }, func(c store.RecoveryCode) recoveryCode { return recoveryCode(c) }),
	"applications":   plain(applications), "clients": plain(clients),
	"organisations": plain(organisations), "roles": plain(roles), "assignments": plain(assignments),
	"terms_versions": plain(terms), "terms_acceptances": plain(acceptances), "consents": plain(consents),
	"invitations": plain(invitations), "resets": plain(resets), "sessions": plain(sessions), "signing_keys": plain(signingKeys),
	"grants": plain(grants), "codes": plain(codes), "refresh_tokens": plain(refreshTokens),
	"denied_tokens": converted(deniedTokens, func(d deniedToken) store.DeniedToken { return store.DeniedToken(d) }, func(d store.DeniedToken) deniedToken { return deniedToken(d) }),
	"failures":      {plain(failures).rows, loadFailure},
	"used_once":     converted(once, func(o seen) store.Used { return store.Used(o) }, func(o store.Used) seen { return seen(o) }),
	"outbox":        plain(outbox.table), "notices": plain(notices.table), "devices": plain(devices), "pushed_requests": plain(pushedRequests), "backchannels": plain(backchannels), "registration_tokens": plain(registrationTokens),
	"audit_log": {plain(auditLog).rows, loadAudit},
}

func metadataRows(t tx, each func(any) error) error {
	for k, value := range t.scan(metadata, "", "") {
		if err := each(store.Fact{Name: parts(k)[0], Value: string(value)}); err != nil {
			return err
		}
	}
	return nil
}

func loadMetadata(_ *Store, t tx, row any) error {
	fact, ok := row.(store.Fact)
	if !ok {
		return fmt.Errorf("metadata: a row of type %T: %w", row, store.ErrInvalid)
	}
	if t.get(metadata, key(fact.Name)) != nil {
		return nil
	}
	return t.put(metadata, key(fact.Name), []byte(fact.Value))
}

func totpRows(t tx, each func(any) error) error {
	for k, value := range t.scan(totpSteps, "", "") {
		step, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return fmt.Errorf("damaged TOTP step: %w", err)
		}
		if err := each(store.TOTPStep{AccountID: parts(k)[0], Step: step}); err != nil {
			return err
		}
	}
	return nil
}

func loadTOTP(_ *Store, t tx, row any) error {
	step, ok := row.(store.TOTPStep)
	if !ok {
		return fmt.Errorf("totp: a row of type %T: %w", row, store.ErrInvalid)
	}
	if t.get(totpSteps, key(step.AccountID)) != nil {
		return nil
	}
	return t.put(totpSteps, key(step.AccountID), strconv.AppendInt(nil, step.Step, 10))
}

func loadFailure(_ *Store, t tx, row any) error {
	f, ok := row.(store.Failure)
	if !ok {
		return fmt.Errorf("failures: a row of type %T: %w", row, store.ErrInvalid)
	}
	if failures.has(t, key(f.Key)) {
		return nil
	}
	if _, err := countFailures(t, 1); err != nil {
		return err
	}
	return failures.put(t, f)
}

// loadAudit also moves the end of the chain, so that the next entry continues it.
func loadAudit(_ *Store, t tx, row any) error {
	e, ok := row.(store.AuditEvent)
	if !ok {
		return fmt.Errorf("audit: a row of type %T: %w", row, store.ErrInvalid)
	}
	if auditLog.has(t, auditLog.key(&e)) {
		return nil
	}
	if err := auditLog.put(t, e); err != nil {
		return err
	}
	data, err := json.Marshal(chainEnd{Seq: e.Seq, Hash: e.Hash})
	if err != nil {
		return err
	}
	return t.put(auditHead, auditHeadKey, data)
}

// snapshot is one read transaction.
type snapshot struct{ t *bbolt.Tx }

// Snapshot: see store.Mover. While it is open, the file does not give space back.
func (s *Store) Snapshot(ctx context.Context) (store.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t, err := s.db.Begin(false)
	if err != nil {
		return nil, unavailable(err)
	}
	return snapshot{t}, nil
}

// Rows: see store.Snapshot.
func (s snapshot) Rows(ctx context.Context, noun store.Noun, each func(row any) error) error {
	m, ok := movables[noun]
	if !ok {
		return fmt.Errorf("noun %q: %w", noun, store.ErrInvalid)
	}
	return m.rows(boltTx{s.t}, func(row any) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return each(row)
	})
}

// Close ends the transaction.
func (s snapshot) Close() error { return s.t.Rollback() }

// Load: see store.Mover.
func (s *Store) Load(ctx context.Context, noun store.Noun, rows []any) error {
	m, ok := movables[noun]
	if !ok {
		return fmt.Errorf("noun %q: %w", noun, store.ErrInvalid)
	}
	return s.write(ctx, func(t tx) error {
		for _, row := range rows {
			if err := m.load(s, t, row); err != nil {
				return err
			}
		}
		return nil
	})
}
