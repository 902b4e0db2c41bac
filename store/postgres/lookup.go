package postgres

import (
	"context"
	"errors"
	"fmt"

	"anteroom/store/gather"

	"github.com/jackc/pgx/v5"
)

// lookers is how many round trips of shared statements may be under way at once.
const lookers = 2

// lookup is the statements of one caller on their way through a shared round trip.
type lookup struct {
	lines  []line
	each   func(pgx.Rows) error
	counts []int64
	err    error
	spoilt bool // somebody else's statement may be the reason of err
}

// lookup is read for rows that are found by a key: its statement shares the round
// trip with those of other callers. What takes the server longer goes alone (read),
// since everybody in a round trip waits for the slowest.
func (s *Store) lookup(ctx context.Context, verb func(ctx context.Context, t *tx) error) error {
	return s.reading(ctx, true, verb)
}

// ask is send by a shared round trip.
func (t *tx) ask(ctx context.Context, each func(pgx.Rows) error, lines []line) ([]int64, error) {
	l := &lookup{lines: lines, each: each}
	err := t.s.lookups.Submit(ctx, l)
	if errors.Is(err, gather.ErrClosed) {
		return nil, errClosed
	}
	if err != nil {
		return nil, err
	}
	t.spoilt = l.spoilt
	return l.counts, l.err
}

// lookLoop takes what is waiting, and sends it in one round trip.
func (s *Store) lookLoop() {
	for group := s.lookups.WaitAll(maxGroup); group != nil; group = s.lookups.WaitAll(maxGroup) {
		s.answer(group)
	}
}

// answer gives everybody of a group the rows or the error.
func (s *Store) answer(group []*gather.Item[*lookup]) {
	ctx, cancel := context.WithTimeout(context.Background(), statementWithin)
	defer cancel()
	t := &tx{s: s, auto: true}
	err := t.connect(ctx)
	var results pgx.BatchResults
	if err == nil {
		batch := &pgx.Batch{}
		for _, i := range group {
			queueAll(batch, i.Value.lines)
		}
		results = t.conn.SendBatch(ctx, batch)
	}
	for _, i := range group {
		l := i.Value
		if err == nil {
			l.counts, err = l.collect(results)
		}
		if err != nil {
			_, panicked := errors.AsType[*noRows](err)
			l.err, l.spoilt = err, panicked || len(group) > 1 && !passing(err)
		}
	}
	if results != nil {
		_ = results.Close() // what is wrong was said to those whom it concerns
	}
	t.release()
	for _, i := range group {
		i.Done()
	}
}

// collect is collect for a caller who is not here: a panic of theirs must not end
// the process.
func (l *lookup) collect(results pgx.BatchResults) (counts []int64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &noRows{p}
		}
	}()
	return collect(results, len(l.lines), l.each)
}

// noRows: reading an answer panicked. Whoever asked asks again alone, and panics
// where it can be seen who it was.
type noRows struct{ why any }

func (e *noRows) Error() string { return fmt.Sprintf("reading the answer: %v", e.why) }
