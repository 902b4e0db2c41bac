package e2e

import (
	"syscall"
	"testing"

	"anteroom/store/postgres/pgtest"
)

// A node is killed with a commit on its way, on either side of it, and the journey
// goes on at another node. Every commit counts, also those that give entries their
// place in the audit chain.
func TestANodeKilledAtTheNthCommitOfAJourney(t *testing.T) {
	t.Parallel()
	for name, side := range map[string]pgtest.When{"before": pgtest.BeforeCommit, "after": pgtest.AfterCommit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := pgtest.Shared(t)
			dsn := server.Database(t)
			proxy := pgtest.NewProxy(t, server)
			f := newFleet(t, proxy.Before(dsn), dsn)
			f.first.Store(true) // everything goes to the node behind the proxy while it lives
			f.start()
			node := f.nodes[0]
			for n := 1; ; n++ {
				people := f.populate(1)
				people[0].end = fate(n) % fates
				struck := make(chan struct{})
				proxy.Watch(func(i int) pgtest.When {
					if i == n {
						return side
					}
					return pgtest.Never
				}, func() {
					_ = syscall.Kill(-node.cmd.Process.Pid, syscall.SIGKILL)
					close(struck)
				})
				for _, err := range f.begin(people, nodesGo)() {
					t.Errorf("commit %d: %v", n, err)
				}
				reached := true
				select {
				case <-struck:
					reached = false
				default:
				}
				proxy.Watch(nil, nil)
				f.check(people)
				if reached {
					t.Logf("a journey has %d commits", n-1)
					if n < 9 {
						t.Errorf("a journey has %d commits, and eight steps", n-1)
					}
					break
				}
				node.kill()
				node.start()
			}
			f.checkRows()
		})
	}
}
