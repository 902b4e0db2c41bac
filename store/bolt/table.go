package bolt

import (
	"encoding/json"
	"fmt"
	"time"

	"anteroom/store"
)

// index is one entry that leads to a row.
type index struct {
	bucket bucket
	key    string
	unique bool // no two rows may have it
}

// table keeps rows of one type, with their indexes and their place in the index
// of expiry times.
type table[T any] struct {
	bucket  bucket
	key     func(*T) string
	indexes func(*T) []index
	expires func(*T) time.Time // when Sweep may remove the row; zero: never
	decoded *memo[T]           // for rows that are read by every request; nil: decoded each time
}

// expiry orders what expires by time. The value says which row of which table.
const expiry bucket = "expiry"

// entries are all index entries of a row.
func (tb *table[T]) entries(row *T) []index {
	var all []index
	if tb.indexes != nil {
		all = tb.indexes(row)
	}
	if tb.expires != nil {
		if when := tb.expires(row); !when.IsZero() {
			all = append(all, index{bucket: expiry, key: key(stamp(when), string(tb.bucket)) + tb.key(row)})
		}
	}
	return all
}

// get returns ErrNotFound if there is no row under the key.
func (tb *table[T]) get(t tx, key string) (T, error) {
	var row T
	data := t.get(tb.bucket, key)
	if data == nil {
		return row, fmt.Errorf("%s: %w", tb.bucket, store.ErrNotFound)
	}
	return tb.decode(data)
}

func (tb *table[T]) decode(data []byte) (T, error) {
	if row, ok := tb.decoded.get(data); ok {
		return row, nil
	}
	var row T
	if err := json.Unmarshal(data, &row); err != nil {
		return row, fmt.Errorf("damaged row in %s: %w", tb.bucket, err)
	}
	tb.decoded.put(data, row)
	return row, nil
}

func (tb *table[T]) has(t tx, key string) bool { return t.get(tb.bucket, key) != nil }

// by follows an index entry to its row. Returns ErrNotFound.
func (tb *table[T]) by(t tx, b bucket, key string) (T, error) {
	primary := t.get(b, key)
	if primary == nil {
		var none T
		return none, fmt.Errorf("%s: %w", tb.bucket, store.ErrNotFound)
	}
	return tb.get(t, string(primary))
}

// insert adds a row. Returns ErrExists if its key or a unique entry is taken.
func (tb *table[T]) insert(t tx, row T) error {
	if tb.has(t, tb.key(&row)) {
		return fmt.Errorf("%s: %w", tb.bucket, store.ErrExists)
	}
	return tb.put(t, row)
}

// put writes a row and mends the index entries of the one that it replaces.
// Returns ErrExists if a unique entry belongs to another row.
func (tb *table[T]) put(t tx, row T) error {
	row = store.Canonical(row)
	primary := tb.key(&row)
	entries := tb.entries(&row)
	for _, e := range entries {
		if owner := t.get(e.bucket, e.key); e.unique && owner != nil && string(owner) != primary {
			return fmt.Errorf("%s: %w", e.bucket, store.ErrExists)
		}
	}
	data, err := json.Marshal(row)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", tb.bucket, store.ErrInvalid, err)
	}
	if err := tb.dropEntries(t, primary); err != nil {
		return err
	}
	for _, e := range entries {
		value := primary
		if e.bucket == expiry {
			value = key(string(tb.bucket)) + primary
		}
		if err := t.put(e.bucket, e.key, []byte(value)); err != nil {
			return err
		}
	}
	return t.put(tb.bucket, primary, data)
}

// del removes a row and its index entries, if it is there.
func (tb *table[T]) del(t tx, primary string) error {
	if err := tb.dropEntries(t, primary); err != nil {
		return err
	}
	return t.del(tb.bucket, primary)
}

func (tb *table[T]) dropEntries(t tx, primary string) error {
	old, err := tb.get(t, primary)
	if err != nil {
		if tb.has(t, primary) {
			return err
		}
		return nil
	}
	for _, e := range tb.entries(&old) {
		if err := t.del(e.bucket, e.key); err != nil {
			return err
		}
	}
	return nil
}

// update applies change to a row and returns the result as stored. Errors as
// get and put, ErrInvalid if change touched what identifies the row, and
// change's own.
func (tb *table[T]) update(t tx, primary string, change func(*T) error) (T, error) {
	var none T
	row, err := tb.get(t, primary)
	if err != nil {
		return none, err
	}
	if err := change(&row); err != nil {
		return none, err
	}
	if tb.key(&row) != primary {
		return none, fmt.Errorf("%s: the identity of a row never changes: %w", tb.bucket, store.ErrInvalid)
	}
	if err := tb.put(t, row); err != nil {
		return none, err
	}
	return tb.get(t, primary)
}

// rows collects what an index lists under prefix. For the table itself pass its
// own bucket.
func (tb *table[T]) rows(t tx, b bucket, prefix string) ([]T, error) {
	out, _, err := tb.page(t, b, prefix, "", 0)
	return out, err
}

// page collects at most limit rows (0: all) that b lists under prefix, after the
// given key. last is the key of the last row if more follow, else "".
func (tb *table[T]) page(t tx, b bucket, prefix, after string, limit int) (rows []T, last string, err error) {
	at := ""
	for k, v := range t.scan(b, prefix, after) {
		if limit > 0 && len(rows) == limit {
			return rows, at, nil
		}
		var row T
		if b == tb.bucket {
			row, err = tb.decode(v)
		} else {
			row, err = tb.get(t, string(v))
		}
		if err != nil {
			return nil, "", err
		}
		rows, at = append(rows, row), k
	}
	return rows, "", nil
}

// limit returns the number of rows that p asks for, or ErrInvalid.
func limit(p store.Page) (int, error) {
	switch {
	case p.Limit == 0:
		return 100, nil
	case p.Limit < 0 || p.Limit > 1000:
		return 0, fmt.Errorf("a page of %d rows (1 to 1000): %w", p.Limit, store.ErrInvalid)
	}
	return p.Limit, nil
}

// pageByID lists rows by an id which is the last part of the keys under prefix.
// The cursor is that id.
func pageByID[T any](t tx, tb *table[T], b bucket, prefix string, p store.Page) (rows []T, next string, err error) {
	n, err := limit(p)
	if err != nil {
		return nil, "", err
	}
	after := ""
	if p.After != "" {
		after = prefix + key(p.After)
	}
	rows, last, err := tb.page(t, b, prefix, after, n)
	if err != nil || last == "" {
		return rows, "", err
	}
	all := parts(last)
	return rows, all[len(all)-1], nil
}

// remove is del for a row that must be there. Returns ErrNotFound.
func (tb *table[T]) remove(t tx, primary string) error {
	if !tb.has(t, primary) {
		return fmt.Errorf("%s: %w", tb.bucket, store.ErrNotFound)
	}
	return tb.del(t, primary)
}
