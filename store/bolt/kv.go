package bolt

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"anteroom/store"

	bbolt "go.etcd.io/bbolt"
)

// bucket names one ordered key space.
type bucket string

// tx is the transaction that verbs are written against.
type tx interface {
	// get returns nil if there is nothing. The bytes are valid during the
	// transaction and must not be changed.
	get(b bucket, key string) []byte
	put(b bucket, key string, value []byte) error
	del(b bucket, key string) error
	// scan yields the keys that start with prefix and are greater than after,
	// in order. The loop may change the bucket; it goes on over what was there
	// when it began.
	scan(b bucket, prefix, after string) iter.Seq2[string, []byte]
}

// key joins parts so that the order of keys is the order of their parts, and so
// that key(a) is a prefix of key(a, b) and of nothing else: each part ends with
// NUL, which Text does not contain.
func key(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(store.Text(p))
		b.WriteByte(0)
	}
	return b.String()
}

// parts is the inverse of key.
func parts(key string) []string {
	return strings.Split(strings.TrimSuffix(key, "\x00"), "\x00")
}

// stamp writes a time so that the order of strings is the order of times.
func stamp(t time.Time) string { return ordered(store.Time(t).UnixMicro()) }

// ordered writes n with 16 hexadecimal digits whose order is that of numbers.
func ordered(n int64) string { return fmt.Sprintf("%016x", uint64(n)^(1<<63)) }

// boltTx is a transaction of the file.
type boltTx struct{ *bbolt.Tx }

func (t boltTx) get(b bucket, key string) []byte { return t.Bucket([]byte(b)).Get([]byte(key)) }

func (t boltTx) put(b bucket, key string, value []byte) error {
	return t.Bucket([]byte(b)).Put([]byte(key), value)
}

func (t boltTx) del(b bucket, key string) error { return t.Bucket([]byte(b)).Delete([]byte(key)) }

func (t boltTx) scan(b bucket, prefix, after string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		cursor := t.Bucket([]byte(b)).Cursor()
		for k, v := cursor.Seek([]byte(max(prefix, after))); k != nil; k, v = cursor.Next() {
			name := string(k)
			if !strings.HasPrefix(name, prefix) {
				return
			}
			if name == after && after != "" {
				continue
			}
			if !yield(name, v) {
				return
			}
		}
	}
}

// change is what an overlay holds for a key.
type change struct {
	value   []byte
	deleted bool
}

// changes is a write-set.
type changes map[bucket]map[string]change

// overlay is a transaction over another one: it reads through, and keeps its
// writes to itself until flush.
type overlay struct {
	base   tx
	writes changes
}

func newOverlay(base tx) *overlay { return &overlay{base: base, writes: changes{}} }

func (o *overlay) get(b bucket, key string) []byte {
	if c, ok := o.writes[b][key]; ok {
		if c.deleted {
			return nil
		}
		return c.value
	}
	return o.base.get(b, key)
}

// put refuses here what bbolt would refuse at flush, where the unit's neighbours
// in the commit would suffer.
func (o *overlay) put(b bucket, key string, value []byte) error {
	if key == "" || len(key) > bbolt.MaxKeySize || int64(len(value)) > bbolt.MaxValueSize {
		return fmt.Errorf("a key of %d bytes, a value of %d bytes: %w", len(key), len(value), store.ErrInvalid)
	}
	if value == nil {
		value = []byte{}
	}
	o.set(b, key, change{value: value})
	return nil
}

func (o *overlay) del(b bucket, key string) error {
	o.set(b, key, change{deleted: true})
	return nil
}

func (o *overlay) set(b bucket, key string, c change) {
	if o.writes[b] == nil {
		o.writes[b] = map[string]change{}
	}
	o.writes[b][key] = c
}

func (o *overlay) scan(b bucket, prefix, after string) iter.Seq2[string, []byte] {
	type written struct {
		key string
		change
	}
	return func(yield func(string, []byte) bool) {
		var own []written
		for k, c := range o.writes[b] {
			if strings.HasPrefix(k, prefix) && (k > after || after == "") {
				own = append(own, written{k, c})
			}
		}
		slices.SortFunc(own, func(a, b written) int { return strings.Compare(a.key, b.key) })
		// until yields our keys below limit; false means that the loop ended.
		until := func(limit string, all bool) bool {
			for len(own) > 0 && (all || own[0].key < limit) {
				w := own[0]
				own = own[1:]
				if !w.deleted && !yield(w.key, w.value) {
					return false
				}
			}
			return true
		}
		for k, v := range o.base.scan(b, prefix, after) {
			if !until(k, false) {
				return
			}
			if len(own) > 0 && own[0].key == k {
				continue // ours comes with the next call of until
			}
			if !yield(k, v) {
				return
			}
		}
		until("", true)
	}
}

// flush moves the writes that make a difference into the base, and says whether
// there were any.
func (o *overlay) flush() (changed bool, err error) {
	for b, writes := range o.writes {
		for k, c := range writes {
			before := o.base.get(b, k)
			switch {
			case c.deleted && before == nil:
				continue
			case c.deleted:
				err = o.base.del(b, k)
			case before != nil && string(before) == string(c.value):
				continue
			default:
				err = o.base.put(b, k, c.value)
			}
			if err != nil {
				return changed, fmt.Errorf("write to bucket %s: %w", b, err)
			}
			changed = true
		}
	}
	return changed, nil
}
