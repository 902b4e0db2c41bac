package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/store"

	bbolt "go.etcd.io/bbolt"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// open opens a store that is closed at the end of the test.
func open(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(path, Options{Log: quiet(), Now: func() time.Time { return t0 }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func fresh(t testing.TB) *Store {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "a.db"))
}

func TestDatabaseAndItsCompanionsAreForTheOwnerOnly(t *testing.T) {
	s := fresh(t)
	backup := filepath.Join(t.TempDir(), "copy.db")
	if err := s.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{s.Path(), holderPath(s.Path()), backup} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s has mode %o, want 600", filepath.Base(path), got)
		}
	}
}

func TestWideModeIsNarrowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode %o, want 600", got)
	}
}

func TestOpenRefusesWhatItCannotServe(t *testing.T) {
	write := func(data []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	edit := func(b bucket, key, value string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := db.Update(func(tx *bbolt.Tx) error {
				bk, err := tx.CreateBucketIfNotExists([]byte(b))
				if err != nil {
					return err
				}
				return bk.Put([]byte(key), []byte(value))
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	then := func(steps ...func(*testing.T, string)) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			for _, step := range steps {
				step(t, path)
			}
		}
	}
	ours := func(t *testing.T, path string) {
		s, err := Open(path, Options{Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 400 { // several pages, so that cutting the file hurts
			if err := s.SetMeta(t.Context(), fmt.Sprint(i), strings.Repeat("x", 200)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cut := func(size int64) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name string
		make func(*testing.T, string)
		want string
	}{
		{"a text file", write([]byte(strings.Repeat("hello world\n", 2000))), "not a database"},
		{"a short file", write([]byte("x")), "not a database"},
		{"another program's bolt file", edit("things", "a", "b"), "another program"},
		{"another product", then(ours, edit(format, formatProduct, "else")), `another program ("else")`},
		{"a newer schema", then(ours, edit(format, formatSchema, "999")), "install the newer one"},
		{"no schema", then(ours, edit(format, formatSchema, "many")), "schema version"},
		{"a file cut in the middle", then(ours, cut(16384)), "restore a backup"},
		{"a file cut after its head", then(ours, cut(8192)), "restore a backup"},
		{"a folder", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "is a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.db")
			c.make(t, path)
			s, err := Open(path, Options{Log: quiet()})
			if err == nil {
				s.Close()
				t.Fatal("Open accepted it")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %q, want it to name the file and say %q", err, c.want)
			}
			if _, err := os.Stat(holderPath(path)); err == nil {
				t.Error("a refused file left a lock file behind")
			}
		})
	}
}

func TestMissingFolderIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "a.db")
	if _, err := Open(path, Options{Log: quiet()}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names %s", err, path)
	}
}

func TestSecondOpenNamesTheHolder(t *testing.T) {
	s := fresh(t)
	start := time.Now()
	_, err := Open(s.Path(), Options{Log: quiet(), LockTimeout: 300 * time.Millisecond})
	if err == nil {
		t.Fatal("opened twice")
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("took %v, want under 3 s", took)
	}
	if want := fmt.Sprintf("process %d ", os.Getpid()); !strings.Contains(err.Error(), want) {
		t.Errorf("error %q does not say %q", err, want)
	}
	// Without the companion it still stops, and says what it does not know.
	if err := os.Remove(holderPath(s.Path())); err != nil {
		t.Fatal(err)
	}
	if _, err = Open(s.Path(), Options{Log: quiet(), LockTimeout: 50 * time.Millisecond}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("error %v, want one about another process", err)
	}
}

func TestTwoFirstStartsMakeOneDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := Open(path, Options{Log: quiet(), LockTimeout: 20 * time.Second})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := s.SetMetaOnce(context.Background(), "first", "x"); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	left, err := filepath.Glob(path + "*")
	if err != nil || len(left) != 1 {
		t.Errorf("files left: %v (%v), want the database alone", left, err)
	}
}

func TestClosedStoreIsUnavailable(t *testing.T) {
	s := fresh(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.SetMeta(t.Context(), "a", "b"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("write: %v, want ErrUnavailable", err)
	}
	if _, err := s.Meta(t.Context(), "a"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("read: %v, want ErrUnavailable", err)
	}
	if err := s.Ready(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Ready: %v, want ErrUnavailable", err)
	}
}
