package login

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"anteroom/account"
	"anteroom/flow"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// frame is the frame of a page that has no interaction yet.
func frame(app store.Application, progress []templates.ProgressStep) templates.Frame {
	f := templates.Frame{Progress: progress}
	if app.ID != "" {
		f.Portal = flow.Brand(app)
	}
	return f
}

// token returns the link's secret from the address, and the path with it.
func token(r *http.Request, path string) (secret, self string, err error) {
	query, err := web.Query(r)
	if err != nil {
		return "", "", err
	}
	secret = query.Get("token")
	return secret, path + "?token=" + url.QueryEscape(secret), nil
}

func activateURL(secret string) string { return "/activate?token=" + url.QueryEscape(secret) }

// deadPage shows what became of a link, before any form, with a way on.
func deadPage(w http.ResponseWriter, pages *templates.Renderer, dead *account.DeadLink, page *templates.DeadLink) error {
	page.Frame, page.Reason = frame(dead.Application, nil), string(dead.Reason)
	status := http.StatusGone
	switch {
	case page.Sent:
		status = http.StatusOK
	case dead.Reason == account.ReasonUnknown:
		status = http.StatusNotFound
	}
	if len(page.Actions) == 0 || page.Sent {
		page.Actions = append(page.Actions, templates.Action{Label: "Go to the start page", URL: "/", Primary: len(page.Actions) == 0})
	}
	return pages.Page(w, status, page)
}

// asDead returns the DeadLink in err. A nil err after a race was lost means
// that the link still works: then ok is false and err stays nil.
func asDead(err error) (*account.DeadLink, bool, error) {
	if dead, ok := errors.AsType[*account.DeadLink](err); ok {
		return dead, true, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("check link: %w", err)
	}
	return nil, false, nil
}
