package postgres

import (
	"testing"
	"time"

	"anteroom/store"
	"anteroom/store/postgres/pgtest"
)

// Up to schema 7 each entry that waited for the chain was a row of audit_inbox.
func TestEntriesThatWaitedBeforeAnUpgradeAreInTheChainAfterIt(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := openAt(t, dsn, Options{})
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
	if err := s.AppendAudit(t.Context(), store.AuditEvent{At: at, Type: "first"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	pgtest.Shared(t).Exec(t, pgtest.Name(dsn), "DROP TABLE audit_waiting", `CREATE TABLE audit_inbox (
		recorded_at timestamptz NOT NULL, unit_id text COLLATE "C" NOT NULL, position bigint NOT NULL, at timestamptz, type text COLLATE "C" NOT NULL,
		actor text NOT NULL, account_id text COLLATE "C" NOT NULL, application_id text COLLATE "C" NOT NULL, client_id text COLLATE "C" NOT NULL,
		session_id text COLLATE "C" NOT NULL, address text NOT NULL, details jsonb NOT NULL, PRIMARY KEY (recorded_at, unit_id, position))`,
		`INSERT INTO audit_inbox VALUES
		('2026-03-01 13:00:01+01', 'b', 0, '2026-03-01 13:00:00.123456+01', 'third', 'ann', 'ann', 'app', 'web', 'sid', '192.0.2.1', '{"method": "totp"}'),
		('2026-03-01 13:00:00+01', 'a', 1, '2026-03-01 13:00:00.123456+01', 'second', 'system', '', '', '', '', '', '{}'),
		('2026-03-01 13:00:00+01', 'a', 0, NULL, 'timeless', 'system', '', '', '', '', '', '{}')`,
		"UPDATE anteroom_schema SET version = 7")
	s = openAt(t, dsn, Options{})
	rows, _, err := s.AuditEvents(t.Context(), store.AuditFilter{}, store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	want := []store.AuditEvent{
		{At: at, Type: "first"},
		{Type: "timeless", Actor: "system"},
		{At: at, Type: "second", Actor: "system"},
		{
			At: at, Type: "third", Actor: "ann", AccountID: "ann", ApplicationID: "app", ClientID: "web", SessionID: "sid", Address: "192.0.2.1",
			Details: map[string]string{"method": "totp"},
		},
	}
	if len(rows) != len(want) {
		t.Fatalf("%d entries, want %d: %+v", len(rows), len(want), rows)
	}
	end := chainEnd{}
	for i, e := range want {
		end.link(&e)
		if rows[i].Hash != e.Hash {
			t.Errorf("entry %d is %+v, want %+v", i+1, rows[i], e)
		}
	}
}
