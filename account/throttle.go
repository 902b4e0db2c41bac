package account

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"anteroom/internal/web"
	"anteroom/store"
)

// Factor says which counter a failure belongs to; password failures and second
// factor failures count apart.
type Factor string

const (
	FactorPassword Factor = "password"
	FactorSecond   Factor = "second"

	// Requests for links by mail, which anybody may make, count per account that
	// gets the mail, and per address that asks.
	factorLink     Factor = "link"
	factorLinkFrom Factor = "link-from"
)

// Throttled is returned while too many failures are counted. At the edge it is
// a page with status 429 and Retry-After.
type Throttled struct {
	Wait time.Duration // until the next try is allowed
}

func (t *Throttled) Error() string { return "throttled for " + t.Wait.String() }

// Explain says how long to wait.
func (t *Throttled) Explain() string {
	return "There were too many attempts. Wait " + words(t.Wait) + ", then try again."
}

// Seconds is the wait for Retry-After and countdowns, rounded up.
func (t *Throttled) Seconds() int { return int((t.Wait + time.Second - 1) / time.Second) }

// Unwrap gives the page for handlers that have none of their own.
func (t *Throttled) Unwrap() error {
	return &web.Problem{
		Status: http.StatusTooManyRequests, Heading: "Please wait a moment",
		Sentence: t.Explain(), RetryAfter: t.Seconds(),
	}
}

// FailureStore is what throttling writes to.
type FailureStore interface {
	store.UnitOfWork
	store.Failures
}

// Throttle counts failures per account and per address, across browsers, nodes
// and flows. It is safe for concurrent use; do not copy it.
//
// Second-factor failures come only after a right password, so they count per
// account and may lock: nobody without the password can cause them.
//
// Password failures can be caused by anybody. What is strict there is tied to
// where the guesses come from: the address (an IPv6 /64 is one), and the pair
// of account and address. A limit for the whole account slows down guesses from
// many addresses; it is lenient, and neither it nor the limits of the address
// touch a browser that signed in to the account before: those count among
// themselves, so that no stranger can lock a member out.
type Throttle struct {
	Failures FailureStore
	Now      func() time.Time

	lanes [64]sync.Mutex
}

// Attempt is one try: who (account id, or the folded name when there is no such
// account), from where, and whether that browser signed in to the account before.
type Attempt struct {
	Factor  Factor
	Account string
	Address string
	Known   bool
}

// limit lets free failures pass within window; after that each try waits since
// the last failure: first, twice that, and so on up to most.
type limit struct {
	key    string
	window time.Duration
	free   int
	first  time.Duration
	most   time.Duration
	resets bool // a success forgets it
}

// limits lists the counters that an attempt meets.
func (a Attempt) limits() []limit {
	const day = 24 * time.Hour
	who, from := fingerprint(a.Account), network(a.Address)
	switch {
	case a.Factor == FactorSecond:
		return []limit{{"second/" + who, day, 5, 30 * time.Second, 15 * time.Minute, true}}
	case a.Factor == factorLink:
		return []limit{{"link/" + who, time.Hour, 3, 15 * time.Minute, time.Hour, false}}
	case a.Factor == factorLinkFrom:
		return []limit{{"link-from/" + from, time.Hour, 20, 15 * time.Second, 15 * time.Minute, false}}
	case a.Known:
		return []limit{{"password-known/" + who, day, 10, 15 * time.Second, 15 * time.Minute, true}}
	}
	return []limit{
		{"password-at/" + who + "/" + from, day, 5, 15 * time.Second, 15 * time.Minute, true},
		{"password-from/" + from, time.Hour, 30, 5 * time.Second, 15 * time.Minute, false},
		{"password/" + who, day, 100, 5 * time.Second, time.Minute, false},
	}
}

// wait is how long the try after count failures waits after the last one.
func (l limit) wait(count int) time.Duration {
	over := count - l.free
	if over < 0 {
		return 0
	}
	if over > 16 { // further doubling overflows, and most is long reached
		return l.most
	}
	return min(l.first<<over, l.most)
}

// Allow returns *Throttled when the attempt must wait. It reads only.
//
// Between Allow and Failed other attempts may pass: hold the account's lane
// (Lane) over both where a guess is cheap, as a six-digit code is.
func (t *Throttle) Allow(ctx context.Context, a Attempt) error {
	now, wait := t.Now(), time.Duration(0)
	for _, l := range a.limits() {
		f, err := t.Failures.Failure(ctx, l.key, now)
		if err != nil {
			return fmt.Errorf("read failures: %w", err)
		}
		// A clock that went back makes Last lie ahead: wait no longer than the rule says.
		since := max(now.Sub(f.Last), 0)
		wait = max(wait, l.wait(f.Count)-since)
	}
	if wait > 0 {
		return &Throttled{Wait: wait}
	}
	return nil
}

// Failed counts a failure. It writes (its own unit of work, unless ctx carries one).
func (t *Throttle) Failed(ctx context.Context, a Attempt) error {
	now := t.Now()
	return t.Failures.Do(ctx, func(ctx context.Context) error {
		for _, l := range a.limits() {
			if _, err := t.Failures.RecordFailure(ctx, l.key, now, l.window); err != nil {
				return fmt.Errorf("count failure: %w", err)
			}
		}
		return nil
	})
}

// Succeeded forgets the account's failures of this factor; it writes only if
// there are any. Counters of an address, and the lenient one of the account,
// stay: otherwise one right password of the attacker's own, or every sign-in of
// the member, would give free guesses back.
func (t *Throttle) Succeeded(ctx context.Context, a Attempt) error {
	now := t.Now()
	for _, l := range a.limits() {
		if !l.resets {
			continue
		}
		f, err := t.Failures.Failure(ctx, l.key, now)
		if err != nil {
			return fmt.Errorf("read failures: %w", err)
		}
		if f.Count == 0 {
			continue
		}
		if err := t.Failures.ClearFailures(ctx, l.key); err != nil {
			return fmt.Errorf("clear failures: %w", err)
		}
	}
	return nil
}

// Lane makes this node's attempts at one account wait for each other: between
// Lane and the returned release, no other holder of the account's lane runs.
// Without it, a thousand guesses sent at once would all pass Allow before the
// first failure is counted.
func (t *Throttle) Lane(account string) (release func()) {
	lane := &t.lanes[sha256.Sum256([]byte(account))[0]%uint8(len(t.lanes))]
	lane.Lock()
	return lane.Unlock
}

// fingerprint keeps what was typed out of the store: people type passwords into
// the name field, and keys must be short.
func fingerprint(account string) string {
	sum := sha256.Sum256([]byte(account))
	return base64.RawURLEncoding.EncodeToString(sum[:15])
}

// network is the part of an address that belongs to one party: an IPv4 address,
// an IPv6 /64. What is no address at all shares one counter.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return "unknown"
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return "unknown"
	}
	return prefix.String()
}

// words says a duration as a person would: rounded up, one unit.
func words(d time.Duration) string {
	count := func(n int, unit string) string {
		if n == 1 {
			return "1 " + unit
		}
		return fmt.Sprintf("%d %ss", n, unit)
	}
	switch seconds := int((d + time.Second - 1) / time.Second); {
	case seconds <= 90:
		return count(max(seconds, 1), "second")
	case seconds <= 90*60:
		return count((seconds+59)/60, "minute")
	default:
		return count((seconds+3599)/3600, "hour")
	}
}
