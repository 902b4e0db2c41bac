package provider

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/flow"
	"anteroom/internal/notice"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/templates"
)

const (
	verifier = "a-verifier-of-forty-three-characters-or-more-0001"
	secret   = "a secret: with / odd % characters +"
	callback = "https://portal.example/cb"
)

func s256(v string) string {
	sum := sha256.Sum256([]byte(v))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// rig is a provider over a real file and real HTTP, with a hub that lets the
// person of the rig in at once.
type rig struct {
	*httptest.Server
	t     testing.TB
	p     *Provider
	db    *bolt.Store
	store *faultyStore
	seal  *seal.Keyring
	hub   *instantHub
	clock atomic.Int64
}

func (r *rig) now() time.Time       { return time.UnixMicro(r.clock.Load()).UTC() }
func (r *rig) pass(d time.Duration) { r.clock.Add(d.Microseconds()) }

// instantHub signs its person in without asking anything.
type instantHub struct {
	r       *rig
	mu      sync.Mutex
	auth    flow.Authentication
	refuse  *flow.ProtocolError
	scopes  func(asked []string) []string // what is granted; nil: everything
	last    flow.Request
	signed  bool // the browser has a session
	pending func(flow.Interaction) flow.Interaction
	begun   func(flow.Interaction) // what a device begins
}

func (h *instantHub) Authorize(w http.ResponseWriter, r *http.Request, req flow.Request) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = req
	in := flow.Interaction{
		ID: seal.RandomID(), Kind: flow.KindAuthorize, ApplicationID: req.ApplicationID, ClientID: req.ClientID,
		Params: req.Params, Ask: req.Ask, StartedAt: h.r.now(), ExpiresAt: h.r.now().Add(time.Hour),
	}
	if h.pending != nil {
		in = h.pending(in)
	}
	var answer flow.Answer
	err := h.r.store.Do(r.Context(), func(ctx context.Context) (err error) {
		if err := h.r.store.UseOnce(ctx, "interaction", in.ID, h.r.now(), in.ExpiresAt); err != nil {
			return err
		}
		if h.refuse != nil {
			answer, err = h.r.p.Refuse(ctx, in, h.refuse)
			return err
		}
		scopes := in.Ask.Scopes
		if h.scopes != nil {
			scopes = h.scopes(scopes)
		}
		answer, err = h.r.p.Issue(ctx, in, h.auth, scopes)
		return err
	})
	if err != nil {
		return err
	}
	answer(w, r)
	return nil
}

func (h *instantHub) Session(r *http.Request) (s store.Session, a store.Account, ok bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.signed {
		return s, a, false, nil
	}
	if s, err = h.r.db.Session(r.Context(), h.auth.SessionID, h.r.now()); err != nil {
		return s, a, false, nil
	}
	a, err = h.r.db.Account(r.Context(), s.AccountID)
	return s, a, err == nil, err
}

func (h *instantHub) Own(w http.ResponseWriter, r *http.Request, path string) (s store.Session, a store.Account, ok bool, err error) {
	if s, a, ok, err = h.Session(r); err == nil && !ok {
		http.Redirect(w, r, "/login?to="+path, http.StatusSeeOther)
	}
	return s, a, ok, err
}

func (h *instantHub) New(kind flow.Kind, applicationID string) flow.Interaction {
	return flow.Interaction{ID: seal.RandomID(), Kind: kind, ApplicationID: applicationID, StartedAt: h.r.now(), ExpiresAt: h.r.now().Add(time.Hour)}
}

func (h *instantHub) Begin(w http.ResponseWriter, r *http.Request, in flow.Interaction, _ func(context.Context, *flow.Interaction) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.begun != nil {
		h.begun(in)
	}
	var answer flow.Answer
	err := h.r.store.Do(r.Context(), func(ctx context.Context) (err error) {
		if h.refuse != nil {
			answer, err = h.r.p.Refuse(ctx, in, h.refuse)
			return err
		}
		answer, err = h.r.p.Issue(ctx, in, h.auth, in.Ask.Scopes)
		return err
	})
	if errors.Is(err, store.ErrConsumed) { // as flow.Hub ends a lost race
		return &web.Problem{Status: http.StatusGone, Heading: "Over", Sentence: "Over."}
	}
	if err != nil {
		return err
	}
	answer(w, r)
	return nil
}

func (h *instantHub) SignOut(_ http.ResponseWriter, r *http.Request) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.signed = false
	return h.r.db.Do(r.Context(), func(ctx context.Context) error {
		s, err := h.r.db.Session(ctx, h.auth.SessionID, h.r.now())
		if over(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := h.r.db.EndSession(ctx, s.ID, h.r.now()); err != nil {
			return err
		}
		return notice.Tell(ctx, h.r.db, s, h.r.now())
	})
}

