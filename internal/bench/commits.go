package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Commits is a row: how often one request makes the store commit. Seen is what
// that was found by: calls of fdatasync on the file, transactions that wrote on
// PostgreSQL (the audit log is chained in transactions of its own, afterwards).
type Commits struct {
	Store   string  `json:"store"`
	Request string  `json:"request"`
	Times   int     `json:"times"`   // it was sent
	Seen    float64 `json:"seen"`    // median
	Commits float64 `json:"commits"` // median
	Limit   float64 `json:"limit"`   // in commits
}

// reading is what a counter shows.
type reading struct{ seen, commits float64 }

func (r reading) since(before reading) reading {
	return reading{r.seen - before.seen, r.commits - before.commits}
}

// budget is the design's, in commits; whatever is not in it has 0.
var budget = map[string]float64{
	stepChallenge:                   2, // second factor and session 1, code 1
	"code issued by single sign-on": 1,
	"code redeemed":                 1,
	"refresh":                       1,
	wholeSignIn:                     3,
}

const (
	stepChallenge = "POST /mfa/challenge (second factor and session, then the code)"
	wholeSignIn   = "a whole sign-in, tokens included"
)

// counter counts the commits of requests.
type counter struct {
	store string
	read  func(ctx context.Context) (reading, error)
	order []string
	found map[string][]reading
}

// watch counts what one request leads to.
func (c *counter) watch(ctx context.Context, name string, do func() error) error {
	before, err := c.read(ctx)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	after, err := c.read(ctx)
	if err != nil {
		return err
	}
	c.add(name, after.since(before))
	return nil
}

func (c *counter) add(name string, r reading) {
	if c.found == nil {
		c.found = map[string][]reading{}
	}
	if c.found[name] == nil {
		c.order = append(c.order, name)
	}
	c.found[name] = append(c.found[name], r)
}

func (c *counter) rows() []Commits {
	var rows []Commits
	for _, name := range c.order {
		found := c.found[name]
		rows = append(rows, Commits{
			Store: c.store, Request: name, Times: len(found), Limit: budget[name],
			Seen:    medianOf(found, func(r reading) float64 { return r.seen }),
			Commits: medianOf(found, func(r reading) float64 { return r.commits }),
		})
	}
	return rows
}

// countCommits lives through whole sign-ins and everything that a portal does,
// one request at a time.
func (b *Bench) countCommits(ctx context.Context, c *counter, times int) ([]Commits, error) {
	for range times {
		who, code, ok, err := b.Crowd.take()
		if err != nil || !ok {
			return nil, fmt.Errorf("nobody left to sign in: %w", err)
		}
		if err := b.countOnce(ctx, c, who, code); err != nil {
			return nil, err
		}
	}
	err := c.watch(ctx, "nothing, for two seconds", func() error {
		time.Sleep(2 * time.Second)
		return nil
	})
	return c.rows(), err
}

func (b *Bench) countOnce(ctx context.Context, c *counter, who *Person, code string) error {
	p := b.Portal
	if err := c.watch(ctx, "discovery", func() error { return p.discovery(ctx) }); err != nil {
		return err
	}
	if err := c.watch(ctx, "jwks", func() error { return p.jwks(ctx) }); err != nil {
		return err
	}
	var own Tokens
	err := c.watch(ctx, "client credentials", func() (err error) {
		own, err = p.clientCredentials(ctx)
		return err
	})
	if err != nil {
		return err
	}
	sub, err := subject(own.Access)
	if err != nil {
		return err
	}
	if err := c.watch(ctx, "introspection", func() error { return p.introspect(ctx, own.Access, sub) }); err != nil {
		return err
	}
	tokens, jar, err := b.countSignIn(ctx, c, who, code)
	if err != nil {
		return err
	}
	if err := c.watch(ctx, "userinfo", func() error { return p.userInfo(ctx, tokens.Access, who.Email) }); err != nil {
		return err
	}
	err = c.watch(ctx, "refresh", func() error {
		_, err := p.refresh(ctx, tokens.Refresh)
		return err
	})
	if err != nil {
		return err
	}
	return c.watch(ctx, "code issued by single sign-on", func() error {
		_, err := p.authorize(ctx, jar)
		return err
	})
}

// countSignIn counts each request of a sign-in, and all of them together.
func (b *Bench) countSignIn(ctx context.Context, c *counter, who *Person, code string) (t Tokens, jar http.CookieJar, err error) {
	before, err := c.read(ctx)
	if err != nil {
		return t, nil, err
	}
	issued, jar, err := walk(ctx, b.Portal, who, code, func(name string, do func() error) error { return c.watch(ctx, name, do) })
	if err != nil {
		return t, nil, fmt.Errorf("sign-in of %s: %w", who.Email, err)
	}
	err = c.watch(ctx, "code redeemed", func() (err error) {
		t, err = b.Portal.exchange(ctx, issued)
		return err
	})
	if err != nil {
		return t, nil, err
	}
	after, err := c.read(ctx)
	c.add(wholeSignIn, after.since(before))
	return t, jar, err
}
