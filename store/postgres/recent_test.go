package postgres

import (
	"context"
	"regexp"
	"testing"
	"time"

	"anteroom/store"
	"anteroom/store/postgres/pgtest"
	"anteroom/store/storetest"
)

var aboutPolicy = regexp.MustCompile(`(?i)client|application|unit|cop(y|ies)`)

// A node that remembers for ever, as far as the test can tell, fulfils the
// contract of clients, applications and units all the same: what it changes
// itself it sees.
func TestContractWithRememberedPolicy(t *testing.T) {
	pgtest.Shared(t)
	ran := 0
	for _, test := range storetest.Tests() {
		if !aboutPolicy.MatchString(test.Name) {
			continue
		}
		ran++
		t.Run(test.Name, func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.Database(t)
			test.Run(t, storetest.Backend{Open: func(o storetest.Options) (store.Store, error) {
				return Open(t.Context(), dsn, Options{Log: quiet(), MaxFailureKeys: o.MaxFailureKeys, PolicyAge: time.Hour})
			}})
		})
	}
	if ran < 5 {
		t.Errorf("%d tests of the contract are about policy", ran)
	}
}

// What another node changed is seen within the age, and at once in a unit of work.
func TestPolicyOfAnotherNodeIsSeenInTime(t *testing.T) {
	const age = 300 * time.Millisecond
	dsn, ctx := pgtest.Database(t), t.Context()
	open := func(age time.Duration) *Store {
		s, err := Open(ctx, dsn, Options{Log: quiet(), PolicyAge: age})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	here, there := open(age), open(time.Hour)
	if err := here.CreateApplication(ctx, store.Application{ID: "portal"}); err != nil {
		t.Fatal(err)
	}
	if err := here.CreateClient(ctx, store.Client{ID: "web", ApplicationID: "portal"}); err != nil {
		t.Fatal(err)
	}
	disabled := func(s *Store) bool {
		t.Helper()
		c, err := s.Client(ctx, "web")
		if err != nil {
			t.Fatal(err)
		}
		return c.Disabled
	}
	disabled(here)
	disabled(there)
	if _, err := there.UpdateClient(ctx, "web", func(c *store.Client) error { c.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if !disabled(there) {
		t.Error("a node does not see its own change")
	}
	err := here.Do(ctx, func(inUnit context.Context) error {
		c, err := here.Client(inUnit, "web")
		if err == nil && !c.Disabled {
			t.Error("a unit of work goes by what was remembered")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(age)
	if !disabled(here) {
		t.Error("the change of another node is not seen in time")
	}
	// Not asked again: "there" still shows what it knew.
	if _, err := here.UpdateClient(ctx, "web", func(c *store.Client) error { c.Disabled = false; return nil }); err != nil {
		t.Fatal(err)
	}
	if !disabled(there) {
		t.Error("nothing was remembered, and the test shows nothing")
	}
}

// A row that was read before a change and arrives after it is not kept.
func TestAReadThatAChangeOvertookIsNotKept(t *testing.T) {
	r := &recent[store.Client]{age: time.Hour}
	now := time.Now()
	_, changes, _ := r.get("web", now)
	r.forget()
	r.put("web", store.Client{ID: "web"}, now, changes)
	if _, _, ok := r.get("web", now); ok {
		t.Error("it was kept")
	}
	_, changes, _ = r.get("web", now)
	r.put("web", store.Client{ID: "web", Scopes: []string{"a"}}, now, changes)
	one, _, ok := r.get("web", now)
	if !ok {
		t.Fatal("nothing was kept")
	}
	one.Scopes[0] = "b"
	if two, _, _ := r.get("web", now); two.Scopes[0] != "a" {
		t.Error("callers share a row")
	}
}
