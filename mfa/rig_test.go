package mfa

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/account"
	"anteroom/flow"
	"anteroom/internal/mail"
	"anteroom/internal/rar"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/templates"
)

// house is this room over the real hub, a real file and real HTTP. The password
// belongs to another room: here a name is enough.
type house struct {
	*testing.T
	*httptest.Server
	hub    *flow.Hub
	db     *bolt.Store
	room   *Handler
	mux    *http.ServeMux
	clock  atomic.Int64
	mu     sync.Mutex
	issued []flow.Authentication
}

func (s *house) now() time.Time       { return time.UnixMicro(s.clock.Load()).UTC() }
func (s *house) pass(d time.Duration) { s.clock.Add(d.Microseconds()) }

// code is what a phone with the right time shows.
func (s *house) code(secret []byte) string { return codeAt(secret, s.now()) }

func (s *house) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
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
	// 12 seconds before the next time step.
	s.clock.Store(time.Date(2026, 5, 4, 10, 0, 18, 0, time.UTC).UnixMicro())
	var err error
	s.db, err = bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{Log: slog.New(slog.DiscardHandler)})
	s.must(err)
	t.Cleanup(func() { _ = s.db.Close() })
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(&web.Wear{Log: slog.New(slog.DiscardHandler)}).Handler(s.mux).ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	s.start()
	s.seed()
	return s
}

// start puts the room together over the store, as a process does that starts.
func (s *house) start() {
	s.Helper()
	pages, err := templates.NewRenderer()
	s.must(err)
	keys := testKeys(s)
	quiet := slog.New(slog.DiscardHandler)
	s.hub, err = flow.New(flow.Options{
		Issuer: s.URL, Store: s.db, Seal: keys, Pages: pages, Now: s.now,
		MayEnter: func(context.Context, store.Account, store.Application) (bool, error) { return true, nil },
	})
	s.must(err)
	s.hub.Engine = s
	s.room = &Handler{
		Store: s.db, Hub: s.hub, Seal: keys, Pages: pages, Now: s.now, Log: quiet,
		Label: "Anteroom", Issuer: s.URL,
		Throttle: &account.Throttle{Failures: s.db, Now: s.now},
		Outbox:   &mail.Outbox{Store: s.db, Seal: keys, Pages: pages, Now: s.now},
	}
	s.mux = http.NewServeMux()
	s.routes(&web.Edge{Pages: pages, Log: quiet})
}

func (s *house) routes(edge *web.Edge) {
	step := func(path string, step flow.Step, h web.Handler) {
		s.mux.Handle(path, edge.Handle(s.hub.Require(step, h)))
	}
	step("/login", flow.StepLogin, func(w http.ResponseWriter, r *http.Request) error {
		form := r.PostFormValue("username")
		if form == "" {
			_, err := io.WriteString(w, "login")
			return err
		}
		return s.hub.Done(w, r, func(_ context.Context, in *flow.Interaction) error {
			in.ProvePassword(form, s.now())
			return nil
		})
	})
	step("/mfa/enroll", flow.StepEnroll, s.room.Enroll)
	step("/mfa/enroll/restart", flow.StepEnroll, s.room.EnrollRestart)
	step("/mfa/recovery-codes", flow.StepRecoveryCodes, s.room.RecoveryCodes)
	step("/mfa/recovery-codes.txt", flow.StepRecoveryCodes, s.room.DownloadRecoveryCodes)
	step("/mfa/challenge", flow.StepChallenge, s.room.Challenge)
	step("/mfa/recovery", flow.StepChallenge, s.room.Recovery)
	s.mux.Handle("/continue", edge.Handle(s.hub.Continue))
	s.mux.Handle("/{$}", edge.Handle(s.hub.Home))
	s.mux.Handle("/authorize", edge.Handle(func(w http.ResponseWriter, r *http.Request) error {
		id := r.FormValue("app")
		return s.hub.Authorize(w, r, flow.Request{ClientID: id, ApplicationID: id, Params: r.Form.Encode()})
	}))
	s.mux.HandleFunc("/portal", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "portal %s", r.URL.RawQuery) })
}

