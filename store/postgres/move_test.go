package postgres

import (
	"path/filepath"
	"slices"
	"testing"

	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/store/postgres/pgtest"
	"anteroom/store/storetest"

	"github.com/jackc/pgx/v5"
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

// A table that is added and not moved would be lost without a word.
func TestEveryTableIsMoved(t *testing.T) {
	t.Parallel()
	s := openAt(t, pgtest.Database(t), Options{})
	rows, err := s.pool.Query(t.Context(), `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	with := []string{schemaTable, "account_names", "client_secrets", "audit_waiting", "audit_head", "units"} // moved with others, or made anew
	for _, table := range tables {
		if !slices.Contains(store.Nouns, store.Noun(table)) && !slices.Contains(with, table) {
			t.Errorf("the table %s is not moved", table)
		}
	}
	if len(tables) != len(store.Nouns)+len(with) || len(movables) != len(store.Nouns) {
		t.Errorf("%d tables, %d of them movable, %d nouns", len(tables), len(movables), len(store.Nouns))
	}
}
