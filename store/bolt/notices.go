package bolt

import (
	"context"
	"fmt"
	"time"

	"anteroom/store"
)

// noticeKeep is how long a notice that was given up stays for the operator.
const noticeKeep = 30 * 24 * time.Hour

// noticeDue orders the notices that are still tried by their next attempt.
const noticeDue bucket = "notices.due"

var notices = &table[store.Notice]{
	bucket: "notices",
	key:    func(m *store.Notice) string { return key(m.ID) },
	indexes: func(m *store.Notice) []index {
		if !m.GivenUpAt.IsZero() {
			return nil
		}
		return []index{{noticeDue, key(stamp(m.NextAttempt), m.ID), false}}
	},
	expires: func(m *store.Notice) time.Time {
		if m.GivenUpAt.IsZero() {
			return time.Time{}
		}
		return m.GivenUpAt.Add(noticeKeep)
	},
}

// EnqueueNotice: see store.Notices.
func (s *Store) EnqueueNotice(ctx context.Context, m store.Notice) error {
	m = store.Canonical(m)
	if err := store.CheckIdentity(m.ID); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error { return notices.insert(t, m) })
}

// ClaimNotices: see store.Notices.
func (s *Store) ClaimNotices(ctx context.Context, now time.Time, lease time.Duration, n int) (claimed []store.Notice, err error) {
	if n <= 0 {
		return nil, nil
	}
	err = s.write(ctx, func(t tx) error {
		claimed = nil
		for due, id := range t.scan(noticeDue, "", "") {
			if len(claimed) == n || parts(due)[0] > stamp(now) {
				break
			}
			m, err := notices.get(t, string(id))
			if err != nil {
				return err
			}
			m.NextAttempt = store.Time(now.Add(lease))
			if err := notices.put(t, m); err != nil {
				return err
			}
			claimed = append(claimed, m)
		}
		return nil
	})
	return claimed, err
}

// NoticeDelivered: see store.Notices.
func (s *Store) NoticeDelivered(ctx context.Context, id string) error {
	return s.write(ctx, func(t tx) error { return notices.remove(t, key(id)) })
}

// NoticeFailed: see store.Notices.
func (s *Store) NoticeFailed(ctx context.Context, id, reason string, now, next time.Time) error {
	return s.write(ctx, func(t tx) error {
		m, err := notices.get(t, key(id))
		if err != nil {
			return fmt.Errorf("notice %q: %w", id, err)
		}
		m.Attempts++
		m.LastError = reason
		if next.IsZero() {
			m.GivenUpAt = now
		} else {
			m.NextAttempt = next
		}
		return notices.put(t, m)
	})
}

// PendingNotices: see store.Notices.
func (s *Store) PendingNotices(ctx context.Context, page store.Page) (rows []store.Notice, next string, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		rows, next, err = pageByID(t, notices, notices.bucket, "", page)
		return err
	})
	return rows, next, err
}
