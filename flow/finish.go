package flow

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"anteroom/internal/audit"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// finish ends an interaction for which nothing is left to prove. Its commit
// consumes the interaction, activates the access, and issues the code: of any
// number of concurrent calls one wins.
func (h *Hub) finish(w http.ResponseWriter, r *http.Request, p *Pending, d Decision) error {
	var answer Answer
	err := h.store.Do(r.Context(), func(ctx context.Context) error {
		answer = nil
		if err := h.store.UseOnce(ctx, "interaction", p.ID, h.now(), p.ExpiresAt); err != nil {
			return fmt.Errorf("finish interaction: %w", err)
		}
		if err := h.activate(ctx, r, p); err != nil {
			return err
		}
		if !p.Kind.forClient() {
			return nil
		}
		var err error
		answer, err = h.Engine.Issue(ctx, p.Interaction, d.Auth, p.Ask.Scopes)
		return err
	})
	if errors.Is(err, store.ErrConsumed) {
		return h.dead(r, Interaction{ApplicationID: p.ApplicationID, FinishedAt: h.now()})
	}
	if err != nil {
		return err
	}
	if _, kept := h.loadAny(r, p.ID); kept {
		if err := h.bury(w, r, p.Interaction); err != nil {
			return err
		}
	}
	if p.Session != nil {
		h.showState(w, r, *p.Session) // a session that is older than the setting shows it, too
	}
	switch {
	case answer != nil:
		answer(w, r)
	case p.Kind == KindActivation:
		http.Redirect(w, r, p.URL("/activated"), http.StatusSeeOther)
	default:
		http.Redirect(w, r, p.home(), http.StatusSeeOther)
	}
	return nil
}

// activate turns invited access, and an invited account, active: this is the
// first time that everything was proved.
func (h *Hub) activate(ctx context.Context, r *http.Request, p *Pending) error {
	now := h.now()
	if p.ApplicationID != "" {
		invited, err := h.hasInvited(ctx, p)
		if err != nil {
			return err
		}
		if invited {
			if _, err := h.store.ActivateAssignments(ctx, p.Account.ID, p.ApplicationID, now); err != nil {
				return fmt.Errorf("activate access: %w", err)
			}
			if err := h.record(ctx, h.event(r, audit.AccessActivated, p)); err != nil {
				return err
			}
		}
	}
	if p.Account.State != store.AccountInvited {
		return nil
	}
	_, err := h.store.UpdateAccount(ctx, p.Account.ID, func(a *store.Account) error {
		if a.State == store.AccountInvited {
			a.State, a.UpdatedAt = store.AccountActive, now
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("activate account: %w", err)
	}
	return h.record(ctx, h.event(r, audit.AccountActivated, p))
}

func (h *Hub) hasInvited(ctx context.Context, p *Pending) (bool, error) {
	held, err := h.store.AssignmentsOf(ctx, p.Account.ID, p.ApplicationID)
	if err != nil {
		return false, fmt.Errorf("load access: %w", err)
	}
	for _, a := range held {
		if a.State == store.AssignmentInvited {
			return true, nil
		}
	}
	return false, nil
}

// Refuse ends the Interaction of the request with an error for the client
// (consent denied). Without a client it leads to the start page.
func (h *Hub) Refuse(w http.ResponseWriter, r *http.Request, e *ProtocolError) error {
	p := From(r)
	if p == nil {
		return errors.New("flow: Refuse outside of Require")
	}
	return h.refuse(w, r, p, e)
}

func (h *Hub) refuse(w http.ResponseWriter, r *http.Request, p *Pending, e *ProtocolError) error {
	if !p.Kind.forClient() {
		if err := h.bury(w, r, p.Interaction); err != nil {
			return err
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	answer, err := h.Engine.Refuse(r.Context(), p.Interaction, e)
	if err != nil {
		return err
	}
	if _, kept := h.loadAny(r, p.ID); kept {
		if err := h.bury(w, r, p.Interaction); err != nil {
			return err
		}
	}
	answer(w, r)
	return nil
}

// denied tells a person who may not enter, before the client is told.
func (h *Hub) denied(w http.ResponseWriter, r *http.Request, p *Pending) error {
	if _, kept := h.loadAny(r, p.ID); !kept {
		if err := h.keep(w, r, &p.Interaction); err != nil {
			return err
		}
	}
	actions := []templates.Action{
		{Label: "Sign in as somebody else", URL: p.URL("/switch"), Post: true, Primary: true, ID: "switch-account"},
	}
	if p.Kind.forClient() {
		actions = append(actions, templates.Action{Label: "Back to " + p.Application.Name, URL: p.URL("/refuse"), Post: true, ID: "back-to-portal"})
	} else {
		actions = append(actions, templates.Action{Label: "Go to the start page", URL: "/"})
	}
	return &web.Problem{
		Status:  http.StatusForbidden,
		Heading: "You have no access to " + p.Application.Name,
		Sentence: fmt.Sprintf("You are signed in as %s. Ask the person who looks after %s in your organisation for an invitation.",
			p.Account.DisplayName(), p.Application.Name),
		Actions: actions,
		Frame:   p.Frame(),
	}
}

// dead says where to go from a page whose interaction is over, expired, or not
// of this browser. There is always a way on.
func (h *Hub) dead(r *http.Request, in Interaction) error {
	problem := &web.Problem{
		Status:   http.StatusGone,
		Heading:  "This page is out of date",
		Sentence: "Nothing is lost. Start again from where you came.",
		Cause:    errDead,
	}
	if in.ApplicationID != "" {
		app, err := h.store.Application(r.Context(), in.ApplicationID)
		if err == nil && app.LaunchURL != "" {
			problem.Frame.Portal = Brand(app)
			problem.Actions = append(problem.Actions, templates.Action{
				Label: "Continue to " + app.Name, URL: app.LaunchURL, Primary: true, ID: "continue-to-portal",
			})
		}
	}
	switch {
	case !in.FinishedAt.IsZero():
		problem.Heading, problem.Sentence = "You have finished here", "This sign-in is complete. There is nothing more to do on this page."
	case in.ID != "":
		problem.Heading, problem.Sentence = "This page has expired", "It was open for too long. Nothing is lost: start the sign-in again."
	}
	_, account, ok, err := h.Session(r)
	if err != nil {
		return err
	}
	if ok {
		problem.Sentence += " You are signed in as " + account.DisplayName() + "."
		problem.Actions = append(problem.Actions, templates.Action{
			Label: "See where you can go", URL: "/", Primary: len(problem.Actions) == 0,
		})
		return problem
	}
	problem.Actions = append(problem.Actions, templates.Action{
		Label: "Start again", URL: "/signin", Primary: len(problem.Actions) == 0, ID: "start-again",
	})
	return problem
}

func gone(err error, what, id string) error {
	if !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("load %s %q: %w", what, id, err)
	}
	return &web.Problem{
		Status:   http.StatusGone,
		Heading:  "This portal is no longer here",
		Sentence: "The portal that you came from was removed. Go to the start page to see where you can go.",
		Cause:    fmt.Errorf("%s %q: %w", what, id, err),
	}
}
