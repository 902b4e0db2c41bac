package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// schemaTable has one row, which says that the database is ours and how far its
// schema is. Migrating nodes lock it, so that one works and the others wait.
const schemaTable = "anteroom_schema"

const product = "anteroom"

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration brings the schema to its version.
type migration struct {
	version int64
	name    string
	sql     string
}

// migrations lists all, in order. Their files are named NNNN_what.sql, numbered
// without a gap.
var migrations = func() (all []migration) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql") // sorted
	if err != nil {
		panic(err)
	}
	for i, path := range names {
		data, err := migrationFiles.ReadFile(path)
		if err != nil {
			panic(err)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(path, "migrations/"), ".sql")
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil || version != int64(i+1) {
			panic("store/postgres: migrations are not numbered without a gap: " + path)
		}
		all = append(all, migration{version, name, string(data)})
	}
	return all
}()

// latest is the version of the schema that this package works with.
func latest() int64 { return int64(len(migrations)) }

func newer(version int64) error {
	return refusal(fmt.Sprintf("the database has schema version %d, written by a newer Anteroom; this one knows up to %d: install the newer one, or restore a backup of before the upgrade", version, latest()))
}

// migrateWithin bounds one migration, and how long a node waits for another's.
const migrateWithin = time.Hour

// prepare checks that the database is ours and brings its schema up to date.
func (s *Store) prepare(ctx context.Context, config *pgxpool.Config, noMigrate bool) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return refuse(config, err)
	}
	defer conn.Release()
	if err := s.upToDate(ctx, conn.Conn(), noMigrate); err != nil {
		if code(err) != "" {
			return refuse(config, err)
		}
		return err
	}
	for _, risk := range risks(ctx, conn.Conn()) {
		s.log.Warn("the database server may lose what was acknowledged", "reason", risk)
	}
	return nil
}

func (s *Store) upToDate(ctx context.Context, conn *pgx.Conn, noMigrate bool) error {
	version, err := inspect(ctx, conn)
	switch {
	case err != nil:
		return err
	case version > latest():
		return newer(version)
	case version == latest():
		return nil
	case noMigrate && version == 0:
		return errors.New("the database is empty; a start of the service makes the tables")
	case noMigrate:
		return fmt.Errorf("the database has schema version %d, this Anteroom needs %d; a start of the service brings it up to date", version, latest())
	}
	if version == 0 {
		if err := createSchemaTable(ctx, conn); err != nil {
			return err
		}
	}
	for _, m := range migrations {
		if err := s.migrate(ctx, conn, m); err != nil {
			return err
		}
	}
	return nil
}

// inspect returns the version of the schema: 0 for an empty database. It refuses
// one that is not ours.
func inspect(ctx context.Context, conn *pgx.Conn) (int64, error) {
	var encoding string
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_encoding')").Scan(&encoding); err != nil {
		return 0, err
	}
	if encoding != "UTF8" {
		return 0, fmt.Errorf("the database has the encoding %s and cannot hold every name; create one with ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	var ours bool
	var tables int
	err := conn.QueryRow(ctx, `SELECT coalesce(bool_or(table_name = $1), false), count(*) FROM information_schema.tables WHERE table_schema = current_schema()`, schemaTable).Scan(&ours, &tables)
	if err != nil {
		return 0, err
	}
	if !ours && tables > 0 {
		return 0, fmt.Errorf("the database holds %d tables and none says that they are Anteroom's; name another database, or an empty schema with search_path in the connection string", tables)
	}
	if !ours {
		return 0, nil
	}
	var name string
	var version int64
	err = conn.QueryRow(ctx, "SELECT product, version FROM "+schemaTable+" WHERE id = 1").Scan(&name, &version)
	if errors.Is(err, pgx.ErrNoRows) {
		if tables == 1 {
			return 0, nil // another node is just making it
		}
		return 0, errors.New("the database does not say its schema version; restore a backup")
	}
	if err == nil && name != product {
		return 0, fmt.Errorf("the database is another program's (%q); name another one", name)
	}
	return version, err
}

// createSchemaTable tolerates other nodes that do the same: they may collide
// within the catalogue, which one of them notices.
func createSchemaTable(ctx context.Context, conn *pgx.Conn) (err error) {
	for try := 1; try <= maxTries; try++ {
		_, err = conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS `+schemaTable+` (
			id          bigint PRIMARY KEY CHECK (id = 1),
			product     text NOT NULL,
			version     bigint NOT NULL,
			migrated_at timestamptz NOT NULL
		)`)
		if err == nil {
			_, err = conn.Exec(ctx, `INSERT INTO `+schemaTable+` (id, product, version, migrated_at)
				VALUES (1, $1, 0, now()) ON CONFLICT (id) DO NOTHING`, product)
		}
		if !collided(err) {
			return err
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
	return err
}

// collided tells whether another session was making the same object.
func collided(err error) bool {
	switch code(err) {
	case uniqueViolation, duplicateObject, duplicateTable, serializationFailure, deadlockDetected:
		return true
	}
	return false
}

// migrate applies one migration if nobody has done so by the time that it gets
// the lock. Interrupted, it leaves nothing or, where schema changes are not
// transactional, something that the next start completes.
func (s *Store) migrate(ctx context.Context, conn *pgx.Conn, m migration) error {
	ctx, cancel := context.WithTimeout(ctx, migrateWithin)
	defer cancel()
	t, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = t.Rollback(context.WithoutCancel(ctx)) }() // after Commit it does nothing
	if _, err := t.Exec(ctx, "SET LOCAL statement_timeout = 0"); err != nil {
		return err
	}
	if _, err := t.Exec(ctx, "SET LOCAL lock_timeout = 0"); err != nil {
		return err
	}
	var version int64
	if err := t.QueryRow(ctx, "SELECT version FROM "+schemaTable+" WHERE id = 1 FOR UPDATE").Scan(&version); err != nil {
		return err
	}
	switch {
	case version >= m.version:
		return nil
	case version != m.version-1:
		return fmt.Errorf("the database has schema version %d before migration %d; restore a backup", version, m.version)
	}
	start := time.Now()
	for _, sql := range strings.Split(m.sql, ";\n") {
		if strings.TrimSpace(sql) == "" {
			continue
		}
		if _, err := t.Exec(ctx, sql); err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
	}
	if _, err := t.Exec(ctx, "UPDATE "+schemaTable+" SET version = $1, migrated_at = now() WHERE id = 1", m.version); err != nil {
		return err
	}
	if err := t.Commit(ctx); err != nil {
		return err
	}
	s.log.Info("the schema of the database was migrated", "migration", m.name, "took", time.Since(start).Round(time.Millisecond))
	return nil
}

// Inspect returns the schema version of a database (0: none yet), the one that this
// version works with, and the size in bytes, and changes nothing. Errors as Open.
func Inspect(ctx context.Context, dsn string) (version, latestVersion, bytes int64, err error) {
	config, err := configure(dsn, Options{})
	if err != nil {
		return 0, 0, 0, err
	}
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return 0, 0, 0, refuse(config, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if version, err = inspect(ctx, conn); err == nil {
		err = conn.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&bytes)
	}
	if err != nil && code(err) != "" {
		err = refuse(config, err)
	}
	return version, latest(), bytes, err
}
