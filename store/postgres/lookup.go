package postgres

import (
	"context"
	"errors"
	"fmt"

	"anteroom/store/gather"

	"github.com/jackc/pgx/v5"
)

// lookup is what one caller asks in a shared round trip: a row of a set, or
// statements of its own.
type lookup struct {
	set    set
	row    []any
	lines  []line
	each   reader
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

// ask is statements by a shared round trip.
func (t *tx) ask(ctx context.Context, l *lookup) ([]int64, error) {
	if t.lost != nil {
		return nil, t.lost
	}
	err := t.s.lookups.Submit(ctx, l)
	if err == nil {
		t.spoilt, err = l.spoilt, l.err
	}
	if errors.Is(err, gather.ErrClosed) {
		err = errClosed
	}
	if err != nil {
		return nil, t.fail(ctx, err)
	}
	return l.counts, nil
}

// answer gives everybody of a group the rows or the error.
func (s *Store) answer(group []*gather.Item[*lookup]) {
	ctx, cancel := context.WithTimeout(context.Background(), statementWithin)
	defer cancel()
	t := &tx{s: s, auto: true}
	asked := sharing(group)
	err := t.connect(ctx)
	var results pgx.BatchResults
	if err == nil {
		batch := &pgx.Batch{}
		for _, a := range asked {
			queueAll(batch, a.lines)
		}
		results = t.conn.SendBatch(ctx, batch)
	}
	for _, a := range asked {
		if err == nil {
			err = a.collect(results)
		}
		if err != nil {
			a.fail(err, len(group) > 1)
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

// asking is the statements of one caller, or one about the rows of several.
type asking struct {
	lines []line
	of    []*lookup
}

// sharing joins those of a group who ask for rows of the same set.
func sharing(group []*gather.Item[*lookup]) (all []asking) {
	sets := map[set]int{}
	for _, i := range group {
		l := i.Value
		if l.set == "" {
			all = append(all, asking{l.lines, []*lookup{l}})
			continue
		}
		at, found := sets[l.set]
		if !found {
			at = len(all)
			sets[l.set], all = at, append(all, asking{})
		}
		all[at].of = append(all[at].of, l)
	}
	for q, at := range sets {
		var rows [][]any
		for _, l := range all[at].of {
			rows = append(rows, l.row)
		}
		all[at].lines = []line{q.line(rows...)}
	}
	return all
}

// collect hands the rows to those who asked for them. They are not here: a panic of
// theirs must not end the process.
func (a asking) collect(results pgx.BatchResults) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &noRows{p}
		}
	}()
	one := a.of[0]
	if one.set == "" {
		one.counts, err = collect(results, len(a.lines), one.each)
		return err
	}
	for _, l := range a.of {
		l.counts = []int64{0}
	}
	_, err = collect(results, 1, func(_ int, rows pgx.Rows) error {
		here := placed{rows}
		n, err := here.place()
		if err != nil {
			return err
		}
		a.of[n].counts[0]++
		return a.of[n].each(0, here)
	})
	return err
}

// fail tells those who asked. Whoever was not alone may not be the reason.
func (a asking) fail(err error, others bool) {
	_, panicked := errors.AsType[*noRows](err)
	for _, l := range a.of {
		l.err, l.spoilt = err, panicked || others && !passing(err)
	}
}

// noRows: reading an answer panicked. Whoever asked asks again alone, and panics
// where it can be seen who it was.
type noRows struct{ why any }

func (e *noRows) Error() string { return fmt.Sprintf("reading the answer: %v", e.why) }
