package postgres

import (
	"path/filepath"
	"testing"

	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/store/postgres/pgtest"
	"anteroom/store/storetest"
)

func fileBackend(t *testing.T) storetest.Backend {
	path := filepath.Join(t.TempDir(), "a.db")
	return storetest.Backend{Open: func(storetest.Options) (store.Store, error) {
		return bolt.Open(path, bolt.Options{Log: quiet()})
	}}
}

func databaseBackend(t *testing.T) storetest.Backend {
	dsn := pgtest.Database(t)
	return storetest.Backend{Open: func(storetest.Options) (store.Store, error) {
		return Open(t.Context(), dsn, Options{Log: quiet()})
	}}
}

func TestMove(t *testing.T) {
	t.Parallel()
	pgtest.Shared(t)
	t.Run("from a file", func(t *testing.T) {
		storetest.Move(t, fileBackend(t), databaseBackend(t), databaseBackend(t))
	})
	t.Run("to a file", func(t *testing.T) {
		storetest.Move(t, databaseBackend(t), fileBackend(t), fileBackend(t))
	})
	t.Run("between databases", func(t *testing.T) {
		storetest.Move(t, databaseBackend(t), databaseBackend(t), databaseBackend(t))
	})
}
