package provider

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"anteroom/internal/seal"
	"anteroom/store"
)

// credentialKind is how a request says which client it is from.
type credentialKind int

const (
	byBasic     credentialKind = iota // a secret in the Authorization header
	byPost                            // a secret in the form
	byAssertion                       // a JWT in the form
	byID                              // a client_id, and perhaps a certificate
)

// clientMethod is one way for a client to prove who it is (RFC 6749 section
// 2.3). A method that is not on does not exist: neither here nor in discovery.
type clientMethod struct {
	name string // as in token_endpoint_auth_method
	kind credentialKind
	// prove returns what must be used up with the request, or why the credential
	// is not the client's. It is called for unknown clients too, and does the same
	// work then.
	prove func(p *Provider, ctx context.Context, c store.Client, given credential) ([]spend, error)
	// on tells whether this provider can; nil: always.
	on func(p *Provider) bool
}

// credential is what a request presents.
type credential struct {
	kind      credentialKind
	clientID  string
	secret    string
	assertion *assertion
	request   *http.Request
}

var clientMethods = []clientMethod{
	{name: "client_secret_basic", kind: byBasic, prove: proveSecret},
	{name: "client_secret_post", kind: byPost, prove: proveSecret},
	{name: "client_secret_jwt", kind: byAssertion, prove: proveSecretJWT},
	{name: "private_key_jwt", kind: byAssertion, prove: proveKeyJWT},
	{name: "tls_client_auth", kind: byID, prove: proveCertificate, on: (*Provider).trustsCertificates},
	{name: "self_signed_tls_client_auth", kind: byID, prove: proveSelfSigned, on: (*Provider).seesCertificates},
	{name: "none", kind: byID, prove: func(*Provider, context.Context, store.Client, credential) ([]spend, error) { return nil, nil }},
}

// methods are those that are on.
func (p *Provider) methods() (on []clientMethod) {
	for _, m := range clientMethods {
		if m.on == nil || m.on(p) {
			on = append(on, m)
		}
	}
	return on
}

// spend is a value that works once: the jti of an assertion or of a proof.
type spend struct {
	space, key string
	until      time.Time
	replayed   *refusal // the answer if it was used before
}

// use records values that work once, in the unit of work of ctx.
func (p *Provider) use(ctx context.Context, values []spend) error {
	for _, v := range values {
		err := p.store.UseOnce(ctx, v.space, v.key, p.now(), v.until)
		if errors.Is(err, store.ErrConsumed) {
			return v.replayed
		}
		if err != nil {
			return fmt.Errorf("record %s: %w", v.space, err)
		}
	}
	return nil
}

// useNow is use in a commit of its own; nothing to record costs nothing.
func (p *Provider) useNow(ctx context.Context, values []spend) error {
	if len(values) == 0 {
		return nil
	}
	err := p.store.Together(ctx, func(ctx context.Context) error { return p.use(ctx, values) })
	if errors.Is(err, store.ErrConsumed) {
		return values[0].replayed
	}
	return err
}

// errClient is the one answer for unknown and disabled clients, wrong secrets
// and wrong methods.
func errClient(cause error) *refusal {
	return refuse("invalid_client", "The client is unknown, its credentials are wrong, or it is registered for another authentication method.").
		withStatus(http.StatusUnauthorized).because(cause)
}

// authenticate returns the client that a request is from. It uses exactly one
// method, the one that the client is registered for. An assertion is used up.
func (p *Provider) authenticate(ctx context.Context, r *http.Request, form url.Values) (store.Client, error) {
	c, values, err := p.identify(ctx, r, form)
	if err != nil {
		return store.Client{}, err
	}
	return c, p.useNow(ctx, values)
}

// identify is authenticate for a caller that itself uses up what works once,
// with the rest of what it writes.
func (p *Provider) identify(ctx context.Context, r *http.Request, form url.Values) (store.Client, []spend, error) {
	given, err := presented(r, form)
	if err != nil {
		return store.Client{}, nil, err
	}
	c, err := p.client(ctx, given.clientID)
	known := err == nil
	if !known && !errors.Is(err, store.ErrNotFound) {
		return store.Client{}, nil, err
	}
	method := p.methodFor(c, given)
	values, wrong := method.prove(p, ctx, c, given)
	switch {
	case errors.Is(wrong, store.ErrUnavailable):
		return store.Client{}, nil, wrong
	case wrong != nil:
		err = wrong
	}
	if !known || wrong != nil || c.TokenEndpointAuthMethod != method.name || (fapi(c) && !contains(fapiMethods, method.name)) {
		return store.Client{}, nil, errClient(err)
	}
	return c, values, nil
}

