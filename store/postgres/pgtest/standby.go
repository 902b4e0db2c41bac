package pgtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Standby makes a replica of the server, and lets the server answer no commit before
// the replica has it on its disk (synchronous replication). Neither may have
// databases that a test drops while the other is away.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	b := s.Replica(t)
	s.Synchronous(t) // after the copy was made: promoted, the standby must not wait for one of its own
	return b
}

// Synchronous lets the server answer no commit before a replica of its has it.
func (s *Server) Synchronous(t testing.TB) {
	t.Helper()
	s.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
	s.awaitReplica(t, "sync")
}

// Replica makes a replica of the server that no commit waits for (asynchronous
// replication).
func (s *Server) Replica(t testing.TB) *Server {
	t.Helper()
	b, err := s.replica()
	if err != nil {
		t.Fatalf("make a standby: %v", err)
	}
	t.Cleanup(func() { _ = b.keeper.Close() })
	s.awaitReplica(t, "async")
	return b
}

func (s *Server) awaitReplica(t testing.TB, state string) {
	t.Helper()
	s.await(t, "SELECT coalesce(max(sync_state), 'none') FROM pg_stat_replication WHERE state = 'streaming'", state)
}

// await waits until a query has an answer.
func (s *Server) await(t testing.TB, query, want string) {
	t.Helper()
	var got string
	for range 200 {
		if got = s.Text(t, "postgres", query); got == want {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s is %q for ten seconds, want %q", query, got, want)
}

// Await waits until a replica shows what its server has committed by now.
func (s *Server) Await(t testing.TB, primary *Server) {
	t.Helper()
	end := primary.Text(t, "postgres", "SELECT pg_current_wal_flush_lsn()::text")
	s.await(t, "SELECT (pg_last_wal_replay_lsn() >= '"+end+"')::text", "true")
}

// Detach keeps a replica from hearing anything more of its server, as when the
// network between them is gone.
func (s *Server) Detach(t testing.TB) {
	t.Helper()
	s.Exec(t, "postgres", "ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
	s.await(t, "SELECT count(*)::text FROM pg_stat_wal_receiver", "0")
}

func (s *Server) replica() (*Server, error) {
	b := &Server{bin: s.bin}
	if err := b.house(); err != nil {
		return nil, err
	}
	data := filepath.Join(b.dir, "data")
	if err := b.run("pg_basebackup", "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-U", "anteroom", "-D", data, "-R", "-X", "stream", "-c", "fast", "--no-sync"); err != nil {
		return nil, err
	}
	var err error
	if b.port, err = freePort(); err != nil {
		return nil, err
	}
	text := fmt.Sprintf("\nport = %d\nunix_socket_directories = '%s'\n", b.port, b.dir)
	if err := rewrite(filepath.Join(data, "postgresql.conf"), text, os.O_APPEND); err != nil {
		return nil, err
	}
	return b, b.start()
}

// Kill is kill -9 of the server, as when its machine goes away.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := bytes.Cut(raw, []byte("\n"))
	pid, err := strconv.Atoi(strings.TrimSpace(string(first)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// Promote makes a standby the primary.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if err := s.run("pg_ctl", "-D", filepath.Join(s.dir, "data"), "-w", "-t", "60", "promote"); err != nil {
		t.Fatalf("promote: %v", err)
	}
}

// With is a connection string that names another server, too: that of a database
// which either may have, whichever takes writes.
func (s *Server) With(other *Server, dsn string) string {
	return strings.Replace(dsn, s.Addr(), s.Addr()+","+other.Addr(), 1)
}

// Terminate ends every connection of the product to a database, as its superuser.
func (s *Server) Terminate(t testing.TB) {
	t.Helper()
	s.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'anteroom'")
}

// Text asks a database for one text.
func (s *Server) Text(t testing.TB, database, query string) (out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := conn.QueryRow(ctx, query).Scan(&out); err != nil {
		t.Fatal(err)
	}
	return out
}
