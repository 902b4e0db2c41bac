package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Commits is a row: how often one request makes the server sync its file.
type Commits struct {
	Request string  `json:"request"`
	Times   int     `json:"times"`     // it was sent
	Syncs   float64 `json:"fdatasync"` // median
	Commits float64 `json:"commits"`   // syncs by syncsPerCommit
	Limit   float64 `json:"limit"`     // in commits
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

// counter counts syncs of requests in the output of strace.
type counter struct {
	file  string
	order []string
	syncs map[string][]float64
}

// watch counts what one request leads to. A call is in the file before the
// server goes on, and so before it answers.
func (c *counter) watch(name string, do func() error) error {
	before, err := countSyncs(c.file)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	after, err := countSyncs(c.file)
	if err != nil {
		return err
	}
	c.add(name, float64(after-before))
	return nil
}

func (c *counter) add(name string, syncs float64) {
	if c.syncs == nil {
		c.syncs = map[string][]float64{}
	}
	if c.syncs[name] == nil {
		c.order = append(c.order, name)
	}
	c.syncs[name] = append(c.syncs[name], syncs)
}

func (c *counter) rows() []Commits {
	var rows []Commits
	for _, name := range c.order {
		m := median(c.syncs[name])
		rows = append(rows, Commits{
			Request: name, Times: len(c.syncs[name]), Syncs: m, Commits: m / syncsPerCommit, Limit: budget[name],
		})
	}
	return rows
}

// countCommits lives through whole sign-ins and everything that a portal does,
// one request at a time, with the server under strace.
func (b *Bench) countCommits(ctx context.Context, file string, times int) ([]Commits, error) {
	c := &counter{file: file}
	for range times {
		who, code, ok, err := b.Crowd.take()
		if err != nil || !ok {
			return nil, fmt.Errorf("nobody left to sign in: %w", err)
		}
		if err := b.countOnce(ctx, c, who, code); err != nil {
			return nil, err
		}
	}
	err := c.watch("nothing, for two seconds", func() error {
		time.Sleep(2 * time.Second)
		return nil
	})
	return c.rows(), err
}

func (b *Bench) countOnce(ctx context.Context, c *counter, who *Person, code string) error {
	p := b.Portal
	if err := c.watch("discovery", func() error { return p.discovery(ctx) }); err != nil {
		return err
	}
	if err := c.watch("jwks", func() error { return p.jwks(ctx) }); err != nil {
		return err
	}
	var own Tokens
	err := c.watch("client credentials", func() (err error) {
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
	if err := c.watch("introspection", func() error { return p.introspect(ctx, own.Access, sub) }); err != nil {
		return err
	}
	tokens, jar, err := b.countSignIn(ctx, c, who, code)
	if err != nil {
		return err
	}
	if err := c.watch("userinfo", func() error { return p.userInfo(ctx, tokens.Access, who.Email) }); err != nil {
		return err
	}
	err = c.watch("refresh", func() error {
		_, err := p.refresh(ctx, tokens.Refresh)
		return err
	})
	if err != nil {
		return err
	}
	return c.watch("code issued by single sign-on", func() error {
		_, err := p.authorize(ctx, jar)
		return err
	})
}

// countSignIn counts each request of a sign-in, and all of them together.
func (b *Bench) countSignIn(ctx context.Context, c *counter, who *Person, code string) (t Tokens, jar http.CookieJar, err error) {
	before, err := countSyncs(c.file)
	if err != nil {
		return t, nil, err
	}
	issued, jar, err := walk(ctx, b.Portal, who, code, c.watch)
	if err != nil {
		return t, nil, fmt.Errorf("sign-in of %s: %w", who.Email, err)
	}
	err = c.watch("code redeemed", func() (err error) {
		t, err = b.Portal.exchange(ctx, issued)
		return err
	})
	if err != nil {
		return t, nil, err
	}
	after, err := countSyncs(c.file)
	c.add(wholeSignIn, float64(after-before))
	return t, jar, err
}
