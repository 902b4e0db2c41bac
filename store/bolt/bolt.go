package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"anteroom/store"
	"anteroom/store/gather"
	"anteroom/store/units"

	bbolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Options are all optional.
type Options struct {
	Now func() time.Time // time.Now if nil; used where a verb is not given the time
	Log *slog.Logger     // slog.Default if nil
	// LockTimeout is how long Open waits for another process to let go of the
	// file; 2 seconds if zero.
	LockTimeout time.Duration
	// MaxFailureKeys bounds the failure counters; store.MaxFailureKeys if zero.
	MaxFailureKeys int
	// Fault is for tests that let the store fail at its nth call: it is called
	// before each reading verb (FaultRead), each changing one (FaultWrite), each
	// commit (FaultCommit), and after each commit before its caller is told
	// (FaultCommitted). Its error becomes the verb's or the commit's.
	Fault func(point string) error
}

// Points at which Options.Fault is called.
const (
	FaultRead      = "read"
	FaultWrite     = "write"
	FaultCommit    = "commit"
	FaultCommitted = "committed"
)

// Store is a store.Store in one file.
type Store struct {
	path        string
	now         func() time.Time
	log         *slog.Logger
	maxFailures int
	fault       func(point string) error // never nil

	db     *bbolt.DB
	holder *holder
	commit func(*bbolt.Tx) error // (*bbolt.Tx).Commit; tests put faults here

	units   *units.Units[*unit]
	queue   *gather.Queue[*request]
	stopped chan struct{} // closed when the writer has ended

	commits atomic.Int64
	full    atomic.Pointer[error] // the last commit found no space
	broken  atomic.Pointer[error] // a commit failed with an unknown outcome: no more writes
}

var _ store.Store = (*Store)(nil)

// schema is the version of the layout that this package writes. Adding a bucket
// needs no new version; changing the meaning of a row does.
const schema = 1

// format holds what says that a file is ours. Its keys:
const (
	format        bucket = "format"
	formatProduct        = "product" // always product
	formatSchema         = "schema"  // decimal
	formatRestore        = "restore" // present in a backup: see restore.go

	product = "anteroom"
)

// Open opens the database at path, or makes a new one, mode 0600. The first Open
// of a copy made by Backup restores it (see Backup).
//
// The error is a sentence for the operator if another process holds the file
// (and which), if the file is not a database, not ours, damaged, or written by a
// newer version.
func Open(path string, opts Options) (*Store, error) {
	s := &Store{
		path: path, now: opts.Now, log: opts.Log, maxFailures: opts.MaxFailureKeys, fault: opts.Fault,
		commit:  (*bbolt.Tx).Commit,
		units:   units.New((*unit).drop),
		queue:   gather.New[*request](maxGroup),
		stopped: make(chan struct{}),
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
	if s.fault == nil {
		s.fault = func(string) error { return nil }
	}
	if opts.LockTimeout == 0 {
		opts.LockTimeout = 2 * time.Second
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("make the database %s: %w", path, err)
		}
	}
	db, err := openFile(path, opts.LockTimeout)
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("the database %s is in use by %s; stop it first, or use another file", path, readHolder(path))
	}
	if err != nil {
		return nil, err
	}
	s.db = db
	if s.holder, err = writeHolder(path, s.now()); err == nil {
		err = s.prepare()
	}
	if err != nil {
		s.holder.remove()
		return nil, errors.Join(err, db.Close())
	}
	go s.writeLoop()
	return s, nil
}

// openFile opens a bbolt file. A file that was cut off makes bbolt read behind
// its end; that fault becomes an error here.
func openFile(path string, timeout time.Duration) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			db, err = nil, fmt.Errorf("the database %s is damaged (%v); restore a backup", path, fault)
		}
	}()
	options := &bbolt.Options{
		Timeout:      timeout,
		FreelistType: bbolt.FreelistMapType,
		// Mapping more than the file needs keeps a growing file from being mapped
		// again, which would have to wait for readers (a running backup).
		InitialMmapSize: initialMap,
	}
	db, err = bbolt.Open(path, 0o600, options)
	switch {
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return nil, fmt.Errorf("%s is not a database of Anteroom, or is damaged (%w); name another file or restore a backup", path, err)
	case errors.Is(err, berrors.ErrTimeout):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("open the database %s: %w", path, err)
	}
	db.AllocSize = 4 << 20
	return db, nil
}

// initialMap is 1 GiB of address space (not memory) where there is plenty.
const initialMap = (1 << 30) * (strconv.IntSize / 64)

