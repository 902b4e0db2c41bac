package store

import (
	"context"
	"time"
)

// Session is one browser signed in. Its ID is the sid of OpenID Connect
// (front-channel logout section 3); the browser holds a token of which only the
// keyed hash is kept.
type Session struct {
	ID        string
	TokenHash string
	AccountID string
	AuthTime  time.Time // when the last factor was proved
	AMR       []string  // RFC 8176, in the order proved
	ACR       string
	CreatedAt time.Time
	ExpiresAt time.Time
	EndedAt   time.Time // zero: alive
	UserAgent string
	Address   string
}

// Dead returns ErrRevoked if the session was ended, ErrExpired, or nil.
func (s Session) Dead(now time.Time) error {
	return Dead("session", time.Time{}, s.EndedAt, s.ExpiresAt, now)
}

// Sessions. Ended and expired ones are removed by Sweep 24 hours after.
type Sessions interface {
	// CreateSession returns ErrExists if the id or the hash is taken.
	CreateSession(ctx context.Context, s Session) error
	// SessionByToken and Session return the row together with ErrRevoked (ended)
	// or ErrExpired when it is dead, ErrNotFound when it is unknown.
	SessionByToken(ctx context.Context, tokenHash string, now time.Time) (Session, error)
	Session(ctx context.Context, id string, now time.Time) (Session, error)
	// RenewSession changes a live session after a new sign-in (a new token, a
	// later AuthTime). Errors as Session; ErrExists for a taken hash.
	RenewSession(ctx context.Context, id string, now time.Time, change func(*Session) error) (Session, error)
	// EndSession marks it ended; ending a dead one is no error. ErrNotFound.
	EndSession(ctx context.Context, id string, now time.Time) error
	// EndSessionsOf ends all of an account's and returns those that were alive.
	EndSessionsOf(ctx context.Context, accountID string, now time.Time) ([]Session, error)
	// SessionsOf lists an account's live sessions, newest first.
	SessionsOf(ctx context.Context, accountID string, now time.Time) ([]Session, error)
}

// Grant is what a client holds for an account: one code and the tokens that
// came from it, one id for the family. Access tokens are JWTs that name their
// grant and are not stored.
type Grant struct {
	ID            string
	ClientID      string
	ApplicationID string
	AccountID     string
	SessionID     string
	Scopes        []string // granted
	Audiences     []string // granted
	RequestedAt   time.Time
	AuthTime      time.Time
	AMR           []string
	ACR           string
	Nonce         string
	Claims        string // the claims parameter, JSON, as requested
	Details       string // authorization_details, canonical JSON; empty: none
	Params        string // what else of the authorization request matters later, form-encoded, no secrets
	CreatedAt     time.Time
	ExpiresAt     time.Time // after this nothing of the family lives; Sweep removes it
	RevokedAt     time.Time
	RevokedReason string
}

// Code is an authorization code. PKCE belongs to it: a code issued with a
// challenge is never redeemed without a verifier.
type Code struct {
	Hash                string
	GrantID             string
	RedirectURI         string // as sent in the request; empty if none was sent
	CodeChallenge       string
	CodeChallengeMethod string
	IssuedAt            time.Time
	ExpiresAt           time.Time
	UsedAt              time.Time
}

// RefreshToken is a leaf, or a used link, of a family's chain.
type RefreshToken struct {
	Hash      string
	GrantID   string
	Scopes    []string // may be narrower than the grant's
	IssuedAt  time.Time
	ExpiresAt time.Time
	UsedAt    time.Time
	// SessionBound is true when the token dies with the browser session (no
	// offline_access).
	SessionBound bool
}

// Standing is a grant with whom it stands for, as they are at one moment: what
// decides whether something that is presented is still good.
type Standing struct {
	Grant
	Account Account // zero: there is none
	Session Session // alive or not (Session.Dead); zero: the grant names none, or it is gone
}

// GrantFilter selects grants; empty fields match everything, at least one must
// be set.
type GrantFilter struct {
	AccountID     string
	ClientID      string
	ApplicationID string
	SessionID     string
}

