package flow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"anteroom/internal/audit"
	"anteroom/internal/notice"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
)

func (h *Hub) sessionName() string { return h.prefix + "session" }

func (h *Hub) digestSession(token string) string { return h.seal.Digest("session", token) }

// session returns this browser's live session, nil if there is none. It reads only.
func (h *Hub) session(r *http.Request) (*store.Session, error) {
	token, ok := h.cookies.get(r, h.sessionName())
	if !ok {
		return nil, nil
	}
	s, err := h.store.SessionByToken(r.Context(), h.digestSession(string(token)), h.now())
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrRevoked), errors.Is(err, store.ErrExpired):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("load session: %w", err)
	}
	return &s, nil
}

// Session returns the live session of this browser, and its account; ok is
// false when there is none, or when the account was disabled or its sessions
// were ended. It reads only.
func (h *Hub) Session(r *http.Request) (s store.Session, a store.Account, ok bool, err error) {
	live, err := h.session(r)
	if err != nil || live == nil {
		return s, a, false, err
	}
	a, err = h.store.Account(r.Context(), live.AccountID)
	if errors.Is(err, store.ErrNotFound) {
		return s, a, false, nil
	}
	if err != nil {
		return s, a, false, fmt.Errorf("load account: %w", err)
	}
	if a.State == store.AccountDisabled || live.AuthTime.Before(a.NotBefore) {
		return s, a, false, nil
	}
	return *live, a, true, nil
}

// Own returns this browser's session and its account if the session is good for
// the account's own pages: as strong as the account can. If not, a sign-in begins
// that leads back to path, a page of ours: ok is false and the answer is written.
func (h *Hub) Own(w http.ResponseWriter, r *http.Request, path string) (s store.Session, a store.Account, ok bool, err error) {
	session, err := h.session(r)
	if err != nil {
		return s, a, false, err
	}
	in := h.New(KindHome, "")
	in.Params = path
	p, d, err := h.decide(r.Context(), in, session)
	if err != nil {
		return s, a, false, err
	}
	if d.Step == StepFinish && session != nil {
		return *session, p.Account, true, nil
	}
	return s, a, false, h.Begin(w, r, in, nil)
}

// sessionChange is a possible new or renewed session, prepared outside of the
// unit of work so that a repeated one writes the same.
type sessionChange struct {
	id, token string
	agent     string
	address   string
}

func newSessionChange(r *http.Request) sessionChange {
	agent := []rune(r.UserAgent())
	return sessionChange{
		id: seal.RandomID(), token: seal.Token(),
		agent: string(agent[:min(len(agent), 200)]), address: web.Address(r.Context()),
	}
}

func (c sessionChange) hash(h *Hub) string { return h.digestSession(c.token) }

// openSession makes the session say what was proved: nothing if it says so
// already, a renewal (same sid, new token) for the same account, else a new one
// that ends the browser's session of another account.
func (h *Hub) openSession(ctx context.Context, p *Pending, auth Authentication, before *store.Session, c sessionChange) (*store.Session, error) {
	now := h.now()
	say := func(s *store.Session) error {
		s.TokenHash, s.AuthTime, s.AMR, s.ACR = c.hash(h), auth.AuthTime, auth.AMR, auth.ACR
		s.ExpiresAt, s.UserAgent, s.Address = now.Add(h.sessionLife), c.agent, c.address
		return nil
	}
	if before != nil && before.AccountID == auth.AccountID && !before.AuthTime.Before(p.Account.NotBefore) {
		if !auth.AuthTime.After(before.AuthTime) && slices.Equal(auth.AMR, before.AMR) {
			return before, nil
		}
		if err := h.standing(ctx, auth.AccountID, auth.AuthTime); err != nil {
			return nil, err
		}
		s, err := h.store.RenewSession(ctx, before.ID, now, say)
		if err != nil {
			return nil, fmt.Errorf("renew session: %w", err)
		}
		return &s, h.recordSignIn(ctx, p, s)
	}
	if before != nil {
		if err := h.endSession(ctx, *before); err != nil {
			return nil, err
		}
	}
	if err := h.standing(ctx, auth.AccountID, auth.AuthTime); err != nil {
		return nil, err
	}
	s := store.Session{ID: c.id, AccountID: auth.AccountID, CreatedAt: now}
	_ = say(&s) // never fails
	if err := h.store.CreateSession(ctx, s); err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	return &s, h.recordSignIn(ctx, p, s)
}

var errEnded = errors.New("flow: the account's sign-ins were ended meanwhile")

// standing makes the commit fail if the account was disabled, or its second
// factor or password reset, since it was looked at.
func (h *Hub) standing(ctx context.Context, accountID string, provedAt time.Time) error {
	_, err := h.store.UpdateAccount(ctx, accountID, func(a *store.Account) error {
		if a.State == store.AccountDisabled || provedAt.Before(a.NotBefore) {
			return errEnded
		}
		return nil
	})
	return err
}

func (h *Hub) recordSignIn(ctx context.Context, p *Pending, s store.Session) error {
	return h.record(ctx, store.AuditEvent{
		At: h.now(), Type: audit.SignedIn, Actor: s.AccountID, AccountID: s.AccountID, SessionID: s.ID,
		ApplicationID: p.ApplicationID, ClientID: p.ClientID, Address: s.Address,
		Details: map[string]string{"acr": s.ACR},
	})
}

func (h *Hub) endSession(ctx context.Context, s store.Session) error {
	now := h.now()
	if err := h.store.EndSession(ctx, s.ID, now); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	if err := notice.Tell(ctx, h.store, s, now); err != nil {
		return err
	}
	return h.record(ctx, store.AuditEvent{
		At: now, Type: audit.SignedOut, Actor: s.AccountID, AccountID: s.AccountID,
		SessionID: s.ID, Address: web.Address(ctx),
	})
}

func (h *Hub) saveSession(w http.ResponseWriter, r *http.Request, token string, s *store.Session) error {
	if err := h.cookies.put(w, r, h.sessionName(), []byte(token), s.ExpiresAt.Sub(h.now())); err != nil {
		return err
	}
	h.showState(w, r, *s)
	return h.remember(w, r, s.AccountID)
}

// SignOut ends the browser's session, if any, and drops its cookies: the
// session's, and those of pending interactions, whose facts would open another.
func (h *Hub) SignOut(w http.ResponseWriter, r *http.Request) error {
	s, err := h.session(r)
	if err != nil {
		return err
	}
	if s != nil {
		if err := h.store.Do(r.Context(), func(ctx context.Context) error { return h.endSession(ctx, *s) }); err != nil {
			return err
		}
	}
	if err := h.cookies.drop(w, r, h.sessionName()); err != nil {
		return err
	}
	h.hideState(w, r)
	for _, id := range h.pendingIDs(r) {
		if err := h.cookies.drop(w, r, h.interactionName(id)); err != nil {
			return err
		}
	}
	return nil
}
