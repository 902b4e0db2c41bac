package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"anteroom/store"
)

// noticeKeep is how long a notice that was given up stays for the operator.
const noticeKeep = 30 * 24 * time.Hour

var notices = newTable("notices", 1, func(n *store.Notice) []field {
	return []field{
		{"id", &n.ID}, {"client_id", &n.ClientID}, {"account_id", &n.AccountID}, {"session_id", &n.SessionID},
		{"created_at", when{&n.CreatedAt}}, {"next_attempt", when{&n.NextAttempt}}, {"attempts", &n.Attempts},
		{"last_error", &n.LastError}, {"given_up_at", when{&n.GivenUpAt}},
	}
})

// EnqueueNotice: see store.Notices.
func (s *Store) EnqueueNotice(ctx context.Context, m store.Notice) error {
	m = store.Canonical(m)
	if err := store.CheckIdentity(m.ID); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error { return notices.insert(ctx, t, m) })
}

// ClaimNotices: see store.Notices. Notices that another node is just claiming are
// passed over.
func (s *Store) ClaimNotices(ctx context.Context, now time.Time, lease time.Duration, n int) (claimed []store.Notice, err error) {
	if n <= 0 {
		return nil, nil
	}
	next := store.Time(now.Add(lease))
	err = s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		claimed, err = notices.rows(ctx, t, `WHERE given_up_at IS NULL AND (next_attempt IS NULL OR next_attempt <= $1)
			ORDER BY next_attempt NULLS FIRST, id LIMIT $2 FOR UPDATE SKIP LOCKED`, at(now), n)
		if err != nil || len(claimed) == 0 {
			return err
		}
		_, err = t.exec(ctx, `UPDATE notices SET next_attempt = $2 WHERE id = ANY($1)`, idsOf(claimed, func(m store.Notice) string { return m.ID }), next)
		return err
	})
	slices.SortFunc(claimed, func(a, b store.Notice) int {
		return cmp.Or(a.NextAttempt.Compare(b.NextAttempt), cmp.Compare(a.ID, b.ID))
	})
	for i := range claimed {
		claimed[i].NextAttempt = next
	}
	return claimed, err
}

// NoticeDelivered: see store.Notices.
func (s *Store) NoticeDelivered(ctx context.Context, id string) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `DELETE FROM notices WHERE id = $1`, store.Text(id))
		return gone("notice", n, err)
	})
}

// NoticeFailed: see store.Notices.
func (s *Store) NoticeFailed(ctx context.Context, id, reason string, now, next time.Time) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := notices.change(ctx, t, []any{store.Text(id)}, func(m *store.Notice) error {
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

// PendingNotices: see store.Notices.
func (s *Store) PendingNotices(ctx context.Context, page store.Page) (rows []store.Notice, next string, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, next, err = notices.page(ctx, t, page, "id", "")
		return err
	})
	return rows, next, err
}
