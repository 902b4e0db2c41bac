package storetest

import (
	"fmt"
	"time"

	"anteroom/store"
)

var counterTests = []Test{
	{"failures count within a window", failures},
	{"failure counters are bounded", boundedFailures},
	{"a value is used once until its time", once},
}

func failures(e *env) {
	s, ctx := e.s, e.ctx
	f, err := s.Failure(ctx, "k", t0)
	e.wants("none", err, nil)
	e.equal("none", f, store.Failure{})
	record := func(at time.Time, window time.Duration) store.Failure {
		return value[store.Failure](e)(s.RecordFailure(ctx, "k", at, window))
	}
	e.equal("the first", record(t0, minute), store.Failure{Key: "k", Count: 1, First: t0, Last: t0, Until: in(minute)})
	second := store.Failure{Key: "k", Count: 2, First: t0, Last: in(30 * time.Second), Until: in(minute)}
	e.equal("the second", record(in(30*time.Second), minute), second)
	e.equal("the count", value[store.Failure](e)(s.Failure(ctx, "k", in(minute-time.Microsecond))), second)
	e.equal("the count when the window is over", value[store.Failure](e)(s.Failure(ctx, "k", in(minute))), store.Failure{})
	e.equal("another key", value[store.Failure](e)(s.Failure(ctx, "K", t0)), store.Failure{})
	e.equal("a new window", record(in(minute), time.Hour), store.Failure{Key: "k", Count: 1, First: in(minute), Last: in(minute), Until: in(minute + time.Hour)})
	e.wants("clear", s.ClearFailures(ctx, "k"), nil)
	e.wants("clear again", s.ClearFailures(ctx, "k"), nil)
	e.equal("cleared", value[store.Failure](e)(s.Failure(ctx, "k", in(minute))), store.Failure{})
	e.equal("after clearing", record(in(minute), minute).Count, 1)
}

func boundedFailures(e *env) {
	const bound = 10
	e.must(e.s.Close())
	s, ctx := e.open(Options{MaxFailureKeys: bound}), e.ctx
	record := func(i int) int {
		// Later keys end sooner, so that age and end are told apart.
		f, err := s.RecordFailure(ctx, fmt.Sprintf("key-%02d", i), in(time.Duration(i)*time.Second), time.Hour-time.Duration(i)*minute)
		e.must(err)
		return f.Count
	}
	known := func() (keys []int) {
		for i := range 40 {
			if f := value[store.Failure](e)(s.Failure(ctx, fmt.Sprintf("key-%02d", i), in(minute))); f.Count > 0 {
				keys = append(keys, i)
			}
		}
		return keys
	}
	for i := range bound {
		record(i)
	}
	e.equal("full", known(), []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	e.equal("a known key", record(3), 2)
	e.equal("a known key forgets none", len(known()), bound)
	record(10)
	e.equal("one more: the one that ends first is forgotten", known(), []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 10})
	e.must(s.ClearFailures(ctx, "key-03"))
	record(11)
	e.equal("room from clearing", known(), []int{0, 1, 2, 4, 5, 6, 7, 8, 10, 11})
	sweepStore(e, s, in(50*minute+20*time.Second)) // 10 and 11 are over
	record(12)
	record(13)
	e.equal("room from sweeping", known(), []int{0, 1, 2, 4, 5, 6, 7, 8, 12, 13})
	record(14)
	e.equal("full again", known(), []int{0, 1, 2, 4, 5, 6, 7, 8, 12, 14})
}

func once(e *env) {
	s, ctx := e.s, e.ctx
	e.wants("use", s.UseOnce(ctx, "jti", "a", t0, in(minute)), nil)
	e.wants("use again", s.UseOnce(ctx, "jti", "a", in(time.Second), in(time.Hour)), store.ErrConsumed)
	e.wants("another space", s.UseOnce(ctx, "interaction", "a", t0, in(minute)), nil)
	e.wants("another key", s.UseOnce(ctx, "jti", "A", t0, in(minute)), nil)
	e.wants("just before its time", s.UseOnce(ctx, "jti", "a", in(minute-time.Microsecond), in(time.Hour)), store.ErrConsumed)
	e.wants("at its time", s.UseOnce(ctx, "jti", "a", in(minute), in(2*minute)), nil)
	e.wants("again after that", s.UseOnce(ctx, "jti", "a", in(minute), in(2*minute)), store.ErrConsumed)
	// Where one key ends and the next begins.
	e.wants("space ab, key c", s.UseOnce(ctx, "ab", "c", t0, in(minute)), nil)
	e.wants("space a, key bc", s.UseOnce(ctx, "a", "bc", t0, in(minute)), nil)
}
