package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
)

const (
	// requestURN is what request_uri of a pushed request begins with (RFC 9126
	// section 2.2).
	requestURN = "urn:ietf:params:oauth:request_uri:"
	// pushedLife is how long a browser may take to begin with a pushed request.
	pushedLife = 90 * time.Second

	digestPushed = "pushed request"
	sealPushed   = "pushed request"
)

// Names under which what we found out about a request is kept with it for the
// second check. Nothing from outside can use them: the parameters request and
// request_uri are never kept.
const (
	keptPushed = "request_uri"
	keptSigned = "request"
)

type pushedAnswer struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"` // seconds
}

// PushAuthorization takes an authorization request that a client sends ahead, on
// its own connection (RFC 9126). The browser then brings a reference only, which
// works until a code was issued for it: a page that is loaded again finds its
// request.
func (p *Provider) PushAuthorization(w http.ResponseWriter, r *http.Request) {
	if !p.only(w, r, http.MethodPost) {
		return
	}
	p.offerNonce(w, r)
	answer, err := p.pushAuthorization(r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, answer)
}

func (p *Provider) pushAuthorization(r *http.Request) (*pushedAnswer, error) {
	ctx := r.Context()
	c, form, values, err := p.authenticated(r)
	if err != nil {
		return nil, err
	}
	proof, err := p.pushedKey(r, c, form)
	values = append(values, proof...)
	var row store.PushedRequest
	var answer *pushedAnswer
	if err == nil {
		row, answer, err = p.preparePushed(ctx, c, form)
	}
	if err != nil {
		if used := p.useNow(ctx, values); used != nil {
			return nil, used
		}
		return nil, err
	}
	err = p.store.Do(ctx, func(ctx context.Context) error {
		if err := p.use(ctx, values); err != nil {
			return err
		}
		return p.store.PushRequest(ctx, row)
	})
	if _, ok := errors.AsType[*refusal](err); !ok && errors.Is(err, store.ErrConsumed) {
		return nil, values[0].replayed.because(err)
	}
	if err != nil {
		return nil, fmt.Errorf("keep pushed request: %w", err)
	}
	return answer, nil
}

// preparePushed checks a request as /authorize will, and seals what is kept of
// it: no credential is.
func (p *Provider) preparePushed(ctx context.Context, c store.Client, form url.Values) (store.PushedRequest, *pushedAnswer, error) {
	var row store.PushedRequest
	if public(c) {
		// Whatever anybody can send is not stored.
		return row, nil, refuse("unauthorized_client", "A public client sends its parameters to the authorization endpoint.")
	}
	if form.Has("request_uri") {
		return row, nil, refuse("invalid_request", "The parameter request_uri has no place in a pushed request (RFC 9126 section 2.1).")
	}
	in := params{Values: url.Values{}, pushing: true}
	for name, all := range form {
		if name != "client_secret" && name != "client_assertion" && name != "client_assertion_type" {
			in.Values[name] = all
		}
	}
	in.Set("client_id", c.ID)
	a, err := p.parse(ctx, in)
	if err == nil {
		err = p.applyHint(ctx, a)
	}
	if err == nil {
		err = p.answerable(ctx, a)
	}
	if page, ok := errors.AsType[*web.Problem](err); ok && a == nil {
		sentence, _, _ := strings.Cut(page.Sentence, whatNow)
		return row, nil, refuse("invalid_request", "%s", sentence).because(page.Cause)
	}
	if err != nil {
		return row, nil, err
	}
	kept, err := url.ParseQuery(a.keep())
	if err != nil {
		return row, nil, fmt.Errorf("kept parameters: %w", err)
	}
	if hint := a.params.Get("id_token_hint"); hint != "" {
		kept.Set("id_token_hint", hint)
	}
	reference, now := seal.Token(), p.now()
	row = store.PushedRequest{Hash: p.seal.Digest(digestPushed, reference), ClientID: c.ID, CreatedAt: now, ExpiresAt: now.Add(pushedLife)}
	row.Sealed = p.seal.Seal(sealPushed, row.Hash, []byte(kept.Encode()))
	return row, &pushedAnswer{RequestURI: requestURN + reference, ExpiresIn: int64(pushedLife.Seconds())}, nil
}

