package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"anteroom/store"
)

// mailKeep is how long a message that was given up stays for the operator.
const mailKeep = 30 * 24 * time.Hour

var outbox = newTable("outbox", 1, func(m *store.OutboxMessage) []field {
	return []field{
		{"id", &m.ID}, {"kind", &m.Kind}, {"recipient", &m.To}, {"sealed", &m.Sealed},
		{"created_at", when{&m.CreatedAt}}, {"next_attempt", when{&m.NextAttempt}}, {"attempts", &m.Attempts},
		{"last_error", &m.LastError}, {"given_up_at", when{&m.GivenUpAt}},
	}
})

// EnqueueMail: see store.Outbox.
func (s *Store) EnqueueMail(ctx context.Context, m store.OutboxMessage) error {
	m = store.Canonical(m)
	if err := store.CheckIdentity(m.ID); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error { return outbox.insert(ctx, t, m) })
}

// ClaimMail: see store.Outbox. Messages that another node is just claiming are
// passed over.
func (s *Store) ClaimMail(ctx context.Context, now time.Time, lease time.Duration, n int) (claimed []store.OutboxMessage, err error) {
	if n <= 0 {
		return nil, nil
	}
	next := store.Time(now.Add(lease))
	err = s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		claimed, err = outbox.rows(ctx, t, `WHERE given_up_at IS NULL AND (next_attempt IS NULL OR next_attempt <= $1)
			ORDER BY next_attempt NULLS FIRST, id LIMIT $2 FOR UPDATE SKIP LOCKED`, at(now), n)
		if err != nil || len(claimed) == 0 {
			return err
		}
		_, err = t.exec(ctx, `UPDATE outbox SET next_attempt = $2 WHERE id = ANY($1)`, idsOf(claimed, func(m store.OutboxMessage) string { return m.ID }), next)
		return err
	})
	slices.SortFunc(claimed, func(a, b store.OutboxMessage) int {
		return cmp.Or(a.NextAttempt.Compare(b.NextAttempt), cmp.Compare(a.ID, b.ID))
	})
	for i := range claimed {
		claimed[i].NextAttempt = next
	}
	return claimed, err
}

// MailSent: see store.Outbox.
func (s *Store) MailSent(ctx context.Context, id string) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `DELETE FROM outbox WHERE id = $1`, store.Text(id))
		return gone("message", n, err)
	})
}

// MailFailed: see store.Outbox.
func (s *Store) MailFailed(ctx context.Context, id, reason string, now, next time.Time) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := outbox.change(ctx, t, []any{store.Text(id)}, func(m *store.OutboxMessage) error {
			m.Attempts++
			m.LastError = reason
			if next.IsZero() {
				m.GivenUpAt = now
			} else {
				m.NextAttempt = next
			}
			return nil
		}, nil)
		return err
	})
}

// PendingMail: see store.Outbox.
func (s *Store) PendingMail(ctx context.Context, page store.Page) (rows []store.OutboxMessage, next string, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, next, err = outbox.page(ctx, t, page, "id", "")
		return err
	})
	return rows, next, err
}
