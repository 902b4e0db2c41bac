package fetch

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"strings"
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
	life  time.Duration // that the server gave it (RFC 9111 section 5.2.2); negative: it did not say
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
	return f.cached(ctx, address, func(time.Duration) time.Duration { return age })
}

// AsLongAsItSays is Get with the age that the server gave its answer, but at least
// least and at most most; Options.Fresh, within these, if it gave none.
func (f *Fetcher) AsLongAsItSays(ctx context.Context, address string, least, most time.Duration) ([]byte, error) {
	return f.cached(ctx, address, func(life time.Duration) time.Duration {
		if life < 0 {
			life = f.o.Fresh
		}
		return max(least, min(life, most))
	})
}

func (f *Fetcher) cached(ctx context.Context, address string, fresh func(life time.Duration) time.Duration) ([]byte, error) {
	if err := f.CheckURL(address); err != nil {
		return nil, err
	}
	e := f.cache.find(address, f.o.Entries)
	e.Lock()
	defer e.Unlock()
	age := fresh(e.life)
	if e.known && e.err != nil {
		age = min(age, failedFor)
	}
	if old := f.o.Now().Sub(e.at); e.known && old < age && old >= 0 {
		return bytes.Clone(e.body), e.err
	}
	body, header, err := f.do(ctx, http.MethodGet, address, nil, "")
	if err != nil && ctx.Err() != nil {
		return nil, err // the caller went away: that says nothing about the address
	}
	e.known, e.body, e.life, e.err, e.at = true, body, lifeOf(header), err, f.o.Now()
	return bytes.Clone(body), err
}

// lifeOf reads Cache-Control; negative: it says nothing.
func lifeOf(header http.Header) time.Duration {
	life := time.Duration(-1)
	for _, line := range header.Values("Cache-Control") {
		for _, word := range strings.Split(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(strings.ToLower(word)), "=")
			switch name {
			case "no-store", "no-cache":
				return 0
			case "max-age":
				if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
					life = time.Duration(n) * time.Second
				}
			}
		}
	}
	return life
}