// pull replaces the reference to a pushed request by the request. Everything
// else that the browser brings counts for nothing (RFC 9126 section 4).
func (p *Provider) pull(ctx context.Context, in params) (params, error) {
	reference, ok := strings.CutPrefix(in.Get("request_uri"), requestURN)
	if !ok {
		return in, nil
	}
	row, err := p.store.PushedRequest(ctx, p.seal.Digest(digestPushed, reference), p.now())
	if err == nil && row.ClientID != in.Get("client_id") {
		err = fmt.Errorf("pushed by %q: %w", row.ClientID, store.ErrNotFound)
	}
	if over(err) {
		return in, stop("The link (request_uri) has expired, was used, or belongs to another portal.", err)
	}
	if err != nil {
		return in, fmt.Errorf("load pushed request: %w", err)
	}
	return p.openPushed(row)
}

// openPushed returns the parameters of a pushed request.
func (p *Provider) openPushed(row store.PushedRequest) (params, error) {
	plain, err := p.seal.Open(sealPushed, row.Hash, row.Sealed)
	if err != nil {
		return params{}, fmt.Errorf("open pushed request: %w", err)
	}
	out, err := keptParams(string(plain))
	out.pushed = row.Hash
	return out, err
}

// pullAgain is pull for the second check: whoever began in time may finish, so
// that an expired or used request is still read, to know where the answer goes.
// That one reference yields one code is the matter of usePushed.
func (p *Provider) pullAgain(ctx context.Context, in params) (params, error) {
	if in.pushed == "" {
		return in, nil
	}
	row, err := p.store.PushedRequest(ctx, in.pushed, p.now())
	if errors.Is(err, store.ErrExpired) || errors.Is(err, store.ErrConsumed) {
		err = nil
	}
	if err == nil && row.ClientID != in.Get("client_id") {
		err = fmt.Errorf("pushed by %q: %w", row.ClientID, store.ErrNotFound)
	}
	if over(err) {
		return in, stop("What the portal asked for (request_uri) is no longer kept.", err)
	}
	if err != nil {
		return in, fmt.Errorf("load pushed request: %w", err)
	}
	return p.openPushed(row)
}

// keptParams reads what authorization.keep wrote.
func keptParams(raw string) (params, error) {
	in, err := newParams(raw)
	if err != nil {
		return in, err
	}
	in.pushed, in.signed = in.Get(keptPushed), in.Get(keptSigned) != ""
	in.Del(keptPushed)
	in.Del(keptSigned)
	return in, nil
}

// usePushed uses up the pushed request of a code that is being issued, in the
// unit of work of ctx. ok is false if a code was issued for it before.
func (p *Provider) usePushed(ctx context.Context, a *authorization) (ok bool, err error) {
	if a.pushed == "" {
		return true, nil
	}
	_, err = p.store.PushedRequest(ctx, a.pushed, p.now())
	if errors.Is(err, store.ErrConsumed) || errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil && !errors.Is(err, store.ErrExpired) { // whoever began in time may finish
		return false, fmt.Errorf("load pushed request: %w", err)
	}
	if err := p.store.UsePushedRequest(ctx, a.pushed, p.now()); err != nil {
		return false, fmt.Errorf("use pushed request: %w", err)
	}
	return true, nil
}

// mustPush tells whether a client sends its requests ahead and in no other way.
func mustPush(c store.Client) bool {
	return fapi(c) || flag(c, "require_pushed_authorization_requests")
}

func (a *authorization) checkPushed() error {
	if mustPush(a.client) && a.pushed == "" && !a.pushing {
		return refuse("invalid_request", "This client is registered to push its authorization requests (RFC 9126).")
	}
	return nil
}
