package account

import (
	"context"
	"errors"
	"fmt"

	"anteroom/store"
)

// Purposes of the keyed hashes under which links are kept.
const (
	purposeInvitation = "invitation link"
	purposeReset      = "reset link"
)

// Reason says why a link no longer works.
type Reason string

const (
	ReasonUsed    Reason = "used"
	ReasonExpired Reason = "expired"
	ReasonRevoked Reason = "revoked"
	ReasonUnknown Reason = "unknown"
)

// DeadLink is an invitation or reset link that no longer works. What is known
// about it comes along, so that a page can offer a way on.
type DeadLink struct {
	Reason      Reason
	Account     store.Account     // zero when the link is unknown
	Application store.Application // zero when the link is unknown or leads nowhere in particular
	// Fresh: a fresh link may be sent to the account's address.
	Fresh bool
}

func (d *DeadLink) Error() string { return "link is " + string(d.Reason) }

// Explain says what happened to the link.
func (d *DeadLink) Explain() string {
	switch d.Reason {
	case ReasonUsed:
		return "This link was used already. A link works once."
	case ReasonExpired:
		return "This link has expired."
	case ReasonRevoked:
		return "This link was replaced by a newer one, or withdrawn."
	default:
		return "This link is not complete, or it is not one of ours. Open it again from the e-mail."
	}
}

// reason translates what the store says about a link.
func reason(err error) (Reason, bool) {
	switch {
	case errors.Is(err, store.ErrConsumed):
		return ReasonUsed, true
	case errors.Is(err, store.ErrRevoked):
		return ReasonRevoked, true
	case errors.Is(err, store.ErrExpired):
		return ReasonExpired, true
	case errors.Is(err, store.ErrNotFound):
		return ReasonUnknown, true
	}
	return "", false
}

// Link is a link that works: what it is for and whose it is.
type Link struct {
	ID          string
	Hash        string // under which the store finds it; goes into UseInvitation and ResetPassword
	Account     store.Account
	Application store.Application
	Invitation  store.Invitation // of an invitation link
	Reset       store.Reset      // of a reset link
}

// examine completes a Link with its people and places, or says that it is dead.
// verdict is what the store said about the row.
func (a *Accounts) examine(ctx context.Context, link Link, accountID, applicationID string, verdict error) (Link, error) {
	why, dead := reason(verdict)
	if verdict != nil && !dead {
		return Link{}, fmt.Errorf("look up link: %w", verdict)
	}
	if why == ReasonUnknown {
		return Link{}, &DeadLink{Reason: ReasonUnknown}
	}
	acct, err := a.Store.Account(ctx, accountID)
	if errors.Is(err, store.ErrNotFound) {
		return Link{}, &DeadLink{Reason: ReasonUnknown}
	}
	if err != nil {
		return Link{}, fmt.Errorf("load account %s: %w", accountID, err)
	}
	app, err := a.application(ctx, applicationID)
	if err != nil {
		return Link{}, err
	}
	if acct.State == store.AccountDisabled {
		// Who holds the link learns no more than that it was withdrawn.
		return Link{}, &DeadLink{Reason: ReasonRevoked, Application: app}
	}
	if dead {
		return Link{}, &DeadLink{Reason: why, Account: acct, Application: app, Fresh: why != ReasonUsed && acct.Email != ""}
	}
	link.Account, link.Application = acct, app
	return link, nil
}
