package postgres

import (
	"context"
	"fmt"
	"time"

	"anteroom/store"

	"github.com/jackc/pgx/v5"
)

// sweeper removes at most limit rows that are over, and says how many.
type sweeper func(ctx context.Context, t *tx, now time.Time, limit int) (int, error)

// expiring removes the rows of a table whose column lies keep in the past, oldest
// first, and passes over those that another node is just removing.
func expiring(table, key, column string, keep time.Duration) sweeper {
	sql := `DELETE FROM ` + table + ` WHERE (` + key + `) IN (SELECT ` + key + ` FROM ` + table + `
		WHERE ` + column + ` <= $1 ORDER BY ` + column + ` LIMIT $2 FOR UPDATE SKIP LOCKED)`
	return func(ctx context.Context, t *tx, now time.Time, limit int) (int, error) {
		n, err := t.exec(ctx, sql, at(now.Add(-keep)), limit)
		return int(n), err
	}
}

var sweepers = []sweeper{
	expiring("failures", "key", "until", 0),
	expiring("used_once", "space, key", "until", 0),
	expiring("denied_tokens", "jti", "until", 0),
	expiring("sessions", "id", "expires_at", sessionKeep),
	expiring("sessions", "id", "ended_at", sessionKeep),
	expiring("invitations", "id", "expires_at", linkKeep),
	expiring("resets", "id", "expires_at", linkKeep),
	expiring("outbox", "id", "given_up_at", store.GivenUpFor),
	expiring("notices", "id", "given_up_at", store.GivenUpFor),
	expiring("devices", "hash", "expires_at", deviceKeep),
	expiring("pushed_requests", "hash", "expires_at", pushedKeep),
	expiring("backchannels", "hash", "expires_at", backchannelKeep),
	expiring("registration_tokens", "id", "expires_at", store.RegistrationTokenKept),
	sweepGrants,
}

// sweepUnits goes by the time that ids begin with.
func sweepUnits(ctx context.Context, t *tx, now time.Time, limit int) (int, error) {
	n, err := t.exec(ctx, `DELETE FROM units WHERE id IN (SELECT id FROM units WHERE id < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)`,
		fmt.Sprintf("%08x", unitTime(now.Add(-unitsKept))), limit)
	return int(n), err
}

// sweepStep bounds the rows of one transaction.
const sweepStep = 200

// Sweep: see store.Store.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (int, error) {
	removed := 0
	sweep := func(fn sweeper, now time.Time) error {
		for removed < limit {
			want, got := min(sweepStep, limit-removed), 0
			err := s.write(ctx, func(ctx context.Context, t *tx) (err error) {
				got, err = fn(ctx, t, now, want)
				return err
			})
			if err != nil {
				return err
			}
			removed += got
			if got < want {
				return nil
			}
		}
		return nil
	}
	for _, fn := range sweepers {
		if err := sweep(fn, now); err != nil {
			return removed, err
		}
	}
	if clock := s.now(); clock.Before(now) { // the clock that the ids are from
		now = clock
	}
	s.wakeChain() // what a node left behind that died
	return removed, sweep(sweepUnits, now)
}

// sweepGrants removes expired families, the grant last. The lock on the grant
// keeps new tokens away.
func sweepGrants(ctx context.Context, t *tx, now time.Time, limit int) (removed int, err error) {
	var ids []string
	_, err = t.statement(ctx, `SELECT id FROM grants WHERE expires_at <= $1 ORDER BY expires_at, id LIMIT $2 FOR UPDATE SKIP LOCKED`, []any{at(now), limit},
		func(r pgx.Rows) error {
			var id string
			err := r.Scan(&id)
			ids = append(ids, id)
			return err
		})
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	for _, children := range []string{"codes", "refresh_tokens"} {
		n, err := t.exec(ctx, `DELETE FROM `+children+` WHERE hash IN (SELECT hash FROM `+children+` WHERE grant_id = ANY($1) LIMIT $2)`, ids, limit-removed)
		if err != nil {
			return 0, err
		}
		if removed += int(n); removed == limit {
			return removed, nil
		}
	}
	ids = ids[:min(len(ids), limit-removed)]
	n, err := t.exec(ctx, `DELETE FROM grants WHERE id = ANY($1)`, ids)
	return removed + int(n), err
}
