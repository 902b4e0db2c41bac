package bolt

import (
	"context"
	"fmt"
	"time"

	"anteroom/store"
)

// mailKeep is how long a message that was given up stays for the operator.
const mailKeep = 30 * 24 * time.Hour

// mailDue orders the messages that are still tried by their next attempt.
const mailDue bucket = "outbox.due"

var outbox = &table[store.OutboxMessage]{
	bucket: "outbox",
	key:    func(m *store.OutboxMessage) string { return key(m.ID) },
	indexes: func(m *store.OutboxMessage) []index {
		if !m.GivenUpAt.IsZero() {
			return nil
		}
		return []index{{mailDue, key(stamp(m.NextAttempt), m.ID), false}}
	},
	expires: func(m *store.OutboxMessage) time.Time {
		if m.GivenUpAt.IsZero() {
			return time.Time{}
		}
		return m.GivenUpAt.Add(mailKeep)
	},
}

// EnqueueMail: see store.Outbox.
func (s *Store) EnqueueMail(ctx context.Context, m store.OutboxMessage) error {
	m = store.Canonical(m)
	if err := store.CheckIdentity(m.ID); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error { return outbox.insert(t, m) })
}

// ClaimMail: see store.Outbox.
func (s *Store) ClaimMail(ctx context.Context, now time.Time, lease time.Duration, n int) (claimed []store.OutboxMessage, err error) {
	if n <= 0 {
		return nil, nil
	}
	err = s.write(ctx, func(t tx) error {
		claimed = nil
		for due, id := range t.scan(mailDue, "", "") {
			if len(claimed) == n || parts(due)[0] > stamp(now) {
				break
			}
			m, err := outbox.get(t, string(id))
			if err != nil {
				return err
			}
			m.NextAttempt = store.Time(now.Add(lease))
			if err := outbox.put(t, m); err != nil {
				return err
			}
			claimed = append(claimed, m)
		}
		return nil
	})
	return claimed, err
}

// MailSent: see store.Outbox.
func (s *Store) MailSent(ctx context.Context, id string) error {
	return s.write(ctx, func(t tx) error { return outbox.remove(t, key(id)) })
}

// MailFailed: see store.Outbox.
func (s *Store) MailFailed(ctx context.Context, id, reason string, now, next time.Time) error {
	return s.write(ctx, func(t tx) error {
		m, err := outbox.get(t, key(id))
		if err != nil {
			return fmt.Errorf("message %q: %w", id, err)
		}
		m.Attempts++
		m.LastError = reason
		if next.IsZero() {
			m.GivenUpAt = now
		} else {
			m.NextAttempt = next
		}
		return outbox.put(t, m)
	})
}

// PendingMail: see store.Outbox.
func (s *Store) PendingMail(ctx context.Context, page store.Page) (rows []store.OutboxMessage, next string, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		rows, next, err = pageByID(t, outbox, outbox.bucket, "", page)
		return err
	})
	return rows, next, err
}