// Grants keeps what the protocol needs to remember. Used codes and tokens stay
// as long as their grant, so that reuse can end the family.
type Grants interface {
	// IssueCode creates the grant with its code. Returns ErrExists; ErrInvalid if
	// the code names another grant.
	IssueCode(ctx context.Context, g Grant, c Code) error
	// CreateGrant creates a grant without a code. Returns ErrExists.
	CreateGrant(ctx context.Context, g Grant) error
	// Grant returns the row together with ErrRevoked or ErrExpired when it is
	// dead, ErrNotFound when it is unknown.
	Grant(ctx context.Context, id string, now time.Time) (Grant, error)
	// Standing is Grant together with whom it stands for.
	Standing(ctx context.Context, id string, now time.Time) (Standing, error)
	// Code returns the code and its grant's standing, together with ErrConsumed, ErrRevoked or
	// ErrExpired (in this order) when the code is dead. Changes nothing.
	Code(ctx context.Context, hash string, now time.Time) (Code, Standing, error)
	// RedeemCode uses the code up. Errors as Code: one caller wins (I1).
	// A code is also redeemed to burn it, after a wrong verifier.
	RedeemCode(ctx context.Context, hash string, now time.Time) error

	// CreateRefreshToken adds the first leaf of a family. ErrExists; ErrInvalid:
	// no such grant; ErrRevoked.
	CreateRefreshToken(ctx context.Context, t RefreshToken) error
	// RefreshToken returns the token and its grant's standing, together with ErrConsumed, ErrRevoked or
	// ErrExpired (in this order) when the token is dead.
	RefreshToken(ctx context.Context, hash string, now time.Time) (RefreshToken, Standing, error)
	// RotateRefreshToken uses the old one up and adds next, of the same grant.
	// Errors as RefreshToken: one caller wins (I4). ErrInvalid if next names
	// another grant, ErrExists if its hash is taken.
	RotateRefreshToken(ctx context.Context, oldHash string, next RefreshToken, now time.Time) error

	// RevokeGrant ends the family. Ending a dead one is no error. ErrNotFound.
	RevokeGrant(ctx context.Context, id, reason string, now time.Time) error
	// RevokeGrants ends all live grants that match and returns their ids, newest
	// first.
	RevokeGrants(ctx context.Context, f GrantFilter, reason string, now time.Time) ([]string, error)
	// GrantsOf lists live grants that match, newest first.
	GrantsOf(ctx context.Context, f GrantFilter, now time.Time) ([]Grant, error)

	// RevokeAccessToken denies one JWT until it expires. AccessTokenRevoked says
	// so at least until then.
	RevokeAccessToken(ctx context.Context, jti string, until time.Time) error
	AccessTokenRevoked(ctx context.Context, jti string) (bool, error)
}

// SigningKey is one key of the provider's ring. A key is published at
// CreatedAt, signs from ActiveAt until a later key of its algorithm is active,
// and is withdrawn at RetiredAt.
type SigningKey struct {
	KID       string
	Algorithm string // RS256, ES256, PS256, EdDSA
	Sealed    []byte // PKCS #8, sealed and bound to KID
	PublicJWK []byte // JSON
	CreatedAt time.Time
	ActiveAt  time.Time
	RetiredAt time.Time // zero: no end yet
}

// SigningKeys.
type SigningKeys interface {
	CreateSigningKey(ctx context.Context, k SigningKey) error // ErrExists
	// SigningKeys lists all, oldest first.
	SigningKeys(ctx context.Context) ([]SigningKey, error)
	UpdateSigningKey(ctx context.Context, kid string, change func(*SigningKey) error) error
	DeleteSigningKey(ctx context.Context, kid string) error
}

// OutboxMessage is a mail to be sent, written in the commit that gave the
// reason for it. Body is sealed: it holds links that let people in.
type OutboxMessage struct {
	ID        string
	Kind      string // invitation, password-reset, ...
	To        string
	Sealed    []byte // the message, sealed and bound to ID
	CreatedAt time.Time
	Delivery
}

// Delivery says when something is tried to be delivered, and how that went.
type Delivery struct {
	NextAttempt time.Time
	Attempts    int
	LastError   string
	GivenUpAt   time.Time // zero: still tried
}

