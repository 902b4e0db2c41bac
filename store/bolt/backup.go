package bolt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"anteroom/store"

	bbolt "go.etcd.io/bbolt"
)

// restoreMark is what a backup carries until it is opened as a database.
type restoreMark struct {
	TakenAt time.Time
}

// Backup writes a consistent copy, one transaction's point in time, to path while
// the store is in use. The copy has mode 0600 and is complete and synced before
// it gets its name; a file that was there is replaced.
//
// The first Open of the copy restores it, in one commit: see restore.
func (s *Store) Backup(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if live, err := os.Stat(s.path); err == nil {
		if target, err := os.Stat(path); err == nil && os.SameFile(live, target) {
			return fmt.Errorf("%s is the database itself: %w", path, store.ErrInvalid)
		}
	}
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	defer os.Remove(temp.Name())
	err = s.db.View(func(t *bbolt.Tx) error {
		_, err := t.WriteTo(stoppable{ctx, temp})
		return err
	})
	if err := errors.Join(err, temp.Close()); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	if err := mark(temp.Name(), restoreMark{TakenAt: store.Time(s.now())}); err != nil {
		return fmt.Errorf("finish the backup: %w", err)
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return fmt.Errorf("finish the backup: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// stoppable is a file whose writing ends with a context.
type stoppable struct {
	ctx  context.Context
	file *os.File
}

func (w stoppable) Write(data []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.file.Write(data)
}

// mark puts the mark into a copy and syncs it.
func mark(path string, m restoreMark) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = db.Update(func(t *bbolt.Tx) error { return boltTx{t}.put(format, formatRestore, data) })
	return errors.Join(err, db.Sync(), db.Close())
}

// restore makes a copy the database in use. What was used up between the copy
// and now is unknown, so everything that works once, and everything that could
// have been ended since, is ended: links, codes, recovery codes, grants,
// sessions, messages that may have been sent; and no TOTP step up to now is
// accepted again. MetaRestored tells the rest of the house since when.
func (s *Store) restore() error {
	now := store.Time(s.now())
	return s.db.Update(func(file *bbolt.Tx) error {
		t := newOverlay(boltTx{file})
		var m restoreMark
		if err := json.Unmarshal(t.get(format, formatRestore), &m); err != nil {
			return fmt.Errorf("the backup does not say when it was taken: %w", err)
		}
		for _, end := range []func(tx, time.Time) error{
			endCodes, endRecoveryCodes, endLinks, endBegun, endGrants, endSessions, endMail, raiseTOTP,
		} {
			if err := end(t, now); err != nil {
				return fmt.Errorf("restore: %w", err)
			}
		}
		if err := t.put(metadata, key(store.MetaRestored), []byte(now.Format(time.RFC3339Nano))); err != nil {
			return err
		}
		if err := t.del(format, formatRestore); err != nil {
			return err
		}
		if err := appendAudit(t, store.AuditEvent{
			At: now, Type: "backup.restored", Actor: "system",
			Details: map[string]string{"taken_at": m.TakenAt.Format(time.RFC3339)},
		}); err != nil {
			return err
		}
		_, err := t.flush()
		s.log.Warn("restored from a backup: every session, grant, code and link was ended", "path", s.path, "taken_at", m.TakenAt)
		return err
	})
}

// each applies change to every row of a table and keeps those that it says it
// changed.
func each[T any](t tx, tb *table[T], change func(*T) bool) error {
	for _, data := range t.scan(tb.bucket, "", "") {
		row, err := tb.decode(data)
		if err != nil {
			return err
		}
		if !change(&row) {
			continue
		}
		if err := tb.put(t, row); err != nil {
			return err
		}
	}
	return nil
}

// set gives an unset time its value.
func set(at *time.Time, now time.Time) bool {
	if !at.IsZero() {
		return false
	}
	*at = now
	return true
}

func endCodes(t tx, now time.Time) error {
	return each(t, codes, func(c *store.Code) bool { return set(&c.UsedAt, now) })
}

func endRecoveryCodes(t tx, now time.Time) error {
	return each(t, recoveryCodes, func(c *recoveryCode) bool { return set(&c.UsedAt, now) })
}

func endLinks(t tx, now time.Time) error {
	if err := each(t, invitations, func(i *store.Invitation) bool { return i.UsedAt.IsZero() && set(&i.RevokedAt, now) }); err != nil {
		return err
	}
	if err := each(t, registrationTokens, func(r *store.RegistrationToken) bool { return set(&r.RevokedAt, now) }); err != nil {
		return err
	}
	return each(t, resets, func(r *store.Reset) bool { return r.UsedAt.IsZero() && set(&r.RevokedAt, now) })
}

// endBegun uses up what waits to be taken up once: devices, pushed and
// backchannel requests.
func endBegun(t tx, now time.Time) error {
	if err := each(t, devices, func(d *store.Device) bool { return set(&d.UsedAt, now) }); err != nil {
		return err
	}
	if err := each(t, backchannels, func(b *store.Backchannel) bool { return set(&b.UsedAt, now) }); err != nil {
		return err
	}
	return each(t, pushedRequests, func(r *store.PushedRequest) bool { return set(&r.UsedAt, now) })
}

func endGrants(t tx, now time.Time) error {
	return each(t, grants, func(g *store.Grant) bool {
		if g.RevokedAt.IsZero() {
			g.RevokedReason = "restored from a backup"
		}
		return set(&g.RevokedAt, now)
	})
}

func endSessions(t tx, now time.Time) error {
	return each(t, sessions, func(s *store.Session) bool { return set(&s.EndedAt, now) })
}

func endMail(t tx, now time.Time) error {
	return each(t, outbox.table, func(m *store.OutboxMessage) bool {
		if m.GivenUpAt.IsZero() {
			m.LastError = "restored from a backup: it may have been sent, and its link is dead"
		}
		return set(&m.GivenUpAt, now)
	})
}

// raiseTOTP refuses every code of up to one step ahead of now (the allowed skew).
func raiseTOTP(t tx, now time.Time) error {
	step := now.Unix()/30 + 1
	for k, data := range t.scan(accounts.bucket, "", "") {
		account, err := accounts.decode(data)
		if err != nil {
			return err
		}
		last, err := lastTOTP(t, account.ID)
		if err != nil {
			return err
		}
		if err := t.put(totpSteps, k, fmt.Appendf(nil, "%d", max(step, last))); err != nil {
			return err
		}
	}
	return nil
}
