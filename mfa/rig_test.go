package mfa

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"anteroom/account"
	"anteroom/flow"
	"anteroom/flow/flowtest"
	"anteroom/internal/mail"
	"anteroom/internal/web"
	"anteroom/store"
)

// house is this room over the real hub, a real file and real HTTP. The password
// belongs to another room: here a name is enough.
type house struct {
	*flowtest.House
	room *Handler
}

// code is what a phone with the right time shows.
func (s *house) code(secret []byte) string { return codeAt(secret, s.Now()) }

func newHouse(t *testing.T) *house {
	t.Helper()
	// 12 seconds before the next time step.
	s := &house{House: flowtest.New(t, flowtest.Options{Start: time.Date(2026, 5, 4, 10, 0, 18, 0, time.UTC)})}
	s.furnish()
	s.seed()
	return s
}

// restart puts the room together anew over the store, as a process does that starts.
func (s *house) restart() {
	s.Helper()
	s.Restart(flowtest.Options{})
	s.furnish()
}

func (s *house) furnish() {
	s.room = &Handler{
		Store: s.Store, Hub: s.Hub, Seal: s.Seal, Pages: s.Pages, Now: s.Now, Log: slog.New(slog.DiscardHandler),
		Label: "Anteroom", Issuer: s.URL,
		Throttle: &account.Throttle{Failures: s.Store, Now: s.Now},
		Outbox:   &mail.Outbox{Store: s.Store, Seal: s.Seal, Pages: s.Pages, Now: s.Now},
	}
	s.routes()
}

func (s *house) routes() {
	step := func(path string, step flow.Step, h web.Handler) { s.Page(path, s.Hub.Require(step, h)) }
	step("/login", flow.StepLogin, func(w http.ResponseWriter, r *http.Request) error {
		form := r.PostFormValue("username")
		if form == "" {
			_, err := io.WriteString(w, "login")
			return err
		}
		return s.Hub.Done(w, r, func(_ context.Context, in *flow.Interaction) error {
			in.ProvePassword(form, s.Now())
			return nil
		})
	})
	step("/mfa/enroll", flow.StepEnroll, s.room.Enroll)
	step("/mfa/enroll/restart", flow.StepEnroll, s.room.EnrollRestart)
	step("/mfa/recovery-codes", flow.StepRecoveryCodes, s.room.RecoveryCodes)
	step("/mfa/recovery-codes.txt", flow.StepRecoveryCodes, s.room.DownloadRecoveryCodes)
	step("/mfa/challenge", flow.StepChallenge, s.room.Challenge)
	step("/mfa/recovery", flow.StepChallenge, s.room.Recovery)
	s.Page("/continue", s.Hub.Continue)
	s.Page("/{$}", s.Hub.Home)
	s.Page("/authorize", func(w http.ResponseWriter, r *http.Request) error {
		id := r.FormValue("app")
		return s.Hub.Authorize(w, r, flow.Request{ClientID: id, ApplicationID: id, Params: r.Form.Encode()})
	})
	s.Mux.HandleFunc("/portal", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "portal %s", r.URL.RawQuery) })
}

// annsPhone and bensPhone hold the secrets of authenticators bound long ago.
var annsPhone, bensPhone = []byte("ann's phone, 20 byte"), []byte("ben's phone, 20 byte")

// seed makes two portals, pcc wants another code after an enrolment; new has no
// authenticator, ann and ben have one, and ann has recovery codes.
func (s *house) seed() {
	s.Helper()
	s.Must(s.Store.Do(s.Context(), func(ctx context.Context) error {
		var errs []error
		for _, app := range []store.Application{
			{ID: "pa", Name: "Partner Analytics", EnrolmentHint: "Ask your IT department which app is allowed."},
			{ID: "pcc", Name: "Control Center", ChallengeAfterEnrolment: true},
		} {
			app.RequireMFA, app.Consent, app.CreatedAt = true, store.ConsentSkip, s.Now()
			errs = append(errs, s.Store.CreateApplication(ctx, app), s.Store.CreateClient(ctx, store.Client{ID: app.ID, ApplicationID: app.ID, CreatedAt: s.Now()}))
		}
		for _, name := range []string{"new", "ann", "ben"} {
			errs = append(errs, s.Store.CreateAccount(ctx, store.Account{
				ID: name, UserName: name + "@acme.example", Email: name + "@acme.example", State: store.AccountActive, CreatedAt: s.Now(),
			}))
		}
		for name, secret := range map[string][]byte{"ann": annsPhone, "ben": bensPhone} {
			errs = append(errs, s.Store.AddAuthenticator(ctx, store.Authenticator{
				ID: name + "-1", AccountID: name, Kind: "totp", CreatedAt: s.Now(), Sealed: account.SealTOTP(s.Seal, name, secret),
			}))
		}
		errs = append(errs, s.Store.ReplaceRecoveryCodes(ctx, "ann", recoveryHashes(s.Seal, "ann", annsCodes), s.Now()))
		return errors.Join(errs...)
	}))
}

var annsCodes = []string{"k7m2-x9qd-4hnt", "aaaa-bbbb-cccc", "2222-3333-4444"}

// facts that tests ask for.

func (s *house) authenticators(id string) []store.Authenticator {
	s.Helper()
	rows, err := s.Store.AuthenticatorsOf(s.Context(), id)
	s.Must(err)
	return rows
}

func (s *house) last(id string) int64 {
	s.Helper()
	last, err := s.Store.LastTOTP(s.Context(), id)
	s.Must(err)
	return last
}

func (s *house) codesLeft(id string) int {
	s.Helper()
	n, err := s.Store.RecoveryCodesLeft(s.Context(), id)
	s.Must(err)
	return n
}

// events lists an account's audit events as "type reason".
func (s *house) events(id string) []string {
	s.Helper()
	rows, _, err := s.Store.AuditEvents(s.Context(), store.AuditFilter{AccountID: id}, store.Page{Limit: 1000})
	s.Must(err)
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
	rows, _, err := s.Store.PendingMail(s.Context(), store.Page{Limit: 1000})
	s.Must(err)
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
	return &browser{Client: &http.Client{Jar: s.Jar()}, s: s}
}

// twin returns a browser with a copy of the cookies that b has now, which does
// not follow redirects.
func (b *browser) twin() *browser {
	twin := b.s.browser()
	base, err := url.Parse(b.s.URL)
	b.s.Must(err)
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
