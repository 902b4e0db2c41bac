package bolt

import (
	"context"
	"fmt"
	"time"

	"anteroom/store"
)

// queue keeps what is to be delivered: mail, and notices to clients.
type queue[T any] struct {
	*table[T]
	due  bucket // orders what is still tried by its next attempt
	id   func(*T) string
	part func(*T) *store.Delivery
}

func newQueue[T any](b bucket, id func(*T) string, part func(*T) *store.Delivery) *queue[T] {
	q := &queue[T]{due: b + ".due", id: id, part: part}
	q.table = &table[T]{
		bucket: b,
		key:    func(row *T) string { return key(id(row)) },
		indexes: func(row *T) []index {
			if !part(row).GivenUpAt.IsZero() {
				return nil
			}
			return []index{{q.due, key(stamp(part(row).NextAttempt), id(row)), false}}
		},
		expires: func(row *T) time.Time {
			if part(row).GivenUpAt.IsZero() {
				return time.Time{}
			}
			return part(row).GivenUpAt.Add(store.GivenUpFor)
		},
	}
	return q
}

func (q *queue[T]) enqueue(ctx context.Context, s *Store, row T) error {
	row = store.Canonical(row)
	if err := store.CheckIdentity(q.id(&row)); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error { return q.insert(t, row) })
}

func (q *queue[T]) claim(ctx context.Context, s *Store, now time.Time, lease time.Duration, n int) (claimed []T, err error) {
	if n <= 0 {
		return nil, nil
	}
	err = s.write(ctx, func(t tx) error {
		claimed = nil
		for due, id := range t.scan(q.due, "", "") {
			if len(claimed) == n || parts(due)[0] > stamp(now) {
				break
			}
			row, err := q.get(t, string(id))
			if err != nil {
				return err
			}
			q.part(&row).NextAttempt = store.Time(now.Add(lease))
			if err := q.put(t, row); err != nil {
				return err
			}
			claimed = append(claimed, row)
		}
		return nil
	})
	return claimed, err
}

func (q *queue[T]) delivered(ctx context.Context, s *Store, id string) error {
	return s.write(ctx, func(t tx) error { return q.remove(t, key(id)) })
}

func (q *queue[T]) failed(ctx context.Context, s *Store, id, reason string, now, next time.Time) error {
	return s.write(ctx, func(t tx) error {
		row, err := q.get(t, key(id))
		if err != nil {
			return fmt.Errorf("%s %q: %w", q.bucket, id, err)
		}
		q.part(&row).Failed(reason, now, next)
		return q.put(t, row)
	})
}

func (q *queue[T]) pending(ctx context.Context, s *Store, page store.Page) (rows []T, next string, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		rows, next, err = pageByID(t, q.table, q.bucket, "", page)
		return err
	})
	return rows, next, err
}
