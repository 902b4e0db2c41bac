package login_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/access"
	"anteroom/account"
	"anteroom/flow"
	"anteroom/internal/rar"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/login"
	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/templates"
)

const goodPassword = "velvet marmot kiln"

// house is this room over a real hub, a real file and real HTTP. The second
// factor belongs to another room: its pages only say their name.
type house struct {
	*testing.T
	*httptest.Server
	hub    *flow.Hub
	people *account.Accounts
	store  *bolt.Store
	clock  atomic.Int64
	mu     sync.Mutex
	sent   []letter
	issued []flow.Authentication
}

type letter struct {
	to, link string
	mail     templates.Mail
}

func (s *house) now() time.Time       { return time.UnixMicro(s.clock.Load()).UTC() }
func (s *house) pass(d time.Duration) { s.clock.Add(d.Microseconds()) }

func (s *house) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// Enqueue is the outbox.
func (s *house) Enqueue(_ context.Context, to string, m templates.Mail) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := letter{to: to, mail: m}
	switch m := m.(type) {
	case templates.InvitationMail:
		l.link = m.Link
	case templates.PasswordResetMail:
		l.link = m.Link
	}
	s.sent = append(s.sent, l)
	return nil
}

func (s *house) letters() []letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.sent
	s.sent = nil
	return all
}

// Issue and Refuse are the engine.
func (s *house) Issue(_ context.Context, in flow.Interaction, a flow.Authentication, _ []string) (flow.Answer, error) {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.issued = append(s.issued, a)
		s.mu.Unlock()
		http.Redirect(w, r, "/portal?code="+in.ID, http.StatusSeeOther)
	}, nil
}

func (s *house) Details(context.Context, flow.Interaction) (rar.Details, error) { return nil, nil }

func (s *house) Refuse(_ context.Context, _ flow.Interaction, e *flow.ProtocolError) (flow.Answer, error) {
	return func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/portal?error="+e.Code, http.StatusSeeOther)
	}, nil
}

func newHouse(t *testing.T) *house {
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
	control := &access.Control{Store: s.store}
	s.hub, err = flow.New(flow.Options{
		Issuer: s.URL, Store: s.store, Seal: keys, Pages: pages, Now: s.now, MayEnter: control.MayEnter,
	})
	s.must(err)
	s.hub.Engine = s
	s.people = &account.Accounts{
		Store: s.store, Seal: keys, Outbox: s, Hasher: account.NewHasher(2), Issuer: s.URL, Now: s.now, Log: quiet,
		Throttle: &account.Throttle{Failures: s.store, Now: s.now}, Floor: time.Millisecond,
	}
	s.routes(mux, &web.Edge{Pages: pages, Log: quiet}, pages)
	s.application("pa", "Partner Analytics", true)
	s.application("plain", "Plain Portal", false)
	return s
}

func (s *house) routes(mux *http.ServeMux, edge *web.Edge, pages *templates.Renderer) {
	page := func(pattern string, h web.Handler) { mux.Handle(pattern, edge.Handle(h)) }
	in := &login.Login{Hub: s.hub, Accounts: s.people, Pages: pages, Now: s.now}
	activate := &login.Activate{Hub: s.hub, Accounts: s.people, Pages: pages, Now: s.now}
	forgot := &login.Forgot{Hub: s.hub, Accounts: s.people, Pages: pages}
	reset := &login.Reset{Hub: s.hub, Accounts: s.people, Pages: pages, Now: s.now}
	page("GET /login", s.hub.Require(flow.StepLogin, in.Show))
	page("POST /login", s.hub.Require(flow.StepLogin, in.Submit))
	page("GET /activate", activate.Show)
	page("POST /activate", activate.Submit)
	page("POST /activate/resend", activate.Resend)
	page("GET /forgot", forgot.Show)
	page("POST /forgot", forgot.Submit)
	page("GET /reset", reset.Show)
	page("POST /reset", reset.Submit)
	page("GET /continue", s.hub.Continue)
	page("GET /activated", s.hub.Activated)
	page("GET /signin", s.hub.SignIn)
	page("GET /{$}", s.hub.Home)
	for _, step := range []flow.Step{flow.StepEnroll, flow.StepChallenge, flow.StepTerms} {
		page("GET "+string(step), s.hub.Require(step, func(w http.ResponseWriter, _ *http.Request) error {
			_, err := fmt.Fprintf(w, "step %s", step)
			return err
		}))
	}
	mux.HandleFunc("GET /portal", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "portal") })
	page("GET /authorize", func(w http.ResponseWriter, r *http.Request) error {
		q := r.URL.Query()
		ask := flow.Ask{LoginHint: q.Get("login_hint")}
		if prompt := q.Get("prompt"); prompt != "" {
			ask.Prompt = []string{prompt}
		}
		app := q.Get("app")
		return s.hub.Authorize(w, r, flow.Request{ClientID: app + "-client", ApplicationID: app, Ask: ask})
	})
}

