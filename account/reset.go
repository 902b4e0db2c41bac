package account

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// RequestReset mails a link with which to choose a new password, if the name is
// that of an account that can get mail. The answer and its time are the same for
// every name; applicationID and interactionID say where the person was going,
// and may be empty. Returns *Throttled, by address only.
func (a *Accounts) RequestReset(ctx context.Context, name, applicationID, interactionID string) error {
	start := time.Now()
	defer a.settle(ctx, start)
	acct, found, err := a.byName(ctx, name)
	if err != nil {
		return err
	}
	from := Attempt{Factor: factorLinkFrom, Address: web.Address(ctx)}
	if err := a.Throttle.Allow(ctx, from); err != nil {
		return err
	}
	mailable := found && acct.Email != "" && acct.State != store.AccountDisabled
	if !mailable {
		return a.Throttle.Failed(ctx, from)
	}
	to := Attempt{Factor: factorLink, Account: acct.ID}
	err = a.Throttle.Allow(ctx, to)
	if _, many := errors.AsType[*Throttled](err); many {
		// More links than anybody needs are silently not sent: the answer must
		// not tell whether there is an account.
		return a.Throttle.Failed(ctx, from)
	}
	if err != nil {
		return err
	}
	return a.sendReset(ctx, acct, applicationID, interactionID, from, to)
}

func (a *Accounts) sendReset(ctx context.Context, acct store.Account, applicationID, interactionID string, tries ...Attempt) error {
	app, err := a.application(ctx, applicationID)
	if err != nil {
		return err
	}
	id, token, now := seal.RandomID(), seal.Token(), a.Now()
	expires := now.Add(a.resetLife())
	return a.Store.Do(ctx, func(ctx context.Context) error {
		if err := a.count(ctx, tries...); err != nil {
			return err
		}
		if err := a.Store.CreateReset(ctx, store.Reset{
			ID: id, TokenHash: a.Seal.Digest(purposeReset, token), AccountID: acct.ID,
			ApplicationID: app.ID, InteractionID: interactionID, CreatedAt: now, ExpiresAt: expires,
		}); err != nil {
			return fmt.Errorf("create reset: %w", err)
		}
		if err := a.Outbox.Enqueue(ctx, acct.Email, templates.PasswordResetMail{
			MailFrame: a.frame(acct, app), Link: a.link("/reset", token), ExpiresAt: expires,
		}); err != nil {
			return fmt.Errorf("enqueue reset: %w", err)
		}
		return a.record(ctx, store.AuditEvent{
			Type: audit.PasswordResetAsked, Actor: "system", AccountID: acct.ID, ApplicationID: app.ID,
		})
	})
}

// InvalidatePassword ends a password that somebody else may know, with all that
// it opened, and mails a link to choose a new one. The second factor stays: it is
// what the other does not have. mailed tells whether there was an address to send
// to. reason says why, for the log. Returns *Refused, store.ErrNotFound.
func (a *Accounts) InvalidatePassword(ctx context.Context, accountID, by, reason string) (mailed bool, err error) {
	if reason, err = checkReason(reason); err != nil {
		return false, err
	}
	id, token, now := seal.RandomID(), seal.Token(), a.Now()
	err = a.Store.Do(ctx, func(ctx context.Context) error {
		acct, err := a.update(ctx, accountID, func(acct *store.Account) error {
			if acct.PasswordHash == "" && acct.PasswordChangedAt.IsZero() {
				return &Refused{Sentence: "This account has not chosen a password yet."}
			}
			acct.PasswordHash, acct.PasswordChangedAt = "", now
			return nil
		})
		if err != nil {
			return err
		}
		details, err := a.end(ctx, accountID, "password invalidated")
		if err != nil {
			return err
		}
		// Made even if nobody is mailed: it revokes links that were sent before.
		reset := store.Reset{ID: id, TokenHash: a.Seal.Digest(purposeReset, token), AccountID: accountID, CreatedAt: now, ExpiresAt: now.Add(a.resetLife())}
		if err := a.Store.CreateReset(ctx, reset); err != nil {
			return fmt.Errorf("create reset: %w", err)
		}
		mailed = acct.Email != "" && acct.State != store.AccountDisabled
		if mailed {
			if err := a.Outbox.Enqueue(ctx, acct.Email, templates.PasswordResetMail{
				MailFrame: a.frame(acct, store.Application{}), Link: a.link("/reset", token), ExpiresAt: reset.ExpiresAt, Invalidated: true,
			}); err != nil {
				return fmt.Errorf("enqueue reset: %w", err)
			}
		}
		details["reason"], details["mailed"] = reason, strconv.FormatBool(mailed)
		return a.record(ctx, store.AuditEvent{Type: audit.PasswordInvalidated, Actor: by, AccountID: accountID, Details: details})
	})
	return mailed, err
}

// CheckReset tells whose reset a link is. It changes nothing. Returns *DeadLink.
func (a *Accounts) CheckReset(ctx context.Context, token string) (Link, error) {
	hash := a.Seal.Digest(purposeReset, token)
	reset, verdict := a.Store.ResetByToken(ctx, hash, a.Now())
	return a.examine(ctx, Link{ID: reset.ID, Hash: hash, Reset: reset}, reset.AccountID, reset.ApplicationID, verdict)
}

// ResetPassword uses the link up and keeps the new password (a hash of
// NewPassword). Everything that the old one opened ends. The second factor stays:
// who has the mailbox has one factor, not two. Of two tabs one wins, the other
// gets store.ErrConsumed.
func (a *Accounts) ResetPassword(ctx context.Context, hash, passwordHash string) (store.Reset, error) {
	var reset store.Reset
	err := a.Store.Do(ctx, func(ctx context.Context) error {
		var err error
		if reset, err = a.Store.UseReset(ctx, hash, a.Now()); err != nil {
			return fmt.Errorf("use reset: %w", err)
		}
		return a.changePassword(ctx, reset.AccountID, passwordHash, reset.AccountID, audit.PasswordReset, true)
	})
	return reset, err
}

// SetPassword keeps a new password (a hash of NewPassword) and ends everything
// that the old one opened.
func (a *Accounts) SetPassword(ctx context.Context, accountID, passwordHash, by string) error {
	return a.Store.Do(ctx, func(ctx context.Context) error {
		return a.changePassword(ctx, accountID, passwordHash, by, audit.PasswordChosen, false)
	})
}

// count counts requests for links.
func (a *Accounts) count(ctx context.Context, tries ...Attempt) error {
	for _, try := range tries {
		if err := a.Throttle.Failed(ctx, try); err != nil {
			return err
		}
	}
	return nil
}

func (a *Accounts) changePassword(ctx context.Context, accountID, hash, by, event string, byMail bool) error {
	now := a.Now()
	acct, err := a.update(ctx, accountID, func(acct *store.Account) error {
		if byMail && acct.State == store.AccountDisabled {
			return store.ErrRevoked
		}
		acct.PasswordHash, acct.PasswordChangedAt = hash, now
		acct.EmailVerified = acct.EmailVerified || byMail
		return nil
	})
	if err != nil {
		return err
	}
	ended, err := a.end(ctx, accountID, "password changed")
	if err != nil {
		return err
	}
	if acct.Email != "" {
		mail := templates.PasswordChangedMail{MailFrame: a.frame(acct, store.Application{}), At: now}
		if err := a.Outbox.Enqueue(ctx, acct.Email, mail); err != nil {
			return fmt.Errorf("enqueue notice: %w", err)
		}
	}
	return a.record(ctx, store.AuditEvent{Type: event, Actor: by, AccountID: accountID, Details: ended})
}
