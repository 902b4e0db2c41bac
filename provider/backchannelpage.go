package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"anteroom/flow"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// Requests is the account page where a person decides on what clients asked over
// the back channel. To see it takes a session as strong as the account can; to
// approve is a sign-in to the application like any other, under the hub, which
// asks what is missing: a second factor, a newer sign-in, terms, consent.
func (p *Provider) Requests(w http.ResponseWriter, r *http.Request) error {
	_, account, ok, err := p.hub.Own(w, r, PathRequests)
	if err != nil || !ok {
		return err
	}
	if r.Method != http.MethodPost {
		query, err := web.Query(r)
		if err != nil {
			return err
		}
		return p.showRequests(w, r, account, query.Get("result"))
	}
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	b, _, _, err := p.undecided(r.Context(), form.Get("request"), account.ID)
	if over(err) {
		return p.showRequests(w, r, account, "gone")
	}
	if err != nil {
		return err
	}
	in := p.hub.New(flow.KindBackchannel, b.ApplicationID)
	in.ClientID, in.Params = b.ClientID, url.Values{"backchannel": {b.Hash}}.Encode()
	in.Ask = flow.Ask{Scopes: b.Scopes, ACRValues: b.ACRValues, HintSubject: account.ID}
	switch {
	case form.Get("approve") != "":
		return p.hub.Begin(w, r, in, nil)
	case form.Get("deny") != "":
		answer, err := p.refuseBackchannel(r.Context(), in, flow.Authentication{AccountID: account.ID})
		if err != nil {
			return err
		}
		answer(w, r)
		return nil
	}
	return p.showRequests(w, r, account, "")
}

func (p *Provider) showRequests(w http.ResponseWriter, r *http.Request, account store.Account, result string) error {
	rows, err := p.store.BackchannelsOf(r.Context(), account.ID, p.now())
	if err != nil {
		return fmt.Errorf("list backchannel requests: %w", err)
	}
	page := &templates.Requests{Action: PathRequests, Person: account.DisplayName()}
	switch result {
	case "approved", "denied", "gone":
		page.Result = result
	}
	for _, b := range rows {
		line, ok, err := p.requestLine(r.Context(), b)
		if err != nil {
			return err
		}
		if ok {
			page.Requests = append(page.Requests, line)
		}
	}
	return p.pages.Page(w, http.StatusOK, page)
}

// requestLine says who asks; ok is false if that is nobody any more.
func (p *Provider) requestLine(ctx context.Context, b store.Backchannel) (line templates.Request, ok bool, err error) {
	_, c, app, err := p.undecided(ctx, b.Hash, b.AccountID)
	if over(err) || errors.Is(err, store.ErrNotFound) {
		return line, false, nil
	}
	if err != nil {
		return line, false, err
	}
	now := p.now()
	return templates.Request{
		ID: b.Hash, Portal: app.Name, Client: c.Name, Binding: b.Binding, Address: b.Address,
		Minutes: int(now.Sub(b.CreatedAt).Minutes()), Left: int(b.ExpiresAt.Sub(now).Minutes()) + 1,
	}, true, nil
}
