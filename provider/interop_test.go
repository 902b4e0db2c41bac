package provider

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"anteroom/flow"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/templates"
)

// house is the provider with the real hub, one page that takes any password, and
// a relying party that others wrote.
type house struct {
	*rig
	party   *httptest.Server
	browser *http.Client
	config  oauth2.Config
	got     chan url.Values // what the relying party's callback received
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{rig: &rig{t: t, seal: testSeal()}, got: make(chan url.Values, 1)}
	h.clock.Store(time.Now().UnixMicro())
	h.db = must(bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{Now: h.now}))(t)
	t.Cleanup(func() { _ = h.db.Close() })
	h.store, h.rig.hub = &faultyStore{Store: h.db}, &instantHub{r: h.rig}
	mux := http.NewServeMux()
	log := slog.New(slog.DiscardHandler)
	h.Server = httptest.NewServer((&web.Wear{Log: log}).Handler(mux))
	t.Cleanup(h.Close)
	pages := must(templates.NewRenderer())(t)
	mayEnter := func(context.Context, store.Account, store.Application) (bool, error) { return true, nil }
	hub := must(flow.New(flow.Options{Issuer: h.URL, Store: h.store, Seal: h.seal, Pages: pages, Now: h.now, MayEnter: mayEnter}))(t)
	h.p = must(New(Options{
		Issuer: h.URL, Store: h.store, Hub: hub, Seal: h.seal, Pages: pages, Log: log, Now: h.now, MayEnter: mayEnter,
		Claims: func(context.Context, string, string) (Roles, error) { return Roles{Roles: []string{"viewer"}}, nil },
	}))(t)
	hub.Engine = h.p
	h.seed()
	h.routes(mux, pages)
	edge := &web.Edge{Pages: pages, Log: log}
	mux.Handle("/continue", edge.Handle(hub.Continue))
	mux.Handle(string(flow.StepLogin), edge.Handle(hub.Require(flow.StepLogin, func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodGet {
			_, err := io.WriteString(w, "sign in at "+r.URL.String())
			return err
		}
		form, err := web.Form(r)
		if err != nil {
			return err
		}
		return hub.Done(w, r, func(_ context.Context, in *flow.Interaction) error {
			in.ProvePassword(form.Get("username"), h.now())
			return nil
		})
	})))
	h.relyingParty()
	return h
}

func (h *house) relyingParty() {
	h.t.Helper()
	h.party = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		h.got <- r.Form
	}))
	h.t.Cleanup(h.party.Close)
	if err := changeClient("web", func(c *store.Client) {
		c.RedirectURIs = []string{h.party.URL + "/cb"}
		c.PostLogoutRedirectURIs = []string{h.party.URL + "/bye"}
	})(h.rig); err != nil {
		h.t.Fatal(err)
	}
	h.browser = &http.Client{Jar: must(cookiejar.New(nil))(h.t)}
	h.config = oauth2.Config{
		ClientID: "web", ClientSecret: secret, RedirectURL: h.party.URL + "/cb", Scopes: []string{"openid", "profile", "offline_access"},
	}
}

// open is the browser at an address; it follows redirects.
func (h *house) open(address string) (path, text string) {
	h.t.Helper()
	res := must(h.browser.Get(address))(h.t)
	defer res.Body.Close()
	return res.Request.URL.String(), string(must(io.ReadAll(res.Body))(h.t))
}

// signInAs fills the page that the browser is at.
func (h *house) signInAs(address, name string) {
	h.t.Helper()
	res := must(h.browser.PostForm(address, url.Values{"username": {name}}))(h.t)
	defer res.Body.Close()
	if text := must(io.ReadAll(res.Body))(h.t); res.StatusCode != 200 {
		h.t.Fatalf("sign-in: %d %s", res.StatusCode, text)
	}
}

func (h *house) callback() url.Values {
	h.t.Helper()
	select {
	case v := <-h.got:
		return v
	case <-time.After(10 * time.Second):
		h.t.Fatal("nothing came back to the relying party")
		return nil
	}
}

// The client side is coreos/go-oidc and golang.org/x/oauth2, the hub is the real
// one: discovery, PKCE, nonce, ID token by JWKS, userinfo, refresh, single
// sign-on, a fresh sign-in, sign-out.
func TestARelyingPartyOfOthersGoesThroughEverything(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	issuer := must(oidc.NewProvider(ctx, h.URL))(t)
	h.config.Endpoint = issuer.Endpoint()
	pkce, nonce := oauth2.GenerateVerifier(), "n-0S6_WzA2Mj"
	address, _ := h.open(h.config.AuthCodeURL("af0ifjsldkj", oidc.Nonce(nonce), oauth2.S256ChallengeOption(pkce)))
	if !strings.Contains(address, "/login") {
		t.Fatalf("the browser is at %s", address)
	}
	h.pass(3 * time.Minute)
	h.signInAs(address, "ann")
	back := h.callback()
	if back.Get("state") != "af0ifjsldkj" || back.Get("iss") != h.URL {
		t.Fatalf("came back with %v", back)
	}
	token, err := h.config.Exchange(ctx, back.Get("code"), oauth2.VerifierOption(pkce))
	if err != nil {
		t.Fatal(err)
	}
	id := h.verified(issuer, token)
	if id.Nonce != nonce || id.Subject != "ann" || id.VerifyAccessToken(token.AccessToken) != nil {
		t.Errorf("ID token %+v", id)
	}
	info, err := issuer.UserInfo(ctx, h.config.TokenSource(ctx, token))
	if err != nil || info.Subject != "ann" {
		t.Errorf("userinfo %+v: %v", info, err)
	}
	h.refreshes(issuer, token)
	h.signsInAgain(issuer, id)
	h.signsOut(token)
}

