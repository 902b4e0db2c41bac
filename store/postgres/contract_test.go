package postgres

import (
	"log/slog"
	"testing"

	"anteroom/store"
	"anteroom/store/postgres/pgtest"
	"anteroom/store/storetest"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestContract gives races two stores with a pool each.
func TestContract(t *testing.T) {
	pgtest.Shared(t)
	for _, test := range storetest.Tests() {
		t.Run(test.Name, func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.Database(t)
			test.Run(t, storetest.Backend{Shared: true, Open: func(o storetest.Options) (store.Store, error) {
				return Open(t.Context(), dsn, Options{Log: quiet(), MaxFailureKeys: o.MaxFailureKeys})
			}})
		})
	}
}
