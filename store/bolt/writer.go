package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"strings"
	"syscall"

	"anteroom/store/gather"

	bbolt "go.etcd.io/bbolt"
)

// maxGroup bounds the units of one commit.
const maxGroup = 1024

// request is a unit on its way through the writer.
type request struct {
	ops      []op
	err      error
	panicked string
}

var errEnded = errors.New("the function given to the store ended its goroutine")

// submit hands verbs to the writer and waits until they are durable or lost.
// If ctx ends before the writer took them, nothing of them happens.
func (s *Store) submit(ctx context.Context, ops []op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.broken.Load(); err != nil {
		return unavailable(*err)
	}
	if err := s.fault(FaultCommit); err != nil {
		return err
	}
	r := &request{ops: ops}
	err := s.queue.Submit(ctx, r)
	switch {
	case errors.Is(err, gather.ErrClosed):
		return unavailable(errors.New("the database is closed"))
	case err != nil:
		return err
	case r.panicked != "":
		panic(r.panicked) // where the function came from
	case r.err == nil:
		return s.fault(FaultCommitted)
	}
	return r.err
}

// writeLoop is the single writer.
func (s *Store) writeLoop() {
	finished := false
	defer func() {
		if finished {
			close(s.stopped)
			return
		}
		go s.writeLoop() // a caller's function called runtime.Goexit
	}()
	for first := s.queue.Wait(); first != nil; first = s.queue.Wait() {
		s.writeGroup(first)
	}
	finished = true
}

// writeGroup applies first and whatever else is waiting, commits once, and
// answers everybody.
func (s *Store) writeGroup(first *waiting) {
	g := &group{store: s}
	defer g.finish() // also when a caller's function ends this goroutine
	if err := s.broken.Load(); err != nil {
		g.failure = *err
	} else if g.tx, g.failure = s.db.Begin(true); g.failure != nil {
		s.log.Error("the database cannot be written", "error", g.failure)
	}
	for r := first; r != nil; r = s.queue.Next() {
		g.waiting = append(g.waiting, r)
		g.apply(r.Value)
		if len(g.waiting) == maxGroup {
			break
		}
	}
}

// waiting is a unit whose caller waits.
type waiting = gather.Item[*request]

// group is the units of one commit.
type group struct {
	store   *Store
	tx      *bbolt.Tx
	waiting []*waiting
	changed bool
	failure error // why nothing of the group is committed
}

// apply runs a unit on an overlay of its own: if it fails, its neighbours do not
// notice.
func (g *group) apply(r *request) {
	if g.failure != nil {
		return
	}
	mine := newOverlay(boltTx{g.tx})
	r.err = errEnded
	r.run(mine)
	if r.err != nil {
		return
	}
	changed, err := mine.flush()
	g.changed = g.changed || changed
	if err != nil { // put checks what bbolt would refuse: this does not happen
		g.failure = err
	}
}

func (r *request) run(t tx) {
	defer func() {
		if p := recover(); p != nil {
			r.panicked = fmt.Sprintf("%v\n\nin the writer of the store:\n%s", p, debug.Stack())
		}
	}()
	var err error
	for _, verb := range r.ops {
		if err = verb(t); err != nil {
			break
		}
	}
	r.err = err
}

// finish commits and answers. If the commit fails, every unit of the group is
// told: even those that lost, lost against something that never happened.
func (g *group) finish() {
	if g.failure == nil && g.changed {
		g.failure = g.store.sync(g.tx)
	} else if g.tx != nil {
		_ = g.tx.Rollback() // nothing was changed, or nothing may be
	}
	for _, r := range g.waiting {
		if g.failure != nil {
			r.Value.err = unavailable(g.failure)
		}
		r.Done()
	}
}

// sync commits t. A full disk is found before anything is overwritten, and the
// next commit may go well. After any other failure nobody knows what is on the
// disk (a later sync would report success for pages that were never written), so
// the store takes no more writes until it is opened again.
func (s *Store) sync(t *bbolt.Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bbolt: %v", p)
		}
		if err != nil {
			release(t)
		}
		switch {
		case err == nil:
			s.commits.Add(1)
			if s.full.Swap(nil) != nil {
				s.log.Info("there is space for the database again", "path", s.path)
			}
		case outOfSpace(err):
			if s.full.Swap(&err) == nil {
				s.log.Error("no space left for the database; writes are refused until there is", "path", s.path, "error", err)
			}
		default:
			err = fmt.Errorf("a commit failed, what is on the disk is unknown; check it, then start again: %w", err)
			s.broken.Store(&err)
			s.log.Error("the database takes no more writes", "path", s.path, "error", err)
		}
	}()
	return s.commit(t)
}

// release gives the write lock back after a failed commit. bbolt has usually done
// so; after a panic within it nothing is certain.
func release(t *bbolt.Tx) {
	defer func() { _ = recover() }()
	_ = t.Rollback()
}

// outOfSpace tells whether a write (not a sync) was refused for want of space.
func outOfSpace(err error) bool {
	if _, ok := errors.AsType[*fs.PathError](err); ok && !strings.HasPrefix(err.Error(), "sync ") {
		return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
	}
	// bbolt reports a file that cannot grow without wrapping the cause.
	return err != nil && strings.HasPrefix(err.Error(), "file resize error:")
}