// Failed records an attempt that failed at now: next is when to try again, zero to
// give up.
func (d *Delivery) Failed(reason string, now, next time.Time) {
	d.Attempts++
	d.LastError = reason
	if next.IsZero() {
		d.GivenUpAt = now
	} else {
		d.NextAttempt = next
	}
}

// GivenUpFor is how long what was given up stays for the operator.
const GivenUpFor = 30 * 24 * time.Hour

// Outbox. Messages that were given up are removed by Sweep GivenUpFor after.
type Outbox interface {
	EnqueueMail(ctx context.Context, m OutboxMessage) error // ErrExists
	// ClaimMail returns at most n messages that are due at now, longest due
	// first, and moves their NextAttempt to now+lease so that no other node takes
	// them.
	ClaimMail(ctx context.Context, now time.Time, lease time.Duration, n int) ([]OutboxMessage, error)
	// MailSent removes it. ErrNotFound.
	MailSent(ctx context.Context, id string) error
	// MailFailed records an attempt: next is when to try again, zero to give up.
	MailFailed(ctx context.Context, id, reason string, now, next time.Time) error
	// PendingMail lists by id.
	PendingMail(ctx context.Context, page Page) (rows []OutboxMessage, next string, err error)
}

// NoticeKind says what a Notice tells.
type NoticeKind string

// Kinds of notices.
const (
	// NoticeLogout: a session is over (OpenID Connect Back-Channel Logout section
	// 2.4).
	NoticeLogout NoticeKind = ""
	// NoticeDecided: somebody decided on a Backchannel request, which Reference
	// names by its hash (OpenID CIBA Core section 10.2).
	NoticeDecided NoticeKind = "backchannel"
)

// Notice tells a client what happened to an account. It is written in the commit
// of what it tells; the message itself is made when it is delivered.
type Notice struct {
	ID        string
	Kind      NoticeKind
	ClientID  string
	AccountID string
	SessionID string // NoticeLogout
	Reference string // NoticeDecided
	CreatedAt time.Time
	Delivery
}

// Notices is their outbox, as Outbox is that of mail. Those that were given up
// are removed by Sweep GivenUpFor after.
type Notices interface {
	EnqueueNotice(ctx context.Context, n Notice) error // ErrExists
	// ClaimNotices returns at most n notices that are due at now, longest due
	// first, and moves their NextAttempt to now+lease so that no other node takes
	// them.
	ClaimNotices(ctx context.Context, now time.Time, lease time.Duration, n int) ([]Notice, error)
	// NoticeDelivered removes it. ErrNotFound.
	NoticeDelivered(ctx context.Context, id string) error
	// NoticeFailed records an attempt: next is when to try again, zero to give
	// up. ErrNotFound.
	NoticeFailed(ctx context.Context, id, reason string, now, next time.Time) error
	// PendingNotices lists by id.
	PendingNotices(ctx context.Context, page Page) (rows []Notice, next string, err error)
}

// Device is a device authorization request (RFC 8628 section 3.1): a device
// without a browser waits until somebody decides on another one.
type Device struct {
	Hash          string // keyed hash of the device code
	UserCodeHash  string // keyed hash of the user code
	ClientID      string
	ApplicationID string
	Scopes        []string // requested
	Audiences     []string
	Details       string // authorization_details, canonical JSON; empty: none
	Address       string // where the request came from: a hint for the person
	UserAgent     string
	CreatedAt     time.Time
	ExpiresAt     time.Time // after this nothing can be done with it; Sweep removes it a day later
	DecidedAt     time.Time // zero: nobody decided
	GrantID       string    // what was granted; empty: denied, or undecided
	UsedAt        time.Time // zero: no tokens were issued
}

// Devices.
type Devices interface {
	// CreateDevice returns ErrExists if one of the hashes is taken.
	CreateDevice(ctx context.Context, d Device) error
	// Device and DeviceByUserCode return the row together with ErrExpired when
	// its time is over, ErrNotFound when it is unknown.
	Device(ctx context.Context, hash string, now time.Time) (Device, error)
	DeviceByUserCode(ctx context.Context, userCodeHash string, now time.Time) (Device, error)
	// UpdateDevice applies change to the row as it is when the unit commits: one
	// whose change refuses a decided or used row is the way to decide or use it
	// once. The hashes never change (ErrInvalid). Returns ErrNotFound, or
	// change's error.
	UpdateDevice(ctx context.Context, hash string, change func(*Device) error) (Device, error)
}

