package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/valyala/fasthttp"
)

const (
	discoveryPath = "/.well-known/openid-configuration"
	// redirectURI is where nobody listens: clients here stop before it.
	redirectURI = "http://localhost:9/callback"
	// verifyEvery: the signature of one token in so many is verified, and of the
	// first ones. Everything else about each answer is checked always.
	verifyEvery = 64
)

// Client is the portal: it talks to the product's endpoints and checks each
// answer. It is safe for concurrent use.
type Client struct {
	HTTP   *http.Client    // of browsers; follows no redirect
	fast   fasthttp.Client // of the portal: it leaves the processors to the server
	ID     string
	Secret string
	Doc    Discovery

	idTokenAlg string // what ID tokens are to be signed with
	basic      string // the credentials of RFC 6749 section 2.3.1

	keys   jose.JSONWebKeySet
	tokens atomic.Int64
}

// Discovery is the part of the document (OpenID Connect Discovery section 3)
// that the bench uses.
type Discovery struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	UserInfo      string `json:"userinfo_endpoint"`
	Introspection string `json:"introspection_endpoint"`
	JWKS          string `json:"jwks_uri"`
}

// Tokens is a token response (RFC 6749 section 5.1).
type Tokens struct {
	Access  string `json:"access_token"`
	Type    string `json:"token_type"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
}

// NewClient reads discovery and the keys.
func NewClient(ctx context.Context, issuer, id, secret string) (*Client, error) {
	transport := newTransport()
	transport.MaxIdleConnsPerHost = maxClients
	c := &Client{
		idTokenAlg: "RS256", ID: id, Secret: secret,
		HTTP: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		fast: fasthttp.Client{
			Dial:                func(address string) (net.Conn, error) { return dialLoopback(context.Background(), "tcp", address) },
			MaxConnsPerHost:     maxClients,
			MaxIdleConnDuration: time.Minute,
			// Connections that the server closed while they were idle are replaced.
			MaxIdemponentCallAttempts: maxClients + 1,
			RetryIfErr: func(_ *fasthttp.Request, _ int, err error) (resetTimeout, retry bool) {
				return false, errors.Is(err, io.EOF)
			},
		},
		basic: "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret))),
	}
	if err := c.get(ctx, issuer+discoveryPath, "", &c.Doc); err != nil {
		return nil, err
	}
	if c.Doc.Issuer != issuer {
		return nil, fmt.Errorf("the issuer is %q, want %q", c.Doc.Issuer, issuer)
	}
	return c, c.get(ctx, c.Doc.JWKS, "", &c.keys)
}

// requestWithin bounds one request with its answer.
const requestWithin = 30 * time.Second

// send wants 200 and JSON.
func (c *Client) send(ctx context.Context, method, address, credentials, form string, into any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(r)
	defer fasthttp.ReleaseResponse(resp)
	r.SetRequestURI(address)
	r.Header.SetMethod(method)
	if credentials != "" {
		r.Header.Set("Authorization", credentials)
	}
	if form != "" {
		r.Header.SetContentType("application/x-www-form-urlencoded")
		r.SetBodyString(form)
	}
	if err := c.fast.DoTimeout(r, resp, requestWithin); err != nil {
		return err
	}
	if resp.StatusCode() != http.StatusOK {
		return fmt.Errorf("%s %s: status %d: %.200s", method, r.URI().Path(), resp.StatusCode(), resp.Body())
	}
	return json.Unmarshal(resp.Body(), into)
}

func (c *Client) get(ctx context.Context, address, bearer string, into any) error {
	credentials := ""
	if bearer != "" {
		credentials = "Bearer " + bearer
	}
	return c.send(ctx, http.MethodGet, address, credentials, "", into)
}

// post sends a form with the client's secret.
func (c *Client) post(ctx context.Context, address string, form url.Values, into any) error {
	return c.send(ctx, http.MethodPost, address, c.basic, form.Encode(), into)
}

func (c *Client) discovery(ctx context.Context) error {
	var got Discovery
	if err := c.get(ctx, c.Doc.Issuer+discoveryPath, "", &got); err != nil {
		return err
	}
	if got != c.Doc {
		return errors.New("discovery: another document")
	}
	return nil
}

func (c *Client) jwks(ctx context.Context) error {
	var got jose.JSONWebKeySet
	if err := c.get(ctx, c.Doc.JWKS, "", &got); err != nil {
		return err
	}
	if len(got.Keys) == 0 || len(got.Keys) != len(c.keys.Keys) {
		return fmt.Errorf("jwks: %d keys", len(got.Keys))
	}
	return nil
}

func (c *Client) clientCredentials(ctx context.Context) (Tokens, error) {
	var t Tokens
	if err := c.post(ctx, c.Doc.Token, url.Values{"grant_type": {"client_credentials"}}, &t); err != nil {
		return t, err
	}
	return t, c.check(t.Access, "ES256", "")
}

func (c *Client) introspect(ctx context.Context, token, sub string) error {
	var got struct {
		Active bool   `json:"active"`
		Sub    string `json:"sub"`
	}
	if err := c.post(ctx, c.Doc.Introspection, url.Values{"token": {token}}, &got); err != nil {
		return err
	}
	if !got.Active || got.Sub != sub {
		return fmt.Errorf("introspection: active %v, sub %q, want %q", got.Active, got.Sub, sub)
	}
	return nil
}

func (c *Client) userInfo(ctx context.Context, token, email string) error {
	var got struct {
		Email string `json:"email"`
	}
	if err := c.get(ctx, c.Doc.UserInfo, token, &got); err != nil {
		return err
	}
	if got.Email != email {
		return fmt.Errorf("userinfo: e-mail %q, want %q", got.Email, email)
	}
	return nil
}

// refresh rotates: the answer must bring another refresh token.
func (c *Client) refresh(ctx context.Context, token string) (Tokens, error) {
	var t Tokens
	err := c.post(ctx, c.Doc.Token, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, &t)
	if err != nil {
		return t, err
	}
	if t.Refresh == "" || t.Refresh == token {
		return t, errors.New("refresh: the token was not rotated")
	}
	return t, c.check(t.Access, "ES256", "")
}

// Code is an authorization code with what its exchange needs.
type Code struct {
	Code, Verifier, Nonce string
	At                    time.Time
}

// request returns the address of a new authorization request with PKCE, and how
// to read the answer: the address that the browser is sent to.
func (c *Client) request() (address string, read func(*url.URL) (Code, error)) {
	code := Code{Verifier: random(), Nonce: random()}
	state := random()
	challenge := sha256.Sum256([]byte(code.Verifier))
	query := url.Values{
		"response_type": {"code"}, "client_id": {c.ID}, "redirect_uri": {redirectURI},
		"scope": {"openid email offline_access"}, "state": {state}, "nonce": {code.Nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	return c.Doc.Authorization + "?" + query.Encode(), func(to *url.URL) (Code, error) {
		if to == nil || !strings.HasPrefix(to.String(), redirectURI) {
			return Code{}, fmt.Errorf("the browser was not sent back, but to %v", to)
		}
		q := to.Query()
		if q.Get("state") != state || q.Get("iss") != c.Doc.Issuer || q.Get("code") == "" {
			return Code{}, fmt.Errorf("the answer is error %q %q, state and iss as sent: %v, %v",
				q.Get("error"), q.Get("error_description"), q.Get("state") == state, q.Get("iss") == c.Doc.Issuer)
		}
		code.Code, code.At = q.Get("code"), time.Now()
		return code, nil
	}
}

// authorize asks for a code in a browser that is signed in.
func (c *Client) authorize(ctx context.Context, jar http.CookieJar) (Code, error) {
	address, read := c.request()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return Code{}, err
	}
	browser := *c.HTTP
	browser.Jar = jar
	resp, err := browser.Do(r)
	if err != nil {
		return Code{}, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return Code{}, err
	}
	to, err := resp.Location()
	if err != nil {
		return Code{}, fmt.Errorf("authorize: status %d: %w", resp.StatusCode, err)
	}
	return read(to)
}

func (c *Client) exchange(ctx context.Context, code Code) (Tokens, error) {
	var t Tokens
	err := c.post(ctx, c.Doc.Token, url.Values{
		"grant_type": {"authorization_code"}, "code": {code.Code},
		"redirect_uri": {redirectURI}, "code_verifier": {code.Verifier},
	}, &t)
	if err != nil {
		return t, err
	}
	if t.Refresh == "" {
		return t, errors.New("exchange: no refresh token")
	}
	return t, errors.Join(c.check(t.Access, "ES256", ""), c.check(t.ID, c.idTokenAlg, code.Nonce))
}

// check looks at the claims of a token, and for a sample at its header and
// signature.
func (c *Client) check(token, alg, nonce string) error {
	var claims struct {
		Issuer  string `json:"iss"`
		Subject string `json:"sub"`
		Nonce   string `json:"nonce"`
		Expires int64  `json:"exp"`
	}
	if err := claimsOf(token, &claims); err != nil {
		return fmt.Errorf("token: %w", err)
	}
	if claims.Issuer != c.Doc.Issuer || claims.Subject == "" || claims.Nonce != nonce || claims.Expires <= time.Now().Unix() {
		return fmt.Errorf("token: wrong claims %+v", claims)
	}
	if n := c.tokens.Add(1); n > verifyEvery && n%verifyEvery != 0 {
		return nil
	}
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	for _, key := range c.keys.Key(parsed.Signatures[0].Header.KeyID) {
		if _, err := parsed.Verify(key); err == nil {
			return nil
		}
	}
	return fmt.Errorf("token: the signature of key %q does not verify", parsed.Signatures[0].Header.KeyID)
}

// claimsOf reads the claims of a token of ours.
func claimsOf(token string, into any) error {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// subject reads sub from a token of ours.
func subject(token string) (string, error) {
	var claims struct {
		Subject string `json:"sub"`
	}
	err := claimsOf(token, &claims)
	return claims.Subject, err
}

func random() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// Codes is where codes wait to be exchanged. It is safe for concurrent use.
type Codes struct {
	mu   sync.Mutex
	wait []Code
}

// codeLife is how long a code may wait here; they live for a minute.
const codeLife = 45 * time.Second

func (c *Codes) put(code Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wait = append(c.wait, code)
}

// take returns the newest code, false if none is left that is young enough.
func (c *Codes) take() (Code, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.wait) == 0 {
		return Code{}, false
	}
	code := c.wait[len(c.wait)-1]
	c.wait = c.wait[:len(c.wait)-1]
	return code, time.Since(code.At) < codeLife
}

func (c *Codes) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.wait)
}