// testKeys are made once: an RSA key takes long under the race detector.
var testKeys = sync.OnceValue(func() []store.SigningKey {
	var rows []store.SigningKey
	for _, alg := range signingAlgorithms {
		row, err := generateKey(alg, testSeal())
		if err != nil {
			panic(err)
		}
		rows = append(rows, row)
	}
	return rows
})

func testSeal() *seal.Keyring {
	k, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		panic(err)
	}
	return k
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newRig(t testing.TB, options ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, seal: testSeal()}
	r.clock.Store(time.Now().Truncate(time.Second).UnixMicro())
	r.db = must(bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{Now: r.now}))(t)
	t.Cleanup(func() { _ = r.db.Close() })
	r.store = &faultyStore{Store: r.db}
	r.hub = &instantHub{r: r}
	for _, k := range testKeys() {
		k.CreatedAt, k.ActiveAt = r.now(), r.now()
		if err := r.db.CreateSigningKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	r.Server = httptest.NewServer((&web.Wear{Log: slog.New(slog.DiscardHandler)}).Handler(mux))
	t.Cleanup(r.Close)
	o := Options{
		Issuer: r.URL, Store: r.store, Hub: r.hub, Seal: r.seal, Pages: must(templates.NewRenderer())(t),
		Log: slog.New(slog.DiscardHandler), Now: r.now,
		Claims: func(_ context.Context, accountID, applicationID string) (Roles, error) {
			if accountID != "ann" {
				return Roles{}, nil
			}
			return Roles{
				Roles:         []string{applicationID + "-viewer"},
				Organizations: []Organization{{ID: "acme", Name: "ACME", Roles: []string{applicationID + "-viewer"}}},
			}, nil
		},
		MayEnter: func(_ context.Context, a store.Account, _ store.Application) (bool, error) {
			return a.Profile["nickname"] != "barred", nil
		},
	}
	for _, option := range options {
		option(&o)
	}
	r.p = must(New(o))(t)
	r.seed()
	r.routes(mux, o.Pages)
	return r
}

func (r *rig) routes(mux *http.ServeMux, pages *templates.Renderer) {
	edge := &web.Edge{Pages: pages, Log: slog.New(slog.DiscardHandler), Classify: func(err error) *web.Problem {
		if asRefusal(err).status == http.StatusServiceUnavailable {
			return &web.Problem{Status: http.StatusServiceUnavailable, Heading: "Try again", Sentence: "Try again.", RetryAfter: 5}
		}
		return nil
	}}
	mux.Handle(PathAuthorize, edge.Handle(r.p.Authorize))
	mux.Handle(PathLogout, edge.Handle(r.p.Logout))
	mux.HandleFunc(PathToken, r.p.Token)
	mux.HandleFunc(PathPushed, r.p.PushAuthorization)
	mux.HandleFunc(PathUserInfo, r.p.UserInfo)
	mux.HandleFunc(PathIntrospect, r.p.Introspect)
	mux.HandleFunc(PathRevoke, r.p.Revoke)
	mux.HandleFunc(PathRegister, r.p.Register)
	mux.HandleFunc(PathDeviceAuthorization, r.p.DeviceAuthorization)
	mux.Handle(PathDevice, edge.Handle(r.p.Device))
	mux.HandleFunc(PathBackchannel, r.p.AuthenticateBackchannel)
	mux.Handle(PathRequests, edge.Handle(r.p.Requests))
	mux.HandleFunc(PathCheckSession, r.p.CheckSession)
	mux.HandleFunc(PathJWKS, r.p.JWKS)
	mux.HandleFunc(PathDiscovery, r.p.Discovery)
	mux.HandleFunc(PathOAuthServer, r.p.Discovery)
}

// everyScope is what the clients of the rig may ask for.
var everyScope = []string{"openid", "profile", "email", "phone", "address", "roles", "offline_access", "api.read", "api.write"}

