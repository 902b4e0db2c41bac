package flow

import (
	"context"
	"fmt"
	"net/http"

	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// Brand returns how pages show an application.
func Brand(app store.Application) *templates.Brand {
	return &templates.Brand{Name: app.Name, LogoURL: app.LogoURL, Colour: app.Colour, URL: app.LaunchURL}
}

// Progress returns the small line of an activation, at step; "" is its end.
func Progress(step Step, hasTerms bool) []templates.ProgressStep {
	names := []string{"Password", "Authenticator", "Terms", "Done"}
	at := map[Step]int{StepLogin: 0, StepEnroll: 1, StepRecoveryCodes: 1, StepChallenge: 1, StepTerms: 2, StepConsent: 2}
	current, ok := at[step]
	if !ok {
		current = 3
	}
	var line []templates.ProgressStep
	for i, name := range names {
		if name == "Terms" && !hasTerms {
			continue
		}
		line = append(line, templates.ProgressStep{Name: name, Done: i < current, Current: i == current})
	}
	return line
}

// Continue goes on with an interaction: to its next step, or to its end.
func (h *Hub) Continue(w http.ResponseWriter, r *http.Request) error {
	p, d, err := h.pending(w, r)
	if err != nil {
		return err
	}
	return h.follow(w, r, p, d)
}

// Abandon (POST) goes back to the portal without signing in.
func (h *Hub) Abandon(w http.ResponseWriter, r *http.Request) error {
	p, _, err := h.pending(w, r)
	if err != nil {
		return err
	}
	return h.refuse(w, r, p, &ProtocolError{Code: "access_denied", Description: "the person did not go on"})
}

// Switch (POST) forgets who this is and asks again: the session ends, the
// interaction stays.
func (h *Hub) Switch(w http.ResponseWriter, r *http.Request) error {
	p, _, err := h.pending(w, r)
	if err != nil {
		return err
	}
	if err := h.SignOut(w, r); err != nil {
		return err
	}
	fresh := h.New(p.Kind, p.ApplicationID)
	fresh.ID, fresh.ClientID, fresh.Params = p.ID, p.ClientID, p.Params
	fresh.ExpiresAt, fresh.Ask = p.ExpiresAt, p.Ask
	fresh.Ask.LoginHint, fresh.Ask.HintSubject = "", ""
	if err := h.keep(w, r, &fresh); err != nil {
		return err
	}
	http.Redirect(w, r, p.URL(string(StepLogin)), http.StatusSeeOther)
	return nil
}

// SignIn begins a sign-in that no portal asked for; it ends on the start page.
func (h *Hub) SignIn(w http.ResponseWriter, r *http.Request) error {
	return h.Begin(w, r, h.New(KindHome, ""), nil)
}

// PathRequests is the page of the account where what clients asked over the back
// channel waits for approval.
const PathRequests = "/account/requests"

// Home says who is signed in and where they can go.
func (h *Hub) Home(w http.ResponseWriter, r *http.Request) error {
	_, account, ok, err := h.Session(r)
	if err != nil {
		return err
	}
	page := &templates.Home{}
	if !ok {
		page.Actions = []templates.Action{{Label: "Sign in", URL: "/signin", Primary: true, ID: "home-sign-in"}}
		return h.pages.Page(w, http.StatusOK, page)
	}
	page.Person = account.DisplayName()
	waiting, err := h.store.BackchannelsOf(r.Context(), account.ID, h.now())
	if err != nil {
		return fmt.Errorf("list what waits for approval: %w", err)
	}
	if len(waiting) > 0 {
		page.Actions = []templates.Action{{Label: "Look at what waits for your approval", URL: PathRequests, Primary: true, ID: "home-requests"}}
	}
	page.Actions = append(page.Actions, templates.Action{Label: "Sign out", URL: "/logout", ID: "home-sign-out"})
	if page.Portals, err = h.portals(r.Context(), account); err != nil {
		return err
	}
	return h.pages.Page(w, http.StatusOK, page)
}

// portals lists the applications that the account may enter and that have an address.
func (h *Hub) portals(ctx context.Context, a store.Account) ([]templates.Brand, error) {
	apps, _, err := h.store.Applications(ctx, store.Page{Limit: 1000})
	if err != nil {
		return nil, fmt.Errorf("list applications: %w", err)
	}
	var open []templates.Brand
	for _, app := range apps {
		if app.LaunchURL == "" {
			continue
		}
		ok, err := h.mayEnter(ctx, a, app)
		if err != nil {
			return nil, fmt.Errorf("check access: %w", err)
		}
		if !ok {
			continue
		}
		brand := Brand(app)
		if brand.URL, err = h.launch(ctx, a, app); err != nil {
			return nil, err
		}
		open = append(open, *brand)
	}
	return open, nil
}

// Activated is the end of an activation.
func (h *Hub) Activated(w http.ResponseWriter, r *http.Request) error {
	query, err := web.Query(r)
	if err != nil {
		return err
	}
	in, ok := h.loadAny(r, query.Get("i"))
	_, account, signedIn, err := h.Session(r)
	if err != nil {
		return err
	}
	if !ok || in.Kind != KindActivation || in.FinishedAt.IsZero() || !signedIn || in.AccountID != "" && in.AccountID != account.ID {
		if ok && h.alive(in) {
			http.Redirect(w, r, string(StepFinish)+"?i="+in.ID, http.StatusSeeOther)
			return nil
		}
		return h.dead(r, in)
	}
	app, err := h.store.Application(r.Context(), in.ApplicationID)
	if err != nil {
		return gone(err, "application", in.ApplicationID)
	}
	terms, err := h.store.TermsVersions(r.Context(), app.ID)
	if err != nil {
		return fmt.Errorf("load terms of %q: %w", app.ID, err)
	}
	portal, err := h.launch(r.Context(), account, app)
	if err != nil {
		return err
	}
	return h.pages.Page(w, http.StatusOK, &templates.Activated{
		Frame: templates.Frame{Portal: Brand(app), Progress: Progress("", len(terms) > 0)},
		Name:  account.DisplayName(), PortalURL: portal,
	})
}
