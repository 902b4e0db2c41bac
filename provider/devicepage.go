package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"anteroom/flow"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// Wrong user codes from one address: more than these in the window get no more
// answers (RFC 8628 section 5.1).
const (
	userCodeTries  = 10
	userCodeWindow = 10 * time.Minute
)

const badUserCode = "This code is not right, or its time is over. Look at your device again; if it shows no code, start again there."

// Device is the page where a person enters the code of a device (RFC 8628 section
// 3.3). A link that brings the code fills it in, and nothing more: what asks, and
// from where, is shown first, and has to be confirmed by a button (section 5.4,
// remote phishing). Then it is a sign-in like any other, under the hub.
func (p *Provider) Device(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		query, err := web.Query(r)
		if err != nil {
			return err
		}
		page := &templates.Device{Action: PathDevice, UserCode: printable(query.Get("user_code"))}
		switch query.Get("result") {
		case "approved", "denied", "expired":
			page.Result = query.Get("result")
		}
		return p.pages.Page(w, http.StatusOK, page)
	}
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	page := &templates.Device{Action: PathDevice, UserCode: printable(form.Get("user_code"))}
	d, c, sentence, err := p.findDevice(r.Context(), form.Get("user_code"))
	if err != nil {
		return err
	}
	if sentence != "" {
		page.Error = sentence
		return p.pages.Page(w, http.StatusOK, page)
	}
	in := p.hub.New(flow.KindDevice, d.ApplicationID)
	in.ClientID, in.Params = c.ID, "device="+d.Hash
	in.Ask = flow.Ask{Scopes: d.Scopes, Details: d.Details != "", Prompt: []string{"select_account"}}
	switch {
	case form.Get("deny") != "":
		answer, err := p.refuseDevice(r.Context(), in, "")
		if err != nil {
			return err
		}
		answer(w, r)
		return nil
	case form.Get("confirm") != "":
		return p.hub.Begin(w, r, in, nil)
	}
	return p.confirmDevice(w, r, page, d, c)
}

// findDevice returns what waits under a user code, or a sentence that says why
// nothing does.
func (p *Provider) findDevice(ctx context.Context, typed string) (d store.Device, c store.Client, sentence string, err error) {
	key, now := "user code "+web.Address(ctx), p.now()
	f, err := p.store.Failure(ctx, key, now)
	if err != nil {
		return d, c, "", fmt.Errorf("count user codes: %w", err)
	}
	if f.Count >= userCodeTries {
		return d, c, "Too many wrong codes came from here. Wait ten minutes, then try again.", nil
	}
	code, ok := readUserCode(typed)
	if !ok {
		return d, c, "The code has eight letters, without vowels. Look at your device again.", nil
	}
	d, err = p.store.DeviceByUserCode(ctx, p.seal.Digest(digestUserCode, code), now)
	if err == nil && !d.DecidedAt.IsZero() {
		err = store.ErrConsumed
	}
	if err == nil {
		c, err = p.client(ctx, d.ClientID)
	}
	if over(err) {
		_, err = p.store.RecordFailure(ctx, key, now, userCodeWindow)
		if err != nil {
			return d, c, "", fmt.Errorf("count user codes: %w", err)
		}
		return d, c, badUserCode, nil
	}
	if err != nil {
		return d, c, "", fmt.Errorf("load device request: %w", err)
	}
	return d, c, "", nil
}

// confirmDevice shows who asks.
func (p *Provider) confirmDevice(w http.ResponseWriter, r *http.Request, page *templates.Device, d store.Device, c store.Client) error {
	app, err := p.store.Application(r.Context(), d.ApplicationID)
	if errors.Is(err, store.ErrNotFound) {
		page.Error = badUserCode
		return p.pages.Page(w, http.StatusOK, page)
	}
	if err != nil {
		return fmt.Errorf("load application %q: %w", d.ApplicationID, err)
	}
	page.Portal = flow.Brand(app)
	page.Confirm, page.Client = true, c.Name
	if page.Client == "" {
		page.Client = app.Name
	}
	page.Address, page.Agent = d.Address, printable(d.UserAgent)
	page.Minutes = int(p.now().Sub(d.CreatedAt).Minutes())
	page.SameAddress = d.Address == web.Address(r.Context())
	return p.pages.Page(w, http.StatusOK, page)
}
