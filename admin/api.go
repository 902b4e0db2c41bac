package admin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"anteroom/account"
	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
)

// Store is what administration reads and writes.
type Store interface {
	store.UnitOfWork
	store.Accounts
	store.Authenticators
	store.RecoveryCodes
	store.Invitations
	store.Applications
	store.Clients
	store.RegistrationTokens
	store.Organisations
	store.Roles
	store.Assignments
	store.Terms
	store.Sessions
	store.Grants
	store.SigningKeys
	store.Outbox
	store.AuditLog
}

// Accounts is what package account does for administration.
type Accounts interface {
	Invite(ctx context.Context, inv account.Invite) (account.Invited, error)
	Import(ctx context.Context, r io.Reader, by string, report func(account.ImportReport)) (account.ImportSummary, error)
	Disable(ctx context.Context, accountID, by string) error
	Enable(ctx context.Context, accountID, by string) error
	EndSessions(ctx context.Context, accountID, by string) error
	EndSession(ctx context.Context, sessionID, by, reason string) (grants int, err error)
	ResetSecondFactor(ctx context.Context, accountID, by, reason string) error
	InvalidatePassword(ctx context.Context, accountID, by, reason string) (mailed bool, err error)
}

// Keys is the ring of signing keys.
type Keys interface {
	List(ctx context.Context) ([]store.SigningKey, error)
	// State says what a key of List does now: pending, active, retiring, retired.
	State(key store.SigningKey, all []store.SigningKey) string
	// Rotate makes a new key of each algorithm, that signs after lead. Returns
	// store.ErrConsumed if another node rotated at the same moment.
	Rotate(ctx context.Context, lead time.Duration) ([]store.SigningKey, error)
	// Withdraw takes a key out of the ring at once. Returns store.ErrNotFound, and
	// store.ErrInvalid for one that signs now.
	Withdraw(ctx context.Context, kid string) error
}

// Backup writes a consistent copy of the store, taken at one moment, to path.
type Backup interface {
	Backup(ctx context.Context, path string) error
}

// Mailer sends a test message at once, past the outbox, so that the answer of
// the mail server can be shown.
type Mailer interface {
	Test(ctx context.Context, to string) error
}

// API serves administration. All fields are needed.
type API struct {
	Store     Store
	Accounts  Accounts
	Keys      Keys
	Backup    Backup
	Scratch   string // folder for the copy while it is sent: the data folder
	Mail      Mailer
	SendsMail bool // a mail server is configured
	Seal      *seal.Keyring
	Issuer    string // for the settings that portals need
	// CheckRedirectURI says what is wrong with a redirect URI (the rule is the
	// provider's).
	CheckRedirectURI func(uri, applicationType, issuer string) error
	// CheckClient says what is wrong with how a client is to prove itself, by
	// metadata (the rules are the provider's). It may be nil.
	CheckClient func(c store.Client) map[string]string
	// SettleSubject decides whom a client's subjects are made for, and says what
	// stands against it (the rules are the provider's); before is nil if it is new.
	// It may be nil.
	SettleSubject func(ctx context.Context, before, c *store.Client) map[string]string
	Now           func() time.Time
	Log           *slog.Logger
}

// Actor is who acts. Authentication puts it into the context.
type Actor struct {
	Name string // as the audit log names it: an account id or account.Operator
}

type actorKey struct{}

// WithActor returns a context in which a acts.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

func actorOf(r *http.Request) (name string, ok bool) {
	actor, ok := r.Context().Value(actorKey{}).(Actor)
	return actor.Name, ok && actor.Name != ""
}

// AsOperator makes every caller the operator. It is for listeners that only the
// operator can reach.
func AsOperator(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(WithActor(r.Context(), Actor{Name: account.Operator})))
	})
}

// call is one request with what is known about it.
type call struct {
	*http.Request
	ctx   context.Context
	actor string
}

// record appends an audit event in the unit of work of ctx.
func (a *API) record(ctx context.Context, c call, e store.AuditEvent) error {
	e.At, e.Actor, e.Address = a.Now(), c.actor, web.Address(ctx)
	return audit.Record(ctx, a.Store, e)
}

// page reads limit and after.
func page(c call) (store.Page, error) {
	q := c.URL.Query()
	p := store.Page{After: q.Get("after")}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1000 {
			return p, mistakes{{"limit", "must be a number from 1 to 1000"}}.problem()
		}
		p.Limit = n
	}
	return p, nil
}

// List is one page of a listing.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"` // give it as after to get the next page
}

// list turns rows into a page of what callers see.
func list[R, T any](rows []R, next string, view func(R) T) List[T] {
	out := List[T]{Items: make([]T, len(rows)), Next: next}
	for i, r := range rows {
		out.Items[i] = view(r)
	}
	return out
}

// Done answers requests that have nothing else to tell.
type Done struct {
	Done string `json:"done"` // a sentence
}

func done(format string, args ...any) (Done, error) {
	return Done{Done: fmt.Sprintf(format, args...)}, nil
}
