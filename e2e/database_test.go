package e2e

import (
	"strings"
	"testing"
	"time"

	"anteroom/store/postgres/pgtest"
)

// Whatever becomes of the database in the middle of a load of sign-ins over two
// nodes: nothing but clean 503 answers, nothing acknowledged is lost, nothing happens
// twice, and no node has to be restarted.
func TestTheDatabaseGoesAwayInTheMiddleOfALoad(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{Durable: true})
	proxy := pgtest.NewProxy(t, server)
	dsn := proxy.Before(server.DSN("postgres"))
	f := startFleet(t, dsn, dsn)
	people := f.populate(24)
	wrong := f.begin(people, storeGoes)
	for range 3 {
		f.awaitAnswers(12)
		server.Terminate(t)
	}
	for _, fault := range []pgtest.Fault{pgtest.DropAnswer, pgtest.DropCommit, pgtest.LateCommit, pgtest.DropAnswer} {
		f.awaitAnswers(8)
		proxy.Next(fault)
	}
	f.awaitAnswers(8)
	server.Stop(t, "immediate") // like a crash
	f.red("cannot be reached")
	server.Start(t)
	f.green()
	f.awaitAnswers(8)
	for _, err := range wrong() {
		t.Error(err)
	}
	proxy.Settle()
	if n := proxy.Struck(); n < 4 {
		t.Errorf("%d commits met a fault, want 4", n)
	}
	f.check(people)
	f.checkRows()
}

// The machine of the primary is gone for good, and its synchronous standby takes
// over: every acknowledged fact is there, and the nodes find it by themselves.
func TestAStandbyIsPromotedInTheMiddleOfALoad(t *testing.T) {
	t.Parallel()
	primary := pgtest.Start(t, pgtest.Options{Durable: true})
	standby := primary.Standby(t)
	dsn := primary.With(standby, primary.DSN("postgres"))
	f := startFleet(t, dsn, dsn)
	people := f.populate(16)
	wrong := f.begin(people, storeGoes)
	f.awaitAnswers(50)
	primary.Kill(t)
	f.red("takes writes; promote a standby")
	standby.Promote(t)
	f.green()
	f.awaitAnswers(20)
	for _, err := range wrong() {
		t.Error(err)
	}
	f.check(people)
	f.checkRows()
}

// What operators are told of asynchronous replication: a failover takes back what was
// acknowledged. It is the same load as above, so this also says that the test above
// could fail.
func TestAnAsynchronousStandbyForgetsWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	primary := pgtest.Start(t, pgtest.Options{Durable: true})
	standby := primary.Replica(t)
	dsn := primary.With(standby, primary.DSN("postgres"))
	f := startFleet(t, dsn, dsn)
	people := f.populate(4)
	standby.Await(t, primary)
	standby.Detach(t)
	if wrong := f.load(t.Context(), people, nothing); wrong != nil {
		t.Fatal(wrong)
	}
	primary.Kill(t)
	standby.Promote(t)
	f.green()
	for _, l := range people {
		losses := checkLife(t, f.op(), l)
		if losses == nil {
			t.Errorf("%s lost nothing, and nothing was replicated", l.email)
			continue
		}
		t.Log(losses[0])
	}
}

// red waits until every node says that it cannot serve, and why.
func (f *fleet) red(why string) {
	f.t.Helper()
	for _, node := range f.nodes {
		var said string
		eventually(f.t, "/readyz red", 20*time.Second, func() bool {
			said = node.ready()
			return strings.HasPrefix(said, "503") && strings.Contains(said, why)
		})
		if len(strings.TrimSpace(said)) < len("503: because") {
			f.t.Errorf("/readyz is red without a reason: %q", said)
		}
	}
}

// green waits until every node is ready again, on its own.
func (f *fleet) green() {
	f.t.Helper()
	for _, node := range f.nodes {
		eventually(f.t, "/readyz green", 30*time.Second, func() bool { return node.ready() == "" })
	}
}
