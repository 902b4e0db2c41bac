package consent_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"anteroom/consent"
	"anteroom/flow"
	"anteroom/flow/flowtest"
	"anteroom/store"
)

// house is this room over a real hub, a real file and real HTTP. Signing in
// belongs to another room: /login lets ann in, unasked.
type house struct {
	*flowtest.House
	client *http.Client
}

func newHouse(t *testing.T, policy store.ConsentPolicy) *house {
	t.Helper()
	s := &house{House: flowtest.New(t, flowtest.Options{})}
	s.routes()
	ctx := t.Context()
	s.Must(s.Store.CreateApplication(ctx, store.Application{ID: "pa", Name: "Partner Analytics", Consent: policy}))
	s.Must(s.Store.CreateClient(ctx, store.Client{ID: "client", ApplicationID: "pa", Name: "Reports <app>"}))
	s.Must(s.Store.CreateAccount(ctx, store.Account{ID: "ann", UserName: "ann", Email: "ann@acme.example", State: store.AccountActive}))
	s.client = s.browser()
	return s
}

func (s *house) routes() {
	page, pages := s.Page, s.Pages
	terms := &consent.Terms{Hub: s.Hub, Store: s.Store, Pages: pages, Now: s.Now}
	scopes := &consent.Scopes{Hub: s.Hub, Store: s.Store, Pages: pages, Now: s.Now}
	page("GET /terms", s.Hub.Require(flow.StepTerms, terms.Show))
	page("POST /terms", s.Hub.Require(flow.StepTerms, terms.Submit))
	page("GET /consent", s.Hub.Require(flow.StepConsent, scopes.Show))
	page("POST /consent", s.Hub.Require(flow.StepConsent, scopes.Submit))
	page("GET /continue", s.Hub.Continue)
	page("GET /activated", s.Hub.Activated)
	page("GET /login", s.Hub.Require(flow.StepLogin, func(w http.ResponseWriter, r *http.Request) error {
		return s.Hub.Done(w, r, func(_ context.Context, in *flow.Interaction) error {
			in.ProvePassword("ann", s.Now())
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
		return s.Hub.Authorize(w, r, flow.Request{ClientID: "client", ApplicationID: "pa", Ask: ask, Params: r.URL.RawQuery})
	})
	page("GET /begin", func(w http.ResponseWriter, r *http.Request) error {
		return s.Hub.Begin(w, r, s.Hub.New(flow.KindActivation, "pa"), nil)
	})
	s.Mux.HandleFunc("GET /portal", func(http.ResponseWriter, *http.Request) {})
	s.Mux.HandleFunc("GET /{$}", func(http.ResponseWriter, *http.Request) {})
}

func (s *house) browser() *http.Client {
	return &http.Client{Jar: s.Jar()}
}

func (s *house) publish(markdown string) store.TermsVersion {
	s.Helper()
	terms, err := s.Store.PublishTerms(s.Context(), store.TermsVersion{ApplicationID: "pa", Title: "Terms of Use", Markdown: markdown, PublishedAt: s.Now()})
	s.Must(err)
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
	s.Must(err)
	return s.read(res)
}

func (s *house) post(path string, fields ...string) answer {
	s.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	res, err := s.client.PostForm(s.URL+path, form)
	s.Must(err)
	return s.read(res)
}

func (s *house) read(res *http.Response) answer {
	s.Helper()
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	s.Must(err)
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
	rows, _, err := s.Store.AuditEvents(s.Context(), store.AuditFilter{}, store.Page{Limit: 1000})
	s.Must(err)
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
