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
	"time"
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

// fill adds to a group what is waiting by now, up to most.
func (q *Queue[T]) fill(group []*Item[T], most int) []*Item[T] {
	for len(group) < most {
		i := q.Next()
		if i == nil {
			break
		}
		group = append(group, i)
	}
	return group
}

// Serve hands what is waiting to do, a group of at most most at a time, until the
// queue is closed and empty. One group after the other makes the largest groups, but
// a group that takes longer than late does not hold up all others: it is overtaken by
// those that come meanwhile, in a second call of do. There is no third.
func (q *Queue[T]) Serve(most int, late time.Duration, do func(group []*Item[T])) {
	second := make(chan struct{}, 1) // full while somebody overtakes
	for i := q.Wait(); i != nil; i = q.Wait() {
		group := q.fill([]*Item[T]{i}, most)
		over := make(chan struct{})
		timer := time.AfterFunc(late, func() {
			select {
			case second <- struct{}{}:
				q.overtake(most, over, do)
				<-second
			default:
			}
		})
		do(group)
		timer.Stop()
		close(over)
	}
	second <- struct{}{} // whoever still overtakes is done with it, and nobody begins
}

// overtake hands on what is waiting until over.
func (q *Queue[T]) overtake(most int, over <-chan struct{}, do func(group []*Item[T])) {
	for {
		select {
		case <-over:
			return
		case i := <-q.items:
			if i == nil { // closed
				return
			}
			if i.state.CompareAndSwap(waiting, taken) {
				do(q.fill([]*Item[T]{i}, most))
			}
		}
	}
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
