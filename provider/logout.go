package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"anteroom/flow"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// logout is a logout request that was understood (OpenID Connect RP-Initiated
// Logout section 2).
type logout struct {
	params url.Values
	hint   *idClaims // trusted; nil: none was sent
	client *store.Client
	app    *store.Application
	target string // where to go afterwards; only with a trusted hint
}

// confirmField is what our own confirmation page posts besides what was asked.
const confirmField = "confirm"

// Logout is the end of the session of this browser. A portal that shows an ID
// token of the person who is signed in is believed and gets the browser back;
// everybody else's link leads to a page that asks, and never to a redirect.
func (p *Provider) Logout(w http.ResponseWriter, r *http.Request) error {
	in, err := logoutParams(r)
	if err != nil {
		return err
	}
	confirmed := r.Method == http.MethodPost && in.Get(confirmField) != "" &&
		http.NewCrossOriginProtection().Check(r) == nil
	if r.Method == http.MethodPost && !confirmed {
		// A form of another site brings no SameSite cookies; the redirect does.
		in.Del(confirmField)
		redirect(w, r, PathLogout+"?"+in.Encode())
		return nil
	}
	l, err := p.readLogout(r.Context(), in.Values)
	if err != nil {
		return err
	}
	session, account, signedIn, err := p.hub.Session(r)
	if err != nil {
		return err
	}
	if signedIn && !confirmed && !l.trusted(session) {
		return p.askLogout(w, l, account)
	}
	var tell []string
	if signedIn {
		if tell, err = p.frontChannel(r.Context(), session); err != nil {
			return err
		}
	}
	if err := p.hub.SignOut(w, r); err != nil {
		return err
	}
	p.noticed()
	if l.target != "" && len(tell) == 0 {
		w.Header().Set("Cache-Control", "no-store")
		redirect(w, r, l.target)
		return nil
	}
	page := &templates.SignedOut{Frame: l.frame(), Tell: tell}
	if l.app != nil {
		page.ContinueURL = l.app.LaunchURL
	}
	if l.target != "" {
		page.ContinueURL = l.target
		w.Header().Set("Refresh", frontChannelWait+"; url="+l.target)
	}
	return p.pages.Page(w, http.StatusOK, page)
}

func logoutParams(r *http.Request) (params, error) {
	var in params
	var err error
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		in, err = newParams(r.URL.RawQuery)
	case http.MethodPost:
		in, err = readForm(r)
	default:
		err = refuse("invalid_request", "").withStatus(http.StatusMethodNotAllowed)
	}
	if err == nil {
		if wrong := in.wrong(); wrong != nil {
			err = wrong
		}
	}
	if wrong, ok := errors.AsType[*refusal](err); ok {
		problem := badLogout("The link that brought you here cannot be read.", wrong)
		problem.Status = wrong.status
		return in, problem
	}
	return in, err
}

// badLogout is a page for a request that is not what it claims to be. The
// person can still sign out.
func badLogout(sentence string, cause error) *web.Problem {
	return &web.Problem{
		Status:   http.StatusBadRequest,
		Heading:  "This sign-out link does not work",
		Sentence: sentence + " You have not been signed out.",
		Actions: []templates.Action{
			{Label: "Sign out here", URL: PathLogout, Primary: true},
			{Label: "Stay signed in", URL: "/"},
		},
		Cause: cause,
	}
}

// readLogout checks what a logout request claims.
func (p *Provider) readLogout(ctx context.Context, in url.Values) (*logout, error) {
	l := &logout{params: in}
	if raw := in.Get("id_token_hint"); raw != "" {
		hint, err := p.openHint(ctx, raw)
		if errors.Is(err, errToken) {
			return nil, badLogout("The portal sent an id_token_hint that is not from here.", err)
		}
		if err != nil {
			return nil, err
		}
		l.hint = &hint
	}
	id := in.Get("client_id")
	if l.hint != nil {
		if id != "" && !contains(l.hint.Audience, id) {
			return nil, badLogout("The portal sent an id_token_hint of another portal (client_id).", nil)
		}
		id = l.hint.Audience[0]
	}
	if id != "" {
		if err := p.loadLogoutClient(ctx, l, id); err != nil {
			return nil, err
		}
	}
	return l, l.aim()
}

func (p *Provider) loadLogoutClient(ctx context.Context, l *logout, id string) error {
	c, err := p.client(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return badLogout("The portal that sent you here is not known (client_id).", err)
	}
	if err != nil {
		return err
	}
	app, err := p.store.Application(ctx, c.ApplicationID)
	if err != nil {
		return fmt.Errorf("load application %q: %w", c.ApplicationID, err)
	}
	l.client, l.app = &c, &app
	if l.hint != nil {
		l.hint.Subject = p.accountOf(c, l.hint.Subject)
	}
	return nil
}

// aim finds where to go afterwards: an address that the client registered, to
// the letter, and only if the hint says who the client is.
func (l *logout) aim() error {
	uri := l.params.Get("post_logout_redirect_uri")
	if uri == "" || l.client == nil {
		return nil
	}
	if !slices.Contains(l.client.PostLogoutRedirectURIs, uri) {
		return badLogout("The address to return to (post_logout_redirect_uri) is not registered for this portal.", nil)
	}
	if l.hint == nil {
		return nil
	}
	l.target = uri
	if state := l.params.Get("state"); state != "" {
		l.target = appendQuery(uri, url.Values{"state": {state}})
	}
	return nil
}

// trusted: the portal showed an ID token of the session that it wants to end.
func (l *logout) trusted(s store.Session) bool {
	return l.hint != nil && (l.hint.SessionID == s.ID || l.hint.Subject == s.AccountID)
}

func (l *logout) frame() templates.Frame {
	if l.app == nil {
		return templates.Frame{}
	}
	return templates.Frame{Portal: flow.Brand(*l.app)}
}

// askLogout shows the confirmation page.
func (p *Provider) askLogout(w http.ResponseWriter, l *logout, a store.Account) error {
	fields := map[string]string{confirmField: "1"}
	for _, name := range []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state"} {
		if v := l.params.Get(name); v != "" {
			fields[name] = v
		}
	}
	return p.pages.Page(w, http.StatusOK, &templates.Logout{
		Frame: l.frame(), Action: PathLogout, Person: a.DisplayName(), Fields: fields, Stay: "/",
	})
}
