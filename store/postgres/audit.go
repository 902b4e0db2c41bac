package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"anteroom/store"

	"github.com/jackc/pgx/v5"
)

var auditLog = newTable("audit_log", 1, func(e *store.AuditEvent) []field {
	return []field{
		{"seq", &e.Seq}, {"prev_hash", &e.PrevHash}, {"hash", &e.Hash},
		{"at", when{&e.At}}, {"type", &e.Type}, {"actor", &e.Actor}, {"account_id", &e.AccountID},
		{"application_id", &e.ApplicationID}, {"client_id", &e.ClientID}, {"session_id", &e.SessionID},
		{"address", &e.Address}, {"details", &e.Details},
	}
})

// waitingUnit is what one transaction has to log, before it has places in the chain.
type waitingUnit struct {
	recordedAt time.Time
	unitID     string
	events     []store.AuditEvent
}

const insertWaiting = `INSERT INTO audit_waiting (recorded_at, unit_id, events) VALUES ($1, $2, $3)`

// waiting is the statement that lets the events of a unit wait for their places.
func waiting(now time.Time, unit string, events []store.AuditEvent) (line, error) {
	text, err := json.Marshal(events)
	if err != nil {
		return line{}, fmt.Errorf("audit entries: %w: %w", err, store.ErrInvalid)
	}
	return line{insertWaiting, []any{now, unit, string(text)}}, nil
}

// readWaiting returns at most n of those that wait, in the order of the chain.
func readWaiting(ctx context.Context, t *tx, n int) (units []waitingUnit, err error) {
	_, err = t.statement(ctx, `SELECT recorded_at, unit_id, events FROM audit_waiting ORDER BY recorded_at, unit_id LIMIT $1`, []any{n}, func(r pgx.Rows) error {
		var u waitingUnit
		if err := r.Scan(&u.recordedAt, &u.unitID, &u.events); err != nil {
			return fmt.Errorf("read waiting audit entries: %w", err)
		}
		units = append(units, u)
		return nil
	})
	return units, err
}

// AppendAudit: see store.AuditLog. The entry is in the commit of its unit; it gets
// its place in the chain right after, and before anybody reads the log.
func (s *Store) AppendAudit(ctx context.Context, e store.AuditEvent) error {
	e = store.Canonical(e)
	if s.telling(ctx, func(t *together) { t.events = append(t.events, e) }) {
		return nil
	}
	return s.write(ctx, func(_ context.Context, t *tx) error {
		if t.lost != nil {
			return t.lost
		}
		t.events = append(t.events, e)
		return nil
	})
}

// chainEnd is what the next entry of the log continues.
type chainEnd struct {
	seq  int64
	hash string
}

func readEnd(ctx context.Context, t *tx, lock string) (end chainEnd, err error) {
	n, err := t.statement(ctx, `SELECT seq, hash FROM audit_head WHERE id = 1 `+lock, nil, func(r pgx.Rows) error { return r.Scan(&end.seq, &end.hash) })
	if err == nil && n == 0 {
		err = fmt.Errorf("the end of the audit log is missing: %w", store.ErrInvalid)
	}
	return end, err
}

// link gives an entry its place after the end.
func (c *chainEnd) link(e *store.AuditEvent) {
	e.Seq, e.PrevHash = c.seq+1, c.hash
	e.Hash = store.AuditHash(*e)
	c.seq, c.hash = e.Seq, e.Hash
}

// What one step chains: what waits of so many transactions, but no further one when
// it has so many entries.
const (
	stepUnits   = 500
	stepEntries = 2000
)

var (
	insertChained = auditLog.insertSet("")
	forgetWaiting = set(`DELETE FROM audit_waiting w USING ` + told("k", "recorded_at timestamptz", "unit_id text") + ` WHERE w.recorded_at = k.recorded_at AND w.unit_id = k.unit_id`)
)

// chain moves what waits in audit_waiting into the chain. Several nodes may do so at
// once: they take turns at the end of the chain. A step whose outcome is unknown
// may simply be done again. closing says that it may be the last thing to do.
func (s *Store) chain(ctx context.Context, closing bool) error {
	for {
		more, err := s.chainStep(ctx, closing)
		if err != nil || !more {
			return err
		}
	}
}

// chainStep says whether more may wait.
func (s *Store) chainStep(ctx context.Context, closing bool) (more bool, err error) {
	t := s.newTx()
	t.closing = closing
	defer t.rollback()
	// Nothing waits, usually: then the end need not be locked.
	if found, err := t.lock(ctx, `SELECT 1 FROM audit_waiting ORDER BY recorded_at, unit_id LIMIT 1`); err != nil || found == 0 {
		return false, err
	}
	end, err := readEnd(ctx, t, "FOR UPDATE")
	if err != nil {
		return false, err
	}
	units, err := readWaiting(ctx, t, stepUnits)
	if err != nil || len(units) == 0 {
		return false, err
	}
	more = len(units) == stepUnits
	var entries, done [][]any
	for _, u := range units {
		if len(entries) >= stepEntries {
			more = true
			break
		}
		for _, e := range u.events {
			end.link(&e)
			row, err := auditLog.values(&e)
			if err != nil {
				return false, err
			}
			entries = append(entries, row)
		}
		done = append(done, []any{u.recordedAt, u.unitID})
	}
	moved, err := t.statements(ctx, nil, insertChained.line(entries...), forgetWaiting.line(done...),
		line{`UPDATE audit_head SET seq = $1, hash = $2 WHERE id = 1`, []any{end.seq, end.hash}})
	if err != nil {
		return false, err
	}
	if want := []int64{int64(len(entries)), int64(len(done)), 1}; !slices.Equal(moved, want) {
		return false, fmt.Errorf("audit entries added, units forgotten, ends moved: %v instead of %v: %w", moved, want, store.ErrUnavailable)
	}
	_, err = t.exec(ctx, "commit")
	return more, err
}

