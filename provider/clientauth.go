package provider

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"anteroom/internal/seal"
	"anteroom/store"
)

// clientMethod is one way for a client to say who it is (RFC 6749 section 2.3).
// A method that is not in clientMethods does not exist: neither here nor in
// discovery.
type clientMethod struct {
	name string // as in token_endpoint_auth_method
	// read returns what a request presents by this method; ok is false if it
	// does not use it.
	read func(r *http.Request, form url.Values) (c credential, ok bool, err error)
	// prove says whether the credential is the client's. It is called for
	// unknown clients too, with one that has no secrets, and takes as long.
	prove func(p *Provider, ctx context.Context, c store.Client, given credential) bool
}

// credential is what a request presents.
type credential struct {
	clientID string
	secret   string
}

var clientMethods = []clientMethod{
	{name: "client_secret_basic", read: readBasic, prove: proveSecret},
	{name: "client_secret_post", read: readPost, prove: proveSecret},
	{name: "none", read: readNone, prove: func(*Provider, context.Context, store.Client, credential) bool { return true }},
}

// errClient is the one answer for unknown and disabled clients, wrong secrets
// and wrong methods.
func errClient(cause error) *refusal {
	return refuse("invalid_client", "The client is unknown, its credentials are wrong, or it is registered for another authentication method.").
		withStatus(http.StatusUnauthorized).because(cause)
}

// authenticate returns the client that a request is from. It uses exactly one
// method, the one that the client is registered for.
func (p *Provider) authenticate(ctx context.Context, r *http.Request, form url.Values) (store.Client, error) {
	method, given, err := presented(r, form)
	if err != nil {
		return store.Client{}, err
	}
	c, err := p.client(ctx, given.clientID)
	known := err == nil
	if !known && !errors.Is(err, store.ErrNotFound) {
		return store.Client{}, err
	}
	proved := method.prove(p, ctx, c, given)
	if !known || !proved || c.TokenEndpointAuthMethod != method.name {
		return store.Client{}, errClient(err)
	}
	return c, nil
}

// presented finds the one method that a request uses.
func presented(r *http.Request, form url.Values) (clientMethod, credential, error) {
	var found []clientMethod
	var given credential
	for _, m := range clientMethods {
		c, ok, err := m.read(r, form)
		if err != nil {
			return m, c, err
		}
		// "none" is a client_id without anything else.
		if ok && (m.name != "none" || len(found) == 0) {
			found, given = append(found, m), c
		}
	}
	asserted := form.Get("client_assertion") != "" || form.Get("client_assertion_type") != ""
	switch {
	case asserted && len(found) > 0 && found[0].name != "none":
		return clientMethod{}, given, refuse("invalid_request", "Two methods of client authentication in one request: %s and an assertion.", found[0].name)
	case asserted:
		return clientMethod{}, given, errClient(errors.New("a client assertion, which no method reads"))
	case len(found) == 0:
		return clientMethod{}, given, errClient(errors.New("no credentials"))
	case len(found) > 1:
		return clientMethod{}, given, refuse("invalid_request", "Two methods of client authentication in one request: %s and %s.", found[0].name, found[1].name)
	}
	if sent := form.Get("client_id"); sent != "" && sent != given.clientID {
		return clientMethod{}, given, refuse("invalid_request", "The client_id is not that of the client that authenticates.")
	}
	return found[0], given, nil
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
	return credential{clientID: id, secret: secret}, true, nil
}

func readPost(_ *http.Request, form url.Values) (credential, bool, error) {
	if form.Get("client_secret") == "" {
		return credential{}, false, nil
	}
	return credential{clientID: form.Get("client_id"), secret: form.Get("client_secret")}, true, nil
}

func readNone(_ *http.Request, form url.Values) (credential, bool, error) {
	id := form.Get("client_id")
	return credential{clientID: id}, id != "", nil
}

// proveSecret compares with every secret that is valid now: during a rotation
// there are several.
func proveSecret(p *Provider, _ context.Context, c store.Client, given credential) bool {
	hash := []byte(p.seal.Digest(seal.ClientSecret, given.secret))
	now := p.now()
	right := hmac.Equal(hash, make([]byte, len(hash))) // the work of one, where there is none
	for _, s := range c.Secrets {
		same := hmac.Equal(hash, []byte(s.Hash))
		if same && (s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt)) {
			right = true
		}
	}
	return right
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
