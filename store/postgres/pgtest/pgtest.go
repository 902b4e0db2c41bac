// Package pgtest runs private PostgreSQL servers for tests: on a free port of the
// loopback interface, in a folder of their own, removed when the test binary ends,
// even if it is killed. Nothing else on the machine is touched.
//
//	dsn := pgtest.Database(t) // a new, empty database; tests may run in parallel
//
// Without PostgreSQL on the machine the test is skipped and says so; with
// ANTEROOM_POSTGRES=require it fails.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options of a server.
type Options struct {
	// Durable servers sync at each commit, as real ones do. Others are quicker.
	Durable bool
	// Config are further lines of postgresql.conf.
	Config []string
}

// Server is one PostgreSQL server.
type Server struct {
	bin, dir string
	port     int
	owner    *syscall.Credential // nil: this process's own
	keeper   io.Closer           // closed: the keeper stops the server and removes the folder
	made     atomic.Int64        // databases
}

var shared = sync.OnceValues(func() (*Server, error) { return start(Options{}) })

// Shared returns the server that all tests of a test binary share. It does not
// sync.
func Shared(t testing.TB) *Server {
	t.Helper()
	return orSkip(t)(shared())
}

// Database makes a new, empty database on the shared server and returns its
// connection string.
func Database(t testing.TB) string {
	t.Helper()
	return Shared(t).Database(t)
}

// Start starts a server for one test, which may stop and start it.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := orSkip(t)(start(o))
	t.Cleanup(func() { _ = s.keeper.Close() })
	return s
}

func orSkip(t testing.TB) func(*Server, error) *Server {
	return func(s *Server, err error) *Server {
		t.Helper()
		switch {
		case err == errMissing && os.Getenv("ANTEROOM_POSTGRES") != "require": //nolint:errorlint // never wrapped
			t.Skipf("SKIPPED: %v", err)
		case err != nil:
			t.Fatalf("start PostgreSQL: %v", err)
		}
		return s
	}
}

var errMissing = fmt.Errorf("PostgreSQL is not installed (Debian: apt-get install postgresql; or set ANTEROOM_POSTGRES_BIN to the folder of initdb)")

// find returns the folder of the newest server on the machine.
func find() (string, error) {
	if bin := os.Getenv("ANTEROOM_POSTGRES_BIN"); bin != "" {
		return bin, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	if path, err := exec.LookPath("initdb"); err == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		return "", errMissing
	}
	return filepath.Dir(found[0]), nil
}

func start(o Options) (*Server, error) {
	s := &Server{}
	var err error
	if s.bin, err = find(); err != nil {
		return nil, err
	}
	if err := s.house(); err != nil {
		return nil, err
	}
	data := filepath.Join(s.dir, "data")
	if err := s.run("initdb", "-D", data, "-U", "anteroom", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"); err != nil {
		return nil, err
	}
	// One role has to give a password, for tests of what happens if it is wrong.
	hba := "host all secured 127.0.0.1/32 scram-sha-256\nhost all,replication all 127.0.0.1/32 trust\n"
	if err := rewrite(filepath.Join(data, "pg_hba.conf"), hba, os.O_TRUNC); err != nil {
		return nil, err
	}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	lines := []string{
		"listen_addresses = '127.0.0.1'", fmt.Sprintf("port = %d", s.port), fmt.Sprintf("unix_socket_directories = '%s'", s.dir),
		"max_connections = 200", "shared_buffers = 32MB", "log_min_messages = fatal", "timezone = 'UTC'",
		fmt.Sprintf("fsync = %v", o.Durable), fmt.Sprintf("full_page_writes = %v", o.Durable), fmt.Sprintf("synchronous_commit = %v", o.Durable),
	}
	text := "\n" + strings.Join(append(lines, o.Config...), "\n") + "\n"
	if err := rewrite(filepath.Join(data, "postgresql.conf"), text, os.O_APPEND); err != nil {
		return nil, err
	}
	return s, s.start()
}

