package postgres

import (
	"context"
	"time"

	"anteroom/store"
)

var notices = newQueue("notices", func(m *store.Notice) string { return m.ID }, func(m *store.Notice) *store.Delivery { return &m.Delivery }, func(m *store.Notice) []field {
	return []field{
		{"id", &m.ID}, {"client_id", &m.ClientID}, {"account_id", &m.AccountID}, {"session_id", &m.SessionID},
		{"kind", &m.Kind}, {"reference", &m.Reference}, {"created_at", when{&m.CreatedAt}},
	}
})

// EnqueueNotice: see store.Notices.
func (s *Store) EnqueueNotice(ctx context.Context, m store.Notice) error {
	return notices.enqueue(ctx, s, m)
}

// ClaimNotices: see store.Notices.
func (s *Store) ClaimNotices(ctx context.Context, now time.Time, lease time.Duration, n int) ([]store.Notice, error) {
	return notices.claim(ctx, s, now, lease, n)
}

// NoticeDelivered: see store.Notices.
func (s *Store) NoticeDelivered(ctx context.Context, id string) error {
	return notices.delivered(ctx, s, id)
}

// NoticeFailed: see store.Notices.
func (s *Store) NoticeFailed(ctx context.Context, id, reason string, now, next time.Time) error {
	return notices.failed(ctx, s, id, reason, now, next)
}

// PendingNotices: see store.Notices.
func (s *Store) PendingNotices(ctx context.Context, page store.Page) ([]store.Notice, string, error) {
	return notices.pending(ctx, s, page)
}