// create makes an empty database beside path and links it into place when it is
// complete, so that a crash leaves no half-made file.
func create(path string) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if err := temp.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(temp.Name(), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	err = db.Update(func(t *bbolt.Tx) error {
		for _, b := range buckets {
			if _, err := t.CreateBucketIfNotExists([]byte(b)); err != nil {
				return err
			}
		}
		ours := boltTx{t}
		if err := ours.put(format, formatProduct, []byte(product)); err != nil {
			return err
		}
		return ours.put(format, formatSchema, []byte(strconv.Itoa(schema)))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	// If somebody else was faster, or the file system has no links, bbolt makes or
	// opens the file at path itself, under its lock.
	if err := os.Link(temp.Name(), path); err != nil {
		return nil
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the entries of a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// prepare checks that the file is ours and whole, and brings it up to date.
func (s *Store) prepare() error {
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		s.log.Warn("database was readable by others; mode set to 0600", "path", s.path, "mode", info.Mode().Perm().String())
		if err := os.Chmod(s.path, 0o600); err != nil {
			return err
		}
	}
	complete, restore := true, false
	err = s.db.View(func(t *bbolt.Tx) error {
		if t.Size() > info.Size() {
			return fmt.Errorf("the database %s was cut off at %d of %d bytes; restore a backup", s.path, info.Size(), t.Size())
		}
		for _, b := range buckets {
			complete = complete && t.Bucket([]byte(b)) != nil
		}
		if t.Bucket([]byte(format)) == nil {
			if name, _ := t.Cursor().First(); name == nil {
				return nil // an empty file, which bbolt has just made a database of
			}
			return fmt.Errorf("%s is a bbolt file of another program; name another file", s.path)
		}
		restore = boltTx{t}.get(format, formatRestore) != nil
		return s.checkFormat(boltTx{t})
	})
	if err != nil {
		return err
	}
	if !complete {
		if err := s.db.Update(addBuckets); err != nil {
			return fmt.Errorf("add to the database %s: %w", s.path, err)
		}
	}
	if restore {
		return s.restore()
	}
	return nil
}

func (s *Store) checkFormat(t tx) error {
	if got := string(t.get(format, formatProduct)); got != product {
		return fmt.Errorf("%s is a database of another program (%q); name another file", s.path, got)
	}
	version, err := strconv.Atoi(string(t.get(format, formatSchema)))
	if err != nil {
		return fmt.Errorf("the database %s does not say its schema version; restore a backup", s.path)
	}
	if version > schema {
		return fmt.Errorf("the database %s has schema version %d, written by a newer Anteroom; this one knows up to %d: install the newer one, or restore a backup of before the upgrade", s.path, version, schema)
	}
	return nil
}

// addBuckets creates what an older version of this package did not know.
func addBuckets(t *bbolt.Tx) error {
	for _, b := range buckets {
		if _, err := t.CreateBucketIfNotExists([]byte(b)); err != nil {
			return err
		}
	}
	ours := boltTx{t}
	if ours.get(format, formatProduct) != nil {
		return nil
	}
	if err := ours.put(format, formatProduct, []byte(product)); err != nil {
		return err
	}
	return ours.put(format, formatSchema, []byte(strconv.Itoa(schema)))
}

// Path is the file that the store was opened with.
func (s *Store) Path() string { return s.path }

// Commits counts the commits (each one sync) since Open.
func (s *Store) Commits() int64 { return s.commits.Load() }

// Ready returns nil when the store can read and write, else the reason. After a
// full disk it tries to write, and so finds out that there is space again.
func (s *Store) Ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.broken.Load(); err != nil {
		return unavailable(*err)
	}
	if err := s.db.View(func(*bbolt.Tx) error { return nil }); err != nil {
		return unavailable(err)
	}
	// Says no on a file system that became read-only, and writes nothing.
	f, err := os.OpenFile(s.path, os.O_WRONLY, 0)
	if err != nil {
		return unavailable(err)
	}
	if err := f.Close(); err != nil {
		return unavailable(err)
	}
	if s.full.Load() != nil {
		return s.submit(ctx, []op{s.probe})
	}
	return nil
}

// probe changes a row, so that its commit has to write.
func (s *Store) probe(t tx) error {
	return t.put(format, "probe", []byte(strconv.FormatInt(s.now().UnixNano(), 10)))
}

// Close finishes the units that are waiting and closes the file. Units that come
// later get ErrUnavailable.
func (s *Store) Close() error {
	first := s.queue.Close()
	<-s.stopped
	if !first {
		return nil
	}
	s.holder.remove()
	return s.db.Close()
}

// unavailable makes err an ErrUnavailable.
func unavailable(err error) error {
	if errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}
