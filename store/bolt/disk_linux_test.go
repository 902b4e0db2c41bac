package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"anteroom/store"

	bbolt "go.etcd.io/bbolt"
)

// mount mounts a file system for one test, or skips it.
func mount(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("SKIPPED: a small file system needs root and mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func TestRealFullDisk(t *testing.T) {
	dir := mount(t, "size=2m")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "a.db")
	s, err := Open(path, Options{Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	var acknowledged []string
	var refused error
	for i := 0; refused == nil && i < 10000; i++ {
		name := fmt.Sprint("row-", i)
		if refused = s.SetMeta(t.Context(), name, strings.Repeat("x", 2000)); refused == nil {
			acknowledged = append(acknowledged, name)
		}
	}
	if !errors.Is(refused, store.ErrUnavailable) || !errors.Is(refused, syscall.ENOSPC) {
		t.Fatalf("after %d rows: %v, want ErrUnavailable for want of space", len(acknowledged), refused)
	}
	check := func(s *Store, when string) {
		t.Helper()
		for _, name := range acknowledged {
			if _, err := s.Meta(t.Context(), name); err != nil {
				t.Fatalf("%s: acknowledged %s: %v", when, name, err)
			}
		}
	}
	check(s, "on a full disk")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path) // opening needs no space
	check(s, "opened on a full disk")
	_ = s.SetMeta(t.Context(), "perhaps", strings.Repeat("x", 200_000)) // may or may not find room
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("Ready with space: %v", err)
	}
	for i := range 50 {
		name := fmt.Sprint("later-", i)
		if err := s.SetMeta(t.Context(), name, strings.Repeat("x", 2000)); err != nil {
			t.Fatalf("write with space: %v", err)
		}
		acknowledged = append(acknowledged, name)
	}
	check(s, "with space")
	if err := s.db.View(func(tx *bbolt.Tx) error { return <-tx.Check() }); err != nil {
		t.Errorf("the file is damaged: %v", err)
	}
}

func TestReadOnlyFileSystemIsNotReady(t *testing.T) {
	dir := mount(t, "size=64m")
	s := open(t, filepath.Join(dir, "a.db"))
	if err := s.SetMeta(t.Context(), "a", "x"); err != nil {
		t.Fatal(err)
	}
	// A remount is refused while the file is open for writing; a mount on top is
	// what the path sees.
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("SKIPPED: bind mount: %v", err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	if err := syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("SKIPPED: read-only bind mount: %v", err)
	}
	if err := s.Ready(t.Context()); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, syscall.EROFS) {
		t.Errorf("Ready: %v, want ErrUnavailable for a read-only file system", err)
	}
	if _, err := s.Meta(t.Context(), "a"); err != nil {
		t.Errorf("read: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "b.db"), Options{Log: quiet()}); !errors.Is(err, syscall.EROFS) {
		t.Errorf("Open of a new database: %v, want one about a read-only file system", err)
	}
}

func TestBackupOnAFullDiskSaysSo(t *testing.T) {
	s := fresh(t)
	for i := range 40 {
		if err := s.SetMeta(t.Context(), fmt.Sprint(i), strings.Repeat("x", 20_000)); err != nil {
			t.Fatal(err)
		}
	}
	dir := mount(t, "size=256k")
	if err := s.Backup(t.Context(), filepath.Join(dir, "copy.db")); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("error %v, want one about space", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("files left: %v (%v), want none", left, err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("the database itself: %v, want ready", err)
	}
}
