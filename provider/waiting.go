package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"anteroom/flow"
	"anteroom/internal/seal"
	"anteroom/store"
)

// waiting is what a client asks for again and again until somebody decided on
// another machine: a device request, or one over the back channel.
type waiting struct {
	hash, clientID, grantID string
	decidedAt, usedAt       time.Time
	err                     error  // of loading it
	name                    string // of the parameter
	bad                     func(cause error) *refusal
}

// errDecided: somebody else was faster, or the time is over.
var errDecided = fmt.Errorf("the request is decided or expired: %w", store.ErrConsumed)

// admitWaiting is RFC 8628 section 3.5 and OpenID CIBA Core section 11.
func (p *Provider) admitWaiting(ctx context.Context, x *exchange, w waiting) error {
	if w.err != nil && !over(w.err) {
		return fmt.Errorf("load what %s stands for: %w", w.name, w.err)
	}
	switch {
	case errors.Is(w.err, store.ErrNotFound):
		return w.bad(w.err)
	case w.clientID != x.client.ID:
		return w.bad(errors.New("of another client"))
	case !w.usedAt.IsZero():
		return w.bad(store.ErrConsumed)
	case w.err != nil:
		return refuse("expired_token", "The %s has expired. Start again with a new one.", w.name).because(w.err)
	case p.polls.tooSoon(w.hash, x.now):
		return refuse("slow_down", "Wait five seconds longer between requests.")
	case w.decidedAt.IsZero():
		return refuse("authorization_pending", "Nobody has decided yet. Ask again.")
	case w.grantID == "":
		return refuse("access_denied", "The person did not let the client in.")
	}
	x.waits = w.hash
	of, err := p.store.Standing(ctx, w.grantID, x.now)
	if err != nil {
		return orBad(dead("load grant", err), w.bad)
	}
	if err := p.standing(of, true); err != nil {
		return orBad(err, w.bad)
	}
	x.standFor(of)
	x.scopes = x.grant.Scopes
	return x.narrow()
}

// useUp marks what is good for tokens once. Of any number of callers one succeeds.
func useUp(used *time.Time, now time.Time) error {
	if !used.IsZero() {
		return store.ErrConsumed
	}
	*used = now
	return nil
}

// settleWaiting adds the first refresh token to a request that was used up.
func (p *Provider) settleWaiting(ctx context.Context, x *exchange, event string) error {
	if x.next != nil {
		if err := p.store.CreateRefreshToken(ctx, *x.next); err != nil {
			return err
		}
	}
	return p.record(ctx, event, x, nil)
}

// laterGrant is what somebody lets a client have that fetches its tokens later,
// within the given time. It does not end with the session of the browser that was
// used to approve it: that is another machine.
func (p *Provider) laterGrant(c store.Client, app store.Application, auth flow.Authentication, asked, granted []string, within time.Duration) store.Grant {
	now := p.now()
	return store.Grant{
		ID: seal.RandomID(), ClientID: c.ID, ApplicationID: app.ID, AccountID: auth.AccountID,
		Scopes:   slices.DeleteFunc(slices.Clone(asked), func(s string) bool { return !contains(granted, s) || !contains(c.Scopes, s) }),
		AuthTime: auth.AuthTime, AMR: auth.AMR, ACR: auth.ACR,
		CreatedAt: now, ExpiresAt: now.Add(max(p.grantLife(c), within+p.life.AccessToken)),
	}
}

// polls remembers when clients asked last: who asks too often is slowed down.
// Each node counts what it sees; nothing is stored.
type polls struct {
	mu   sync.Mutex
	seen map[string]poll
}

type poll struct {
	at    time.Time
	every time.Duration
}

const maxPolls = 10_000

// tooSoon tells whether a client must slow down; its interval grows by five
// seconds then (RFC 8628 section 3.5, OpenID CIBA Core section 11).
func (l *polls) tooSoon(hash string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil || len(l.seen) >= maxPolls {
		l.seen = map[string]poll{}
	}
	last, known := l.seen[hash]
	if !known {
		last.every = deviceInterval
	}
	// A second of grace: the network may be quicker now than the last time.
	soon := known && now.Sub(last.at) < last.every-time.Second && !now.Before(last.at)
	if soon {
		last.every += deviceInterval
	}
	last.at = now
	l.seen[hash] = last
	return soon
}
