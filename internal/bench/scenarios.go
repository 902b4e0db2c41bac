package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// clientCounts are the numbers of clients that each scenario is run with.
var clientCounts = []int{1, 16, 64}

// maxClients is the largest of clientCounts.
const maxClients = 64

// Scenario is an operation for each client. prepare, if any, is called before
// each run and is not measured.
type Scenario struct {
	Name    string
	clients []op
	prepare func(ctx context.Context, clients int, d time.Duration) error
}

const (
	scenarioRefresh  = "refresh"
	scenarioExchange = "code exchange"
)

// Bench is a running product with a portal and people.
type Bench struct {
	*Product
	Portal *Client
	Crowd  Crowd
	Codes  Codes

	jars   []http.CookieJar // of browsers that are signed in
	people []*Person        // who sits there
	tokens []Tokens         // what the portal holds for them
}

// Occupy signs one person in for each client.
func (b *Bench) Occupy(ctx context.Context) error {
	for range maxClients {
		who, code, ok, err := b.Crowd.take()
		if err != nil || !ok {
			return errors.Join(errors.New("nobody left to sign in"), err)
		}
		got, jar, err := signIn(ctx, b.Portal, who, code)
		if err != nil {
			return err
		}
		tokens, err := b.Portal.exchange(ctx, got)
		if err != nil {
			return err
		}
		b.jars, b.people, b.tokens = append(b.jars, jar), append(b.people, who), append(b.tokens, tokens)
	}
	return nil
}

// same is one operation without a state, for every client.
func same(do op) []op {
	all := make([]op, maxClients)
	for i := range all {
		all[i] = do
	}
	return all
}

// each makes an operation for every client.
func each(client func(i int) op) []op {
	all := make([]op, maxClients)
	for i := range all {
		all[i] = client(i)
	}
	return all
}

// Scenarios lists what is measured, in order: exchange takes the codes that
// authorize has got.
func (b *Bench) Scenarios(ctx context.Context) ([]Scenario, error) {
	own, err := b.Portal.clientCredentials(ctx)
	if err != nil {
		return nil, err
	}
	sub, err := subject(own.Access)
	if err != nil {
		return nil, err
	}
	return []Scenario{
		{Name: "discovery", clients: same(b.Portal.discovery)},
		{Name: "jwks", clients: same(b.Portal.jwks)},
		{Name: "client_credentials", clients: same(func(ctx context.Context) error {
			_, err := b.Portal.clientCredentials(ctx)
			return err
		})},
		{Name: "introspection", clients: same(func(ctx context.Context) error { return b.Portal.introspect(ctx, own.Access, sub) })},
		{Name: "userinfo", clients: each(func(i int) op {
			return func(ctx context.Context) error { return b.Portal.userInfo(ctx, b.tokens[i].Access, b.people[i].Email) }
		})},
		{Name: scenarioRefresh, clients: each(b.refresh)},
		{Name: "authorize (single sign-on)", clients: each(b.authorize)},
		{Name: scenarioExchange, clients: same(b.exchange), prepare: b.collect},
		{Name: "sign-in", clients: same(b.signIn)},
	}, nil
}

// refresh rotates the tokens of one client, each time the newest.
func (b *Bench) refresh(i int) op {
	return func(ctx context.Context) error {
		t, err := b.Portal.refresh(ctx, b.tokens[i].Refresh)
		if err == nil {
			b.tokens[i] = t
		}
		return err
	}
}

func (b *Bench) authorize(i int) op {
	return func(ctx context.Context) error {
		code, err := b.Portal.authorize(ctx, b.jars[i])
		if err == nil {
			b.Codes.put(code)
		}
		return err
	}
}

func (b *Bench) exchange(ctx context.Context) error {
	code, ok := b.Codes.take()
	if !ok {
		return errDone
	}
	_, err := b.Portal.exchange(ctx, code)
	return err
}

// collect gets codes until there are enough for a run, by a guess that is a
// little high.
func (b *Bench) collect(ctx context.Context, clients int, d time.Duration) error {
	rate := 2500.0
	if clients == 1 {
		rate = 1000
	}
	want := int(rate * d.Seconds())
	end := time.Now().Add(2 * d)
	if b.Codes.len() >= want {
		return nil
	}
	until := make([]op, 16)
	for i := range until {
		do := b.authorize(i)
		until[i] = func(ctx context.Context) error {
			if b.Codes.len() >= want {
				return errDone
			}
			return do(ctx)
		}
	}
	if s := loop(ctx, until, end); s.OK == 0 && b.Codes.len() == 0 {
		return fmt.Errorf("no codes to exchange: %v", s.Failures)
	}
	return nil
}

// signIn is a whole sign-in with both factors, from the portal's request to the
// code.
func (b *Bench) signIn(ctx context.Context) error {
	who, code, ok, err := b.Crowd.take()
	if err != nil {
		return err
	}
	if !ok {
		return errDone
	}
	defer func() { b.Crowd <- who }()
	_, _, err = signIn(ctx, b.Portal, who, code)
	return err
}

// empty is a request to a handler that does nothing, as large as one for client
// credentials.
func empty(c *Client, address string) op {
	return func(ctx context.Context) error {
		var answer struct{}
		return c.post(ctx, address, url.Values{"grant_type": {"client_credentials"}}, &answer)
	}
}
