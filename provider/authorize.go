package provider

import (
	"errors"
	"net/http"

	"anteroom/flow"
	"anteroom/internal/web"
)

// What an authorization request may ask for; discovery says the same.
var (
	responseModes = []string{"query", "fragment", "form_post", "jwt", "query.jwt", "fragment.jwt", "form_post.jwt"}
	prompts       = []string{"none", "login", "consent", "select_account"}
)

// promptCreate asks that somebody new registers themselves (Initiating User
// Registration via OpenID Connect 1.0 section 4). Nobody does here: it is not
// advertised, and refused as that section says. Showing the sign-in instead would
// leave a person without an account at a page that cannot help them.
const promptCreate = "create"

// Authorize is the authorization endpoint (RFC 6749 section 3.1, OpenID Connect
// Core section 3.1.2). The parameters of a POST are in its body.
func (p *Provider) Authorize(w http.ResponseWriter, r *http.Request) error {
	in, err := authorizeParams(r)
	if err != nil {
		return err
	}
	if in, err = p.pull(r.Context(), in); err != nil {
		return err
	}
	a, err := p.parse(r.Context(), in)
	if err == nil {
		err = p.applyHint(r.Context(), a)
	}
	if err == nil {
		err = p.answerable(r.Context(), a)
	}
	if wrong, ok := errors.AsType[*refusal](err); ok && a != nil {
		p.logRefusal(r, wrong)
		p.answerError(a.target, &wrong.ProtocolError)(w, r)
		return nil
	}
	if err != nil {
		return err
	}
	a.ask.HintSubject = p.accountOf(a.client, a.ask.HintSubject)
	err = p.hub.Authorize(w, r, flow.Request{
		ClientID: a.client.ID, ApplicationID: a.app.ID, Params: a.keep(), Ask: a.ask,
	})
	// A silent request is an iframe or a script: nobody would see a page.
	if _, page := errors.AsType[*web.Problem](err); err != nil && !page && a.ask.Has("none") {
		failed := asRefusal(err)
		p.logRefusal(r, failed)
		p.answerError(a.target, &failed.ProtocolError)(w, r)
		return nil
	}
	return err
}

func authorizeParams(r *http.Request) (params, error) {
	var in params
	var err error
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		in, err = newParams(r.URL.RawQuery)
	case http.MethodPost:
		in, err = readForm(r)
	default:
		problem := stop("The portal sent you here in a way that is not supported.", nil)
		problem.Status = http.StatusMethodNotAllowed
		return in, problem
	}
	if wrong, ok := errors.AsType[*refusal](err); ok {
		problem := stop("The link that brought you here cannot be read.", wrong)
		problem.Status = wrong.status
		return in, problem
	}
	return in, err
}