// methodFor is the method that the request uses. Where several look the same it
// is the one that the client is registered for.
func (p *Provider) methodFor(c store.Client, given credential) clientMethod {
	name := c.TokenEndpointAuthMethod
	if a := given.assertion; a != nil {
		name = "private_key_jwt"
		if contains(secretAlgorithms, a.signed.Signatures[0].Protected.Algorithm) {
			name = "client_secret_jwt"
		}
	}
	var found clientMethod
	for _, m := range p.methods() {
		if m.kind == given.kind && (found.name == "" || m.name == name) {
			found = m
		}
	}
	return found
}

// presented finds the one kind of credential that a request has.
func presented(r *http.Request, form url.Values) (credential, error) {
	var found []credential
	for _, read := range []func(*http.Request, url.Values) (credential, bool, error){readBasic, readPost, readAssertion} {
		c, ok, err := read(r, form)
		if err != nil {
			return c, err
		}
		if ok {
			found = append(found, c)
		}
	}
	sent := form.Get("client_id")
	switch {
	case len(found) > 1:
		return credential{}, refuse("invalid_request", "Two methods of client authentication in one request.")
	case len(found) == 0 && sent == "":
		return credential{}, errClient(errors.New("no credentials"))
	case len(found) == 0:
		return credential{kind: byID, clientID: sent, request: r}, nil
	case sent != "" && sent != found[0].clientID:
		return credential{}, refuse("invalid_request", "The client_id is not that of the client that authenticates.")
	}
	found[0].request = r
	return found[0], nil
}

// readBasic reads RFC 6749 section 2.3.1: both parts are form-encoded first.
func readBasic(r *http.Request, _ url.Values) (credential, bool, error) {
	header := r.Header.Values("Authorization")
	if len(header) == 0 {
		return credential{}, false, nil
	}
	scheme, encoded, _ := strings.Cut(header[0], " ")
	if len(header) > 1 || !strings.EqualFold(scheme, "Basic") {
		return credential{}, false, errClient(errors.New("an Authorization header that is not Basic"))
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return credential{}, false, errClient(err)
	}
	user, password, found := strings.Cut(string(raw), ":")
	id, errID := url.QueryUnescape(user)
	secret, errSecret := url.QueryUnescape(password)
	if err := errors.Join(errID, errSecret); err != nil || !found || unreadable(id) || unreadable(secret) {
		return credential{}, false, errClient(err)
	}
	return credential{kind: byBasic, clientID: id, secret: secret}, true, nil
}

func readPost(_ *http.Request, form url.Values) (credential, bool, error) {
	if form.Get("client_secret") == "" {
		return credential{}, false, nil
	}
	return credential{kind: byPost, clientID: form.Get("client_id"), secret: form.Get("client_secret")}, true, nil
}

// proveSecret compares with every secret that is valid now: during a rotation
// there are several.
func proveSecret(p *Provider, _ context.Context, c store.Client, given credential) ([]spend, error) {
	hash := []byte(p.seal.Digest(seal.ClientSecret, given.secret))
	now := p.now()
	right := hmac.Equal(hash, make([]byte, len(hash))) // the work of one, where there is none
	for _, s := range c.Secrets {
		same := hmac.Equal(hash, []byte(s.Hash))
		if same && (s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt)) {
			right = true
		}
	}
	if !right {
		return nil, errors.New("wrong secret")
	}
	return nil, nil
}

// confidential is authenticate for endpoints where a client_id alone proves
// nothing.
func (p *Provider) confidential(ctx context.Context, r *http.Request, form url.Values) (store.Client, error) {
	c, err := p.authenticate(ctx, r, form)
	if err == nil && public(c) {
		return store.Client{}, errClient(errors.New("a public client"))
	}
	return c, err
}
