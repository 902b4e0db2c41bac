package admin

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"anteroom/internal/audit"
	"anteroom/store"
)

// Grant is what a client holds for an account: a sign-in and its tokens.
type Grant struct {
	ID          string    `json:"id"`
	Client      string    `json:"client"`
	Application string    `json:"application"`
	Account     string    `json:"account"`
	Session     string    `json:"session,omitempty"`
	Scope       string    `json:"scope"`
	ACR         string    `json:"acr,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at"`
}

// WhyRevoke says why something ends, for the audit log; it may be empty.
type WhyRevoke struct {
	Reason string `json:"reason,omitempty"`
}

func (in WhyRevoke) check() error {
	if in.Reason == "" {
		return nil
	}
	var found mistakes
	found.line("reason", in.Reason, 1, 500)
	return found.problem()
}

// why is what a grant says that it was ended for.
func (in WhyRevoke) why(otherwise string) string {
	if in.Reason != "" {
		return otherwise + ": " + in.Reason
	}
	return otherwise
}

// event adds the reason to an audit event.
func (in WhyRevoke) event(e store.AuditEvent, details map[string]string) store.AuditEvent {
	e.Details = details
	if in.Reason != "" {
		details["reason"] = in.Reason
	}
	return e
}

func viewGrant(g store.Grant) Grant {
	return Grant{
		ID: g.ID, Client: g.ClientID, Application: g.ApplicationID, Account: g.AccountID, Session: g.SessionID,
		Scope: strings.Join(g.Scopes, " "), ACR: g.ACR, CreatedAt: g.CreatedAt, ExpiresAt: g.ExpiresAt,
	}
}

// listGrants lists the live grants of an account or a session: of few enough to
// be listed at once.
func (a *API) listGrants(c call) (List[Grant], error) {
	q := c.URL.Query()
	filter := store.GrantFilter{SessionID: q.Get("session"), ClientID: q.Get("client")}
	if ref := q.Get("account"); ref != "" {
		acct, err := a.accountByRef(c.ctx, ref)
		if err != nil {
			return List[Grant]{}, err
		}
		filter.AccountID = acct.ID
	}
	if filter.AccountID == "" && filter.SessionID == "" {
		return List[Grant]{}, mistakes{{"account", "is missing; say whose grants, or of which session"}}.problem()
	}
	rows, err := a.Store.GrantsOf(c.ctx, filter, a.Now())
	if err != nil {
		return List[Grant]{}, fmt.Errorf("list grants: %w", err)
	}
	return list(rows, "", viewGrant), nil
}

// revokeGrant ends one sign-in of one client: its tokens are refused at once
// wherever this service is asked.
func (a *API) revokeGrant(c call, in WhyRevoke) (Done, error) {
	if err := in.check(); err != nil {
		return Done{}, err
	}
	id := c.PathValue("grant")
	err := a.Store.Do(c.ctx, func(ctx context.Context) error {
		now := a.Now()
		g, err := a.Store.Grant(ctx, id, now)
		if errors.Is(err, store.ErrRevoked) || errors.Is(err, store.ErrExpired) {
			return fmt.Errorf("the grant is over (%w): %w", err, store.ErrNotFound)
		}
		if err != nil {
			return fmt.Errorf("load grant: %w", err)
		}
		if err := a.Store.RevokeGrant(ctx, id, in.why("revoked by an administrator"), now); err != nil {
			return fmt.Errorf("revoke grant: %w", err)
		}
		return a.record(ctx, c, in.event(store.AuditEvent{
			Type: audit.GrantRevoked, AccountID: g.AccountID, ApplicationID: g.ApplicationID, ClientID: g.ClientID, SessionID: g.SessionID,
		}, map[string]string{"grant": id}))
	})
	if err != nil {
		return Done{}, notFound(err, "live grant", id)
	}
	return done("The grant %s is ended, with its tokens.", id)
}

// revokeClient ends everything that a client holds: its grants, and the tokens of
// its own. It stays registered and may get new ones.
func (a *API) revokeClient(c call, in WhyRevoke) (Done, error) {
	if err := in.check(); err != nil {
		return Done{}, err
	}
	id, ended := c.PathValue("client"), 0
	err := a.Store.Do(c.ctx, func(ctx context.Context) error {
		now := a.Now()
		row, err := a.Store.UpdateClient(ctx, id, func(cl *store.Client) error {
			cl.EndTokens(now)
			return nil
		})
		if err != nil {
			return fmt.Errorf("end tokens of client: %w", err)
		}
		ids, err := a.Store.RevokeGrants(ctx, store.GrantFilter{ClientID: id}, in.why("client revoked by an administrator"), now)
		if err != nil {
			return fmt.Errorf("revoke grants: %w", err)
		}
		ended = len(ids)
		return a.record(ctx, c, in.event(store.AuditEvent{
			Type: audit.ClientRevoked, ApplicationID: row.ApplicationID, ClientID: id,
		}, map[string]string{"grants": strconv.Itoa(ended)}))
	})
	if err != nil {
		return Done{}, notFound(err, "client", id)
	}
	return done("The client %s holds nothing any more: %d grants ended, with their tokens and its own.", id, ended)
}

// endSession signs one browser out.
func (a *API) endSession(c call, in WhyRevoke) (Done, error) {
	if err := in.check(); err != nil {
		return Done{}, err
	}
	id := c.PathValue("session")
	ended, err := a.Accounts.EndSession(c.ctx, id, c.actor, in.Reason)
	if err != nil {
		return Done{}, notFound(err, "session with anything to end", id)
	}
	return done("The session %s is ended: %d grants ended, with their tokens. Its clients are told.", id, ended)
}
