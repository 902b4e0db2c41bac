package postgres

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"anteroom/store"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Limits of time. The server's own are in connection settings (postgres.go); these
// hold when it does not answer at all.
const (
	acquireWithin   = 5 * time.Second
	statementWithin = 12 * time.Second
	commitWithin    = 10 * time.Second
	rollbackWithin  = 2 * time.Second
)

// tx is one transaction on one connection. Without auto it begins with its first
// statement.
type tx struct {
	s      *Store
	id     string // of the unit; "" with auto
	auto   bool   // each statement by itself
	shared bool   // and its round trip with those of others (lookup.go)
	units  int    // of how many callers

	closing bool // it goes on while the store is closed

	conn   *pgxpool.Conn // nil before the first statement
	begun  bool
	wrote  bool               // rows were changed
	policy bool               // clients or applications were among them
	events []store.AuditEvent // what goes into audit_waiting at the commit
	lost   error              // the transaction is void
	again  bool               // for a reason that may pass
	spoilt bool               // perhaps by the statement of somebody else
}

func (s *Store) newTx() *tx {
	var id [16]byte
	_, _ = rand.Read(id[4:]) // never fails
	binary.BigEndian.PutUint32(id[:], unitTime(s.now()))
	return &tx{s: s, id: hex.EncodeToString(id[:]), units: 1}
}

// unitTime is how the id of a unit begins, so that its row finds itself at the end
// of the one index, and old rows are found at its beginning.
func unitTime(t time.Time) uint32 { return uint32(max(t.Unix(), 0)) }

const begin = "begin isolation level read committed"

// connect takes a connection from the pool.
func (t *tx) connect(ctx context.Context) error {
	if t.conn != nil {
		return nil
	}
	if t.s.closed.Load() && !t.closing {
		return errClosed
	}
	within, cancel := context.WithTimeout(ctx, acquireWithin)
	defer cancel()
	conn, err := t.s.pool.Acquire(within)
	if err == nil {
		t.conn = conn
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		stat := t.s.pool.Stat()
		err = fmt.Errorf("no connection within %v (%d of %d are in use): %w", acquireWithin, stat.AcquiredConns(), stat.MaxConns(), err)
	}
	return err
}

// statement runs one statement and hands its rows to each (nil: none are wanted).
// It returns the number of rows that the statement touched or returned. An error
// makes the transaction void.
func (t *tx) statement(ctx context.Context, sql string, args []any, each func(pgx.Rows) error) (int64, error) {
	return first(t.statements(ctx, only(each), line{sql, args}))
}

// find is statement for a set that reads, and one of its rows.
func (t *tx) find(ctx context.Context, q set, row []any, each func(pgx.Rows) error) (int64, error) {
	if t.shared {
		return first(t.ask(ctx, &lookup{set: q, row: row, each: only(each)}))
	}
	return first(t.statements(ctx, func(_ int, r pgx.Rows) error { return each(placed{r}) }, q.line(row)))
}

func first(counts []int64, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return counts[0], nil
}

// reader is handed the rows of several statements, with the index of the statement;
// nil: they are not wanted.
type reader func(index int, rows pgx.Rows) error

func only(each func(pgx.Rows) error) reader {
	if each == nil {
		return nil
	}
	return func(_ int, rows pgx.Rows) error { return each(rows) }
}

// line is a statement with its arguments.
type line struct {
	sql  string
	args []any
}

// statements runs several in one round trip.
func (t *tx) statements(ctx context.Context, each reader, lines ...line) ([]int64, error) {
	if t.shared {
		return t.ask(ctx, &lookup{lines: lines, each: each})
	}
	if t.lost != nil {
		return nil, t.lost
	}
	counts, err := t.send(ctx, each, lines)
	if err != nil {
		return nil, t.fail(ctx, err)
	}
	return counts, nil
}

func (t *tx) send(ctx context.Context, each reader, lines []line) (counts []int64, err error) {
	if err := t.connect(ctx); err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, statementWithin)
	defer cancel()
	batch := &pgx.Batch{}
	if !t.auto && !t.begun {
		batch.Queue(begin)
	}
	queueAll(batch, lines)
	results := t.conn.SendBatch(within, batch)
	defer func() {
		if closing := results.Close(); err == nil {
			err = closing
		}
	}()
	if !t.auto && !t.begun {
		if _, err := results.Exec(); err != nil {
			return nil, err
		}
		t.begun = true
	}
	return collect(results, len(lines), each)
}

func queueAll(batch *pgx.Batch, lines []line) {
	for _, l := range lines {
		batch.Queue(l.sql, l.args...)
	}
}

