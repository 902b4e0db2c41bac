package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"anteroom/store"
)

// queue keeps what is to be delivered: mail, and notices to clients. Its table
// has the columns id, next_attempt, attempts, last_error and given_up_at.
type queue[T any] struct {
	*table[T]
	id   func(*T) string
	part func(*T) *store.Delivery
}

func newQueue[T any](name string, id func(*T) string, part func(*T) *store.Delivery, fields func(*T) []field) *queue[T] {
	return &queue[T]{id: id, part: part, table: newTable(name, 1, func(row *T) []field {
		d := part(row)
		return append(fields(row), field{"next_attempt", when{&d.NextAttempt}}, field{"attempts", &d.Attempts},
			field{"last_error", &d.LastError}, field{"given_up_at", when{&d.GivenUpAt}})
	})}
}

func (q *queue[T]) enqueue(ctx context.Context, s *Store, row T) error {
	row = store.Canonical(row)
	if err := store.CheckIdentity(q.id(&row)); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error { return q.insert(ctx, t, row) })
}

// claim passes over what another node is just claiming.
func (q *queue[T]) claim(ctx context.Context, s *Store, now time.Time, lease time.Duration, n int) (claimed []T, err error) {
	if n <= 0 {
		return nil, nil
	}
	next := store.Time(now.Add(lease))
	err = s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		claimed, err = q.rows(ctx, t, `WHERE given_up_at IS NULL AND (next_attempt IS NULL OR next_attempt <= $1)
			ORDER BY next_attempt NULLS FIRST, id LIMIT $2 FOR UPDATE SKIP LOCKED`, at(now), n)
		if err != nil || len(claimed) == 0 {
			return err
		}
		_, err = t.exec(ctx, `UPDATE `+q.name+` SET next_attempt = $2 WHERE id = ANY($1)`, idsOf(claimed, func(row T) string { return q.id(&row) }), next)
		return err
	})
	slices.SortFunc(claimed, func(a, b T) int {
		return cmp.Or(q.part(&a).NextAttempt.Compare(q.part(&b).NextAttempt), cmp.Compare(q.id(&a), q.id(&b)))
	})
	for i := range claimed {
		q.part(&claimed[i]).NextAttempt = next
	}
	return claimed, err
}

func (q *queue[T]) delivered(ctx context.Context, s *Store, id string) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `DELETE FROM `+q.name+` WHERE id = $1`, store.Text(id))
		return gone(q.name, n, err)
	})
}

func (q *queue[T]) failed(ctx context.Context, s *Store, id, reason string, now, next time.Time) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := q.change(ctx, t, []any{store.Text(id)}, func(row *T) error {
			q.part(row).Failed(reason, now, next)
			return nil
		}, nil)
		return err
	})
}

func (q *queue[T]) pending(ctx context.Context, s *Store, page store.Page) (rows []T, next string, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, next, err = q.page(ctx, t, page, "id", "")
		return err
	})
	return rows, next, err
}
