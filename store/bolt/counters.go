package bolt

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"anteroom/store"
)

// failuresByEnd orders the counters by their end: the first is forgotten when
// there are too many.
const failuresByEnd bucket = "failures.until"

var failures = &table[store.Failure]{
	bucket: "failures",
	key:    func(f *store.Failure) string { return key(f.Key) },
	indexes: func(f *store.Failure) []index {
		return []index{{failuresByEnd, key(stamp(f.Until), f.Key), false}}
	},
	expires: func(f *store.Failure) time.Time { return f.Until },
}

// failureCount is how many rows failures has.
const (
	counts       bucket = "counts"
	failureCount        = "failures"
)

func countFailures(t tx, delta int) (int, error) {
	n, _ := strconv.Atoi(string(t.get(counts, failureCount))) // nothing there: 0
	n += delta
	if delta == 0 {
		return n, nil
	}
	return n, t.put(counts, failureCount, []byte(strconv.Itoa(n)))
}

// RecordFailure: see store.Failures.
func (s *Store) RecordFailure(ctx context.Context, name string, now time.Time, window time.Duration) (f store.Failure, err error) {
	name = store.CounterKey(name)
	if err := store.CheckIdentity(name); err != nil {
		return f, err
	}
	err = s.write(ctx, func(t tx) (err error) {
		f, err = s.recordFailure(t, name, store.Time(now), window)
		return err
	})
	return f, err
}

func (s *Store) recordFailure(t tx, name string, now time.Time, window time.Duration) (store.Failure, error) {
	var f store.Failure
	known := failures.has(t, key(name))
	if known {
		var err error
		if f, err = failures.get(t, key(name)); err != nil {
			return f, err
		}
	} else if err := s.makeRoom(t); err != nil {
		return f, err
	}
	if !known || store.Over(f.Until, now) {
		f = store.Failure{Key: name, First: now, Until: store.Time(now.Add(window))}
	}
	f.Count++
	f.Last = now
	return f, failures.put(t, f)
}

// makeRoom counts one more key, and forgets one if that is one too many.
func (s *Store) makeRoom(t tx) error {
	n, err := countFailures(t, 1)
	if err != nil || n <= s.maxFailures {
		return err
	}
	for _, first := range t.scan(failuresByEnd, "", "") {
		return dropFailure(t, string(first))
	}
	return nil
}

func dropFailure(t tx, primary string) error {
	if !failures.has(t, primary) {
		return nil
	}
	if _, err := countFailures(t, -1); err != nil {
		return err
	}
	return failures.del(t, primary)
}

// Failure: see store.Failures.
func (s *Store) Failure(ctx context.Context, name string, now time.Time) (f store.Failure, err error) {
	primary := key(store.CounterKey(name))
	err = s.read(ctx, func(t tx) (err error) {
		if !failures.has(t, primary) {
			return nil
		}
		f, err = failures.get(t, primary)
		return err
	})
	if err != nil || f.Key == "" || store.Over(f.Until, now) {
		return store.Failure{}, err
	}
	return f, nil
}

// ClearFailures: see store.Failures.
func (s *Store) ClearFailures(ctx context.Context, name string) error {
	return s.write(ctx, func(t tx) error { return dropFailure(t, key(store.CounterKey(name))) })
}

// seen is a value that was used, once.
type seen struct {
	Space, Key string
	Until      time.Time
}

var once = &table[seen]{
	bucket:  "once",
	key:     func(o *seen) string { return key(o.Space, o.Key) },
	expires: func(o *seen) time.Time { return o.Until },
}

// UseOnce: see store.Once.
func (s *Store) UseOnce(ctx context.Context, space, name string, now, until time.Time) error {
	row := store.Canonical(seen{Space: space, Key: store.CounterKey(name), Until: until})
	if err := store.CheckIdentity(row.Space, row.Key); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error {
		before, err := once.get(t, once.key(&row))
		if err == nil && !store.Over(before.Until, now) {
			return fmt.Errorf("%s: %w", space, store.ErrConsumed)
		}
		return once.put(t, row)
	})
}