// chainPause lets entries gather, so that a busy node chains many at a time.
const chainPause = 250 * time.Millisecond

func (s *Store) wakeChain() {
	select {
	case s.chaining <- struct{}{}:
	default:
	}
}

// chainLoop chains what this node committed. At the end of ctx it does so once
// more.
func (s *Store) chainLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			_ = s.chain(last, true) // else another node does it, or the next start
			return
		case <-s.chaining:
		}
		err := s.chain(ctx, false)
		wait := chainPause
		if err != nil && ctx.Err() == nil {
			s.log.Warn("audit entries wait for their place in the chain", "error", err)
			s.wakeChain()
			wait = time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// AuditEvents: see store.AuditLog. Within a unit, what waits for its place and
// what the unit itself wrote is shown with the place that it would get now.
func (s *Store) AuditEvents(ctx context.Context, f store.AuditFilter, page store.Page) (rows []store.AuditEvent, next string, err error) {
	n, err := limit(page)
	if err != nil {
		return nil, "", err
	}
	after := int64(0)
	if page.After != "" {
		if after, err = strconv.ParseInt(page.After, 10, 64); err != nil {
			return nil, "", fmt.Errorf("cursor %q: %w", page.After, store.ErrInvalid)
		}
	}
	inUnit := s.units.Open(ctx) != nil
	if !inUnit {
		if err := s.chainForReader(ctx); err != nil {
			return nil, "", err
		}
	}
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		if !inUnit {
			rows, err = selectAudit(ctx, t, f, after, 0, n+1)
			return err
		}
		rows, err = provisional(ctx, t, f, after, n+1)
		return err
	})
	if err != nil || len(rows) <= n {
		return rows, "", err
	}
	return rows[:n], strconv.FormatInt(rows[n-1].Seq, 10), nil
}

// chainForReader chains, again if the connection was lost, as often and as long as a
// unit is tried: after a failover every connection of the pool may be a lost one.
func (s *Store) chainForReader(ctx context.Context) error {
	return retry(ctx, func() (error, bool) {
		if err := ctx.Err(); err != nil {
			return err, false
		}
		err := s.chain(ctx, false)
		return err, errors.Is(err, store.ErrUnavailable) && !s.closed.Load()
	})
}

// selectAudit returns at most n entries of the chain after one and up to another
// (0: the end).
func selectAudit(ctx context.Context, t *tx, f store.AuditFilter, after, upTo int64, n int) ([]store.AuditEvent, error) {
	condition, args := `WHERE seq > $1`, []any{after}
	add := func(column string, value any) {
		args = append(args, value)
		condition += fmt.Sprintf(" AND %s $%d", column, len(args))
	}
	if f.AccountID != "" {
		add("account_id =", store.Text(f.AccountID))
	}
	if f.Type != "" {
		add("type =", store.Text(f.Type))
	}
	if !f.Since.IsZero() {
		add("at >=", at(f.Since))
	}
	if !f.Until.IsZero() {
		add("at <", at(f.Until))
	}
	if upTo > 0 {
		add("seq <=", upTo)
	}
	args = append(args, n)
	return auditLog.rows(ctx, t, fmt.Sprintf("%s ORDER BY seq LIMIT $%d", condition, len(args)), args...)
}

// provisional is the log as the unit of t sees it.
func provisional(ctx context.Context, t *tx, f store.AuditFilter, after int64, n int) ([]store.AuditEvent, error) {
	var waiting []waitingUnit
	var end chainEnd
	for {
		before, err := readEnd(ctx, t, "")
		if err != nil {
			return nil, err
		}
		if waiting, err = readWaiting(ctx, t, 1<<20); err != nil {
			return nil, err
		}
		if end, err = readEnd(ctx, t, ""); err != nil {
			return nil, err
		}
		if end == before {
			break // else somebody chained in between
		}
	}
	var rows []store.AuditEvent
	if end.seq > after {
		var err error
		if rows, err = selectAudit(ctx, t, f, after, end.seq, n); err != nil {
			return nil, err
		}
	}
	var tail []store.AuditEvent
	for _, u := range waiting {
		tail = append(tail, u.events...)
	}
	for _, e := range append(tail, store.Canonical(t.events)...) {
		end.link(&e)
		if e.Seq > after && len(rows) < n && selects(f, e) {
			rows = append(rows, e)
		}
	}
	return rows, nil
}

func selects(f store.AuditFilter, e store.AuditEvent) bool {
	return (f.AccountID == "" || store.Text(f.AccountID) == e.AccountID) && (f.Type == "" || store.Text(f.Type) == e.Type) &&
		(f.Since.IsZero() || !e.At.Before(store.Time(f.Since))) &&
		(f.Until.IsZero() || e.At.Before(store.Time(f.Until)))
}
