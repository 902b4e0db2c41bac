package bolt

import (
	"context"
	"time"

	"anteroom/store"
)

var outbox = newQueue("outbox", func(m *store.OutboxMessage) string { return m.ID }, func(m *store.OutboxMessage) *store.Delivery { return &m.Delivery })

// EnqueueMail: see store.Outbox.
func (s *Store) EnqueueMail(ctx context.Context, m store.OutboxMessage) error {
	return outbox.enqueue(ctx, s, m)
}

// ClaimMail: see store.Outbox.
func (s *Store) ClaimMail(ctx context.Context, now time.Time, lease time.Duration, n int) ([]store.OutboxMessage, error) {
	return outbox.claim(ctx, s, now, lease, n)
}

// MailSent: see store.Outbox.
func (s *Store) MailSent(ctx context.Context, id string) error { return outbox.delivered(ctx, s, id) }

// MailFailed: see store.Outbox.
func (s *Store) MailFailed(ctx context.Context, id, reason string, now, next time.Time) error {
	return outbox.failed(ctx, s, id, reason, now, next)
}

// PendingMail: see store.Outbox.
func (s *Store) PendingMail(ctx context.Context, page store.Page) ([]store.OutboxMessage, string, error) {
	return outbox.pending(ctx, s, page)
}
