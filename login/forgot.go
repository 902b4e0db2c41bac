package login

import (
	"net/http"
	"strings"

	"anteroom/account"
	"anteroom/flow"
	"anteroom/internal/web"
	"anteroom/templates"
)

// Forgot asks for the name to send a reset link to.
type Forgot struct {
	Hub      Hub
	Accounts *account.Accounts
	Pages    *templates.Renderer
}

// Show is GET /forgot, and what it says after the form: the same for every name.
func (f *Forgot) Show(w http.ResponseWriter, r *http.Request) error {
	page, _, err := f.page(r)
	if err != nil {
		return err
	}
	page.Sent = r.URL.Query().Get("sent") == "1"
	return f.Pages.Page(w, http.StatusOK, page)
}

// page knows the pending interaction that the person came from, if this browser
// holds it.
func (f *Forgot) page(r *http.Request) (*templates.Forgot, flow.Interaction, error) {
	query, err := web.Query(r)
	if err != nil {
		return nil, flow.Interaction{}, err
	}
	page := &templates.Forgot{Action: "/forgot", BackURL: "/"}
	in, ok := f.Hub.Load(r, query.Get("i"))
	if !ok {
		return page, flow.Interaction{}, nil
	}
	page.Action, page.BackURL = "/forgot?i="+in.ID, string(flow.StepLogin)+"?i="+in.ID
	if in.ApplicationID == "" {
		return page, in, nil
	}
	// An application that was removed meanwhile leaves a page without a portal.
	if app, err := f.Accounts.Store.Application(r.Context(), in.ApplicationID); err == nil {
		page.Frame = frame(app, nil)
	}
	return page, in, nil
}

// Submit is POST /forgot.
func (f *Forgot) Submit(w http.ResponseWriter, r *http.Request) error {
	page, in, err := f.page(r)
	if err != nil {
		return err
	}
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	page.UserName = strings.TrimSpace(form.Get("username"))
	if page.UserName == "" {
		page.Error = "Enter the user name or the e-mail address that you sign in with."
		return f.Pages.Page(w, http.StatusUnprocessableEntity, page)
	}
	err = f.Accounts.RequestReset(r.Context(), page.UserName, in.ApplicationID, in.ID)
	if sentence, status, ok := refusal(w, err); ok {
		page.Error = sentence
		return f.Pages.Page(w, status, page)
	}
	if err != nil {
		return err
	}
	done := "/forgot?sent=1"
	if in.ID != "" {
		done += "&i=" + in.ID
	}
	http.Redirect(w, r, done, http.StatusSeeOther)
	return nil
}
