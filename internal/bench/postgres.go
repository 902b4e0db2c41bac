package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"anteroom/store/postgres/pgtest"
)

const inPostgres = "PostgreSQL"

// postgres measures the product over a private PostgreSQL server that syncs:
// commits, and what the requests that write get beside a transaction of one row.
// ID tokens are signed with ES256: a signature with RS256 takes longer than
// everything that the database does for it.
func (r *Report) postgres(ctx context.Context, o options, binary, dir string, say func(string)) (err error) {
	server, err := pgtest.Private(pgtest.Options{Durable: true})
	if err != nil && o.profile != "" {
		return err
	}
	if err != nil {
		r.Skipped = append(r.Skipped, "PostgreSQL: "+err.Error())
		return nil
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	say("PostgreSQL")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	dsn := server.DSN("postgres")
	p, err := Install(ctx, binary, dir, dsn)
	if err != nil {
		return err
	}
	if _, err := p.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	b := &Bench{Product: p}
	portal, people, err := p.Move(ctx, o.accounts, "ES256")
	if err != nil {
		return err
	}
	b.Portal, b.Crowd = portal, newCrowd(people)
	if o.profile != "" {
		say("profile")
		return b.profile(ctx, o)
	}
	meter, err := pgtest.NewMeter(ctx, dsn)
	if err != nil {
		return err
	}
	defer meter.Close()
	say("transactions")
	if err := b.transactions(ctx, r, meter); err != nil {
		return err
	}
	return b.besideInserts(ctx, r, o, meter, say)
}

// transactions counts those of each request. What pg_stat_database says of all
// of them, those that only read included, comes later.
func (b *Bench) transactions(ctx context.Context, r *Report, m *pgtest.Meter) error {
	all := func() (committed, rolledBack int64, err error) {
		time.Sleep(pgtest.StatDelay)
		return m.Transactions(ctx)
	}
	committed, rolledBack, err := all()
	if err != nil {
		return err
	}
	c := &counter{store: inPostgres, read: func(ctx context.Context) (reading, error) {
		units, err := m.Units(ctx)
		if err != nil {
			return reading{}, err
		}
		writers, err := m.Writers(ctx)
		return reading{seen: float64(writers), commits: float64(units)}, err
	}}
	rows, err := b.countCommits(ctx, c, commitRuns)
	if err != nil {
		return err
	}
	r.Commits = append(r.Commits, rows...)
	committedNow, rolledBackNow, err := all()
	if err != nil {
		return err
	}
	// The meter asks twice at each end of a row.
	r.add(fmt.Sprintf("transactions of %d sign-ins and what is around them, pg_stat_database: committed", commitRuns), float64(committedNow-committed), "", 0)
	r.add("the same: rolled back", float64(rolledBackNow-rolledBack), "", 0)
	return nil
}

// besideInserts measures code exchange and refresh at many clients, what they
// read and write at the store alone, and one-row transactions, all in the same
// rounds.
func (b *Bench) besideInserts(ctx context.Context, r *Report, o options, m *pgtest.Meter, say func(string)) (err error) {
	if err := b.Occupy(ctx); err != nil {
		return err
	}
	scenarios, err := b.Scenarios(ctx)
	if err != nil {
		return err
	}
	var writing []Scenario
	for _, s := range scenarios {
		if s.Name == scenarioRefresh || s.Name == scenarioExchange {
			s.Name += ", " + inPostgres
			writing = append(writing, s)
		}
	}
	u, err := openUnits(ctx, b.Store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.store.Close()) }()
	var inserts, refreshes, exchanges []float64
	first := len(r.Loads)
	err = b.loads(ctx, r, o, writing, []int{maxClients}, func(n int) error {
		say(fmt.Sprintf("load on PostgreSQL, round %d of %d", n+1, o.rounds))
		insert, err := m.Inserts(ctx, maxClients, o.time)
		if err != nil {
			return err
		}
		refresh, err := rate(ctx, each(u.refresh), o.time)
		if err != nil {
			return err
		}
		if err := u.issue(ctx, int(insert*o.time.Seconds()), n); err != nil {
			return err
		}
		exchange, err := rate(ctx, same(u.exchange), o.time)
		inserts, refreshes, exchanges = append(inserts, insert), append(refreshes, refresh/insert), append(exchanges, exchange/insert)
		return err
	})
	if err != nil {
		return err
	}
	const share = "%% of that rate: %s"
	insert := median(inserts)
	r.add(fmt.Sprintf("one-row INSERT transactions at %d connections, PostgreSQL", maxClients), insert, "a second", 0)
	r.add(fmt.Sprintf(share, "what a refresh reads and writes (goal: at least 50)"), 100*median(refreshes), "%", 0)
	r.add(fmt.Sprintf(share, "what a code exchange reads and writes (goal: at least 50)"), 100*median(exchanges), "%", 0)
	for _, l := range r.Loads[first:] {
		r.add(fmt.Sprintf(share, l.Scenario+", whole requests over HTTP (goal: at least 50)"), 100*l.PerSecond/insert, "%", 0)
	}
	return nil
}
