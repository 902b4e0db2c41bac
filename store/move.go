package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Noun names one kind of row, for moving everything to another backend.
type Noun string

// Nouns are all kinds of rows, in an order in which a row comes after those that
// it refers to. Rows of a noun have the type in the comment.
var Nouns = []Noun{
	"metadata",            // Fact
	"accounts",            // Account
	"authenticators",      // Authenticator
	"totp_steps",          // TOTPStep
	"recovery_codes",      // RecoveryCode
	"applications",        // Application
	"clients",             // Client
	"organisations",       // Organisation
	"roles",               // Role
	"assignments",         // Assignment
	"terms_versions",      // TermsVersion
	"terms_acceptances",   // TermsAcceptance
	"consents",            // Consent
	"invitations",         // Invitation
	"resets",              // Reset
	"sessions",            // Session
	"signing_keys",        // SigningKey
	"grants",              // Grant
	"codes",               // Code
	"refresh_tokens",      // RefreshToken
	"denied_tokens",       // DeniedToken
	"failures",            // Failure
	"used_once",           // Used
	"outbox",              // OutboxMessage
	"notices",             // Notice
	"devices",             // Device
	"pushed_requests",     // PushedRequest
	"backchannels",        // Backchannel
	"registration_tokens", // RegistrationToken
	"audit_log",           // AuditEvent
}

// Rows that verbs hide otherwise.
type (
	// Fact is one of Metadata.
	Fact struct{ Name, Value string }
	// TOTPStep is the last accepted step of an account.
	TOTPStep struct {
		AccountID string
		Step      int64
	}
	// RecoveryCode is one of an account's set.
	RecoveryCode struct {
		AccountID string
		Hash      string
		CreatedAt time.Time
		UsedAt    time.Time
	}
	// DeniedToken is an access token that was revoked before its end.
	DeniedToken struct {
		JTI   string
		Until time.Time
	}
	// Used is a value that was used once.
	Used struct {
		Space, Key string
		Until      time.Time
	}
)

// Snapshot is everything that a store holds, as of one moment.
type Snapshot interface {
	// Rows calls each with every row of a noun, a copy, until it returns an error.
	Rows(ctx context.Context, noun Noun, each func(row any) error) error
	Close() error
}

// Mover is a store whose rows can be moved as they are, past the verbs.
type Mover interface {
	Metadata
	Snapshot(ctx context.Context) (Snapshot, error)
	// Load adds rows of one noun in one commit. A row whose key is there already
	// stays as it is. References are not checked, times are taken as given.
	Load(ctx context.Context, noun Noun, rows []any) error
}

// MetaMoving is the name under which a store that everything is being moved to
// keeps what it has to hold in the end (JSON). It must not be used while it is set.
const MetaMoving = "moving"

// Sum says what a store holds of one noun: how many rows, and a digest that does
// not depend on their order.
type Sum struct {
	Rows   int64
	Digest string // hex
}

// Errors of Move.
var (
	// ErrNotEmpty: the target holds rows that are not from this source.
	ErrNotEmpty = errors.New("the target is not empty")
	// ErrDiffers: after all, the target does not hold what the source does.
	ErrDiffers = errors.New("the target differs from the source")
)

// Progress is called now and then: what of a noun is done, of how many rows.
type Progress func(step string, noun Noun, done, of int64)

const moveStep = 500

