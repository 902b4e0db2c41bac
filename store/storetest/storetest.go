// Package storetest is the contract test of package store, for every backend.
//
//	func TestContract(t *testing.T) {
//		storetest.Run(t, func(t testing.TB) storetest.Backend { ... })
//	}
//
// Each test gets a database of its own. Tests report through testing.TB, so that
// the package can be tested itself: it must fail against stores with seeded
// faults.
package storetest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"anteroom/store"
)

// Options of a database that tests may ask for.
type Options struct {
	MaxFailureKeys int // 0: store.MaxFailureKeys
}

// Backend is one database, empty at first. Open opens it; it is called again
// after the store was closed, and must then find what was committed.
type Backend struct {
	Open func(Options) (store.Store, error)
	// Shared says that Open may be called while a store on the same database is
	// open, as two nodes do. Races then run over two of them.
	Shared bool
}

// Test is one part of the contract.
type Test struct {
	Name string
	run  func(e *env)
}

// Run runs all tests. database makes a new, empty database for each; what it
// needs to tidy up goes to t.Cleanup.
func Run(t *testing.T, database func(t testing.TB) Backend) {
	for _, test := range Tests() {
		t.Run(test.Name, func(t *testing.T) { test.Run(t, database(t)) })
	}
}

// Run runs one test on an empty database.
func (test Test) Run(t testing.TB, b Backend) {
	e := &env{TB: t, ctx: t.Context(), backend: b}
	e.s = e.open(Options{})
	test.run(e)
}

// Tests lists the parts of the contract, in the order of Run.
func Tests() []Test {
	var all []Test
	for _, part := range [][]Test{
		valueTests, accountTests, linkTests, accessTests, sessionTests, grantTests,
		counterTests, outboxTests, noticeTests, deviceTests, backchannelTests, registrationTests, pushedTests, auditTests, unitTests, togetherTests, raceTests, pagingTests, lifeTests,
	} {
		all = append(all, part...)
	}
	return all
}

// t0 is when everything happens.
var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// env is what a test works with.
type env struct {
	testing.TB
	ctx     context.Context
	backend Backend
	s       store.Store
}

// open opens the database and closes it when the test ends.
func (e *env) open(o Options) store.Store {
	e.Helper()
	s, err := e.backend.Open(o)
	if err != nil {
		e.Fatalf("open: %v", err)
	}
	e.Cleanup(func() { _ = s.Close() }) // again, perhaps
	return s
}

// reopen closes the store and opens it again.
func (e *env) reopen() {
	e.Helper()
	if err := e.s.Close(); err != nil {
		e.Fatalf("close: %v", err)
	}
	e.s = e.open(Options{})
}

// handles returns the stores over which a race is spread.
func (e *env) handles() []store.Store {
	if !e.backend.Shared {
		return []store.Store{e.s}
	}
	return []store.Store{e.s, e.open(Options{})}
}

// must stops the test at an error that has nothing to do with what it tests.
func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("unexpected error: %v", err)
	}
}

// wants reports an error that is not the wanted one (nil: none).
func (e *env) wants(what string, err, want error) {
	e.Helper()
	if !errors.Is(err, want) || (want == nil && err != nil) {
		e.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// equal reports a value that is not the wanted one.
func (e *env) equal(what string, got, want any) {
	e.Helper()
	if !reflect.DeepEqual(got, want) {
		e.Errorf("%s:\n got %#v\nwant %#v", what, got, want)
	}
}

// value is for verbs whose error would spoil the test.
func value[T any](e *env) func(T, error) T {
	return func(v T, err error) T {
		e.Helper()
		if err != nil {
			e.Fatalf("unexpected error: %v", err)
		}
		return v
	}
}

// world puts the usual rows: two accounts, two applications with a client and
// two roles each, and an organisation below another.
func (e *env) world() {
	e.Helper()
	for _, id := range []string{"ann", "bob"} {
		e.must(e.s.CreateAccount(e.ctx, store.Account{ID: id, UserName: id, Email: id + "@example.org", State: store.AccountActive}))
	}
	e.must(e.s.CreateOrganisation(e.ctx, store.Organisation{ID: "vendor", Name: "Vendor"}))
	e.must(e.s.CreateOrganisation(e.ctx, store.Organisation{ID: "partner", ParentID: "vendor", Name: "Partner"}))
	for _, id := range []string{"pcc", "portal"} {
		e.must(e.s.CreateApplication(e.ctx, store.Application{ID: id, Name: id}))
		e.must(e.s.CreateClient(e.ctx, store.Client{ID: id + "-web", ApplicationID: id}))
		for _, role := range []string{"admin", "user"} {
			e.must(e.s.PutRole(e.ctx, store.Role{ApplicationID: id, Key: role, Name: role}))
		}
	}
}

// in returns t0 moved.
func in(d time.Duration) time.Time { return t0.Add(d) }

const minute = time.Minute
