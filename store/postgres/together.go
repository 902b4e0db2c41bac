package postgres

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"anteroom/store"
	"anteroom/store/gather"
)

const (
	// maxGroup bounds the callers of one transaction, and of one round trip.
	maxGroup = 128
	// writers is how many transactions of groups may be under way at once: one
	// is written while the other is synced.
	writers = 2
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

// step is a statement that touches exactly one row if its verb wins and else none,
// and what takes it back. Groups go through rows in the same order everywhere, by rank
// and key: so they never wait for each other in a circle.
type step struct {
	rank rank
	key  string // of the row, as the statement names it
	do   line
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
	if ctx.Err() != nil || s.open(ctx) != nil {
		return nil
	}
	u := &unit{told: &together{}}
	err := fn(context.WithValue(ctx, inContext{s}, &handle{unit: u, inner: true}))
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = true
	if err != nil || u.lost != nil || u.told.stray || len(u.told.steps)+len(u.told.events) == 0 {
		return nil
	}
	return u.told
}

// tells tells a verb as steps, if the unit of ctx is one that is told.
func (s *Store) tells(ctx context.Context, steps ...step) bool {
	return s.telling(ctx, func(t *together) { t.steps = append(t.steps, steps...) })
}

func (s *Store) telling(ctx context.Context, add func(*together)) bool {
	u := s.open(ctx)
	if u == nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over || u.told == nil || ctx.Err() != nil {
		return false
	}
	add(u.told)
	return true
}

// writeLoop takes what is waiting, and commits it in one transaction.
func (s *Store) writeLoop() {
	for units := s.groups.WaitAll(maxGroup); units != nil; units = s.groups.WaitAll(maxGroup) {
		g := &group{tx: s.newTx(), units: units}
		g.write()
		for _, i := range g.units {
			i.Done()
		}
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

// do sends the steps of all units, marks those that have lost, and returns what
// takes back the rest of theirs.
func (g *group) do(ctx context.Context) (undo []line, err error) {
	type part struct {
		step
		of *together
	}
	var parts []part
	for _, i := range g.units {
		for _, s := range i.Value.steps {
			parts = append(parts, part{s, i.Value})
		}
	}
	if len(parts) == 0 {
		return nil, nil
	}
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.key, b.key)) })
	lines := []line{{sql: patience}}
	for _, p := range parts {
		lines = append(lines, p.do)
	}
	touched, err := g.tx.statements(ctx, nil, lines...)
	if err != nil {
		return nil, err
	}
	touched = touched[1:]
	for i, p := range parts {
		p.of.alone = p.of.alone || touched[i] != 1
	}
	for i, p := range slices.Backward(parts) {
		if p.of.alone && touched[i] > 0 {
			undo = append(undo, p.undo...)
		}
	}
	return undo, nil
}
