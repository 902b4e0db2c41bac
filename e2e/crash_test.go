package e2e

import (
	"math/rand/v2"
	"testing"

	"anteroom/store/postgres/pgtest"
)

// overBoth runs a test over a file, and over two nodes on PostgreSQL.
func overBoth(t *testing.T, test func(t *testing.T, f *fleet)) {
	t.Run("file", func(t *testing.T) { test(t, startFleet(t)) })
	t.Run("two nodes", func(t *testing.T) {
		dsn := pgtest.Database(t)
		test(t, startFleet(t, dsn, dsn))
	})
}

func TestKilledInTheMiddleOfALoadEveryAcknowledgedFactIsThere(t *testing.T) {
	overBoth(t, func(t *testing.T, f *fleet) {
		people := f.populate(24)
		for i, l := range people {
			l.faint = i%2 == 1 // half of them go on where they were
		}
		wrong := f.begin(people, nodesGo)
		const kills = 4
		for n := range kills {
			f.awaitAnswers(15 + rand.Int64N(20)) // of about 200
			node := f.nodes[n%len(f.nodes)]
			if n == kills-1 {
				node.terminate() // SIGTERM: nothing acknowledged is lost, either
			} else {
				node.kill()
			}
			node.start()
		}
		for _, err := range wrong() {
			t.Error(err)
		}
		f.check(people)
		f.checkRows()
	})
}