// house makes the folder of a server, and sees to it that nothing is left of it.
func (s *Server) house() (err error) {
	if s.dir, err = os.MkdirTemp("/tmp", "anteroom-pg-"); err != nil {
		return err
	}
	if os.Getuid() == 0 { // the server refuses to run as root
		if err := s.unprivileged(); err != nil {
			return err
		}
	}
	return s.keep()
}

// rewrite keeps the owner of a file.
func rewrite(path, text string, how int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|how, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// unprivileged lets the server run as somebody who owns nothing else of ours.
func (s *Server) unprivileged() error {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return err
		}
		s.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return os.Chown(s.dir, int(uid), int(gid))
	}
	return fmt.Errorf("no user postgres or nobody to run the server as")
}

// keep starts a shell that waits until this process is gone or closes the pipe,
// and then tidies up.
func (s *Server) keep() error {
	script := `trap '' INT TERM HUP; cat >/dev/null; "$0/pg_ctl" -D "$1/data" -m immediate stop >/dev/null 2>&1; rm -rf "$1"`
	cmd := exec.Command("/bin/sh", "-c", script, s.bin, s.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true}
	cmd.Dir = "/"
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	s.keeper = closer(func() error {
		_ = pipe.Close()
		return cmd.Wait()
	})
	return cmd.Start()
}

type closer func() error

func (c closer) Close() error { return c() }

// Own gives a folder to whom the server runs as.
func (s *Server) Own(path string) error {
	if s.owner == nil {
		return nil
	}
	return os.Chown(path, int(s.owner.Uid), int(s.owner.Gid))
}

func (s *Server) run(program string, args ...string) error {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	cmd.Dir = s.dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // the server inherits the pipe; do not wait for it
	if err := cmd.Run(); err != nil && !strings.Contains(err.Error(), "WaitDelay") {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		return fmt.Errorf("%s: %w\n%s%s", program, err, out.String(), log)
	}
	return nil
}

func (s *Server) start() error {
	return s.run("pg_ctl", "-D", filepath.Join(s.dir, "data"), "-l", filepath.Join(s.dir, "log"), "-w", "-t", "60", "start")
}

// Start starts a server that was stopped, on the same port.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
}

// Stop stops the server: "fast" ends connections in an orderly way, "immediate"
// is like a crash.
func (s *Server) Stop(t testing.TB, mode string) {
	t.Helper()
	if err := s.run("pg_ctl", "-D", filepath.Join(s.dir, "data"), "-m", mode, "-w", "stop"); err != nil {
		t.Fatalf("stop PostgreSQL: %v", err)
	}
}

// Addr is where the server listens.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// DSN returns the connection string of a database.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("postgres://anteroom@%s/%s?sslmode=disable", s.Addr(), database)
}

// Database makes a new, empty database and returns its connection string. It is
// dropped when the test ends.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", s.made.Add(1))
	s.Exec(t, "postgres", "CREATE DATABASE "+name+" TEMPLATE template0 STRATEGY file_copy")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if conn, err := pgx.Connect(ctx, s.DSN("postgres")); err == nil {
			_, _ = conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") // the folder goes anyway
			_ = conn.Close(ctx)
		}
	})
	return s.DSN(name)
}

// Name returns the database that a connection string of a server names.
func Name(dsn string) string {
	name, _, _ := strings.Cut(dsn[strings.LastIndexByte(dsn, '/')+1:], "?")
	return name
}

// Exec runs statements in a database, as its superuser.
func (s *Server) Exec(t testing.TB, database string, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN(database))
	if err != nil {
		t.Fatalf("connect to PostgreSQL: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// ports is how many this process looked at, from a place of its own.
var (
	ports     atomic.Int64
	portsFrom = rand.IntN(2000)
)

// freePort returns one below those that systems give to outgoing connections, which
// could take it before the server does, or while it is stopped.
func freePort() (int, error) {
	for range 1000 {
		port := 30_000 + (portsFrom+int(ports.Add(1)))%2000
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no port is free")
}
