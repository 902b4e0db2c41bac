package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"anteroom/store/postgres/pgtest"
)

// node is a configuration of one node, and a way to run commands with it.
type node struct{ path string }

func newNode(t *testing.T, dsn string) node {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "anteroom.yaml")
	text := "issuer: http://localhost:8080\ndata: " + dir + "\nstore: " + dsn + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return node{path}
}

func (n node) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, warnings bytes.Buffer
	err := run(t.Context(), append(args, "--config", n.path), func(string) string { return "" }, strings.NewReader(""), &out, &warnings)
	return out.String() + warnings.String(), err
}

func TestCommandsOfTwoNodesShareADatabase(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	a, b := newNode(t, dsn), newNode(t, dsn)
	if out, err := a.run(t, "org", "create", "acme", "--name", "Acme Ltd"); err != nil {
		t.Fatalf("create on one node: %v\n%s", err, out)
	}
	// The other one made a master key of its own.
	if _, err := b.run(t, "org", "list"); err == nil || !strings.Contains(err.Error(), "all nodes of one database share it") {
		t.Errorf("a node with another master key: %v", err)
	}
	key, err := os.ReadFile(filepath.Join(filepath.Dir(a.path), "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(b.path), "master.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := b.run(t, "org", "list"); err != nil || !strings.Contains(out, "Acme Ltd") {
		t.Errorf("list on the other node: %v\n%s", err, out)
	}
}

func TestARestoredDatabaseIsSaidToBeOne(t *testing.T) {
	t.Parallel()
	n := newNode(t, pgtest.Database(t))
	if out, err := n.run(t, "restored"); err != nil || !strings.Contains(out, "were ended") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := n.run(t, "audit", "list"); err != nil || !strings.Contains(out, "backup.restored") {
		t.Errorf("the audit log: %v\n%s", err, out)
	}
	if _, err := n.run(t, "backup", filepath.Join(t.TempDir(), "copy")); err == nil || !strings.Contains(err.Error(), "pg_dump") {
		t.Errorf("backup of a database: %v", err)
	}
	file := newNode(t, "bolt:"+filepath.Join(t.TempDir(), "a.db"))
	if _, err := file.run(t, "restored"); err == nil || !strings.Contains(err.Error(), "the store is a file") {
		t.Errorf("a file: %v", err)
	}
}

func TestADatabaseThatCannotBeUsedIsASentence(t *testing.T) {
	t.Parallel()
	n := newNode(t, strings.Replace(pgtest.Database(t), "test_", "no_such_test_", 1))
	if _, err := n.run(t, "org", "list"); err == nil || !strings.Contains(err.Error(), "has no database") {
		t.Errorf("got %v", err)
	}
}
