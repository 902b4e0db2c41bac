package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors that every implementation returns (wrapped; compare with errors.Is).
var (
	// ErrNotFound: there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrExists: a row with this identity (id, name, e-mail, key) exists already.
	ErrExists = errors.New("already exists")
	// ErrConsumed: a thing that works once (code, link, refresh token, TOTP
	// step, recovery code, jti) was used before.
	ErrConsumed = errors.New("already used")
	// ErrExpired: the thing is past its time.
	ErrExpired = errors.New("expired")
	// ErrRevoked: the thing, or the grant it belongs to, was ended.
	ErrRevoked = errors.New("revoked")
	// ErrTooMany: there are as many already as there may be.
	ErrTooMany = errors.New("too many")
	// ErrInvalid: the caller broke the contract (an empty id, a dangling reference).
	ErrInvalid = errors.New("invalid")
	// ErrUnavailable: the store cannot answer now (disk full, connection lost,
	// serialization kept failing). Nothing was acknowledged. Callers answer 503.
	ErrUnavailable = errors.New("store unavailable")
)

// Store is everything. Consumers ask for the nouns they need instead.
type Store interface {
	UnitOfWork

	Accounts
	Authenticators
	RecoveryCodes
	Invitations
	Resets
	Applications
	Clients
	RegistrationTokens
	Organisations
	Roles
	Assignments
	Terms
	Consents
	Sessions
	Grants
	SigningKeys
	Failures
	Once
	Outbox
	Notices
	Devices
	PushedRequests
	Backchannels
	AuditLog
	Metadata

	// Sweep removes at most limit rows that expired by now, by index,
	// never by scanning a table, and returns how many it removed. Several nodes
	// may sweep at once.
	Sweep(ctx context.Context, now time.Time, limit int) (int, error)
	// Ready returns nil when the store can read and write, else the reason.
	Ready(ctx context.Context) error
	Close() error
}

// UnitOfWork gathers the writes of one request and commits them once.
type UnitOfWork interface {
	// Do runs fn in a unit of work and commits it when fn returns nil. If ctx
	// carries a unit already, fn joins that one and the outer caller commits; if
	// fn fails then, the outer Commit fails with that error. fn may run more than
	// once.
	Do(ctx context.Context, fn func(ctx context.Context) error) error
	// Together is Do for the last writes of a request: fn calls nothing but verbs
	// whose only result is an error, and returns the first error that it gets.
	// Its unit may share transaction, round trips and sync with those of others
	// that come at the same moment; then its verbs return nil before they are
	// done, and when one of them has lost, fn runs again as Do runs it, and fails
	// or not as it does then. Within a unit it is Do.
	Together(ctx context.Context, fn func(ctx context.Context) error) error
	// Begin returns a context that carries a new unit of work, or joins the
	// one in ctx: then its Commit and Rollback do nothing but mark the outer
	// unit (a rolled back inner unit makes the outer Commit fail with
	// ErrInvalid). For code that cannot be given as a function; prefer Do.
	Begin(ctx context.Context) (context.Context, error)
	// Commit makes the unit in ctx durable or returns the typed error of the
	// verb that lost, in which case nothing was written. Without a unit, or the
	// second time: ErrInvalid. The error of ctx means that nothing was written;
	// when that is not sure any more, Commit waits for the outcome.
	Commit(ctx context.Context) error
	// Rollback forgets the unit in ctx. After Commit it does nothing; without a
	// unit it returns ErrInvalid.
	Rollback(ctx context.Context) error
}

// Page asks for one page of a listing. Listings are ordered by id (its bytes) or,
// where said, by time; the order is stable while rows come and go.
type Page struct {
	After string // cursor: the Next of the page before; "" is the first page
	Limit int    // 1 to 1000; 0 means 100; anything else is ErrInvalid
}

// Time rounds t as every store does: UTC, microseconds.
func Time(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// Over tells whether an end has come: a thing is alive while now is before its end.
// One without an end never was.
func Over(end, now time.Time) bool { return !Time(now).Before(Time(end)) }

// Dead says why a thing that works once, until a time, works no more: ErrConsumed,
// ErrRevoked or ErrExpired, in this order; nil if it is alive.
func Dead(what string, used, revoked, expires, now time.Time) error {
	switch {
	case !used.IsZero():
		return fmt.Errorf("%s: %w", what, ErrConsumed)
	case !revoked.IsZero():
		return fmt.Errorf("%s: %w", what, ErrRevoked)
	case Over(expires, now):
		return fmt.Errorf("%s: %w", what, ErrExpired)
	}
	return nil
}

// Once remembers that a value was seen: the jti of an assertion, the id of an
// Interaction that was finished.
type Once interface {
	// UseOnce records (space, key) until the given time. Returns ErrConsumed if
	// it is recorded already and that time has not come (RFC 7523 section 3).
	// Keys are kept as CounterKey.
	UseOnce(ctx context.Context, space, key string, now, until time.Time) error
}

// Failure is the count of failures under one key within a window.
type Failure struct {
	Key   string
	Count int
	First time.Time // start of the window
	Last  time.Time
	Until time.Time // when the record expires
}

// Failures are the counters that throttling reads. They are the only thing an
// anonymous request may write, so they are bounded: an implementation keeps at
// most MaxFailureKeys and forgets the one that expires first.
type Failures interface {
	// RecordFailure adds one to key and returns the new count. The first failure
	// opens a window of that length; one that is over starts again at one. Keys
	// may be made of what somebody typed: they are kept as CounterKey.
	RecordFailure(ctx context.Context, key string, now time.Time, window time.Duration) (Failure, error)
	// Failure returns the count in force at now; a zero Failure, not an error,
	// if there is none.
	Failure(ctx context.Context, key string, now time.Time) (Failure, error)
	ClearFailures(ctx context.Context, key string) error
}

// MaxFailureKeys bounds Failures.
const MaxFailureKeys = 200_000

// Metadata is a small set of named facts about the database itself: the
// identity of the master key, the schema, the restore epoch.
type Metadata interface {
	// Meta returns ErrNotFound if name is not set.
	Meta(ctx context.Context, name string) (string, error)
	// SetMetaOnce sets name if it is not set, and returns the value in force.
	SetMetaOnce(ctx context.Context, name, value string) (string, error)
	SetMeta(ctx context.Context, name, value string) error
	// DeleteMeta forgets name; an unset one is no error.
	DeleteMeta(ctx context.Context, name string) error
}

// MetaRestored is the name under which a store that was restored from a backup
// keeps the time of that (RFC 3339). What was consumed between the backup and
// then is forgotten, so whatever was begun before and works once (a sealed
// Interaction, the jti of an assertion) must be refused.
const MetaRestored = "restored_at"
