package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// Operator is the actor of commands: the person who runs the installation.
const Operator = "operator"

// Store is what accounts need to remember.
type Store interface {
	store.UnitOfWork
	store.Accounts
	store.Authenticators
	store.RecoveryCodes
	store.Invitations
	store.Resets
	store.Applications
	store.Clients
	store.Notices
	store.Organisations
	store.Assignments
	store.Terms
	store.Sessions
	store.Grants
	store.AuditLog
}

// Outbox takes mail in the unit of work of ctx.
type Outbox interface {
	Enqueue(ctx context.Context, to string, m templates.Mail) error
}

// Accounts is everything that happens to an account. Methods that write join
// the unit of work of ctx, or make their own; each records its audit event in
// that unit.
type Accounts struct {
	Store    Store
	Seal     *seal.Keyring
	Outbox   Outbox
	Hasher   *Hasher
	Throttle *Throttle
	Issuer   string // URL; links are built from nothing else (invariant I7)
	Product  string // what the operator calls this service; no password contains little more. May be empty
	Now      func() time.Time
	Log      *slog.Logger // nil: slog.Default

	InvitationLife time.Duration // 0: seven days
	ResetLife      time.Duration // 0: one hour

	// Floor is how long a refused password and a request for a reset take at
	// least, whatever was found: hashes that came from another system may cost
	// more than ours, and mail is written for some only. 0: 400 ms.
	Floor time.Duration
}

func (a *Accounts) invitationLife() time.Duration { return or(a.InvitationLife, 7*24*time.Hour) }
func (a *Accounts) resetLife() time.Duration      { return or(a.ResetLife, time.Hour) }

func or(d, fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return d
}

// settle waits until the floor since start is reached.
func (a *Accounts) settle(ctx context.Context, start time.Time) {
	timer := time.NewTimer(or(a.Floor, 400*time.Millisecond) - time.Since(start))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (a *Accounts) log() *slog.Logger {
	if a.Log == nil {
		return slog.Default()
	}
	return a.Log
}

// record appends an audit event of the account.
func (a *Accounts) record(ctx context.Context, e store.AuditEvent) error {
	e.At, e.Address = a.Now(), web.Address(ctx)
	return audit.Record(ctx, a.Store, e)
}

// frame is the frame of a mail; application may be zero.
func (a *Accounts) frame(to store.Account, application store.Application) templates.MailFrame {
	return templates.MailFrame{
		Name: to.DisplayName(), Portal: application.Name, Colour: application.Colour, Issuer: a.Issuer,
	}
}

// link is the only place that makes a link for a mail.
func (a *Accounts) link(path, token string) string {
	return strings.TrimSuffix(a.Issuer, "/") + path + "?token=" + token
}

// application returns the zero Application for "" and for one that was deleted.
func (a *Accounts) application(ctx context.Context, id string) (store.Application, error) {
	if id == "" {
		return store.Application{}, nil
	}
	app, err := a.Store.Application(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return store.Application{}, nil
	}
	if err != nil {
		return store.Application{}, fmt.Errorf("load application %q: %w", id, err)
	}
	return app, nil
}

// byName returns the account with the user name or address, ok false if there
// is none.
func (a *Accounts) byName(ctx context.Context, name string) (acct store.Account, ok bool, err error) {
	if name == "" || len(name) > maxEmail {
		return store.Account{}, false, nil
	}
	acct, err = a.Store.AccountByName(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return store.Account{}, false, nil
	}
	if err != nil {
		return store.Account{}, false, fmt.Errorf("find account: %w", err)
	}
	return acct, true, nil
}

// update changes the account and stamps it.
func (a *Accounts) update(ctx context.Context, id string, change func(*store.Account) error) (store.Account, error) {
	now := a.Now()
	acct, err := a.Store.UpdateAccount(ctx, id, func(acct *store.Account) error {
		if err := change(acct); err != nil {
			return err
		}
		acct.UpdatedAt = now
		return nil
	})
	if err != nil {
		return acct, fmt.Errorf("update account %s: %w", id, err)
	}
	return acct, nil
}
