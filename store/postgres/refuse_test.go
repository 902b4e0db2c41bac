package postgres

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"anteroom/store"
	"anteroom/store/postgres/pgtest"
)

const secret = "s3cr3t-pa55"

func TestOpenRefusesWithASentence(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	server.Exec(t, "postgres", "DROP DATABASE IF EXISTS ascii", "DROP ROLE IF EXISTS secured",
		"CREATE ROLE secured LOGIN PASSWORD '"+secret+"'", "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
	as := func(user, database string) string {
		return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", user, secret, server.Addr(), database)
	}
	name := pgtest.Name
	prepared := func(opened bool, sql ...string) string {
		dsn := server.Database(t)
		if opened {
			s := openAt(t, dsn, Options{})
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for i := range sql {
			sql[i] = strings.ReplaceAll(sql[i], "$DB", name(dsn))
		}
		server.Exec(t, name(dsn), sql...)
		return dsn
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for _, c := range []struct {
		name, dsn string
		opts      Options
		want      string
	}{
		{"malformed", "postgres://ann:" + secret + "@[::1/x", Options{}, "cannot be read"},
		{"a password that breaks the URL", "postgres://ann:%zz" + secret + "@db/x", Options{}, "percent-encoded"},
		{"unreachable", "postgres://ann:" + secret + "@" + closed.Addr().String() + "/x?sslmode=disable", Options{}, "cannot be reached (connect: connection refused)"},
		{"unknown host", "postgres://ann:" + secret + "@no.such.host.invalid/x", Options{}, `host "no.such.host.invalid"`},
		{"wrong password", strings.Replace(as("secured", "postgres"), secret, "wrong-"+secret, 1), Options{}, `refuses the password of user "secured"`},
		{"unknown user", strings.Replace(as("secured", "postgres"), "secured", "nobody-here", 1), Options{}, `does not let user "nobody-here" in`},
		{"unknown database", as("secured", "nowhere"), Options{}, `has no database "nowhere"; create it`},
		{"no TLS", strings.Replace(as("secured", "postgres"), "disable", "require", 1), Options{}, "does not speak TLS"},
		{"no rights", as("secured", name(prepared(false))), Options{}, "make it the owner"},
		{"another encoding", server.DSN("ascii"), Options{}, "SQL_ASCII"},
		{"not ours", prepared(false, "CREATE TABLE theirs (id int)"), Options{}, "none says that they are Anteroom's"},
		{"another program's", prepared(true, "UPDATE anteroom_schema SET product = 'other'"), Options{}, `another program's ("other")`},
		{"no version", prepared(true, "DELETE FROM anteroom_schema"), Options{}, "does not say its schema version"},
		{"newer", prepared(true, "UPDATE anteroom_schema SET version = 99"), Options{}, "schema version 99, written by a newer Anteroom"},
		{"older, and not to be migrated", prepared(true, "UPDATE anteroom_schema SET version = 0"), Options{NoMigrate: true}, "a start of the service"},
		{"empty, and not to be migrated", prepared(false), Options{NoMigrate: true}, "the database is empty"},
		{"read-only", prepared(true, "ALTER DATABASE $DB SET default_transaction_read_only = on"), Options{}, "read-only replica"},
		{"read-only and empty", prepared(false, "ALTER DATABASE $DB SET default_transaction_read_only = on"), Options{}, "read-only replica"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.opts.Log = quiet()
			s, err := Open(t.Context(), c.dsn, c.opts)
			if err == nil {
				_ = s.Close()
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, want it to say %q", err, c.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the password is in %q", err)
			}
			for inner := err; inner != nil; inner = errors.Unwrap(inner) {
				if strings.Contains(fmt.Sprintf("%+v", inner), secret) {
					t.Errorf("the password is within %T", inner)
				}
			}
		})
	}
}

func TestManyNodesStartOnAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := Open(t.Context(), dsn, Options{Log: quiet(), MaxConns: 2})
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			if err := s.Ready(t.Context()); err != nil {
				t.Errorf("ready: %v", err)
			}
			_ = s.Close()
		})
	}
	wg.Wait()
}

func TestAnOlderSchemaIsMigratedAndKeepsItsRows(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := openAt(t, dsn, Options{})
	if err := s.SetMeta(t.Context(), "a", "1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// As if the first migration had been interrupted where schema changes are not
	// transactional: everything is there but the version.
	pgtest.Shared(t).Exec(t, pgtest.Name(dsn), "UPDATE anteroom_schema SET version = 0")
	s = openAt(t, dsn, Options{})
	if got, err := s.Meta(t.Context(), "a"); err != nil || got != "1" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestReadySaysWhyNot(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	database := pgtest.Name(dsn)
	s := openAt(t, dsn, Options{})
	for _, c := range []struct{ spoil, mend, want string }{
		{"UPDATE anteroom_schema SET version = 99", "UPDATE anteroom_schema SET version = 1", "newer Anteroom"},
		{"ALTER DATABASE " + database + " SET default_transaction_read_only = on; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + database + "'",
			"SET default_transaction_read_only = off; ALTER DATABASE " + database + " RESET default_transaction_read_only", "read-only replica"},
		{"ALTER TABLE anteroom_schema RENAME TO gone", "ALTER TABLE gone RENAME TO anteroom_schema", "the tables"},
	} {
		if err := s.Ready(t.Context()); err != nil {
			t.Errorf("ready before %q: %v", c.spoil, err)
		}
		for _, sql := range strings.Split(c.spoil, "; ") {
			server.Exec(t, map[bool]string{true: "postgres", false: database}[strings.Contains(c.spoil, "DATABASE")], sql)
		}
		err := s.Ready(t.Context())
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("after %q: %v, want %q", c.spoil, err, c.want)
		}
		for _, sql := range strings.Split(c.mend, "; ") {
			server.Exec(t, map[bool]string{true: "postgres", false: database}[strings.Contains(c.mend, "DATABASE")], sql)
		}
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("ready at the end: %v", err)
	}
}
