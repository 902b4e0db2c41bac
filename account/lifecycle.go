package account

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"anteroom/internal/audit"
	"anteroom/internal/notice"
	"anteroom/store"
	"anteroom/templates"
)

// end voids what was opened before now: sessions, interactions (by NotBefore)
// and grants. It runs in a unit of work, and returns what it ended as details
// for the event that was the reason.
func (a *Accounts) end(ctx context.Context, accountID, why string) (map[string]string, error) {
	now := store.Time(a.Now())
	if _, err := a.update(ctx, accountID, func(acct *store.Account) error {
		// The clock of another node may be ahead: NotBefore never goes back.
		if now.After(acct.NotBefore) {
			acct.NotBefore = now
		}
		return nil
	}); err != nil {
		return nil, err
	}
	sessions, err := a.Store.EndSessionsOf(ctx, accountID, now)
	if err != nil {
		return nil, fmt.Errorf("end sessions: %w", err)
	}
	for _, s := range sessions { // by their grants, so before these end
		if err := notice.Tell(ctx, a.Store, s, now); err != nil {
			return nil, err
		}
	}
	grants, err := a.Store.RevokeGrants(ctx, store.GrantFilter{AccountID: accountID}, why, now)
	if err != nil {
		return nil, fmt.Errorf("revoke grants: %w", err)
	}
	return map[string]string{"sessions": strconv.Itoa(len(sessions)), "grants": strconv.Itoa(len(grants))}, nil
}

// Disable keeps an account out: nobody signs in with it, and everything that it
// opened ends. Returns store.ErrNotFound.
func (a *Accounts) Disable(ctx context.Context, accountID, by string) error {
	return a.Store.Do(ctx, func(ctx context.Context) error {
		var before store.AccountState
		if _, err := a.update(ctx, accountID, func(acct *store.Account) error {
			before, acct.State = acct.State, store.AccountDisabled
			return nil
		}); err != nil {
			return err
		}
		ended, err := a.end(ctx, accountID, "account disabled")
		if err != nil || before == store.AccountDisabled { // a second time is no event
			return err
		}
		return a.record(ctx, store.AuditEvent{Type: audit.AccountDisabled, Actor: by, AccountID: accountID, Details: ended})
	})
}

// Enable lets a disabled account in again: to its activation if it never had a
// password. One whose password was invalidated still has to choose a new one. What was ended stays ended. Returns store.ErrNotFound.
func (a *Accounts) Enable(ctx context.Context, accountID, by string) error {
	return a.Store.Do(ctx, func(ctx context.Context) error {
		var before store.AccountState
		if _, err := a.update(ctx, accountID, func(acct *store.Account) error {
			before = acct.State
			switch {
			case acct.State != store.AccountDisabled:
			case acct.PasswordHash == "" && acct.PasswordChangedAt.IsZero():
				acct.State = store.AccountInvited
			default:
				acct.State = store.AccountActive
			}
			return nil
		}); err != nil || before != store.AccountDisabled {
			return err
		}
		return a.record(ctx, store.AuditEvent{Type: audit.AccountEnabled, Actor: by, AccountID: accountID})
	})
}

// EndSessions signs the account out everywhere and revokes its grants. Returns
// store.ErrNotFound.
func (a *Accounts) EndSessions(ctx context.Context, accountID, by string) error {
	return a.Store.Do(ctx, func(ctx context.Context) error {
		ended, err := a.end(ctx, accountID, "sessions ended")
		if err != nil {
			return err
		}
		return a.record(ctx, store.AuditEvent{Type: audit.SessionsEnded, Actor: by, AccountID: accountID, Details: ended})
	})
}

