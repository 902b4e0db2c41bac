package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"anteroom/store"
	"anteroom/store/postgres"
	"anteroom/store/postgres/pgtest"
)

func TestMigrateMovesEverythingAndBack(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	dir := t.TempDir()
	file := "bolt:" + filepath.Join(dir, "a.db")
	a := newNode(t, file)
	if out, err := a.run(t, "org", "create", "acme", "--name", "Acme Ltd"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	secret := filepath.Join(dir, "store")
	if err := os.WriteFile(secret, []byte(dsn+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := a.run(t, "migrate", "--from", file, "--to", "@"+secret)
	if err != nil || !strings.Contains(out, "organisations") || !strings.Contains(out, "Both stores hold the same") {
		t.Fatalf("to PostgreSQL: %v\n%s", err, out)
	}
	if _, err := a.run(t, "migrate", "--from", file, "--to", dsn); err == nil || !strings.Contains(err.Error(), "the target is not empty") {
		t.Errorf("into the same database again: %v", err)
	}
	b := newNode(t, dsn)
	if err := os.Rename(filepath.Join(filepath.Dir(a.path), "master.key"), filepath.Join(filepath.Dir(b.path), "master.key")); err != nil {
		t.Fatal(err)
	}
	if out, err := b.run(t, "org", "list"); err != nil || !strings.Contains(out, "Acme Ltd") {
		t.Errorf("in PostgreSQL: %v\n%s", err, out)
	}
	s, err := postgres.Open(t.Context(), dsn, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.SetMeta(t.Context(), store.MetaMoving, "{}"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.run(t, "org", "list"); err == nil || !strings.Contains(err.Error(), "was interrupted") {
		t.Errorf("a store that is not finished: %v", err)
	}
	if err := s.DeleteMeta(t.Context(), store.MetaMoving); err != nil {
		t.Fatal(err)
	}
	back := "bolt:" + filepath.Join(dir, "b.db")
	if out, err := b.run(t, "migrate", "--from", dsn, "--to", back); err != nil {
		t.Fatalf("back: %v\n%s", err, out)
	}
	for _, c := range []struct{ from, to, want string }{
		{"bolt:" + filepath.Join(dir, "none.db"), back, "there is no database"},
		{"mysql://x/y", back, "neither a file nor a PostgreSQL database"},
		{file, "", "say what to move"},
		{pgtest.Database(t), back, "the database is empty"},
	} {
		if _, err := b.run(t, "migrate", "--from", c.from, "--to", c.to); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("from %s to %s: %v, want %q", c.from, c.to, err, c.want)
		}
	}
}

func TestAnUpgradeIsRehearsedOnACopy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := newNode(t, "bolt:"+filepath.Join(dir, "a.db"))
	database := newNode(t, pgtest.Database(t))
	for _, n := range []node{file, database} {
		if out, err := n.run(t, "org", "create", "acme", "--name", "Acme Ltd"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	backup := filepath.Join(dir, "backup.db")
	if out, err := file.run(t, "backup", backup); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	out, err := file.run(t, "upgrade", "--rehearse", "--on", "bolt:"+backup)
	if err != nil || !strings.Contains(out, "Nothing was found") {
		t.Errorf("of a file: %v\n%s", err, out)
	}
	after, err := os.ReadFile(backup)
	if err != nil || string(after) != string(before) {
		t.Errorf("the backup was changed (%v)", err)
	}
	empty := pgtest.Database(t)
	out, err = database.run(t, "upgrade", "--rehearse", "--on", empty)
	if err != nil || !strings.Contains(out, "Schema 0 to ") {
		t.Errorf("of a database: %v\n%s", err, out)
	}
	damaged := filepath.Join(dir, "damaged.db")
	if err := os.WriteFile(damaged, before[:len(before)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = file.run(t, "upgrade", "--rehearse", "--on", "bolt:"+damaged)
	if err != nil || !strings.Contains(out, "Found: ") {
		t.Errorf("of a damaged file: %v\n%s", err, out)
	}
}
