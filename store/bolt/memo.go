package bolt

import (
	"sync"

	"anteroom/store"
)

// Bounds of a memo: about 16 MiB at worst.
const (
	memoRows    = 1024
	memoRowSize = 16 << 10 // bytes of JSON; larger rows are decoded each time
)

// memo remembers what rows say, by their bytes: decoding is a pure function of
// them, so that nothing here is ever stale, whichever database or transaction
// they were read from. A nil memo remembers nothing.
type memo[T any] struct {
	mu   sync.RWMutex
	rows map[string]T
}

// get returns a copy: callers may change it.
func (m *memo[T]) get(data []byte) (row T, ok bool) {
	if m == nil {
		return row, false
	}
	m.mu.RLock()
	row, ok = m.rows[string(data)]
	m.mu.RUnlock()
	if !ok {
		return row, false
	}
	return store.Canonical(row), true
}

// put forgets everything when it is full: clients and applications change rarely,
// and those in use are back at once.
func (m *memo[T]) put(data []byte, row T) {
	if m == nil || len(data) > memoRowSize {
		return
	}
	row = store.Canonical(row)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rows == nil || len(m.rows) >= memoRows {
		m.rows = map[string]T{}
	}
	m.rows[string(data)] = row
}
