package login_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/access"
	"anteroom/account"
	"anteroom/flow"
	"anteroom/flow/flowtest"
	"anteroom/internal/seal"
	"anteroom/login"
	"anteroom/store"
	"anteroom/templates"
)

const goodPassword = "velvet marmot kiln"

// house is this room over a real hub, a real file and real HTTP. The second
// factor belongs to another room: its pages only say their name.
type house struct {
	*flowtest.House
	people *account.Accounts
	mu     sync.Mutex
	sent   []letter
}

type letter struct {
	to, link string
	mail     templates.Mail
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

func newHouse(t *testing.T) *house {
	t.Helper()
	s := &house{}
	mayEnter := func(ctx context.Context, a store.Account, app store.Application) (bool, error) {
		return (&access.Control{Store: s.Store}).MayEnter(ctx, a, app)
	}
	s.House = flowtest.New(t, flowtest.Options{MayEnter: mayEnter})
	s.people = &account.Accounts{
		Store: s.Store, Seal: s.Seal, Outbox: s, Hasher: account.NewHasher(2), Issuer: s.URL, Now: s.Now, Log: slog.New(slog.DiscardHandler),
		Throttle: &account.Throttle{Failures: s.Store, Now: s.Now}, Floor: time.Millisecond,
	}
	s.routes()
	s.application("pa", "Partner Analytics", true)
	s.application("plain", "Plain Portal", false)
	return s
}

func (s *house) routes() {
	page, pages := s.Page, s.Pages
	in := &login.Login{Hub: s.Hub, Accounts: s.people, Pages: pages, Now: s.Now}
	activate := &login.Activate{Hub: s.Hub, Accounts: s.people, Pages: pages, Now: s.Now}
	forgot := &login.Forgot{Hub: s.Hub, Accounts: s.people, Pages: pages}
	reset := &login.Reset{Hub: s.Hub, Accounts: s.people, Pages: pages, Now: s.Now}
	page("GET /login", s.Hub.Require(flow.StepLogin, in.Show))
	page("POST /login", s.Hub.Require(flow.StepLogin, in.Submit))
	page("GET /activate", activate.Show)
	page("POST /activate", activate.Submit)
	page("POST /activate/resend", activate.Resend)
	page("GET /forgot", forgot.Show)
	page("POST /forgot", forgot.Submit)
	page("GET /reset", reset.Show)
	page("POST /reset", reset.Submit)
	page("GET /continue", s.Hub.Continue)
	page("GET /activated", s.Hub.Activated)
	page("GET /signin", s.Hub.SignIn)
	page("GET /{$}", s.Hub.Home)
	for _, step := range []flow.Step{flow.StepEnroll, flow.StepChallenge, flow.StepTerms} {
		page("GET "+string(step), s.Hub.Require(step, func(w http.ResponseWriter, _ *http.Request) error {
			_, err := fmt.Fprintf(w, "step %s", step)
			return err
		}))
	}
	s.Mux.HandleFunc("GET /portal", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "portal") })
	page("GET /authorize", func(w http.ResponseWriter, r *http.Request) error {
		q := r.URL.Query()
		ask := flow.Ask{LoginHint: q.Get("login_hint")}
		if prompt := q.Get("prompt"); prompt != "" {
			ask.Prompt = []string{prompt}
		}
		app := q.Get("app")
		return s.Hub.Authorize(w, r, flow.Request{ClientID: app + "-client", ApplicationID: app, Ask: ask})
	})
}

func (s *house) application(id, name string, mfa bool) {
	s.Helper()
	ctx := s.Context()
	s.Must(s.Store.CreateApplication(ctx, store.Application{
		ID: id, Name: name, RequireMFA: mfa, Access: store.AccessAssigned, Consent: store.ConsentSkip,
		LaunchURL: s.URL + "/portal?launch=" + id,
	}))
	s.Must(s.Store.CreateClient(ctx, store.Client{ID: id + "-client", ApplicationID: id}))
}

// member is an active account with goodPassword and access to the applications.
func (s *house) member(email string, apps ...string) store.Account {
	s.Helper()
	hash, err := s.people.Hasher.Hash(s.Context(), goodPassword)
	s.Must(err)
	a := store.Account{ID: seal.RandomID(), UserName: email, Email: email, State: store.AccountActive, PasswordHash: hash}
	s.Must(s.Store.CreateAccount(s.Context(), a))
	for _, app := range apps {
		s.Must(s.Store.PutAssignment(s.Context(), store.Assignment{AccountID: a.ID, ApplicationID: app, State: store.AssignmentActive}))
	}
	return a
}

// invite returns the path of the link that was mailed.
func (s *house) invite(email, app string) (path string, acct store.Account) {
	s.Helper()
	out, err := s.people.Invite(s.Context(), account.Invite{Email: email, ApplicationID: app, By: account.Operator})
	s.Must(err)
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
	a, err := s.Store.Account(s.Context(), id)
	s.Must(err)
	return a
}

// browser follows redirects and keeps cookies.
type browser struct {
	s      *house
	client *http.Client
}

func (s *house) browser() *browser {
	return &browser{s: s, client: &http.Client{Jar: s.Jar()}}
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
	b.s.Must(err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	b.s.Must(err)
	if res.StatusCode >= 500 && res.StatusCode != http.StatusServiceUnavailable {
		b.s.Errorf("%s %s: status %d", r.Method, r.URL, res.StatusCode)
	}
	return answer{res.StatusCode, res.Request.URL.RequestURI(), string(body), res.Header}
}

func (b *browser) get(path string) answer {
	b.s.Helper()
	r, err := http.NewRequest(http.MethodGet, b.s.URL+path, nil)
	b.s.Must(err)
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
	b.s.Must(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

// signIn fills the form of a page that stands at /login.
func (b *browser) signIn(at answer, user, password string) answer {
	b.s.Helper()
	if !strings.HasPrefix(at.path, "/login?i=") {
		b.s.Fatalf("at %s, want /login", at.path)
	}
	defer b.s.Pass(time.Second) // what comes next is later than this sign-in
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