// EndSession signs one browser out, tells its clients, and revokes every grant that
// was got in it, those for offline access included. It returns how many these
// were. Returns store.ErrNotFound if there is nothing to end.
func (a *Accounts) EndSession(ctx context.Context, sessionID, by, reason string) (grants int, err error) {
	err = a.Store.Do(ctx, func(ctx context.Context) error {
		now := store.Time(a.Now())
		s, err := a.Store.Session(ctx, sessionID, now)
		alive := err == nil
		if err != nil && !errors.Is(err, store.ErrRevoked) && !errors.Is(err, store.ErrExpired) {
			return fmt.Errorf("load session %s: %w", sessionID, err)
		}
		if alive {
			if err := a.Store.EndSession(ctx, sessionID, now); err != nil {
				return fmt.Errorf("end session: %w", err)
			}
			if err := notice.Tell(ctx, a.Store, s, now); err != nil { // by its grants, so before these end
				return err
			}
		}
		ended, err := a.Store.RevokeGrants(ctx, store.GrantFilter{SessionID: sessionID}, "session ended by an administrator", now)
		if err != nil {
			return fmt.Errorf("revoke grants: %w", err)
		}
		if grants = len(ended); !alive && grants == 0 {
			return fmt.Errorf("session %s is over: %w", sessionID, store.ErrNotFound)
		}
		details := map[string]string{"grants": strconv.Itoa(grants)}
		if reason != "" {
			details["reason"] = reason
		}
		return a.record(ctx, store.AuditEvent{Type: audit.SessionRevoked, Actor: by, AccountID: s.AccountID, SessionID: sessionID, Details: details})
	})
	return grants, err
}

// ResetSecondFactor removes every authenticator and recovery code, ends what was
// opened with them, and tells the person. The last accepted TOTP step stays
// (invariant I2). The next sign-in enrols anew. reason says why, for the log.
// Returns *Refused without a reason, store.ErrNotFound.
func (a *Accounts) ResetSecondFactor(ctx context.Context, accountID, by, reason string) error {
	reason, err := checkReason(reason)
	if err != nil {
		return err
	}
	who, err := a.InviterName(ctx, by)
	if err != nil {
		return err
	}
	// An authenticator that is removed meanwhile makes the commit fail with
	// store.ErrNotFound, as a missing account does: once more, then.
	for try := 0; ; try++ {
		err = a.resetSecondFactor(ctx, accountID, by, who, reason)
		if !errors.Is(err, store.ErrNotFound) || try == 3 {
			return err
		}
	}
}

func (a *Accounts) resetSecondFactor(ctx context.Context, accountID, by, who, reason string) error {
	return a.Store.Do(ctx, func(ctx context.Context) error {
		now := a.Now()
		acct, err := a.Store.Account(ctx, accountID)
		if err != nil {
			return fmt.Errorf("load account %s: %w", accountID, err)
		}
		bound, err := a.Store.AuthenticatorsOf(ctx, accountID)
		if err != nil {
			return fmt.Errorf("list authenticators: %w", err)
		}
		for _, one := range bound {
			if err := a.Store.RemoveAuthenticator(ctx, accountID, one.ID); err != nil {
				return fmt.Errorf("remove authenticator: %w", err)
			}
		}
		if err := a.Store.ReplaceRecoveryCodes(ctx, accountID, nil, now); err != nil {
			return fmt.Errorf("remove recovery codes: %w", err)
		}
		details, err := a.end(ctx, accountID, "second factor reset")
		if err != nil {
			return err
		}
		details["reason"], details["authenticators"] = reason, strconv.Itoa(len(bound))
		if err := a.tellReset(ctx, acct, who, now); err != nil {
			return err
		}
		return a.record(ctx, store.AuditEvent{
			Type: audit.SecondFactorReset, Actor: by, AccountID: accountID,
			Details: details,
		})
	})
}

func (a *Accounts) tellReset(ctx context.Context, acct store.Account, who string, at time.Time) error {
	if acct.Email == "" {
		return nil
	}
	if err := a.Outbox.Enqueue(ctx, acct.Email, templates.SecondFactorResetMail{
		MailFrame: a.frame(acct, store.Application{}), At: at, By: who,
	}); err != nil {
		return fmt.Errorf("enqueue notice: %w", err)
	}
	return nil
}

// checkReason wants a line that somebody can read later.
func checkReason(reason string) (string, error) {
	reason = strings.TrimSpace(reason)
	switch {
	case reason == "":
		return "", &Refused{Sentence: "Say why: the reason goes into the audit log."}
	case utf8.RuneCountInString(reason) > 500 || !utf8.ValidString(reason) || strings.ContainsFunc(reason, unicode.IsControl):
		return "", &Refused{Sentence: "The reason must be one line of at most 500 characters."}
	}
	return reason, nil
}