func (r *rig) seed() {
	r.t.Helper()
	ctx := r.t.Context()
	check := func(err error) {
		r.t.Helper()
		if err != nil {
			r.t.Fatal(err)
		}
	}
	for _, id := range []string{"ann", "bob"} {
		check(r.db.CreateAccount(ctx, store.Account{
			ID: id, UserName: id + "@acme.example", Email: id + "@acme.example", EmailVerified: true, State: store.AccountActive,
			Profile: map[string]any{
				"name": "Person " + id, "given_name": id, "phone_number": "+1 555 0100", "phone_number_verified": false,
				"address": map[string]any{"country": "CH"}, "locale": 7, "secret_note": "never shown",
			},
			CreatedAt: r.now(), UpdatedAt: r.now(),
		}))
	}
	check(r.db.CreateApplication(ctx, store.Application{ID: "analytics", Name: "Partner Analytics", LaunchURL: "https://portal.example/", Consent: store.ConsentSkip, Access: store.AccessEveryone}))
	check(r.db.CreateApplication(ctx, store.Application{ID: "third", Name: "Third Party", Consent: store.ConsentOnce, Access: store.AccessEveryone}))
	hash := []store.ClientSecret{{Hash: r.seal.Digest(seal.ClientSecret, secret)}}
	for _, c := range []store.Client{
		{ID: "web", TokenEndpointAuthMethod: "client_secret_basic", Secrets: hash},
		{ID: "other", TokenEndpointAuthMethod: "client_secret_basic", Secrets: hash},
		{ID: "post", TokenEndpointAuthMethod: "client_secret_post", Secrets: hash},
		{ID: "es256", TokenEndpointAuthMethod: "client_secret_basic", Secrets: hash, IDTokenSignedResponseAlg: "ES256", AccessTokenSigningAlg: "RS256"},
		{ID: "optional", TokenEndpointAuthMethod: "client_secret_basic", Secrets: hash, PKCEOptional: true},
		{ID: "spa", TokenEndpointAuthMethod: "none", PKCEOptional: true},
		{ID: "native", TokenEndpointAuthMethod: "none", ApplicationType: "native", RedirectURIs: []string{"http://127.0.0.1/cb", "com.example.app:/cb"}},
		{ID: "third", ApplicationID: "third", TokenEndpointAuthMethod: "client_secret_basic", Secrets: hash},
		{ID: "https://api.example", TokenEndpointAuthMethod: "client_secret_basic", Secrets: hash, GrantTypes: []string{"client_credentials"}},
		{ID: "two", TokenEndpointAuthMethod: "client_secret_basic", Secrets: hash, RedirectURIs: []string{callback, "https://portal.example/cb?x=1"}},
		{ID: "norefresh", TokenEndpointAuthMethod: "client_secret_basic", Secrets: hash, GrantTypes: []string{"authorization_code"}},
		{ID: "disabled", TokenEndpointAuthMethod: "client_secret_basic", Secrets: hash, Disabled: true},
	} {
		if c.ApplicationID == "" {
			c.ApplicationID = "analytics"
		}
		if c.RedirectURIs == nil {
			c.RedirectURIs = []string{callback}
		}
		if c.GrantTypes == nil {
			c.GrantTypes = []string{"authorization_code", "refresh_token", "client_credentials"}
		}
		c.ResponseTypes = []string{"code"}
		c.Scopes = everyScope
		c.Audiences = []string{"https://api.example", "https://b.example"}
		c.PostLogoutRedirectURIs = []string{"https://portal.example/bye?a=b", "https://portal.example/bye"}
		check(r.db.CreateClient(ctx, c))
	}
	r.signIn("ann")
}

func changeClient(id string, change func(*store.Client)) func(*rig) error {
	return func(r *rig) error {
		_, err := r.db.UpdateClient(r.t.Context(), id, func(c *store.Client) error { change(c); return nil })
		return err
	}
}

func changeAccount(id string, change func(*store.Account)) func(*rig) error {
	return func(r *rig) error {
		_, err := r.db.UpdateAccount(r.t.Context(), id, func(a *store.Account) error { change(a); return nil })
		return err
	}
}

// signIn opens a session for the account and lets the hub use it.
func (r *rig) signIn(account string) {
	r.t.Helper()
	s := store.Session{
		ID: seal.RandomID(), TokenHash: seal.RandomID(), AccountID: account, AuthTime: r.now(),
		AMR: []string{"pwd", "otp", "mfa"}, ACR: flow.ACRMulti, CreatedAt: r.now(), ExpiresAt: r.now().Add(12 * time.Hour),
	}
	if err := r.db.CreateSession(r.t.Context(), s); err != nil {
		r.t.Fatal(err)
	}
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	r.hub.signed = true
	r.hub.auth = flow.Authentication{AccountID: account, SessionID: s.ID, AuthTime: s.AuthTime, AMR: s.AMR, ACR: s.ACR}
}

