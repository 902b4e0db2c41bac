package account

import (
	"context"
	"time"

	"anteroom/store"
)

// Factor says which counter a failure belongs to; password failures and second
// factor failures count apart.
type Factor string

const (
	FactorPassword Factor = "password"
	FactorSecond   Factor = "second"
)

// Throttled is returned while too many failures are counted.
type Throttled struct {
	Wait time.Duration // until the next try is allowed
}

func (t *Throttled) Error() string { return "throttled for " + t.Wait.String() }

// Throttle counts failures per account and per address, across browsers, nodes
// and flows.
type Throttle struct {
	Failures store.Failures
	Now      func() time.Time
}

// Attempt is one try: who (account id, or the folded name when there is no such
// account), from where, and whether that browser signed in to the account before.
type Attempt struct {
	Factor  Factor
	Account string
	Address string
	Known   bool
}

// Allow returns *Throttled when the attempt must wait. It reads only.
func (t *Throttle) Allow(ctx context.Context, a Attempt) error { return nil }

// Failed counts a failure. It writes (its own unit of work, unless ctx carries one).
func (t *Throttle) Failed(ctx context.Context, a Attempt) error { return nil }

// Succeeded forgets the account's failures of this factor; it writes only if
// there are any.
func (t *Throttle) Succeeded(ctx context.Context, a Attempt) error { return nil }