// annsPhone and bensPhone hold the secrets of authenticators bound long ago.
var annsPhone, bensPhone = []byte("ann's phone, 20 byte"), []byte("ben's phone, 20 byte")

// seed makes two portals, pcc wants another code after an enrolment; new has no
// authenticator, ann and ben have one, and ann has recovery codes.
func (s *house) seed() {
	s.Helper()
	s.must(s.db.Do(s.Context(), func(ctx context.Context) error {
		var errs []error
		for _, app := range []store.Application{
			{ID: "pa", Name: "Partner Analytics", EnrolmentHint: "Ask your IT department which app is allowed."},
			{ID: "pcc", Name: "Control Center", ChallengeAfterEnrolment: true},
		} {
			app.RequireMFA, app.Consent, app.CreatedAt = true, store.ConsentSkip, s.now()
			errs = append(errs, s.db.CreateApplication(ctx, app), s.db.CreateClient(ctx, store.Client{ID: app.ID, ApplicationID: app.ID, CreatedAt: s.now()}))
		}
		for _, name := range []string{"new", "ann", "ben"} {
			errs = append(errs, s.db.CreateAccount(ctx, store.Account{
				ID: name, UserName: name + "@acme.example", Email: name + "@acme.example", State: store.AccountActive, CreatedAt: s.now(),
			}))
		}
		for name, secret := range map[string][]byte{"ann": annsPhone, "ben": bensPhone} {
			errs = append(errs, s.db.AddAuthenticator(ctx, store.Authenticator{
				ID: name + "-1", AccountID: name, Kind: "totp", CreatedAt: s.now(), Sealed: account.SealTOTP(testKeys(s), name, secret),
			}))
		}
		errs = append(errs, s.db.ReplaceRecoveryCodes(ctx, "ann", recoveryHashes(testKeys(s), "ann", annsCodes), s.now()))
		return errors.Join(errs...)
	}))
}

var annsCodes = []string{"k7m2-x9qd-4hnt", "aaaa-bbbb-cccc", "2222-3333-4444"}

// facts that tests ask for.

func (s *house) authenticators(id string) []store.Authenticator {
	s.Helper()
	rows, err := s.db.AuthenticatorsOf(s.Context(), id)
	s.must(err)
	return rows
}

func (s *house) last(id string) int64 {
	s.Helper()
	last, err := s.db.LastTOTP(s.Context(), id)
	s.must(err)
	return last
}

func (s *house) codesLeft(id string) int {
	s.Helper()
	n, err := s.db.RecoveryCodesLeft(s.Context(), id)
	s.must(err)
	return n
}

