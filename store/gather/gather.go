// Package gather lets callers that come while something slow is under way, a sync
// or a round trip, share the next one. Whoever comes alone waits for nobody: there
// is no timer.
package gather

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
)

// ErrClosed is what Submit returns after Close.
var ErrClosed = errors.New("the queue is closed")

// Queue hands what callers submit to one or more loops, each of which takes what
// is waiting in one go.
type Queue[T any] struct {
	submitting sync.RWMutex // held for reading while an item is put in
	closed     bool
	items      chan *Item[T]
}

// Item is what one caller submitted. The loop that took it calls Done.
type Item[T any] struct {
	Value T

	state atomic.Int32
	done  chan struct{}
}

const (
	waiting   int32 = iota
	taken           // a loop has it: its caller waits for the outcome
	abandoned       // its caller went away before that
)

// New makes a queue in which size items can wait; further callers wait for a place.
func New[T any](size int) *Queue[T] {
	return &Queue[T]{items: make(chan *Item[T], size)}
}

// Submit waits until a loop is done with v. Returns ErrClosed, or the error of ctx
// if that ended before a loop took v; then no loop ever will.
func (q *Queue[T]) Submit(ctx context.Context, v T) error {
	i := &Item[T]{Value: v, done: make(chan struct{})}
	if err := q.put(ctx, i); err != nil {
		return err
	}
	select {
	case <-i.done:
	case <-ctx.Done():
		if i.state.CompareAndSwap(waiting, abandoned) {
			return ctx.Err()
		}
		<-i.done
	}
	return nil
}

func (q *Queue[T]) put(ctx context.Context, i *Item[T]) error {
	q.submitting.RLock()
	defer q.submitting.RUnlock()
	if q.closed {
		return ErrClosed
	}
	select {
	case q.items <- i:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Done tells the caller that the outcome is in Value.
func (i *Item[T]) Done() { close(i.done) }

// Wait takes the next item; nil: the queue is closed and empty.
func (q *Queue[T]) Wait() *Item[T] {
	for i := range q.items {
		if i.state.CompareAndSwap(waiting, taken) {
			return i
		}
	}
	return nil
}

// Next takes an item that is waiting already, nil if there is none. Callers that
// were answered a moment ago get the chance to come back first.
func (q *Queue[T]) Next() *Item[T] {
	for tries := 0; tries < 2; {
		select {
		case i := <-q.items:
			if i == nil { // closed
				return nil
			}
			if i.state.CompareAndSwap(waiting, taken) {
				return i
			}
		default:
			runtime.Gosched()
			tries++
		}
	}
	return nil
}

// WaitAll takes the next item with those that are waiting by then, up to most;
// nil: the queue is closed and empty.
func (q *Queue[T]) WaitAll(most int) (group []*Item[T]) {
	for i := q.Wait(); i != nil; i = q.Next() {
		if group = append(group, i); len(group) == most {
			break
		}
	}
	return group
}

// Len is how many items wait, with those whose callers went away.
func (q *Queue[T]) Len() int { return len(q.items) }

// Close refuses what is submitted from now on. What waits is still taken. It
// reports whether the queue was open.
func (q *Queue[T]) Close() bool {
	q.submitting.Lock()
	defer q.submitting.Unlock()
	if q.closed {
		return false
	}
	q.closed = true
	close(q.items)
	return true
}
