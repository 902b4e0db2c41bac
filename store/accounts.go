package store

import (
	"context"
	"time"
)

// AccountState says whether an account may sign in.
type AccountState string

const (
	AccountInvited  AccountState = "invited" // never finished an activation
	AccountActive   AccountState = "active"
	AccountDisabled AccountState = "disabled"
)

// Account is a person. ID is the OpenID Connect sub: random, never reused.
type Account struct {
	ID             string
	UserName       string // as written; unique when folded (FoldName)
	Email          string // as written; unique when folded; may be empty
	EmailVerified  bool
	State          AccountState
	OrganisationID string // the organisation that the account belongs to; may be empty

	PasswordHash      string // PHC string (argon2id or bcrypt); empty: none chosen yet
	PasswordChangedAt time.Time

	// Profile holds the standard claims (OpenID Connect Core section 5.1) other
	// than sub, email, email_verified, preferred_username and updated_at, by
	// claim name. Values have their JSON type: address is an object.
	Profile map[string]any

	// NotBefore voids every session, interaction and grant that is older: set by
	// disable, end-sessions, password change and reset of the second factor.
	NotBefore time.Time

	CreatedAt time.Time
	UpdatedAt time.Time
}

// DisplayName is what pages call the person.
func (a Account) DisplayName() string {
	if name, _ := a.Profile["name"].(string); name != "" {
		return name
	}
	if a.Email != "" {
		return a.Email
	}
	return a.UserName
}

// Accounts keeps people. User names and addresses share one space, in which they
// are unique when folded: nobody can take somebody else's address as a name.
type Accounts interface {
	// CreateAccount returns ErrExists if the id, the folded user name or the
	// folded e-mail is taken.
	CreateAccount(ctx context.Context, a Account) error
	// Account returns ErrNotFound if there is none.
	Account(ctx context.Context, id string) (Account, error)
	// AccountByName finds by folded user name or folded e-mail.
	// Returns ErrNotFound.
	AccountByName(ctx context.Context, nameOrEmail string) (Account, error)
	// UpdateAccount applies change to the row as it is when the unit commits.
	// Returns ErrNotFound, ErrExists (a taken name), or change's error.
	UpdateAccount(ctx context.Context, id string, change func(*Account) error) (Account, error)
	// Accounts lists by id. next is the cursor of the next page, "" at the end.
	Accounts(ctx context.Context, page Page) (rows []Account, next string, err error)
}

// Authenticator is a bound second factor. Only confirmed ones are stored.
type Authenticator struct {
	ID         string
	AccountID  string
	Kind       string // "totp"
	Label      string // what the member calls it
	Sealed     []byte // the TOTP secret, sealed and bound to AccountID
	CreatedAt  time.Time
	LastUsedAt time.Time
}

// Authenticators keeps second factors and the last accepted TOTP step.
type Authenticators interface {
	// AddAuthenticator returns ErrExists if the id is taken.
	AddAuthenticator(ctx context.Context, a Authenticator) error
	// AuthenticatorsOf lists an account's authenticators, oldest first.
	AuthenticatorsOf(ctx context.Context, accountID string) ([]Authenticator, error)
	// RemoveAuthenticator returns ErrNotFound if there is none.
	RemoveAuthenticator(ctx context.Context, accountID, id string) error
	// TouchAuthenticator sets LastUsedAt. Returns ErrNotFound.
	TouchAuthenticator(ctx context.Context, accountID, id string, at time.Time) error

	// AdvanceTOTP accepts a time step (unix seconds / 30) for the account.
	// Returns ErrConsumed unless step is greater than the last accepted one.
	// The last step belongs to the account, not to one authenticator: it
	// survives removal and new enrolment (invariant I2, RFC 6238 section 5.2).
	AdvanceTOTP(ctx context.Context, accountID string, step int64) error
	// LastTOTP returns the last accepted step, 0 if none was.
	LastTOTP(ctx context.Context, accountID string) (int64, error)
}

// RecoveryCodes keeps one set of single-use codes per account, as keyed hashes.
type RecoveryCodes interface {
	// ReplaceRecoveryCodes drops the old set and stores the new one; nil
	// leaves none.
	ReplaceRecoveryCodes(ctx context.Context, accountID string, hashes []string, now time.Time) error
	// UseRecoveryCode returns ErrNotFound for a hash that is not in the set and
	// ErrConsumed for one that was used.
	UseRecoveryCode(ctx context.Context, accountID, hash string, now time.Time) error
	// RecoveryCodesLeft counts the unused ones.
	RecoveryCodesLeft(ctx context.Context, accountID string) (int, error)
}

// Invitation lets one account into one application. The link carries a secret
// of which only the keyed hash is kept.
type Invitation struct {
	ID            string
	TokenHash     string
	AccountID     string
	ApplicationID string
	InvitedBy     string // account id, or "operator"
	CreatedAt     time.Time
	ExpiresAt     time.Time
	UsedAt        time.Time // zero: not used
	RevokedAt     time.Time // zero: not revoked; a fresh link revokes the one before
}

// Invitations. Dead ones stay for 90 days after expiry, so that an old link can
// offer a fresh one.
type Invitations interface {
	// CreateInvitation returns ErrExists if the id or the hash is taken.
	CreateInvitation(ctx context.Context, inv Invitation) error
	// InvitationByToken returns the row together with ErrConsumed, ErrRevoked or
	// ErrExpired (in this order) when the link is dead, and ErrNotFound when it
	// is unknown. It changes nothing.
	InvitationByToken(ctx context.Context, tokenHash string, now time.Time) (Invitation, error)
	// UseInvitation marks it used. Errors as InvitationByToken.
	UseInvitation(ctx context.Context, tokenHash string, now time.Time) (Invitation, error)
	// RevokeInvitations ends the open invitations of the account to the
	// application ("" means all) and returns how many there were.
	RevokeInvitations(ctx context.Context, accountID, applicationID string, now time.Time) (int, error)
	// InvitationsOf lists an account's invitations, oldest first.
	InvitationsOf(ctx context.Context, accountID string) ([]Invitation, error)
}

// Reset lets one account choose a new password. Same life as an Invitation.
type Reset struct {
	ID            string
	TokenHash     string
	AccountID     string
	ApplicationID string // where she was going; may be empty
	InteractionID string // the pending authorization to go on with, if this browser holds it
	CreatedAt     time.Time
	ExpiresAt     time.Time
	UsedAt        time.Time
	RevokedAt     time.Time
}

// Resets.
type Resets interface {
	// CreateReset revokes the account's open resets (at r.CreatedAt): only the
	// newest link works.
	// Returns ErrExists if the id or the hash is taken.
	CreateReset(ctx context.Context, r Reset) error
	// ResetByToken and UseReset: as InvitationByToken and UseInvitation.
	ResetByToken(ctx context.Context, tokenHash string, now time.Time) (Reset, error)
	UseReset(ctx context.Context, tokenHash string, now time.Time) (Reset, error)
}
