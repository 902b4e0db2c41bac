package storetest_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/store/postgres"
	"anteroom/store/postgres/pgtest"
	"anteroom/store/storetest"
)

// recorder is a testing.TB that remembers failures instead of failing.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Cleanup(fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, fn)
}

// record runs a test and returns its failures.
func record(t *testing.T, test storetest.Test, b storetest.Backend) []string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil { // a test may trip over what a fault returns
				r.Errorf("panic: %v", p)
			}
		}()
		test.Run(r, b)
	}()
	<-done
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
	return r.failures
}

// backend is a bolt database, opened through wrap.
func backend(t *testing.T, wrap func(store.Store) store.Store) storetest.Backend {
	path := filepath.Join(t.TempDir(), "a.db")
	return storetest.Backend{Open: func(o storetest.Options) (store.Store, error) {
		s, err := bolt.Open(path, bolt.Options{MaxFailureKeys: o.MaxFailureKeys})
		if err != nil {
			return nil, err
		}
		return wrap(s), nil
	}}
}

func testNamed(t *testing.T, name string) storetest.Test {
	for _, test := range storetest.Tests() {
		if test.Name == name {
			return test
		}
	}
	t.Fatalf("there is no test named %q", name)
	panic("unreachable")
}

func TestSoundStorePasses(t *testing.T) {
	for _, test := range storetest.Tests() {
		if got := record(t, test, backend(t, func(s store.Store) store.Store { return s })); len(got) > 0 {
			t.Errorf("%s reports faults of a sound store: %q", test.Name, got)
		}
	}
}

func TestEverySeededFaultIsCaught(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			f.caught(t, func() storetest.Backend {
				if f.backend != nil {
					return f.backend(t)
				}
				return backend(t, f.wrap)
			})
		})
	}
}

// The contract notices the same faults over PostgreSQL, where races are spread over
// two pools.
func TestEverySeededFaultIsCaughtOverPostgreSQL(t *testing.T) {
	pgtest.Shared(t)
	for _, f := range faults {
		if f.wrap == nil {
			continue // it is about a file
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			f.caught(t, func() storetest.Backend {
				dsn := pgtest.Database(t)
				return storetest.Backend{Shared: true, Open: func(o storetest.Options) (store.Store, error) {
					s, err := postgres.Open(t.Context(), dsn, postgres.Options{MaxFailureKeys: o.MaxFailureKeys, Log: slog.New(slog.DiscardHandler)})
					if err != nil {
						return nil, err
					}
					return f.wrap(s), nil
				}}
			})
		})
	}
}

func (f fault) caught(t *testing.T, open func() storetest.Backend) {
	for range 5 { // a race is not lost every time
		if got := record(t, testNamed(t, f.caughtBy), open()); len(got) > 0 {
			t.Logf("caught: %.200s", got[0])
			return
		}
	}
	t.Errorf("%q did not notice", f.caughtBy)
}

func TestNamesOfTestsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, test := range storetest.Tests() {
		if seen[test.Name] {
			t.Errorf("two tests are named %q", test.Name)
		}
		seen[test.Name] = true
	}
}
