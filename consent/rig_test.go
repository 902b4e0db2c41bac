package consent_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/consent"
	"anteroom/flow"
	"anteroom/internal/rar"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/templates"
)

// house is this room over a real hub, a real file and real HTTP. Signing in
// belongs to another room: /login lets ann in, unasked.
type house struct {
	*testing.T
	*httptest.Server
	hub    *flow.Hub
	store  *bolt.Store
	clock  atomic.Int64
	issued atomic.Int64
	client *http.Client
}

func (s *house) now() time.Time { return time.UnixMicro(s.clock.Load()).UTC() }

func (s *house) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// Issue and Refuse are the engine.
func (s *house) Issue(_ context.Context, in flow.Interaction, _ flow.Authentication, _ []string) (flow.Answer, error) {
	return func(w http.ResponseWriter, r *http.Request) {
		s.issued.Add(1)
		http.Redirect(w, r, "/portal?code="+in.ID, http.StatusSeeOther)
	}, nil
}

// Details are those of the query.
func (s *house) Details(_ context.Context, in flow.Interaction) (rar.Details, error) {
	return rar.Parse(in.Values().Get("authorization_details"))
}

func (s *house) Refuse(_ context.Context, _ flow.Interaction, e *flow.ProtocolError) (flow.Answer, error) {
	return func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/portal?error="+e.Code, http.StatusSeeOther)
	}, nil
}

func newHouse(t *testing.T, policy store.ConsentPolicy) *house {
	t.Helper()
	s := &house{T: t}
	s.clock.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMicro())
	var err error
	s.store, err = bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{})
	s.must(err)
	t.Cleanup(func() { _ = s.store.Close() })
	keys, err := seal.New(make([]byte, seal.KeySize))
	s.must(err)
	pages, err := templates.NewRenderer()
	s.must(err)
	quiet := slog.New(slog.DiscardHandler)
	mux := http.NewServeMux()
	s.Server = httptest.NewServer((&web.Wear{Log: quiet}).Handler(mux))
	t.Cleanup(s.Close)
	s.hub, err = flow.New(flow.Options{
		Issuer: s.URL, Store: s.store, Seal: keys, Pages: pages, Now: s.now,
		MayEnter: func(context.Context, store.Account, store.Application) (bool, error) { return true, nil },
	})
	s.must(err)
	s.hub.Engine = s
	s.routes(mux, &web.Edge{Pages: pages, Log: quiet}, pages)
	ctx := t.Context()
	s.must(s.store.CreateApplication(ctx, store.Application{ID: "pa", Name: "Partner Analytics", Consent: policy}))
	s.must(s.store.CreateClient(ctx, store.Client{ID: "client", ApplicationID: "pa", Name: "Reports <app>"}))
	s.must(s.store.CreateAccount(ctx, store.Account{ID: "ann", UserName: "ann", Email: "ann@acme.example", State: store.AccountActive}))
	s.client = s.browser()
	return s
}

func (s *house) routes(mux *http.ServeMux, edge *web.Edge, pages *templates.Renderer) {
	page := func(pattern string, h web.Handler) { mux.Handle(pattern, edge.Handle(h)) }
	terms := &consent.Terms{Hub: s.hub, Store: s.store, Pages: pages, Now: s.now}
	scopes := &consent.Scopes{Hub: s.hub, Store: s.store, Pages: pages, Now: s.now}
	page("GET /terms", s.hub.Require(flow.StepTerms, terms.Show))
	page("POST /terms", s.hub.Require(flow.StepTerms, terms.Submit))
	page("GET /consent", s.hub.Require(flow.StepConsent, scopes.Show))
	page("POST /consent", s.hub.Require(flow.StepConsent, scopes.Submit))
	page("GET /continue", s.hub.Continue)
	page("GET /activated", s.hub.Activated)
	page("GET /login", s.hub.Require(flow.StepLogin, func(w http.ResponseWriter, r *http.Request) error {
		return s.hub.Done(w, r, func(_ context.Context, in *flow.Interaction) error {
			in.ProvePassword("ann", s.now())
			return nil
		})
	}))
	page("GET /authorize", func(w http.ResponseWriter, r *http.Request) error {
		q := r.URL.Query()
		ask := flow.Ask{Scopes: strings.Fields(q.Get("scope"))}
		if prompt := q.Get("prompt"); prompt != "" {
			ask.Prompt = []string{prompt}
		}
		ask.Details = q.Has("authorization_details")
		return s.hub.Authorize(w, r, flow.Request{ClientID: "client", ApplicationID: "pa", Ask: ask, Params: r.URL.RawQuery})
	})
	page("GET /begin", func(w http.ResponseWriter, r *http.Request) error {
		return s.hub.Begin(w, r, s.hub.New(flow.KindActivation, "pa"), nil)
	})
	mux.HandleFunc("GET /portal", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /{$}", func(http.ResponseWriter, *http.Request) {})
}

func (s *house) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	s.must(err)
	return &http.Client{Jar: jar}
}

func (s *house) publish(markdown string) store.TermsVersion {
	s.Helper()
	terms, err := s.store.PublishTerms(s.Context(), store.TermsVersion{ApplicationID: "pa", Title: "Terms of Use", Markdown: markdown, PublishedAt: s.now()})
	s.must(err)
	return terms
}

// answer is the page at which a request ended.
type answer struct {
	status     int
	path, body string
}

func (a answer) has(part string) bool { return strings.Contains(a.body, part) }
func (a answer) at(path string) bool  { return strings.HasPrefix(a.path, path) }

func (s *house) get(path string) answer {
	s.Helper()
	res, err := s.client.Get(s.URL + path)
	s.must(err)
	return s.read(res)
}

func (s *house) post(path string, fields ...string) answer {
	s.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	res, err := s.client.PostForm(s.URL+path, form)
	s.must(err)
	return s.read(res)
}

func (s *house) read(res *http.Response) answer {
	s.Helper()
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	s.must(err)
	return answer{res.StatusCode, res.Request.URL.RequestURI(), string(body)}
}

// action is where the page's form posts.
func (s *house) action(a answer) string {
	s.Helper()
	_, rest, ok := strings.Cut(a.body, `<form method="post" action="`)
	if !ok {
		s.Fatalf("no form at %s: %d %s", a.path, a.status, a.body)
	}
	action, _, _ := strings.Cut(rest, `"`)
	return strings.ReplaceAll(action, "&amp;", "&")
}

// events lists the audit log.
func (s *house) events() []store.AuditEvent {
	s.Helper()
	rows, _, err := s.store.AuditEvents(s.Context(), store.AuditFilter{}, store.Page{Limit: 1000})
	s.must(err)
	return rows
}

func (s *house) count(kind string) (n int, last store.AuditEvent) {
	s.Helper()
	for _, e := range s.events() {
		if e.Type == kind {
			n, last = n+1, e
		}
	}
	return n, last
}