// events lists an account's audit events as "type reason".
func (s *house) events(id string) []string {
	s.Helper()
	rows, _, err := s.db.AuditEvents(s.Context(), store.AuditFilter{AccountID: id}, store.Page{Limit: 1000})
	s.must(err)
	var all []string
	for _, e := range rows {
		all = append(all, strings.TrimSpace(e.Type+" "+e.Details["reason"]))
	}
	return all
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

// mails lists what was enqueued, as "kind to".
func (s *house) mails() []string {
	s.Helper()
	rows, _, err := s.db.PendingMail(s.Context(), store.Page{Limit: 1000})
	s.must(err)
	var all []string
	for _, m := range rows {
		all = append(all, m.Kind+" "+m.To)
	}
	slices.Sort(all)
	return all
}

// browser is a person's browser: a cookie jar that follows redirects.
type browser struct {
	*http.Client
	s *house
}

func (s *house) browser() *browser {
	s.Helper()
	jar, err := cookiejar.New(nil)
	s.must(err)
	return &browser{Client: &http.Client{Jar: jar}, s: s}
}

// twin returns a browser with a copy of the cookies that b has now, which does
// not follow redirects.
func (b *browser) twin() *browser {
	twin := b.s.browser()
	base, err := url.Parse(b.s.URL)
	b.s.must(err)
	twin.Jar.SetCookies(base, b.Jar.Cookies(base))
	twin.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return twin
}

type page struct {
	status int
	url    *url.URL
	header http.Header
	body   string
}

func (b *browser) read(resp *http.Response, err error) page {
	b.s.Helper()
	if err != nil {
		b.s.Error(err)
		return page{url: &url.URL{}}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.s.Error(err)
	}
	return page{resp.StatusCode, resp.Request.URL, resp.Header, string(body)}
}

func (b *browser) get(path string) page {
	b.s.Helper()
	return b.read(b.Get(b.s.URL + path))
}

// again loads the page again, or another one of the same interaction.
func (b *browser) again(p page, path string) page {
	b.s.Helper()
	return b.read(b.Get(b.s.URL + path + "?" + p.url.RawQuery))
}

func (b *browser) post(p page, path string, fields ...string) page {
	b.s.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.read(b.PostForm(b.s.URL+path+"?"+p.url.RawQuery, form))
}

func (b *browser) at(p page, path string) page {
	b.s.Helper()
	if p.url.Path != path {
		b.s.Fatalf("at %s (%d), want %s: %.400s", p.url, p.status, path, p.body)
	}
	return p
}

// password goes through the first step and returns where it leads.
func (b *browser) password(app, name string) page {
	b.s.Helper()
	p := b.at(b.get("/authorize?app="+app), "/login")
	return b.post(p, "/login", "username", name)
}

var (
	secretText = regexp.MustCompile(`id="totp-secret"[^>]*>([^<]*)<`)
	svgPart    = regexp.MustCompile(`(?s)<svg id="totp-qr".*?</svg>`)
	errorText  = regexp.MustCompile(`(?s)id="error"[^>]*>(.*?)</`)
	codeItem   = regexp.MustCompile(`<li><code>([^<]*)</code></li>`)
	anyTag     = regexp.MustCompile(`<[^>]*>`)
)

// secret reads the text secret of an enrolment page.
func (p page) secret(t *testing.T) []byte {
	t.Helper()
	m := secretText.FindStringSubmatch(p.body)
	if m == nil {
		t.Fatalf("no #totp-secret on %s (%d): %.400s", p.url, p.status, p.body)
	}
	raw, err := base32Text.DecodeString(strings.ReplaceAll(m[1], " ", ""))
	if err != nil || len(raw) != secretSize {
		t.Fatalf("text secret %q: %v", m[1], err)
	}
	return raw
}

// text is the page without its tags.
func (p page) text() string {
	return strings.Join(strings.Fields(html.UnescapeString(anyTag.ReplaceAllString(p.body, " "))), " ")
}

func (p page) codes() (all []string) {
	for _, m := range codeItem.FindAllStringSubmatch(p.body, -1) {
		all = append(all, m[1])
	}
	return all
}

func (p page) refused(t *testing.T, status int, sentence string) {
	t.Helper()
	if p.status != status || !strings.Contains(p.text(), sentence) || !errorText.MatchString(p.body) {
		t.Errorf("%s answers %d, want %d and %q in #error: %.600s", p.url, p.status, status, sentence, p.text())
	}
}

// enroll goes from an enrolment page to the recovery codes, and returns the
// secret and the page with the codes.
func (b *browser) enroll(p page) ([]byte, page) {
	b.s.Helper()
	secret := p.secret(b.s.T)
	return secret, b.at(b.post(p, "/mfa/enroll", "code", b.s.code(secret)), "/mfa/recovery-codes")
}

// annsRow is an authenticator whose secret does not open.
var annsRow = store.Authenticator{ID: "ann-damaged", AccountID: "ann", Kind: "totp", Sealed: []byte("damaged")}
