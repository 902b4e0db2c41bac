package postgres

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"anteroom/store"
	"anteroom/store/gather"

	"github.com/jackc/pgx/v5"
)

const (
	// maxGroup bounds the callers of one transaction, and of one round trip.
	maxGroup = 128
	// late is how long a group, or a round trip, holds up what comes meanwhile.
	late = 10 * time.Millisecond
	// patience is how long a group waits for a row that somebody else has
	// locked. Then everybody goes alone, so that nobody waits for a row that is
	// not theirs.
	patience = "set local lock_timeout = '250ms'"
)

// together is a unit of work told as statements before any of them is sent, on
// its way through a group.
type together struct {
	steps  []step
	events []store.AuditEvent
	stray  bool // what it does cannot be told

	alone bool  // the group did nothing for it
	err   error // else the outcome
}

// step is one row of a set: a verb that has won if the set returns its key, and
// what takes it back. Groups go through rows in the same order everywhere, by rank
// and key: so they never wait for each other in a circle.
type step struct {
	rank rank
	key  string
	set  set
	row  []any
	undo []line
}

type rank int

const (
	rankOnce rank = iota
	rankGrant
	rankCode
	rankToken
	rankNewToken // after all that waits
)

var errStray = errors.New("postgres: a verb that cannot be told before it is done")

// Together: see store.UnitOfWork. fn runs once to tell its verbs. If that works,
// a group does them with those of others; whoever loses there, or meets an error,
// is done again alone, so that errors are always those of Do.
func (s *Store) Together(ctx context.Context, fn func(ctx context.Context) error) error {
	if u := s.tell(ctx, fn); u != nil {
		err := s.groups.Submit(ctx, u)
		switch {
		case errors.Is(err, gather.ErrClosed):
			return unavailable(errClosed)
		case err != nil:
			return err
		case !u.alone:
			return u.err
		}
	}
	return s.Do(ctx, fn)
}

// tell runs fn to find out what it would do; nil: that takes running it.
func (s *Store) tell(ctx context.Context, fn func(ctx context.Context) error) *together {
	if s.units.Open(ctx) != nil {
		return nil
	}
	told := &together{}
	outer, err := s.units.Begin(ctx, func() *unit { return &unit{told: told} })
	if err != nil {
		return nil
	}
	defer func() { _ = s.Rollback(outer) }()
	if inner, err := s.Begin(outer); err != nil || fn(inner) != nil { // whose Commit is nothing
		return nil
	}
	err = s.units.Commit(outer, func(*unit) error { return nil })
	if err != nil || told.stray || len(told.steps)+len(told.events) == 0 {
		return nil
	}
	return told
}

// run does a step alone, and returns whether it won: 1, else 0.
func (t *tx) run(ctx context.Context, s step) (int64, error) {
	l := s.set.line(s.row)
	return t.exec(ctx, l.sql, l.args...)
}

// tells tells a verb as steps, if the unit of ctx is one that is told.
func (s *Store) tells(ctx context.Context, steps ...step) bool {
	return s.telling(ctx, func(t *together) { t.steps = append(t.steps, steps...) })
}

func (s *Store) telling(ctx context.Context, add func(*together)) (told bool) {
	u := s.units.Open(ctx)
	if u == nil || ctx.Err() != nil {
		return false
	}
	_ = u.Run(func(u *unit) error { // over: then nothing is told
		if told = u.told != nil; told {
			add(u.told)
		}
		return nil
	})
	return told
}

// commitAll commits the units of a group in one transaction.
func (s *Store) commitAll(units []*gather.Item[*together]) {
	g := &group{tx: s.newTx(), units: units}
	g.write()
	for _, i := range g.units {
		i.Done()
	}
}

// group is the units of one transaction.
type group struct {
	tx    *tx
	units []*gather.Item[*together]
}

// write does what the units told and commits it. Whoever did not touch every row
// that it wanted has lost, or somebody was in its way: what it did touch is taken
// back, and it goes alone. What a unit adds has a name that nobody knows before
// its commit, so nobody else of the group can have used what is taken back.
func (g *group) write() {
	ctx, begin := context.Background(), time.Now()
	undo, err := g.do(ctx)
	won := slices.DeleteFunc(slices.Clone(g.units), func(i *gather.Item[*together]) bool { return i.Value.alone })
	if err == nil && len(won) > 0 && len(undo) > 0 {
		_, err = g.tx.statements(ctx, nil, undo...)
	}
	if err != nil || len(won) == 0 {
		g.tx.rollback()
		alone(g.units, begin, err)
		return
	}
	g.tx.units, g.tx.wrote = len(won), true
	for _, i := range won {
		g.tx.events = append(g.tx.events, i.Value.events...)
	}
	err = g.tx.commit(ctx)
	if g.tx.again {
		alone(won, begin, err)
		return
	}
	for _, i := range won {
		i.Value.err = err
	}
}

// alone sends units for which nothing was done to their callers, to be done by Do.
// If the group has taken as long as Do would go on trying, that is it.
func alone(units []*gather.Item[*together], begin time.Time, err error) {
	late := err != nil && time.Since(begin) > retryFor
	for _, i := range units {
		i.Value.alone = !late
		if late {
			i.Value.err = unavailable(err)
		}
	}
}

// part is a step of one of the units.
type part struct {
	step
	of  *together
	won bool
}

// parts are the steps of all units in their order. Of those who want the same row
// only one gets here: the others could not win, and one statement does not touch a
// row twice.
func (g *group) parts() (parts []*part) {
	type place struct {
		rank rank
		key  string
	}
	taken := map[place]bool{}
	for _, i := range g.units {
		u := i.Value
		for _, s := range u.steps {
			u.alone = u.alone || taken[place{s.rank, s.key}]
			taken[place{s.rank, s.key}] = true
		}
		if u.alone {
			continue
		}
		for _, s := range u.steps {
			parts = append(parts, &part{step: s, of: u})
		}
	}
	slices.SortStableFunc(parts, func(a, b *part) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.key, b.key)) })
	return parts
}

// do does the steps of all units, marks those that have lost, and returns what
// takes back the rest of theirs.
func (g *group) do(ctx context.Context) (undo []line, err error) {
	parts := g.parts()
	if len(parts) == 0 {
		return nil, nil
	}
	lines, touched := []line{{sql: patience}}, []map[string]*part{nil}
	for rest := parts; len(rest) > 0; {
		n := 0
		var rows [][]any
		byKey := map[string]*part{}
		for ; n < len(rest) && rest[n].set == rest[0].set; n++ {
			rows = append(rows, rest[n].row)
			byKey[rest[n].key] = rest[n]
		}
		lines, touched = append(lines, rest[0].set.line(rows...)), append(touched, byKey)
		rest = rest[n:]
	}
	_, err = g.tx.statements(ctx, func(line int, rows pgx.Rows) error {
		if p := touched[line][string(rows.RawValues()[0])]; p != nil {
			p.won = true
		}
		return nil
	}, lines...)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		p.of.alone = p.of.alone || !p.won
	}
	for _, p := range slices.Backward(parts) {
		if p.of.alone && p.won {
			undo = append(undo, p.undo...)
		}
	}
	return undo, nil
}
