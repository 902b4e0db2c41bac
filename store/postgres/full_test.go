//go:build linux

package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"anteroom/store"
	"anteroom/store/postgres/pgtest"
)

// TestAFullDiskIsUnavailableUntilThereIsSpace puts the tables of a database on a
// small file system and fills it.
func TestAFullDiskIsUnavailableUntilThereIsSpace(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "anteroom-full-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=48m,mode=0777"); err != nil {
		t.Skipf("SKIPPED: no small file system can be mounted here (root can): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	server := pgtest.Start(t, pgtest.Options{})
	space := filepath.Join(dir, "space")
	if err := os.Mkdir(space, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := server.Own(space); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, "postgres", "CREATE TABLESPACE small LOCATION '"+space+"'", "CREATE DATABASE full_disk TABLESPACE small")
	s := openAt(t, server.DSN("full_disk"), Options{})
	ctx := t.Context()
	if err := s.SetMeta(ctx, "before", "1"); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 64<<10))
	}
	for i := 0; err == nil || !errors.Is(err, store.ErrUnavailable); i++ {
		if i == 1000 {
			t.Fatalf("the disk is full, and writing goes on: %v", err)
		}
		err = s.SetMeta(ctx, strings.Repeat("x", 900)+string(rune('a'+i%26))+string(rune('a'+i/26)), strings.Repeat("y", 1500))
	}
	if err := s.Ready(ctx); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("ready with a full disk: %v", err)
	}
	if got, err := s.Meta(ctx, "before"); err != nil || got != "1" {
		t.Errorf("read with a full disk: %q, %v", got, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.SetMeta(ctx, "after", "1"); err != nil {
		t.Errorf("write with space again: %v", err)
	}
	if err := s.Ready(ctx); err != nil {
		t.Errorf("ready with space again: %v", err)
	}
}
