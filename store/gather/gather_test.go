package gather

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// serve answers what is submitted with the size of the group that it was taken in,
// after gate let it.
func serve(q *Queue[*int], gate <-chan struct{}) {
	for first := q.Wait(); first != nil; first = q.Wait() {
		<-gate
		group := []*Item[*int]{first}
		for i := q.Next(); i != nil; i = q.Next() {
			group = append(group, i)
		}
		for _, i := range group {
			*i.Value = len(group)
			i.Done()
		}
	}
}

func TestCallersThatComeDuringARoundShareTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, gate := New[*int](8), make(chan struct{})
		go serve(q, gate)
		got := make([]int, 8)
		var all sync.WaitGroup
		submit := func(i int) {
			all.Go(func() {
				if err := q.Submit(t.Context(), &got[i]); err != nil {
					t.Errorf("caller %d: %v", i, err)
				}
			})
			synctest.Wait()
		}
		submit(0)
		gate <- struct{}{}
		synctest.Wait()
		if got[0] != 1 {
			t.Errorf("the one who came alone was in a group of %d, want 1", got[0])
		}
		for i := 1; i < len(got); i++ {
			submit(i)
		}
		gate <- struct{}{}
		all.Wait()
		for i, n := range got[1:] {
			if n != len(got)-1 {
				t.Errorf("caller %d was in a group of %d, want %d", i+1, n, len(got)-1)
			}
		}
		q.Close()
	})
}

func TestWhoGoesAwayBeforeTheRoundIsNotInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, gate := New[*int](8), make(chan struct{})
		var first, gone, last int
		ctx, leave := context.WithCancel(t.Context())
		result := make(chan error, 3)
		go func() { result <- q.Submit(ctx, &gone) }()
		synctest.Wait()
		leave()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("who went away got %v, want context.Canceled", err)
		}
		go serve(q, gate)
		ctx, leave = context.WithCancel(t.Context())
		go func() { result <- q.Submit(ctx, &first) }()
		synctest.Wait()
		leave() // too late: the loop has it
		synctest.Wait()
		select {
		case err := <-result:
			t.Errorf("who was taken got %v before the outcome", err)
		default:
		}
		gate <- struct{}{}
		if err := <-result; err != nil || first != 1 {
			t.Errorf("who was taken: %v in a group of %d, want it done in a group of 1", err, first)
		}
		go func() { result <- q.Submit(t.Context(), &last) }()
		gate <- struct{}{}
		if err := <-result; err != nil || last != 1 || gone != 0 {
			t.Errorf("the last: %v in a group of %d; who went away: %d; want 1 and 0", err, last, gone)
		}
		q.Close()
	})
}

func TestWhatWaitsAtCloseIsStillTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, gate := New[*int](8), make(chan struct{})
		var n int
		result := make(chan error, 1)
		go func() { result <- q.Submit(t.Context(), &n) }()
		synctest.Wait()
		if !q.Close() || q.Close() {
			t.Error("want the first Close, and no other, to report that the queue was open")
		}
		if err := q.Submit(t.Context(), &n); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v, want ErrClosed", err)
		}
		go serve(q, gate)
		gate <- struct{}{}
		if err := <-result; err != nil || n != 1 {
			t.Errorf("what waited: %v in a group of %d, want it done", err, n)
		}
	})
}

func TestAGroupThatTakesLongIsOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const late = 10 * time.Millisecond
		q := New[chan struct{}](8)
		served := make(chan struct{})
		var mu sync.Mutex
		var sizes []int
		go func() {
			q.Serve(3, late, func(group []*Item[chan struct{}]) {
				mu.Lock()
				sizes = append(sizes, len(group))
				mu.Unlock()
				<-group[0].Value
				for _, i := range group {
					i.Done()
				}
			})
			close(served)
		}()
		var all sync.WaitGroup
		submit := func(gate chan struct{}) {
			all.Go(func() {
				if err := q.Submit(t.Context(), gate); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		want := func(when string, want ...int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(sizes, want) {
				t.Errorf("%s: groups of %v, want %v", when, sizes, want)
			}
		}
		stuck, second, open := make(chan struct{}), make(chan struct{}), make(chan struct{})
		close(open)
		submit(stuck)
		submit(second)
		submit(open)
		want("one is under way", 1)
		time.Sleep(late)
		want("it takes long", 1, 2)
		submit(open)
		time.Sleep(10 * late)
		want("both take long", 1, 2)
		close(second)
		want("the second is done", 1, 2, 1)
		submit(open)
		want("the first still takes long", 1, 2, 1, 1)
		close(stuck)
		all.Wait()
		for range 4 {
			submit(open)
		}
		want("all is well again", 1, 2, 1, 1, 1, 1, 1, 1)
		q.Close()
		<-served
	})
}

func TestServingEndsAfterWhoOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const late = 10 * time.Millisecond
		q, served := New[chan struct{}](8), make(chan struct{})
		go func() {
			q.Serve(1, late, func(group []*Item[chan struct{}]) {
				<-group[0].Value
				group[0].Done()
			})
			close(served)
		}()
		first, second := make(chan struct{}), make(chan struct{})
		for _, gate := range []chan struct{}{first, second} {
			go func() { _ = q.Submit(t.Context(), gate) }()
			synctest.Wait()
		}
		time.Sleep(late)
		q.Close()
		close(first)
		synctest.Wait()
		select {
		case <-served:
			t.Error("serving ended while a group was under way")
		default:
		}
		close(second)
		<-served
	})
}
