package e2e

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"anteroom/store/postgres"
	"anteroom/store/postgres/pgtest"
)

// A database that cannot be used stops the start with status 1 and one sentence that
// names the problem and the fix. The password is nowhere, and nothing is written.
// That Open finds each of these is tested in store/postgres.
func TestABadDatabaseStopsTheStart(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	const secret = "s3cr3t-pa55"
	made := func(sql ...string) string {
		dsn := server.Database(t)
		_, log := newLog(t)
		s, err := postgres.Open(t.Context(), dsn, postgres.Options{Log: log})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.SetMetaOnce(t.Context(), "master_key_id", "somebody else's"); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for i := range sql {
			sql[i] = strings.ReplaceAll(sql[i], "$DB", pgtest.Name(dsn))
		}
		server.Exec(t, pgtest.Name(dsn), sql...)
		return dsn
	}
	theirs := server.Database(t)
	server.Exec(t, pgtest.Name(theirs), "CREATE TABLE theirs (id int)")
	server.Exec(t, "postgres", "DROP ROLE IF EXISTS secured", "CREATE ROLE secured LOGIN PASSWORD '"+secret+"'")
	mail := openMailbox(t)
	for _, c := range []struct{ name, dsn, want string }{
		{"not a database", "mysql://ann:" + secret + "@db/x", "neither a file nor a PostgreSQL database"},
		{"unreachable", fmt.Sprintf("postgres://ann:%s@127.0.0.1:%d/x?sslmode=disable", secret, freePort(t)), "cannot be reached"},
		{"a wrong password", strings.Replace(server.DSN("postgres"), "anteroom@", "secured:wrong-"+secret+"@", 1), `refuses the password of user "secured"`},
		{"unknown database", server.DSN("nowhere"), "create it"},
		{"not ours", theirs, "none says that they are Anteroom's"},
		{"a newer schema", made("UPDATE anteroom_schema SET version = 99"), "written by a newer Anteroom"},
		{"a read-only replica", made("ALTER DATABASE $DB SET default_transaction_read_only = on"), "read-only replica"},
		{"another master key", made(), "the master key is not the one that this database was made with"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			out, err := newProcess(t, mail, freePort(t), dir, "ANTEROOM_STORE="+c.dsn).run(10 * time.Second)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("it ended with %v", err)
			}
			if !strings.Contains(out, c.want) || strings.Contains(out, secret) {
				t.Errorf("it says %q, want %q and no password", out, c.want)
			}
		})
	}
	if n := server.Text(t, pgtest.Name(theirs), "SELECT count(*)::text FROM information_schema.tables WHERE table_schema = 'public'"); n != "1" {
		t.Errorf("the database of somebody else has %s tables now", n)
	}
}

// Nodes share the master key by a file or by the environment; one with another key
// does not start beside the first, which goes on.
func TestANodeWithAnotherMasterKeyDoesNotStart(t *testing.T) {
	t.Parallel()
	key := func() string {
		raw := make([]byte, 32)
		_, _ = rand.Read(raw)
		return hex.EncodeToString(raw)
	}
	right, dsn, mail := key(), pgtest.Database(t), openMailbox(t)
	node := func(key string) *process {
		return newProcess(t, mail, freePort(t), "", "ANTEROOM_STORE="+dsn, "ANTEROOM_MASTER_KEY="+key)
	}
	first, second, stranger := node(right), node(right), node(key())
	first.start()
	second.start()
	out, err := stranger.run(10 * time.Second)
	if err == nil || !strings.Contains(out, "all nodes of one database share it") {
		t.Errorf("a node with another key: %v %s", err, out)
	}
	for _, p := range []*process{first, second} {
		if why := p.ready(); why != "" {
			t.Errorf("a node with the right key is not ready: %s", why)
		}
		p.terminate()
	}
}

// run runs `anteroom serve` until it ends by itself.
func (p *process) run(within time.Duration) (string, error) {
	p.t.Helper()
	c := exec.Command(built(p.t), "serve")
	c.Env, c.Dir = p.env, filepath.Dir(p.dir)
	timer := time.AfterFunc(within, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	out, err := c.CombinedOutput()
	return string(out), err
}