func (h *house) verified(issuer *oidc.Provider, token *oauth2.Token) *oidc.IDToken {
	h.t.Helper()
	raw, _ := token.Extra("id_token").(string)
	id, err := issuer.Verifier(&oidc.Config{ClientID: "web", Now: h.now}).Verify(h.t.Context(), raw)
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

func (h *house) refreshes(issuer *oidc.Provider, token *oauth2.Token) {
	h.t.Helper()
	old := *token
	old.Expiry = time.Now().Add(-time.Hour)
	fresh, err := h.config.TokenSource(h.t.Context(), &old).Token()
	if err != nil {
		h.t.Fatal(err)
	}
	if fresh.AccessToken == token.AccessToken || fresh.RefreshToken == token.RefreshToken || h.verified(issuer, fresh).Subject != "ann" {
		h.t.Errorf("refreshed %+v", fresh)
	}
	h.pass(time.Minute)
	_, err = h.config.TokenSource(h.t.Context(), &old).Token()
	if failed, ok := errors.AsType[*oauth2.RetrieveError](err); !ok || failed.ErrorCode != "invalid_grant" {
		h.t.Errorf("the old token again: %v", err)
	}
}

func (h *house) again(options ...oauth2.AuthCodeOption) (address string, back url.Values, verifier string) {
	h.t.Helper()
	verifier = oauth2.GenerateVerifier()
	address, _ = h.open(h.config.AuthCodeURL("s", append(options, oauth2.S256ChallengeOption(verifier))...))
	if strings.HasPrefix(address, h.party.URL) {
		back = h.callback()
	}
	return address, back, verifier
}

func (h *house) signsInAgain(issuer *oidc.Provider, before *oidc.IDToken) {
	t := h.t
	t.Helper()
	_, back, _ := h.again(oauth2.SetAuthURLParam("prompt", "none"))
	if back.Get("code") == "" {
		t.Errorf("single sign-on: %v", back)
	}
	for _, fresh := range []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0")} {
		h.pass(2 * time.Second)
		address, back, verifier := h.again(fresh)
		if back != nil {
			t.Fatalf("no fresh sign-in was asked: %v", back)
		}
		h.pass(2 * time.Second)
		h.signInAs(address, "ann")
		token, err := h.config.Exchange(t.Context(), h.callback().Get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatal(err)
		}
		var claims struct {
			AuthTime int64 `json:"auth_time"`
		}
		if err := h.verified(issuer, token).Claims(&claims); err != nil || claims.AuthTime <= before.IssuedAt.Unix() {
			t.Errorf("auth_time %d after a fresh sign-in, before: %d (%v)", claims.AuthTime, before.IssuedAt.Unix(), err)
		}
	}
	_, back, _ = h.again(oauth2.SetAuthURLParam("prompt", "none"), oauth2.SetAuthURLParam("claims", `{"id_token":{"sub":{"value":"bob"}}}`))
	if back.Get("error") != "login_required" {
		t.Errorf("silently as somebody else: %v", back)
	}
}

func (h *house) signsOut(token *oauth2.Token) {
	h.t.Helper()
	raw, _ := token.Extra("id_token").(string)
	go func() { <-h.got }() // the page after signing out
	address, _ := h.open(h.URL + PathLogout + "?" + url.Values{"id_token_hint": {raw}, "post_logout_redirect_uri": {h.party.URL + "/bye"}, "state": {"x"}}.Encode())
	if address != h.party.URL+"/bye?state=x" {
		h.t.Errorf("after signing out the browser is at %s", address)
	}
	if _, back, _ := h.again(oauth2.SetAuthURLParam("prompt", "none")); back.Get("error") != "login_required" {
		h.t.Errorf("still signed in: %v", back)
	}
}

// A wrong verifier at x/oauth2 is an error that its users can understand.
func TestRelyingPartiesUnderstandOurErrors(t *testing.T) {
	h := newHouse(t)
	h.config.Endpoint = must(oidc.NewProvider(t.Context(), h.URL))(t).Endpoint()
	h.config.Endpoint.AuthStyle = oauth2.AuthStyleInHeader // else x/oauth2 tries both ways and reports the second
	address, _, _ := h.again()
	h.signInAs(address, "ann")
	_, err := h.config.Exchange(t.Context(), h.callback().Get("code"), oauth2.VerifierOption(oauth2.GenerateVerifier()))
	failed, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok || failed.ErrorCode != "invalid_grant" || !strings.Contains(failed.ErrorDescription, "code_verifier") {
		t.Errorf("got %v", err)
	}
}