// Backchannel is an authentication request that a client sent without a browser
// (OpenID CIBA Core section 7): it waits until its person decides in the account
// pages.
type Backchannel struct {
	Hash          string // keyed hash of the auth_req_id
	ClientID      string
	ApplicationID string
	AccountID     string   // whom it is about; nobody's id if nobody is known by the hint
	Scopes        []string // requested
	Audiences     []string
	ACRValues     []string // requested, voluntary
	Binding       string   // binding_message: what the person compares
	Sealed        []byte   // ping mode: what the client is told with, sealed and bound to Hash
	Address       string   // where the request came from
	CreatedAt     time.Time
	ExpiresAt     time.Time // after this nothing can be done with it; Sweep removes it a day later
	DecidedAt     time.Time // zero: nobody decided
	GrantID       string    // what was granted; empty: denied, or undecided
	UsedAt        time.Time // zero: no tokens were issued
}

// Backchannels.
type Backchannels interface {
	// CreateBackchannel returns ErrTooMany if most requests about the account wait
	// already at CreatedAt, ErrExists if the hash is taken.
	CreateBackchannel(ctx context.Context, b Backchannel, most int) error
	// Backchannel returns the row together with ErrExpired when its time is over,
	// ErrNotFound when it is unknown.
	Backchannel(ctx context.Context, hash string, now time.Time) (Backchannel, error)
	// UpdateBackchannel is UpdateDevice for these. What identifies a request, and
	// whom it is about, never changes (ErrInvalid).
	UpdateBackchannel(ctx context.Context, hash string, change func(*Backchannel) error) (Backchannel, error)
	// BackchannelsOf lists what waits for an account's decision, newest first.
	BackchannelsOf(ctx context.Context, accountID string, now time.Time) ([]Backchannel, error)
}

// PushedRequest is an authorization request that a client sent ahead (RFC 9126).
// Its ID is the last part of the request_uri, of which only the keyed hash is
// kept.
type PushedRequest struct {
	Hash      string
	ClientID  string
	Sealed    []byte // the parameters, sealed and bound to Hash; no secrets are among them
	CreatedAt time.Time
	ExpiresAt time.Time // nothing begins with it after this
	UsedAt    time.Time // when its code was issued
}

// PushedRequests. Used and expired ones are removed by Sweep 24 hours after
// their ExpiresAt: until then whoever began in time may finish.
type PushedRequests interface {
	// PushRequest returns ErrExists if the hash is taken.
	PushRequest(ctx context.Context, r PushedRequest) error
	// PushedRequest returns the row together with ErrConsumed or ErrExpired (in
	// this order) when it is over, ErrNotFound when it is unknown.
	PushedRequest(ctx context.Context, hash string, now time.Time) (PushedRequest, error)
	// UsePushedRequest uses it up, expired or not: one caller wins, the others get
	// ErrConsumed. ErrNotFound.
	UsePushedRequest(ctx context.Context, hash string, now time.Time) error
}

// AuditEvent is one entry of the append-only log. Seq, PrevHash and Hash are
// assigned by the store in the commit.
type AuditEvent struct {
	Seq           int64
	At            time.Time
	Type          string // a constant of internal/audit
	Actor         string // account id, "operator", "client:<id>" or "system"
	AccountID     string
	ApplicationID string
	ClientID      string
	SessionID     string
	Address       string
	Details       map[string]string // never a secret, a code or a token
	PrevHash      string
	Hash          string
}

// AuditFilter selects entries; empty fields match everything. An entry at Since is
// in, one at Until is not.
type AuditFilter struct {
	AccountID string
	Type      string
	Since     time.Time
	Until     time.Time
}

// AuditLog is hash-chained: Hash = AuditHash(entry with PrevHash set).
type AuditLog interface {
	AppendAudit(ctx context.Context, e AuditEvent) error
	// AuditEvents lists matching entries by Seq, oldest first; the cursor is a Seq
	// (ErrInvalid for anything else).
	AuditEvents(ctx context.Context, f AuditFilter, page Page) (rows []AuditEvent, next string, err error)
}
