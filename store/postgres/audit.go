package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"anteroom/store"

	"github.com/jackc/pgx/v5"
)

// auditFields are the columns that an entry has before it is in the chain.
func auditFields(e *store.AuditEvent) []field {
	return []field{
		{"at", when{&e.At}}, {"type", &e.Type}, {"actor", &e.Actor}, {"account_id", &e.AccountID},
		{"application_id", &e.ApplicationID}, {"client_id", &e.ClientID}, {"session_id", &e.SessionID},
		{"address", &e.Address}, {"details", &e.Details},
	}
}

var auditLog = newTable("audit_log", 1, func(e *store.AuditEvent) []field {
	return append([]field{{"seq", &e.Seq}, {"prev_hash", &e.PrevHash}, {"hash", &e.Hash}}, auditFields(e)...)
})

// inboxEntry is an entry that waits for its place in the chain.
type inboxEntry struct {
	RecordedAt time.Time
	UnitID     string
	Position   int64
	store.AuditEvent
}

var auditInbox = newTable("audit_inbox", 3, func(e *inboxEntry) []field {
	return append([]field{{"recorded_at", when{&e.RecordedAt}}, {"unit_id", &e.UnitID}, {"position", &e.Position}}, auditFields(&e.AuditEvent)...)
})

var insertInbox = auditInbox.insertSet("")

// waiting is the statement that lets the events of a unit wait for their places.
func waiting(now time.Time, unit string, events []store.AuditEvent) (line, error) {
	rows := make([][]any, len(events))
	for i, e := range events {
		var err error
		if rows[i], err = auditInbox.values(&inboxEntry{RecordedAt: now, UnitID: unit, Position: int64(i), AuditEvent: e}); err != nil {
			return line{}, err
		}
	}
	return insertInbox.line(rows...), nil
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

// chainStep bounds the entries of one step.
const chainStep = 1000

// moveToChain takes entries out of audit_inbox, with the places that they are
// given.
var moveToChain = set(`WITH moved AS (
		DELETE FROM audit_inbox i
		USING ` + told("k", "recorded_at timestamptz", "unit_id text", "position bigint", "seq bigint", "prev_hash text", "hash text") + `
		WHERE i.recorded_at = k.recorded_at AND i.unit_id = k.unit_id AND i.position = k.position
		RETURNING k.seq, k.prev_hash, k.hash, ` + inboxColumns + `)
	INSERT INTO audit_log (seq, prev_hash, hash, ` + inboxColumns + `) SELECT * FROM moved`)

const inboxColumns = `at, type, actor, account_id, application_id, client_id, session_id, address, details`

const inboxOrder = `ORDER BY recorded_at, unit_id, position LIMIT $1`

// chain moves what waits in audit_inbox into the chain. Several nodes may do so at
// once: they take turns at the end of the chain. A step whose outcome is unknown
// may simply be done again.
func (s *Store) chain(ctx context.Context) error {
	for {
		n, err := s.chainOnce(ctx)
		if err != nil || n < chainStep {
			return err
		}
	}
}

func (s *Store) chainOnce(ctx context.Context) (n int, err error) {
	t := s.newTx()
	defer t.rollback()
	// Nothing waits, usually: then the end need not be locked.
	if found, err := t.lock(ctx, `SELECT 1 FROM audit_inbox `+inboxOrder, 1); err != nil || found == 0 {
		return 0, err
	}
	end, err := readEnd(ctx, t, "FOR UPDATE")
	if err != nil {
		return 0, err
	}
	entries, err := auditInbox.rows(ctx, t, inboxOrder, chainStep)
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	rows := make([][]any, len(entries))
	for i := range entries {
		e := &entries[i]
		end.link(&e.AuditEvent)
		rows[i] = []any{e.RecordedAt, e.UnitID, &e.Position, &e.Seq, e.PrevHash, e.Hash}
	}
	move := moveToChain.line(rows...)
	moved, err := t.exec(ctx, move.sql, move.args...)
	if err != nil {
		return 0, err
	}
	if int(moved) != len(entries) {
		return 0, fmt.Errorf("moved %d of %d audit entries: %w", moved, len(entries), store.ErrUnavailable)
	}
	if _, err := t.exec(ctx, `UPDATE audit_head SET seq = $1, hash = $2 WHERE id = 1`, end.seq, end.hash); err != nil {
		return 0, err
	}
	_, err = t.exec(ctx, "commit")
	return len(entries), err
}

// chainPause lets entries gather, so that a busy node chains many at a time: a step
// begins with a look past the places of all that was chained since the last vacuum.
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
			_ = s.chain(last) // else another node does it, or the next start
			return
		case <-s.chaining:
		}
		err := s.chain(ctx)
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
		err := s.chain(ctx)
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
	var waiting []inboxEntry
	var end chainEnd
	for {
		before, err := readEnd(ctx, t, "")
		if err != nil {
			return nil, err
		}
		if waiting, err = auditInbox.rows(ctx, t, inboxOrder, 1<<20); err != nil {
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
	for _, w := range waiting {
		tail = append(tail, w.AuditEvent)
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
