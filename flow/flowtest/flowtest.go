// Package flowtest is what the tests of the hub and of the rooms around it stand on: a
// hub over a real file and real HTTP, a clock that only tests move, an engine that
// remembers what it issued, and a page for the portal's part of a test to end at.
//
//	h := flowtest.New(t, flowtest.Options{})
//	h.Mux.Handle("/continue", h.Edge.Handle(h.Hub.Continue))
//	h.Pass(time.Minute)
package flowtest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/flow"
	"anteroom/internal/rar"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/templates"
)

// Options are all optional.
type Options struct {
	Start    time.Time // noon of a day in March 2026 if zero
	MayEnter func(ctx context.Context, a store.Account, app store.Application) (bool, error)
	// SessionManagement: see flow.Options.
	SessionManagement bool
}

// House is a hub with all that it stands on. Tests add their pages to Mux.
type House struct {
	*testing.T
	*httptest.Server
	Hub   *flow.Hub
	Store *bolt.Store
	Seal  *seal.Keyring
	Pages *templates.Renderer
	Edge  *web.Edge
	Mux   *http.ServeMux

	clock   atomic.Int64
	handler http.Handler

	mu     sync.Mutex
	Issued []flow.Authentication // by the engine
}

// New makes a house that ends with the test.
func New(t *testing.T, o Options) *House {
	t.Helper()
	h := &House{T: t}
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	}
	h.clock.Store(o.Start.UnixMicro())
	var err error
	h.Store, err = bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{Log: quiet()})
	h.Must(err)
	t.Cleanup(func() { _ = h.Store.Close() })
	h.Seal = Keys(t)
	h.Pages, err = templates.NewRenderer()
	h.Must(err)
	h.Edge = &web.Edge{Pages: h.Pages, Log: quiet()}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.handler.ServeHTTP(w, r) }))
	t.Cleanup(h.Close)
	h.Restart(o)
	return h
}

// Restart makes a new hub over the same store, as a new process does, and a mux
// without pages.
func (h *House) Restart(o Options) {
	h.Helper()
	if o.MayEnter == nil {
		o.MayEnter = func(context.Context, store.Account, store.Application) (bool, error) { return true, nil }
	}
	var err error
	h.Hub, err = flow.New(flow.Options{
		Issuer: h.URL, Store: h.Store, Seal: h.Seal, Pages: h.Pages, Now: h.Now,
		MayEnter: o.MayEnter, SessionManagement: o.SessionManagement,
	})
	h.Must(err)
	h.Hub.Engine = h
	h.Mux = http.NewServeMux()
	h.handler = (&web.Wear{Log: quiet()}).Handler(h.Mux)
}

// Keys are the keys of every house.
func Keys(t testing.TB) *seal.Keyring {
	t.Helper()
	keys, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Now is what the clock shows.
func (h *House) Now() time.Time { return time.UnixMicro(h.clock.Load()).UTC() }

// Pass lets time pass.
func (h *House) Pass(d time.Duration) { h.clock.Add(d.Microseconds()) }

// Must ends the test at an error.
func (h *House) Must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// Page serves a page.
func (h *House) Page(pattern string, page web.Handler) { h.Mux.Handle(pattern, h.Edge.Handle(page)) }

// ServeHTTP is the server without its socket.
func (h *House) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.handler.ServeHTTP(w, r) }

// Jar is an empty cookie jar.
func (h *House) Jar() http.CookieJar {
	h.Helper()
	jar, err := cookiejar.New(nil)
	h.Must(err)
	return jar
}

// Issue is the engine: it answers with /portal?code= and the state that was asked for.
func (h *House) Issue(_ context.Context, in flow.Interaction, a flow.Authentication, _ []string) (flow.Answer, error) {
	q := url.Values{"code": {in.ID}}
	if state := in.Values().Get("state"); state != "" {
		q.Set("state", state)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.Issued = append(h.Issued, a)
		h.mu.Unlock()
		http.Redirect(w, r, "/portal?"+q.Encode(), http.StatusSeeOther)
	}, nil
}

// Refuse is the engine: it answers with /portal?error=.
func (h *House) Refuse(_ context.Context, _ flow.Interaction, e *flow.ProtocolError) (flow.Answer, error) {
	return func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/portal?error="+e.Code, http.StatusSeeOther)
	}, nil
}

// Details is the engine: they are those of the query.
func (h *House) Details(_ context.Context, in flow.Interaction) (rar.Details, error) {
	if raw := in.Values().Get("authorization_details"); raw != "" {
		return rar.Parse(raw)
	}
	return nil, nil
}