func (s *house) application(id, name string, mfa bool) {
	s.Helper()
	ctx := s.Context()
	s.must(s.store.CreateApplication(ctx, store.Application{
		ID: id, Name: name, RequireMFA: mfa, Access: store.AccessAssigned, Consent: store.ConsentSkip,
		LaunchURL: s.URL + "/portal?launch=" + id,
	}))
	s.must(s.store.CreateClient(ctx, store.Client{ID: id + "-client", ApplicationID: id}))
}

// member is an active account with goodPassword and access to the applications.
func (s *house) member(email string, apps ...string) store.Account {
	s.Helper()
	hash, err := s.people.Hasher.Hash(s.Context(), goodPassword)
	s.must(err)
	a := store.Account{ID: seal.RandomID(), UserName: email, Email: email, State: store.AccountActive, PasswordHash: hash}
	s.must(s.store.CreateAccount(s.Context(), a))
	for _, app := range apps {
		s.must(s.store.PutAssignment(s.Context(), store.Assignment{AccountID: a.ID, ApplicationID: app, State: store.AssignmentActive}))
	}
	return a
}

// invite returns the path of the link that was mailed.
func (s *house) invite(email, app string) (path string, acct store.Account) {
	s.Helper()
	out, err := s.people.Invite(s.Context(), account.Invite{Email: email, ApplicationID: app, By: account.Operator})
	s.must(err)
	return s.path(s.lastLetter(email).link), out.Account
}

func (s *house) path(link string) string {
	s.Helper()
	path, ok := strings.CutPrefix(link, s.URL)
	if !ok {
		s.Fatalf("link %q does not begin with the issuer", link)
	}
	return path
}

func (s *house) lastLetter(to string) letter {
	s.Helper()
	all := s.letters()
	if len(all) == 0 || all[len(all)-1].to != to {
		s.Fatalf("letters %+v, want one to %s", all, to)
	}
	return all[len(all)-1]
}

func (s *house) account(id string) store.Account {
	s.Helper()
	a, err := s.store.Account(s.Context(), id)
	s.must(err)
	return a
}

// browser follows redirects and keeps cookies.
type browser struct {
	s      *house
	client *http.Client
}

func (s *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	s.must(err)
	return &browser{s: s, client: &http.Client{Jar: jar}}
}

// answer is the page at which a request ended.
type answer struct {
	status int
	path   string // with query
	body   string
	header http.Header
}

func (b *browser) do(r *http.Request) answer {
	b.s.Helper()
	res, err := b.client.Do(r)
	b.s.must(err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	b.s.must(err)
	if res.StatusCode >= 500 && res.StatusCode != http.StatusServiceUnavailable {
		b.s.Errorf("%s %s: status %d", r.Method, r.URL, res.StatusCode)
	}
	return answer{res.StatusCode, res.Request.URL.RequestURI(), string(body), res.Header}
}

func (b *browser) get(path string) answer {
	b.s.Helper()
	r, err := http.NewRequest(http.MethodGet, b.s.URL+path, nil)
	b.s.must(err)
	return b.do(r)
}

func (b *browser) post(path string, fields ...string) answer {
	b.s.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return b.postBody(path, form.Encode())
}

func (b *browser) postBody(path, body string) answer {
	b.s.Helper()
	r, err := http.NewRequest(http.MethodPost, b.s.URL+path, strings.NewReader(body))
	b.s.must(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

// signIn fills the form of a page that stands at /login.
func (b *browser) signIn(at answer, user, password string) answer {
	b.s.Helper()
	if !strings.HasPrefix(at.path, "/login?i=") {
		b.s.Fatalf("at %s, want /login", at.path)
	}
	defer b.s.pass(time.Second) // what comes next is later than this sign-in
	return b.post(at.path, "username", user, "password", password)
}

func (a answer) at(path string) bool {
	return a.path == path || strings.HasPrefix(a.path, path+"?")
}

func (a answer) has(id string) bool { return strings.Contains(a.body, `id="`+id+`"`) }

// says tells whether the page has the words, markup aside.
func (a answer) says(words string) bool { return strings.Contains(a.text(), words) }

var (
	markup = regexp.MustCompile(`(?s)<(style|script|svg)[^>]*>.*?</(style|script|svg)>|<[^>]*>`)
	spaces = regexp.MustCompile(`\s+`)
)

func (a answer) text() string {
	return strings.TrimSpace(spaces.ReplaceAllString(markup.ReplaceAllString(a.body, " "), " "))
}
