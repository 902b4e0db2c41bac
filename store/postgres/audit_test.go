package postgres

import (
	"testing"
	"time"

	"anteroom/store"
	"anteroom/store/postgres/pgtest"
)

func TestWhatWaitsForTheChainIsInItWhenTheStoreIsClosed(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := openAt(t, dsn, Options{})
	for range 5 {
		if err := s.AppendAudit(t.Context(), store.AuditEvent{At: time.Now(), Type: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	const count = "SELECT (SELECT count(*) FROM audit_waiting) || ' wait, ' || (SELECT count(*) FROM audit_log) || ' are chained'"
	if got := pgtest.Shared(t).Text(t, pgtest.Name(dsn), count); got != "0 wait, 5 are chained" {
		t.Error(got)
	}
}

// More transactions than one step takes, and one with more entries than that.
func TestAllThatWaitsIsChainedHoweverMuchItIs(t *testing.T) {
	t.Parallel()
	s := openAt(t, pgtest.Database(t), Options{})
	ctx := t.Context()
	if _, err := s.pool.Exec(ctx, `INSERT INTO audit_waiting (recorded_at, unit_id, events)
		SELECT now() + n * interval '1 second', n::text, (SELECT json_agg(json_build_object('Type', n || '.' || m) ORDER BY m) FROM generate_series(1, CASE n WHEN 3 THEN 3000 ELSE 1 END) m)
		FROM generate_series(1, 1234) n`); err != nil {
		t.Fatal(err)
	}
	var all, loose int
	end := chainEnd{}
	for after := ""; ; {
		rows, cursor, err := s.AuditEvents(ctx, store.AuditFilter{}, store.Page{After: after, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range rows {
			linked := e
			end.link(&linked)
			if e.Seq != linked.Seq || e.Hash != linked.Hash {
				loose++
			}
		}
		all += len(rows)
		if after = cursor; after == "" {
			break
		}
	}
	if all != 1233+3000 || loose != 0 {
		t.Errorf("%d entries, %d of them out of the chain; want %d and 0", all, loose, 1233+3000)
	}
}