// ask returns a good authorization request of a client; changes replace
// parameters, or remove them when empty.
func ask(clientID string, changes ...string) url.Values {
	v := url.Values{
		"client_id": {clientID}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"},
		"state": {"the state"}, "nonce": {"the nonce"}, "code_challenge": {s256(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(changes); i += 2 {
		if changes[i+1] == "" {
			v.Del(changes[i])
		} else {
			v.Set(changes[i], changes[i+1])
		}
	}
	return v
}

// browser follows nothing.
var browser = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// reply is an answer with its body read.
type reply struct {
	*http.Response
	text string
	json map[string]any
}

func (r *rig) do(req *http.Request) *reply {
	r.t.Helper()
	res, err := browser.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	out := &reply{Response: res, text: string(body)}
	_ = json.Unmarshal(body, &out.json)
	return out
}

func (r *rig) get(path string, query url.Values) *reply {
	r.t.Helper()
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return r.do(must(http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.URL+path, nil))(r.t))
}

// as authenticates a request.
type as func(req *http.Request, form url.Values)

func basic(id string) as {
	return func(req *http.Request, _ url.Values) {
		req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	}
}

func publicly(id string) as {
	return func(_ *http.Request, form url.Values) { form.Set("client_id", id) }
}

func posted(id string) as {
	return func(_ *http.Request, form url.Values) { form.Set("client_id", id); form.Set("client_secret", secret) }
}

func withToken(token string) as {
	return func(req *http.Request, _ url.Values) { req.Header.Set("Authorization", "Bearer "+token) }
}

// credentialsOf is how the clients of the rig authenticate.
func credentialsOf(id string) as {
	switch id {
	case "spa", "native":
		return publicly(id)
	case "post":
		return posted(id)
	}
	return basic(id)
}

func (r *rig) post(path string, form url.Values, who as) *reply {
	r.t.Helper()
	sent := url.Values{}
	for k, v := range form {
		sent[k] = v
	}
	req := must(http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.URL+path, nil))(r.t)
	if who != nil {
		who(req, sent)
	}
	body := sent.Encode()
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r.do(req)
}

// answerOf returns the parameters of an authorization response in the query.
func (r *rig) answerOf(res *reply) url.Values {
	r.t.Helper()
	loc, err := res.Location()
	if err != nil {
		r.t.Fatalf("status %d, no redirect: %s", res.StatusCode, res.text)
	}
	return loc.Query()
}

// code signs the rig's person in and returns the code.
func (r *rig) code(v url.Values) string {
	r.t.Helper()
	got := r.answerOf(r.get(PathAuthorize, v))
	if got.Get("code") == "" {
		r.t.Fatalf("no code: %v", got)
	}
	return got.Get("code")
}

func redemption(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
}

func refreshment(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

// tokens is a whole sign-in.
func (r *rig) tokens(clientID string, changes ...string) map[string]any {
	r.t.Helper()
	res := r.post(PathToken, redemption(r.code(ask(clientID, changes...))), credentialsOf(clientID))
	if res.StatusCode != http.StatusOK {
		r.t.Fatalf("code exchange: %d %s", res.StatusCode, res.text)
	}
	return res.json
}

func str(v any) string { s, _ := v.(string); return s }

// payload decodes a JWT without verifying it.
func payload(t testing.TB, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %q", token)
	}
	for i, into := range []*map[string]any{&header, &claims} {
		if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(parts[i]))(t), into); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func (r *rig) wantError(res *reply, status int, code string) {
	r.t.Helper()
	if res.StatusCode != status || str(res.json["error"]) != code {
		r.t.Errorf("got %d %s, want %d %s", res.StatusCode, res.text, status, code)
	}
	if res.Header.Get("Cache-Control") != "no-store" {
		r.t.Errorf("an error that may be cached: %v", res.Header)
	}
}

func (r *rig) active(token string, who string) bool {
	r.t.Helper()
	res := r.post(PathIntrospect, url.Values{"token": {token}}, basic(who))
	if res.StatusCode != http.StatusOK {
		r.t.Fatalf("introspect: %d %s", res.StatusCode, res.text)
	}
	return res.json["active"] == true
}

// events returns the types of the audit log.
func (r *rig) events() []string {
	r.t.Helper()
	rows, _, err := r.db.AuditEvents(r.t.Context(), store.AuditFilter{}, store.Page{Limit: 1000})
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, e := range rows {
		out = append(out, e.Type)
	}
	return out
}

func (r *rig) count(event string) int {
	n := 0
	for _, e := range r.events() {
		if e == event {
			n++
		}
	}
	return n
}

// faultyStore fails when told to.
type faultyStore struct {
	*bolt.Store
	reads  atomic.Bool // fail what reads clients and grants
	writes atomic.Bool // fail every commit
}

var errBroken = fmt.Errorf("disk is full of secrets: %w", store.ErrUnavailable)

func (f *faultyStore) Do(ctx context.Context, fn func(context.Context) error) error {
	if f.writes.Load() {
		return errBroken
	}
	return f.Store.Do(ctx, fn)
}

func (f *faultyStore) Together(ctx context.Context, fn func(context.Context) error) error {
	if f.writes.Load() {
		return errBroken
	}
	return f.Store.Together(ctx, fn)
}

func (f *faultyStore) Client(ctx context.Context, id string) (store.Client, error) {
	if f.reads.Load() {
		return store.Client{}, errBroken
	}
	return f.Store.Client(ctx, id)
}

func (f *faultyStore) SigningKeys(ctx context.Context) ([]store.SigningKey, error) {
	if f.reads.Load() {
		return nil, errBroken
	}
	return f.Store.SigningKeys(ctx)
}
