package login

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"anteroom/account"
	"anteroom/flow"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// Activate is where invitation links lead.
type Activate struct {
	Hub      Hub
	Accounts *account.Accounts
	Pages    *templates.Renderer
	Now      func() time.Time
}

// Show is GET /activate?token=. It consumes nothing. An account that has a
// password is led to the sign-in, everybody else chooses one here.
func (a *Activate) Show(w http.ResponseWriter, r *http.Request) error {
	secret, self, err := token(r, "/activate")
	if err != nil {
		return err
	}
	link, err := a.Accounts.CheckInvitation(r.Context(), secret)
	if dead, ok, other := asDead(err); ok {
		return a.dead(w, r, secret, dead)
	} else if other != nil {
		return other
	}
	if link.Account.PasswordHash != "" {
		return a.signIn(w, r, link)
	}
	return a.form(w, r, link, self, "", http.StatusOK)
}

// signIn leads to step 1. The invitation goes along and is used up by the button
// there, in the commit that proves who it is.
func (a *Activate) signIn(w http.ResponseWriter, r *http.Request, link account.Link) error {
	in := a.Hub.New(flow.KindActivation, link.Application.ID)
	in.InvitationID, in.InviteHash = link.ID, link.Hash
	in.Ask.LoginHint, in.Ask.HintSubject = link.Account.UserName, link.Account.ID
	return a.Hub.Begin(w, r, in, nil)
}

func (a *Activate) form(w http.ResponseWriter, r *http.Request, link account.Link, self, refused string, status int) error {
	ctx := r.Context()
	minimum, err := a.Accounts.MinLength(ctx, link.Account, link.Application.ID)
	if err != nil {
		return err
	}
	inviter, err := a.Accounts.InviterName(ctx, link.Invitation.InvitedBy)
	if err != nil {
		return err
	}
	_, err = a.Accounts.Store.CurrentTerms(ctx, link.Application.ID) // a stop of the progress line
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("load terms of %q: %w", link.Application.ID, err)
	}
	name, _ := link.Account.Profile["name"].(string)
	return a.Pages.Page(w, status, &templates.Activate{
		Frame:  frame(link.Application, flow.Progress(flow.StepLogin, err == nil)),
		Action: self, Name: name, UserName: link.Account.UserName,
		Invited: inviter, MinLength: minimum, Error: refused,
	})
}

// Submit is POST /activate?token=: the first password. The link proves the
// mailbox and the person chose the password now, so they need not type it again.
func (a *Activate) Submit(w http.ResponseWriter, r *http.Request) error {
	secret, self, err := token(r, "/activate")
	if err != nil {
		return err
	}
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	ctx := r.Context()
	link, err := a.Accounts.CheckInvitation(ctx, secret)
	if dead, ok, other := asDead(err); ok {
		if form.Get("sign_in") != "" && dead.Reason == account.ReasonUsed {
			return a.Hub.Begin(w, r, a.Hub.New(flow.KindActivation, dead.Application.ID), nil)
		}
		return a.dead(w, r, secret, dead)
	} else if other != nil {
		return other
	}
	if link.Account.PasswordHash != "" {
		http.Redirect(w, r, self, http.StatusSeeOther)
		return nil
	}
	hash, err := a.Accounts.NewPassword(ctx, link.Account, link.Application.ID, form.Get("new_password"))
	if sentence, status, ok := refusal(w, err); ok {
		return a.form(w, r, link, self, sentence, status)
	}
	if err != nil {
		return err
	}
	now := a.Now()
	err = a.Hub.Begin(w, r, a.Hub.New(flow.KindActivation, link.Application.ID), func(ctx context.Context, in *flow.Interaction) error {
		if _, err := a.Accounts.Activate(ctx, link.Hash, hash); err != nil {
			return err
		}
		in.InvitationID = link.ID
		in.ProvePassword(link.Account.ID, now)
		return nil
	})
	if linkDied(err) || errors.Is(err, account.ErrHasPassword) {
		// Another tab was quicker: this address now says what became of the link.
		http.Redirect(w, r, self, http.StatusSeeOther)
		return nil
	}
	return err
}

// Resend is POST /activate/resend: a fresh link to the address of the dead one.
func (a *Activate) Resend(w http.ResponseWriter, r *http.Request) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	secret := form.Get("token")
	err = a.Accounts.ResendInvitation(r.Context(), secret)
	if dead, ok, _ := asDead(err); ok {
		return a.dead(w, r, secret, dead)
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, activateURL(secret)+"&sent=1", http.StatusSeeOther)
	return nil
}

// dead shows the page of a link that no longer works. A fresh one goes only to
// the address that the first one went to, which is shown masked.
func (a *Activate) dead(w http.ResponseWriter, r *http.Request, secret string, dead *account.DeadLink) error {
	page := &templates.DeadLink{Sent: r.URL.Query().Get("sent") == "1" && dead.Fresh}
	app := dead.Application
	switch {
	case dead.Fresh:
		page.Email = account.MaskEmail(dead.Account.Email)
		if !page.Sent {
			page.Actions = []templates.Action{{
				Label: "Send a new link", URL: "/activate/resend", Post: true, Primary: true,
				Fields: map[string]string{"token": secret}, ID: "resend-link",
			}}
		}
	case dead.Reason == account.ReasonUsed && app.LaunchURL != "":
		page.Actions = []templates.Action{{Label: "Sign in to " + app.Name, URL: app.LaunchURL, Primary: true, ID: "go-to-portal"}}
	case dead.Reason == account.ReasonUsed && app.ID != "":
		page.Actions = []templates.Action{{
			Label: "Sign in to " + app.Name, URL: activateURL(secret), Post: true, Primary: true,
			Fields: map[string]string{"sign_in": "1"}, ID: "sign-in",
		}}
	}
	return deadPage(w, a.Pages, dead, page)
}