// collect reads the answers to the next n statements. It returns how many rows each
// of them touched or returned.
func collect(results pgx.BatchResults, n int, each reader) (counts []int64, err error) {
	for i := range n {
		rows, err := results.Query()
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			if each == nil {
				continue
			}
			if err := each(i, rows); err != nil {
				rows.Close()
				return nil, err
			}
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return nil, err
		}
		counts = append(counts, rows.CommandTag().RowsAffected())
	}
	return counts, nil
}

// fail notes that the transaction is void, and why.
func (t *tx) fail(ctx context.Context, err error) error {
	t.s.notice(err)
	t.again = passing(err)
	t.lost = typed(ctx, err)
	return t.lost
}

// exec runs a statement that changes rows and returns how many.
func (t *tx) exec(ctx context.Context, sql string, args ...any) (int64, error) {
	n, err := t.statement(ctx, sql, args, nil)
	t.wrote = t.wrote || n > 0
	return n, err
}

// lock runs a SELECT ... FOR UPDATE or the like and returns how many rows it
// locked.
func (t *tx) lock(ctx context.Context, sql string, args ...any) (int64, error) {
	return t.statement(ctx, sql, args, nil)
}

// rollback ends the transaction without a trace.
func (t *tx) rollback() {
	if t.conn != nil && t.begun && !t.conn.Conn().IsClosed() {
		ctx, cancel := context.WithTimeout(context.Background(), rollbackWithin)
		defer cancel()
		_, _ = t.conn.Exec(ctx, "rollback") // if that fails, release closes the connection
	}
	t.release()
}

// release gives the connection back. The pool closes one that is in a
// transaction or broken.
func (t *tx) release() {
	if t.conn != nil {
		t.conn.Release()
		t.conn = nil
	}
}

// releasing runs a verb and gives the connection back, even when it panics.
func (t *tx) releasing(ctx context.Context, verb func(ctx context.Context, t *tx) error) error {
	defer t.release()
	return verb(ctx, t)
}

const (
	insertUnit = `INSERT INTO units (id, fenced) VALUES ($1, false)`
	fenceUnit  = `INSERT INTO units (id, fenced) VALUES ($1, true) ON CONFLICT (id) DO NOTHING`
	unitFenced = `SELECT fenced FROM units WHERE id = $1`
	unitsKept  = time.Hour
)

// commit makes the transaction durable. What it is not sure of, it finds out
// (resolve). ctx only says whether to begin.
func (t *tx) commit(ctx context.Context) error {
	if t.lost != nil {
		t.rollback()
		return t.lost
	}
	if err := ctx.Err(); err != nil {
		t.rollback()
		return err
	}
	if !t.wrote && len(t.events) == 0 {
		t.rollback()
		return nil
	}
	lines, err := t.lastLines()
	if err != nil {
		t.rollback()
		return err
	}
	if err := t.connect(ctx); err != nil { // a unit of nothing but events
		return t.fail(ctx, err)
	}
	sure := context.WithoutCancel(ctx)
	err = t.finish(sure, lines)
	switch {
	case err == nil:
		t.release()
		t.s.committed(t)
		return nil
	case fatal(err), code(err) == completionUnknown, code(err) == resolutionUnknown:
		_ = t.conn.Conn().Close(expired) // what it still may have to say comes too late
		t.release()
		t.s.log.Warn("the answer to a commit was lost; looking whether it took place", "unit", t.id, "error", err)
		return t.resolve(sure, err)
	}
	err = t.fail(sure, err) // the server refused it
	t.rollback()
	return err
}

// lastLines are the statements of the last round trip, COMMIT included.
func (t *tx) lastLines() (lines []line, err error) {
	if len(t.events) > 0 {
		inbox, err := waiting(t.s.now(), t.id, t.events)
		if err != nil {
			return nil, err
		}
		lines = append(lines, inbox)
	}
	return append(lines, line{insertUnit, []any{t.id}}, line{"commit", nil}), nil
}

var errNotCommitted = errors.New("the server rolled the transaction back")

func (t *tx) finish(ctx context.Context, lines []line) (err error) {
	within, cancel := context.WithTimeout(ctx, commitWithin)
	defer cancel()
	batch := &pgx.Batch{}
	if !t.begun {
		batch.Queue(begin)
	}
	queueAll(batch, lines)
	results := t.conn.SendBatch(within, batch)
	var tag string
	for range batch.Len() {
		done, err := results.Exec()
		if err != nil {
			_ = results.Close() // says the same
			return err
		}
		tag = done.String()
	}
	if err := results.Close(); err != nil {
		return err
	}
	if tag != "COMMIT" {
		return unavailable(errNotCommitted)
	}
	return nil
}
