package login

import (
	"context"
	"net/http"
	"time"

	"anteroom/account"
	"anteroom/flow"
	"anteroom/internal/web"
	"anteroom/templates"
)

// Reset is where reset links lead.
type Reset struct {
	Hub      Hub
	Accounts *account.Accounts
	Pages    *templates.Renderer
	Now      func() time.Time
}

// Show is GET /reset?token=. It consumes nothing.
func (s *Reset) Show(w http.ResponseWriter, r *http.Request) error {
	secret, self, err := token(r, "/reset")
	if err != nil {
		return err
	}
	link, err := s.Accounts.CheckReset(r.Context(), secret)
	if dead, ok, other := asDead(err); ok {
		return s.dead(w, dead)
	} else if other != nil {
		return other
	}
	return s.form(w, r, link, self, "", http.StatusOK)
}

func (s *Reset) form(w http.ResponseWriter, r *http.Request, link account.Link, self, refused string, status int) error {
	minimum, err := s.Accounts.MinLength(r.Context(), link.Account, link.Application.ID)
	if err != nil {
		return err
	}
	return s.Pages.Page(w, status, &templates.Reset{
		Frame: frame(link.Application, nil), Action: self,
		UserName: link.Account.UserName, MinLength: minimum, Error: refused,
	})
}

// Submit is POST /reset?token=. It proves the password, never the second factor,
// which is asked as always. The person goes on to where they were going: in the
// interaction that they came from, if this is still the same browser.
func (s *Reset) Submit(w http.ResponseWriter, r *http.Request) error {
	secret, self, err := token(r, "/reset")
	if err != nil {
		return err
	}
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	ctx := r.Context()
	link, err := s.Accounts.CheckReset(ctx, secret)
	if dead, ok, other := asDead(err); ok {
		return s.dead(w, dead)
	} else if other != nil {
		return other
	}
	hash, err := s.Accounts.NewPassword(ctx, link.Account, link.Application.ID, form.Get("new_password"))
	if sentence, status, ok := refusal(w, err); ok {
		return s.form(w, r, link, self, sentence, status)
	}
	if err != nil {
		return err
	}
	now := s.Now()
	err = s.Hub.Begin(w, r, s.next(r, link), func(ctx context.Context, in *flow.Interaction) error {
		if _, err := s.Accounts.ResetPassword(ctx, link.Hash, hash); err != nil {
			return err
		}
		in.ProvePassword(link.Account.ID, now)
		return nil
	})
	if linkDied(err) {
		// Another tab was quicker: this address now says what became of the link.
		http.Redirect(w, r, self, http.StatusSeeOther)
		return nil
	}
	return err
}

// next is the interaction to go on with.
func (s *Reset) next(r *http.Request, link account.Link) flow.Interaction {
	if in, ok := s.Hub.Load(r, link.Reset.InteractionID); ok {
		return in
	}
	if link.Application.ID != "" {
		return s.Hub.New(flow.KindActivation, link.Application.ID)
	}
	return s.Hub.New(flow.KindHome, "")
}

func (s *Reset) dead(w http.ResponseWriter, dead *account.DeadLink) error {
	signIn := templates.Action{Label: "Sign in", URL: "/signin", ID: "sign-in"}
	if dead.Application.LaunchURL != "" {
		signIn.Label, signIn.URL = "Sign in to "+dead.Application.Name, dead.Application.LaunchURL
	}
	again := templates.Action{Label: "Ask for another link", URL: "/forgot", ID: "forgot-password"}
	page := &templates.DeadLink{Reset: true, Actions: []templates.Action{again, signIn}}
	if dead.Reason == account.ReasonUsed {
		page.Actions = []templates.Action{signIn, again}
	}
	page.Actions[0].Primary = true
	return deadPage(w, s.Pages, dead, page)
}
