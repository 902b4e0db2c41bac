package postgres

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"anteroom/store/postgres/pgtest"
)

func TestACommitWaitsForTheDiskWhateverTheDefaultIs(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	for _, c := range []struct{ database, dsn, want string }{
		{"off", "", "on"}, {"on", "&synchronous_commit=off", "on"},
		{"on", "", "on"}, {"local", "", "local"}, {"remote_apply", "", "remote_apply"},
	} {
		dsn := server.Database(t)
		server.Exec(t, "postgres", "ALTER DATABASE "+pgtest.Name(dsn)+" SET synchronous_commit = "+c.database)
		s := openAt(t, dsn+c.dsn, Options{})
		var got string
		if err := s.pool.QueryRow(t.Context(), "SELECT current_setting('synchronous_commit')").Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != c.want {
			t.Errorf("database %s, connection string %q: %s, want %s", c.database, c.dsn, got, c.want)
		}
	}
}

func TestTheOperatorHearsHowTheServerMayLoseCommits(t *testing.T) {
	t.Parallel()
	said := func(dsn string) string {
		t.Helper()
		var log bytes.Buffer
		s, err := Open(t.Context(), dsn, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return log.String()
	}
	check := func(what, got string, want ...string) {
		t.Helper()
		if n := strings.Count(got, "may lose what was acknowledged"); n != len(want) {
			t.Errorf("%s: %d warnings, want %d:\n%s", what, n, len(want), got)
		}
		for _, reason := range want {
			if !strings.Contains(got, reason) {
				t.Errorf("%s: nothing is said of %q:\n%s", what, reason, got)
			}
		}
	}
	check("a server that does not sync", said(pgtest.Database(t)), "fsync is off", "full_page_writes is off")
	primary := pgtest.Start(t, pgtest.Options{Durable: true})
	check("a server alone", said(primary.DSN("postgres")))
	primary.Replica(t)
	check("a server with a replica", said(primary.DSN("postgres")), "wait for none of its replicas (1)")
	primary.Synchronous(t)
	check("a server that waits for its replica", said(primary.DSN("postgres")))
}
