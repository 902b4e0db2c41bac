package fetch

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"
)

// failedFor is how long a failure is an answer, too: strangers can make us ask,
// but not make us knock at somebody's door all day.
const failedFor = 5 * time.Second

// entry is one address; its lock makes concurrent callers share one request.
type entry struct {
	sync.Mutex
	known bool
	body  []byte
	err   error
	at    time.Time
}

type cache struct {
	mu      sync.Mutex
	entries map[string]*entry
	order   []string // oldest first
}

// find returns the entry of an address, making room for it.
func (c *cache) find(address string, most int) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[address]; e != nil {
		return e
	}
	if c.entries == nil {
		c.entries = map[string]*entry{}
	}
	for len(c.order) >= most {
		delete(c.entries, c.order[0])
		c.order = append([]string(nil), c.order[1:]...)
	}
	e := &entry{}
	c.entries[address], c.order = e, append(c.order, address)
	return e
}

// Get returns what is at address, perhaps as it was up to Options.Fresh ago.
// Errors are ErrURL, ErrAddress, ErrStatus, ErrTooLarge, or of the connection.
func (f *Fetcher) Get(ctx context.Context, address string) ([]byte, error) {
	return f.Newer(ctx, address, f.o.Fresh)
}

// Newer is Get with an age of its own: a key set that lacks a key is asked for
// again, if what is known is older than a few seconds.
func (f *Fetcher) Newer(ctx context.Context, address string, age time.Duration) ([]byte, error) {
	if err := f.CheckURL(address); err != nil {
		return nil, err
	}
	e := f.cache.find(address, f.o.Entries)
	e.Lock()
	defer e.Unlock()
	if e.known && e.err != nil {
		age = min(age, failedFor)
	}
	if old := f.o.Now().Sub(e.at); e.known && old < age && old >= 0 {
		return bytes.Clone(e.body), e.err
	}
	body, err := f.do(ctx, http.MethodGet, address, nil, "")
	if err != nil && ctx.Err() != nil {
		return nil, err // the caller went away: that says nothing about the address
	}
	e.known, e.body, e.err, e.at = true, body, err, f.o.Now()
	return bytes.Clone(body), err
}
