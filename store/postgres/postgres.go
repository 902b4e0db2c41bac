package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"anteroom/store"
	"anteroom/store/gather"
	"anteroom/store/units"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Options are all optional.
type Options struct {
	Now func() time.Time // time.Now if nil; used where a verb is not given the time
	Log *slog.Logger     // slog.Default if nil
	// MaxConns bounds the connections of this node; 20 if zero. The connection
	// string may say pool_max_conns, which counts if MaxConns is zero.
	MaxConns int
	// MaxFailureKeys bounds the failure counters; store.MaxFailureKeys if zero.
	MaxFailureKeys int
	// PolicyAge is how long clients and applications may be remembered instead of
	// read, outside units of work; so long may pass until this node sees what
	// another one changed of them. Zero: they are always read.
	PolicyAge time.Duration
	// NoMigrate refuses a database whose schema is older than this version's,
	// or that is empty, instead of bringing it up to date.
	NoMigrate bool
}

// Store is a store.Store in a PostgreSQL database.
type Store struct {
	pool          *pgxpool.Pool
	now           func() time.Time
	log           *slog.Logger
	maxFailures   int
	newFailures   atomic.Int64 // since the counters were counted
	resolveWithin time.Duration

	applications recent[store.Application]
	clients      recent[store.Client]

	units   *units.Units[*unit]
	groups  *gather.Queue[*together] // units that wait for a transaction (together.go)
	lookups *gather.Queue[*lookup]   // statements that wait for a round trip (lookup.go)
	sharing sync.WaitGroup           // who takes them

	commits atomic.Int64
	full    atomic.Bool // the last write found no space

	chaining   chan struct{} // entries wait in audit_waiting
	stop       context.CancelFunc
	background sync.WaitGroup
	closed     atomic.Bool
}

var _ store.Store = (*Store)(nil)

const defaultConns = 20

// settings of every connection, unless the connection string says otherwise.
// Times are milliseconds.
var settings = map[string]string{
	"application_name":                    "anteroom",
	"timezone":                            "UTC",
	"statement_timeout":                   "10000",
	"lock_timeout":                        "8000",
	"idle_in_transaction_session_timeout": "30000",
}

// Open connects to the database that dsn names (a URL or the key=value form of
// libpq) and brings its schema up to date, one node at a time; an empty database
// gets one.
//
// The error is a sentence for the operator, without the password, if dsn is
// malformed, the server cannot be reached or refuses, is a read-only replica, or
// if the database is another program's or was written by a newer version.
func Open(ctx context.Context, dsn string, opts Options) (*Store, error) {
	config, err := configure(dsn, opts)
	if err != nil {
		return nil, err
	}
	s := &Store{
		now: opts.Now, log: opts.Log, maxFailures: opts.MaxFailureKeys,
		resolveWithin: resolveWithin, chaining: make(chan struct{}, 1),
		units: units.New((*unit).drop), groups: gather.New[*together](maxGroup), lookups: gather.New[*lookup](maxGroup),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.maxFailures == 0 {
		s.maxFailures = store.MaxFailureKeys
	}
	s.applications.age, s.clients.age = opts.PolicyAge, opts.PolicyAge
	s.newFailures.Store(int64(s.maxFailures)) // the first new one counts
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, refuse(config, err)
	}
	if err := s.prepare(ctx, config, opts.NoMigrate); err != nil {
		s.pool.Close()
		return nil, err
	}
	background, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.background.Go(func() { s.chainLoop(background) })
	s.sharing.Go(func() { s.groups.Serve(maxGroup, late, s.commitAll) })
	s.sharing.Go(func() { s.lookups.Serve(maxGroup, late, s.answer) })
	return s, nil
}

// configure reads dsn and adds our settings.
func configure(dsn string, opts Options) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errDSN // err may quote the password
	}
	for name, value := range settings {
		if config.ConnConfig.RuntimeParams[name] == "" {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = acquireWithin
	}
	if config.ConnConfig.ValidateConnect == nil {
		// Of several hosts the one that takes writes: failover needs no more.
		config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	config.AfterConnect = toBeDurable
	switch {
	case opts.MaxConns != 0:
		config.MaxConns = int32(min(opts.MaxConns, 10_000))
	case !saysPoolSize(dsn):
		config.MaxConns = defaultConns
	}
	config.MaxConnIdleTime = 5 * time.Minute
	config.HealthCheckPeriod = 15 * time.Second
	config.PingTimeout = 2 * time.Second
	return config, nil
}

// Commits counts the units of work that changed something and were committed
// since Open.
func (s *Store) Commits() int64 { return s.commits.Load() }

func (s *Store) committed(t *tx) {
	s.commits.Add(int64(t.units))
	if t.policy {
		s.applications.forget()
		s.clients.forget()
	}
	if len(t.events) > 0 {
		s.wakeChain()
	}
}

// notice looks at an error of the server for what concerns all connections.
func (s *Store) notice(err error) {
	switch code(err) {
	case diskFull:
		if !s.full.Swap(true) {
			s.log.Error("the database server has no space left; writes are refused until it has", "error", err)
		}
	case readOnlyTransaction:
		s.log.Error("the database server became a read-only replica; connecting anew", "error", err)
		s.pool.Reset()
	}
}

// Ready returns nil when the store can read and write, else the reason. After a
// full disk it tries to write, and so finds out that there is space again.
func (s *Store) Ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed.Load() {
		return unavailable(errClosed)
	}
	err := s.probe(ctx)
	if err != nil && passing(err) && ctx.Err() == nil {
		err = s.probe(ctx) // on a new connection: that one had ended
	}
	if err != nil {
		return unavailable(refuse(s.pool.Config(), err))
	}
	return nil
}

// probe reads the schema's row, and tries to write after a full disk.
func (s *Store) probe(ctx context.Context) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var version int64
	var readOnly string
	err = conn.QueryRow(ctx, `SELECT version, current_setting('transaction_read_only') FROM `+schemaTable+` WHERE id = 1`).Scan(&version, &readOnly)
	switch {
	case err != nil:
		return err
	case readOnly == "on":
		s.pool.Reset()
		return errReadOnly
	case version > latest():
		return newer(version)
	case !s.full.Load():
		return nil
	}
	if err := tryToGrow(ctx, conn); err != nil {
		return err
	}
	s.full.Store(false)
	s.log.Info("the database server has space again")
	return nil
}

// tryToGrow writes a row that no page in use has room for, and takes it back: a
// small one might fit where something was before.
func tryToGrow(ctx context.Context, conn *pgxpool.Conn) error {
	noise := make([]byte, 32<<10)
	_, _ = rand.Read(noise) // never fails
	t, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = t.Rollback(context.WithoutCancel(ctx)) }() // always
	_, err = t.Exec(ctx, `INSERT INTO metadata (name, value) VALUES ('probe', $1) ON CONFLICT (name) DO NOTHING`, hex.EncodeToString(noise))
	return err
}

const errClosed = refusal("the store is closed")

// closeWithin bounds how long Close waits for units that nobody ended.
const closeWithin = 10 * time.Second

// Close waits for the units that are open, for ten seconds at most, and closes
// the connections. What comes later gets ErrUnavailable.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.groups.Close()
	s.lookups.Close()
	s.sharing.Wait() // for what waits; what it recorded is chained after that
	s.stop()
	s.background.Wait()
	done := make(chan struct{})
	go func() {
		s.pool.Close()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-time.After(closeWithin):
		return fmt.Errorf("%d units of work were still open", s.pool.Stat().AcquiredConns())
	}
}