// Move copies everything from one store to another, empty one, and compares row
// counts and digests afterwards. Interrupted, it goes on when it is called again
// with a source that has not changed. Returns the sums, ErrNotEmpty, ErrDiffers,
// or what the stores say.
func Move(ctx context.Context, from, to Mover, progress Progress) (map[Noun]Sum, error) {
	source, err := from.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the source: %w", err)
	}
	defer func() { _ = source.Close() }() // it only reads
	want, err := sums(ctx, source, func(noun Noun, done int64) { progress("read", noun, done, 0) })
	if err != nil {
		return nil, fmt.Errorf("read the source: %w", err)
	}
	if err := claim(ctx, to, want); err != nil {
		return nil, err
	}
	for _, noun := range Nouns {
		if err := load(ctx, source, to, noun, want[noun].Rows, progress); err != nil {
			return nil, fmt.Errorf("write %s: %w", noun, err)
		}
	}
	if err := verify(ctx, to, want, progress); err != nil {
		return nil, err
	}
	if err := to.DeleteMeta(ctx, MetaMoving); err != nil {
		return nil, fmt.Errorf("finish: %w", err)
	}
	return want, nil
}

// claim marks the target with what it shall hold, or finds that mark.
func claim(ctx context.Context, to Mover, want map[Noun]Sum) error {
	data, err := json.Marshal(want)
	if err != nil {
		return err
	}
	mark, err := to.Meta(ctx, MetaMoving)
	switch {
	case err == nil && mark == string(data):
		return nil
	case err == nil:
		return fmt.Errorf("%w: it was begun with another source, or the source has changed since; start again with a new target", ErrNotEmpty)
	case !errors.Is(err, ErrNotFound):
		return fmt.Errorf("read the target: %w", err)
	}
	have, err := sumsOf(ctx, to, nil)
	if err != nil {
		return fmt.Errorf("read the target: %w", err)
	}
	for _, noun := range Nouns {
		if have[noun].Rows > 0 {
			return fmt.Errorf("%w: it has %d rows of %s", ErrNotEmpty, have[noun].Rows, noun)
		}
	}
	_, err = to.SetMetaOnce(ctx, MetaMoving, string(data))
	return err
}

func load(ctx context.Context, source Snapshot, to Mover, noun Noun, of int64, progress Progress) error {
	var rows []any
	done := int64(0)
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		if err := to.Load(ctx, noun, rows); err != nil {
			return err
		}
		done += int64(len(rows))
		rows = rows[:0]
		progress("write", noun, done, of)
		return nil
	}
	err := source.Rows(ctx, noun, func(row any) error {
		if rows = append(rows, row); len(rows) < moveStep {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

func verify(ctx context.Context, to Mover, want map[Noun]Sum, progress Progress) error {
	have, err := sumsOf(ctx, to, func(noun Noun, done int64) { progress("compare", noun, done, want[noun].Rows) })
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	for _, noun := range Nouns {
		if have[noun] != want[noun] {
			return fmt.Errorf("%w: %s: %d rows (%.8s), the source has %d (%.8s)", ErrDiffers, noun, have[noun].Rows, have[noun].Digest, want[noun].Rows, want[noun].Digest)
		}
	}
	return nil
}

func sumsOf(ctx context.Context, s Mover, progress func(Noun, int64)) (map[Noun]Sum, error) {
	snapshot, err := s.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = snapshot.Close() }() // it only reads
	return sums(ctx, snapshot, progress)
}

// Sums counts and digests everything that a store holds.
func Sums(ctx context.Context, s Mover) (map[Noun]Sum, error) { return sumsOf(ctx, s, nil) }

func sums(ctx context.Context, s Snapshot, progress func(Noun, int64)) (map[Noun]Sum, error) {
	out := map[Noun]Sum{}
	for _, noun := range Nouns {
		var digest [sha256.Size]byte
		var rows int64
		err := s.Rows(ctx, noun, func(row any) error {
			if fact, ok := row.(Fact); ok && fact.Name == MetaMoving {
				return nil
			}
			data, err := json.Marshal(row)
			if err != nil {
				return err
			}
			// Rows differ in their keys, so none cancels another.
			for i, b := range sha256.Sum256(data) {
				digest[i] ^= b
			}
			if rows++; rows%10_000 == 0 && progress != nil {
				progress(noun, rows)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", noun, err)
		}
		out[noun] = Sum{Rows: rows, Digest: hex.EncodeToString(digest[:])}
	}
	return out, nil
}
