package login

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"anteroom/account"
	"anteroom/flow"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// Hub is what this room needs of flow.Hub.
type Hub interface {
	New(kind flow.Kind, applicationID string) flow.Interaction
	Load(r *http.Request, id string) (flow.Interaction, bool)
	Begin(w http.ResponseWriter, r *http.Request, in flow.Interaction, prove func(ctx context.Context, in *flow.Interaction) error) error
	Done(w http.ResponseWriter, r *http.Request, prove func(ctx context.Context, in *flow.Interaction) error) error
	Knows(r *http.Request, accountID string) bool
}

// Login asks for user name and password, under flow.Require(flow.StepLogin).
type Login struct {
	Hub      Hub
	Accounts *account.Accounts
	Pages    *templates.Renderer
	Now      func() time.Time
}

// Show is GET /login.
func (l *Login) Show(w http.ResponseWriter, r *http.Request) error {
	p := flow.From(r)
	page := l.page(p)
	page.UserName = hint(p)
	if page.ContinueAs != "" {
		page.UserName = ""
	}
	return l.Pages.Page(w, http.StatusOK, page)
}

func (l *Login) page(p *flow.Pending) *templates.Login {
	page := &templates.Login{
		Frame: p.Frame(), Action: p.URL("/login"), ForgotURL: p.URL("/forgot"), Why: why(p),
	}
	if mayContinue(p) {
		page.ContinueAs = p.Account.DisplayName()
	}
	return page
}

// hint is the user name to begin with: what the portal said, else who it was.
func hint(p *flow.Pending) string {
	if name := p.Ask.LoginHint; name != "" && len(name) <= 254 {
		return name
	}
	return p.Account.UserName
}

// why is the one line that says why somebody who is signed in is asked.
func why(p *flow.Pending) string {
	switch {
	case p.InviteHash != "":
		return "You have an account already: sign in to accept the invitation."
	case p.Session != nil && !mayContinue(p) && p.Application.Name != "":
		return p.Application.Name + " asks you to sign in again."
	}
	return ""
}

// mayContinue tells whether the browser's session may be chosen instead of a
// password: the portal asked which account (prompt=select_account), or an
// invitation did, to the account that is signed in. Whether the session is fresh
// enough is decided by flow.Next; if it is not, the password is asked after all.
func mayContinue(p *flow.Pending) bool {
	return p.Session != nil && p.Account.ID != "" && p.Session.AccountID == p.Account.ID &&
		p.Account.State != store.AccountDisabled && !p.Session.AuthTime.Before(p.Account.NotBefore) &&
		p.SelectedAt.IsZero() && p.Ask.Has("select_account") && !p.Ask.Has("login") &&
		(p.Ask.HintSubject == "" || p.Ask.HintSubject == p.Account.ID)
}

// Submit is POST /login.
func (l *Login) Submit(w http.ResponseWriter, r *http.Request) error {
	p := flow.From(r)
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	if form.Get("continue") != "" {
		return l.goOn(w, r, p)
	}
	name, password := strings.TrimSpace(form.Get("username")), form.Get("password")
	if name == "" || password == "" {
		return l.again(w, p, name, "Enter your user name and your password.", http.StatusUnprocessableEntity)
	}
	ctx := r.Context()
	known := func(accountID string) bool { return l.Hub.Knows(r, accountID) }
	acct, err := l.Accounts.CheckPassword(ctx, name, password, web.Address(ctx), known)
	if sentence, status, ok := refusal(w, err); ok {
		return l.again(w, p, name, sentence, status)
	}
	if err != nil {
		return err
	}
	hash, err := l.Accounts.Rehash(ctx, acct, password)
	if err != nil {
		return err
	}
	now := l.Now()
	return l.accept(w, r, p, acct.ID, func(ctx context.Context, in *flow.Interaction) error {
		in.ProvePassword(acct.ID, now)
		return l.Accounts.KeepHash(ctx, acct, hash)
	})
}

// goOn is "Continue as ...".
func (l *Login) goOn(w http.ResponseWriter, r *http.Request, p *flow.Pending) error {
	if !mayContinue(p) {
		return l.again(w, p, hint(p), "Sign in with your password this time.", http.StatusUnprocessableEntity)
	}
	now := l.Now()
	return l.accept(w, r, p, p.Account.ID, func(_ context.Context, in *flow.Interaction) error {
		in.AccountID, in.SelectedAt = p.Account.ID, now
		return nil
	})
}

// accept proves who it is and, in the same commit, uses up the invitation that
// led here, if it is theirs. An invitation that died meanwhile (another tab) keeps
// nobody from signing in.
func (l *Login) accept(w http.ResponseWriter, r *http.Request, p *flow.Pending, accountID string, prove func(ctx context.Context, in *flow.Interaction) error) error {
	invited := p.InviteHash != "" && p.Ask.HintSubject == accountID
	if invited {
		err := l.Hub.Done(w, r, func(ctx context.Context, in *flow.Interaction) error {
			if _, err := l.Accounts.UseInvitation(ctx, in.InviteHash); err != nil {
				return err
			}
			in.InviteHash = ""
			return prove(ctx, in)
		})
		if !linkDied(err) {
			return err
		}
	}
	return l.Hub.Done(w, r, func(ctx context.Context, in *flow.Interaction) error {
		if invited {
			in.InviteHash = ""
		}
		return prove(ctx, in)
	})
}

func (l *Login) again(w http.ResponseWriter, p *flow.Pending, name, sentence string, status int) error {
	page := l.page(p)
	page.UserName, page.Error = name, sentence
	return l.Pages.Page(w, status, page)
}

// refusal turns an error with words for the person into the line above the
// field, with the status, and Retry-After where waiting helps. ok is false for
// every other error, and for nil.
func refusal(w http.ResponseWriter, err error) (sentence string, status int, ok bool) {
	explained, ok := errors.AsType[interface {
		error
		Explain() string
	}](err)
	if !ok {
		return "", 0, false
	}
	status = http.StatusUnprocessableEntity
	if problem, ok := errors.AsType[*web.Problem](err); ok {
		status = problem.Status
		if problem.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(problem.RetryAfter))
		}
	}
	return explained.Explain(), status, true
}

// linkDied tells whether a commit failed because a link was used, replaced or
// expired between the page and the button.
func linkDied(err error) bool {
	return errors.Is(err, store.ErrConsumed) || errors.Is(err, store.ErrRevoked) ||
		errors.Is(err, store.ErrExpired) || errors.Is(err, store.ErrNotFound)
}
