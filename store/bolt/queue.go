package bolt

import (
	"context"
	"fmt"
	"time"

	"anteroom/store"
)

// queueKeep is how long what was given up stays for the operator.
const queueKeep = 30 * 24 * time.Hour

// delivery is the part of a row that says when it is tried, and how that went.
type delivery struct {
	next     *time.Time
	attempts *int
	reason   *string
	gaveUp   *time.Time // zero: still tried
}

// queue keeps what is to be delivered: mail, and notices to clients.
type queue[T any] struct {
	*table[T]
	due  bucket // orders what is still tried by its next attempt
	id   func(*T) string
	part func(*T) delivery
}

func newQueue[T any](b bucket, id func(*T) string, part func(*T) delivery) *queue[T] {
	q := &queue[T]{due: b + ".due", id: id, part: part}
	q.table = &table[T]{
		bucket: b,
		key:    func(row *T) string { return key(id(row)) },
		indexes: func(row *T) []index {
			if !part(row).gaveUp.IsZero() {
				return nil
			}
			return []index{{q.due, key(stamp(*part(row).next), id(row)), false}}
		},
		expires: func(row *T) time.Time {
			if part(row).gaveUp.IsZero() {
				return time.Time{}
			}
			return part(row).gaveUp.Add(queueKeep)
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
			*q.part(&row).next = store.Time(now.Add(lease))
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

// failed records an attempt: next is when to try again, zero to give up.
func (q *queue[T]) failed(ctx context.Context, s *Store, id, reason string, now, next time.Time) error {
	return s.write(ctx, func(t tx) error {
		row, err := q.get(t, key(id))
		if err != nil {
			return fmt.Errorf("%s %q: %w", q.bucket, id, err)
		}
		part := q.part(&row)
		*part.attempts++
		*part.reason = reason
		if next.IsZero() {
			*part.gaveUp = now
		} else {
			*part.next = next
		}
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
