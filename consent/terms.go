package consent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"anteroom/flow"
	"anteroom/internal/audit"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// Hub is what steps need of flow.Hub.
type Hub interface {
	Done(w http.ResponseWriter, r *http.Request, prove func(ctx context.Context, in *flow.Interaction) error) error
	Refuse(w http.ResponseWriter, r *http.Request, e *flow.ProtocolError) error
}

// TermsStore is what the acceptance of terms writes to.
type TermsStore interface {
	store.UnitOfWork
	store.Terms
	store.Once
	store.AuditLog
}

// Terms asks for acceptance of the application's current terms.
type Terms struct {
	Hub   Hub
	Store TermsStore
	Pages *templates.Renderer
	Now   func() time.Time
}

const (
	mustTick = "To go on, tick the box. If you do not accept the terms, press “I do not accept”."
	changed  = "The terms changed while this page was open. This is the new version."
)

// Show is GET /terms.
func (t *Terms) Show(w http.ResponseWriter, r *http.Request) error {
	return t.show(w, flow.From(r), http.StatusOK, "")
}

func (t *Terms) show(w http.ResponseWriter, p *flow.Pending, status int, refusal string) error {
	if p.Terms == nil {
		return fmt.Errorf("terms of %q are asked but there are none", p.ApplicationID)
	}
	body, err := templates.Markdown(p.Terms.Markdown)
	if err != nil {
		return fmt.Errorf("render terms %d of %q: %w", p.Terms.Version, p.ApplicationID, err)
	}
	return t.Pages.Page(w, status, &templates.Terms{
		Frame:       p.Frame(),
		Action:      p.URL("/terms") + "&h=" + p.Terms.Hash,
		Title:       p.Terms.Title,
		Body:        body,
		Version:     p.Terms.Version,
		PublishedAt: p.Terms.PublishedAt,
		Newer:       p.AcceptedAny,
		Activation:  p.Activating(),
		Error:       refusal,
	})
}

// Submit is POST /terms.
func (t *Terms) Submit(w http.ResponseWriter, r *http.Request) error {
	p := flow.From(r)
	query, err := web.Query(r)
	if err != nil {
		return err
	}
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	switch {
	case form.Get("decline") != "":
		return t.Hub.Refuse(w, r, &flow.ProtocolError{
			Code: "access_denied", Description: "the person did not accept the terms and conditions",
		})
	case p.Terms == nil || query.Get("h") != p.Terms.Hash:
		return t.show(w, p, http.StatusConflict, changed)
	case form.Get("accept") == "":
		return t.show(w, p, http.StatusUnprocessableEntity, mustTick)
	}
	accepted := store.TermsAcceptance{
		AccountID: p.Account.ID, ApplicationID: p.ApplicationID,
		Version: p.Terms.Version, Hash: p.Terms.Hash, AcceptedAt: t.Now(), ClientID: p.ClientID,
	}
	err = t.Hub.Done(w, r, func(ctx context.Context, _ *flow.Interaction) error { return t.accept(ctx, accepted) })
	if errors.Is(err, store.ErrConsumed) {
		// The button was pressed twice, and the other press has won.
		http.Redirect(w, r, p.URL(string(flow.StepFinish)), http.StatusSeeOther)
		return nil
	}
	return err
}

// accept records the acceptance and its audit event, once.
func (t *Terms) accept(ctx context.Context, a store.TermsAcceptance) error {
	before, err := t.Store.AcceptedTerms(ctx, a.AccountID, a.ApplicationID)
	if err == nil && before.Version >= a.Version {
		return nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("load accepted terms: %w", err)
	}
	key := a.AccountID + "/" + a.ApplicationID + "/" + strconv.Itoa(a.Version)
	if err := t.Store.UseOnce(ctx, "terms", key, a.AcceptedAt, a.AcceptedAt.Add(time.Hour)); err != nil {
		return fmt.Errorf("accept terms once: %w", err)
	}
	if err := t.Store.AcceptTerms(ctx, a); err != nil {
		return fmt.Errorf("accept terms: %w", err)
	}
	return audit.Record(ctx, t.Store, store.AuditEvent{
		At: a.AcceptedAt, Type: audit.TermsAccepted, Actor: a.AccountID, AccountID: a.AccountID,
		ApplicationID: a.ApplicationID, ClientID: a.ClientID, Address: web.Address(ctx),
		Details: map[string]string{"version": strconv.Itoa(a.Version), "hash": a.Hash},
	})
}
