package storetest_test

import (
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"anteroom/store"
	"anteroom/store/bolt"
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
			for range 5 { // a race is not lost every time
				var b storetest.Backend
				if f.backend != nil {
					b = f.backend(t)
				} else {
					b = backend(t, f.wrap)
				}
				if got := record(t, testNamed(t, f.caughtBy), b); len(got) > 0 {
					t.Logf("caught: %.200s", got[0])
					return
				}
			}
			t.Errorf("%q did not notice", f.caughtBy)
		})
	}
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
