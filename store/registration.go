package store

import (
	"context"
	"time"
)

// RegistrationToken lets its holder register clients: the initial access token of
// RFC 7591 section 1.2. The operator makes it; only its keyed hash is kept.
type RegistrationToken struct {
	ID        string
	Hash      string
	Name      string // what the operator calls it
	CreatedBy string
	Uses      int // how many clients it may register
	Used      int
	CreatedAt time.Time
	ExpiresAt time.Time // Sweep removes it RegistrationTokenKept after
	LastUsed  time.Time // zero: never
	RevokedAt time.Time // zero: not
}

// RegistrationTokenKept is how long a token is listed after its end.
const RegistrationTokenKept = 30 * 24 * time.Hour

// Dead is why the token registers nobody (see Dead), nil if it does.
func (t RegistrationToken) Dead(now time.Time) error {
	var used time.Time
	if t.Used >= t.Uses {
		used = t.LastUsed
	}
	return Dead("registration token", used, t.RevokedAt, t.ExpiresAt, now)
}

// RegistrationTokens.
type RegistrationTokens interface {
	// CreateRegistrationToken returns ErrExists if the id or the hash is taken.
	CreateRegistrationToken(ctx context.Context, t RegistrationToken) error
	// UseRegistrationToken counts a use. Returns the row together with ErrConsumed
	// (no use is left), ErrRevoked or ErrExpired (in this order) when it is dead,
	// ErrNotFound when it is unknown. Of concurrent callers no more win than there
	// are uses.
	UseRegistrationToken(ctx context.Context, hash string, now time.Time) (RegistrationToken, error)
	// RegistrationToken returns the row with this hash, with errors as
	// UseRegistrationToken. Changes nothing.
	RegistrationToken(ctx context.Context, hash string, now time.Time) (RegistrationToken, error)
	// RevokeRegistrationToken ends it; ending a dead one is no error. ErrNotFound.
	RevokeRegistrationToken(ctx context.Context, id string, now time.Time) (RegistrationToken, error)
	// RegistrationTokens lists by id, dead ones included.
	RegistrationTokens(ctx context.Context, page Page) (rows []RegistrationToken, next string, err error)
}
