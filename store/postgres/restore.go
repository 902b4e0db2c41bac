package postgres

import (
	"context"
	"time"

	"anteroom/store"
)

// Restored is called once after the database was restored from a backup, with all
// nodes stopped. What was used up between the backup and now is unknown, so
// everything that works once, and everything that could have been ended since, is
// ended: links, codes, recovery codes, grants, sessions, messages that may have
// been sent; and no TOTP step up to now is accepted again. store.MetaRestored tells
// the rest of the house since when. It is one commit.
func (s *Store) Restored(ctx context.Context) error {
	now := store.Time(s.now())
	const reason = "restored from a backup"
	return s.Do(ctx, func(ctx context.Context) error {
		err := s.write(ctx, func(ctx context.Context, t *tx) error {
			for _, l := range []line{
				{`UPDATE sessions SET ended_at = $1 WHERE ended_at IS NULL`, []any{now}},
				{`UPDATE grants SET revoked_at = $1, revoked_reason = $2 WHERE revoked_at IS NULL`, []any{now, reason}},
				{`UPDATE codes SET used_at = $1 WHERE used_at IS NULL`, []any{now}},
				{`UPDATE recovery_codes SET used_at = $1 WHERE used_at IS NULL`, []any{now}},
				{`UPDATE invitations SET revoked_at = $1 WHERE used_at IS NULL AND revoked_at IS NULL`, []any{now}},
				{`UPDATE resets SET revoked_at = $1 WHERE used_at IS NULL AND revoked_at IS NULL`, []any{now}},
				{`UPDATE registration_tokens SET revoked_at = $1 WHERE revoked_at IS NULL`, []any{now}},
				{`UPDATE devices SET used_at = $1 WHERE used_at IS NULL`, []any{now}},
				{`UPDATE backchannels SET used_at = $1 WHERE used_at IS NULL`, []any{now}},
				{`UPDATE pushed_requests SET used_at = $1 WHERE used_at IS NULL`, []any{now}},
				{`UPDATE outbox SET given_up_at = $1, last_error = $2 WHERE given_up_at IS NULL`, []any{now, reason + ": it may have been sent, and its link is dead"}},
				// One step ahead of now is the allowed skew.
				{`INSERT INTO totp_steps (account_id, step) SELECT id, $1 FROM accounts
					ON CONFLICT (account_id) DO UPDATE SET step = excluded.step WHERE totp_steps.step < excluded.step`, []any{now.Unix()/30 + 1}},
			} {
				if _, err := t.exec(ctx, l.sql, l.args...); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := s.SetMeta(ctx, store.MetaRestored, now.Format(time.RFC3339Nano)); err != nil {
			return err
		}
		return s.AppendAudit(ctx, store.AuditEvent{At: now, Type: "backup.restored", Actor: "operator"})
	})
}
