package flow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/flow"
	"anteroom/flow/flowtest"
	"anteroom/internal/web"
	"anteroom/store"
)

// house is a hub whose steps prove what the test posts.
type house struct {
	*flowtest.House
	during  func() // runs while a code is being accepted
	watched bool   // session management is on
}

func newHouse(t *testing.T) *house {
	t.Helper()
	s := &house{}
	s.House = flowtest.New(t, s.options())
	s.routes()
	s.seed(t)
	return s
}

func (s *house) options() flowtest.Options {
	return flowtest.Options{SessionManagement: s.watched, MayEnter: func(_ context.Context, a store.Account, _ store.Application) (bool, error) {
		return a.UserName != "zoe", nil
	}}
}

// restart makes a new hub over the same store, as a new process does.
func (s *house) restart(t *testing.T) {
	t.Helper()
	s.Restart(s.options())
	s.routes()
}

func (s *house) routes() {
	step := func(step flow.Step, prove func(p *flow.Pending, form url.Values, in *flow.Interaction) error) {
		h := func(w http.ResponseWriter, r *http.Request) error {
			if r.Method == http.MethodGet {
				fmt.Fprintf(w, "step %s", step)
				return nil
			}
			form, err := web.Form(r)
			if err != nil {
				return err
			}
			p := flow.From(r)
			return s.Hub.Done(w, r, func(_ context.Context, in *flow.Interaction) error { return prove(p, form, in) })
		}
		s.Page(string(step), s.Hub.Require(step, h))
	}
	step(flow.StepLogin, func(_ *flow.Pending, form url.Values, in *flow.Interaction) error {
		if form.Get("continue") == "1" {
			in.SelectedAt = s.Now()
			return nil
		}
		in.ProvePassword(form.Get("username"), s.Now())
		return nil
	})
	step(flow.StepChallenge, func(_ *flow.Pending, form url.Values, in *flow.Interaction) error {
		if s.during != nil {
			s.during()
		}
		if form.Get("code") != "right" {
			return web.BadRequest("wrong code")
		}
		in.ProveSecondFactor(flow.Proof{At: s.Now(), Method: "otp"})
		return nil
	})
	step(flow.StepTerms, func(*flow.Pending, url.Values, *flow.Interaction) error { return nil })
	s.Page("/continue", s.Hub.Continue)
	s.Page("/switch", s.Hub.Switch)
	s.Page("/refuse", s.Hub.Abandon)
	s.Page("/activated", s.Hub.Activated)
	s.Page("/signin", s.Hub.SignIn)
	s.Page("/{$}", s.Hub.Home)
	s.Page("/out", func(w http.ResponseWriter, r *http.Request) error {
		defer fmt.Fprint(w, "out")
		return s.Hub.SignOut(w, r)
	})
	s.Page("/authorize", func(w http.ResponseWriter, r *http.Request) error {
		if err := r.ParseForm(); err != nil {
			return err
		}
		ask := flow.Ask{Prompt: strings.Fields(r.Form.Get("prompt"))}
		return s.Hub.Authorize(w, r, flow.Request{ClientID: "c", ApplicationID: "pa", Params: r.Form.Encode(), Ask: ask})
	})
	s.Page("/device", func(w http.ResponseWriter, r *http.Request) error {
		in := s.Hub.New(flow.KindDevice, "pa")
		in.ClientID, in.Params, in.Ask = "c", "state=tv", flow.Ask{Prompt: []string{"select_account"}}
		return s.Hub.Begin(w, r, in, nil)
	})
	s.Page("/approve", func(w http.ResponseWriter, r *http.Request) error {
		in := s.Hub.New(flow.KindBackchannel, "pa")
		in.ClientID, in.Params, in.Ask = "c", "state=call", flow.Ask{HintSubject: "ann"}
		return s.Hub.Begin(w, r, in, nil)
	})
	s.Page("/own", func(w http.ResponseWriter, r *http.Request) error {
		_, account, ok, err := s.Hub.Own(w, r, "/own")
		if ok {
			fmt.Fprintf(w, "own %s", account.ID)
		}
		return err
	})
	s.Mux.HandleFunc("/portal", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "portal %s", r.URL.RawQuery) })
}

func (s *house) seed(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	err := s.Store.Do(ctx, func(ctx context.Context) error {
		app := store.Application{ID: "pa", Name: "Partner Analytics", LaunchURL: "https://portal.example/login", RequireMFA: true, Consent: store.ConsentSkip, CreatedAt: s.Now()}
		errs := []error{
			s.Store.CreateApplication(ctx, app),
			s.Store.CreateClient(ctx, store.Client{ID: "c", ApplicationID: "pa", CreatedAt: s.Now()}),
		}
		for _, name := range []string{"ann", "ben", "zoe"} {
			errs = append(errs,
				s.Store.CreateAccount(ctx, store.Account{ID: name, UserName: name, State: store.AccountActive, CreatedAt: s.Now()}),
				s.Store.AddAuthenticator(ctx, store.Authenticator{ID: name, AccountID: name, Kind: "totp", CreatedAt: s.Now()}))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// browser is a person's browser: a cookie jar that follows redirects.
type browser struct {
	*http.Client
	t    *testing.T
	base string
}

func (s *house) browser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{Client: &http.Client{Jar: jar}, t: t, base: s.URL}
}

type page struct {
	status int
	url    *url.URL
	body   string
}

func (b *browser) read(resp *http.Response, err error) page {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{resp.StatusCode, resp.Request.URL, string(body)}
}

func (b *browser) get(path string) page {
	b.t.Helper()
	return b.read(b.Get(b.base + path))
}

func (b *browser) post(to *url.URL, fields ...string) page {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.read(b.PostForm(to.String(), form))
}

func (b *browser) at(p page, path string) page {
	b.t.Helper()
	if p.url.Path != path {
		b.t.Fatalf("at %s (%d), want %s: %.300s", p.url, p.status, path, p.body)
	}
	return p
}

func (b *browser) signIn(name string) page {
	b.t.Helper()
	p := b.at(b.get("/authorize?state=s1"), "/login")
	p = b.at(b.post(p.url, "username", name), "/mfa/challenge")
	return b.at(b.post(p.url, "code", "right"), "/portal")
}

func TestSignInThenSingleSignOn(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	if p := b.signIn("ann"); !strings.Contains(p.body, "state=s1") {
		t.Errorf("the portal got %q, want its state", p.body)
	}
	p := b.at(b.get("/authorize?state=s2"), "/portal")
	if !strings.Contains(p.body, "state=s2") || len(s.Issued) != 2 || s.Issued[0].SessionID != s.Issued[1].SessionID {
		t.Errorf("second portal: %q, issued %+v", p.body, s.Issued)
	}
	if got := s.Issued[0]; got.AccountID != "ann" || got.ACR != flow.ACRMulti || !slices.Equal(got.AMR, []string{"pwd", "otp", "mfa"}) {
		t.Errorf("issued %+v", got)
	}
}

func TestNobodyIsSignedInBeforeTheSecondFactor(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	p := b.get("/authorize")
	p = b.at(b.post(p.url, "username", "ann"), "/mfa/challenge")
	if home := b.get("/"); strings.Contains(home.body, "ann") {
		t.Error("the start page knows her after the password alone")
	}
	// Posting to a later step, or to the end, skips nothing.
	for _, path := range []string{"/terms", "/continue", "/consent"} {
		later := *p.url
		later.Path = path
		if got := b.post(&later, "accept", "1"); got.url.Path == "/portal" {
			t.Errorf("%s led to the portal", path)
		}
	}
	if len(s.Issued) != 0 {
		t.Error("a code was issued")
	}
}

func TestTwoTabsGoOnIndependently(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	one, two := b.get("/authorize?state=one"), b.get("/authorize?state=two")
	two = b.at(b.post(two.url, "username", "ann"), "/mfa/challenge")
	two = b.at(b.post(two.url, "code", "right"), "/portal")
	if !strings.Contains(two.body, "state=two") {
		t.Errorf("second tab got %q", two.body)
	}
	// The first tab finds that she is signed in, and goes on by itself.
	if got := b.at(b.read(b.Get(one.url.String())), "/portal"); !strings.Contains(got.body, "state=one") {
		t.Errorf("first tab got %q", got.body)
	}
}

func TestBackButtonAfterTheEndFindsAWayOn(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	login := b.get("/authorize")
	b.signIn("ann")
	p := b.at(b.read(b.Get(login.url.String())), "/portal") // her session answers the first tab
	back := b.read(b.Get(login.url.String()))
	if back.status != http.StatusGone || !strings.Contains(back.body, "https://portal.example/login") || !strings.Contains(back.body, `id="error"`) {
		t.Errorf("after %s: %d %s", p.url, back.status, back.body)
	}
}

func TestExpiredPageLeadsToItsPortal(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	login := b.get("/authorize")
	s.Pass(61 * time.Minute)
	p := b.post(login.url, "username", "ann")
	if p.status != http.StatusGone || !strings.Contains(p.body, "https://portal.example/login") {
		t.Errorf("%d %s", p.status, p.body)
	}
}

func TestUnknownInteractionsHaveAWayOn(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	for _, path := range []string{"/login", "/login?i=", "/login?i=unknown", "/login?i=" + strings.Repeat("x", 5000), "/continue?i=%00", "/login?i=a&i=b", "/activated", "/activated?i=zz"} {
		p := b.get(path)
		if p.status < 400 || p.status >= 500 || !strings.Contains(p.body, `id="error"`) || !strings.Contains(p.body, "href=") {
			t.Errorf("%.40s: %d without a way on", path, p.status)
		}
	}
}

// An interaction belongs to the browser that began it.
func TestInteractionOfAnotherBrowserIsNotAccepted(t *testing.T) {
	s := newHouse(t)
	attacker, victim := s.browser(t), s.browser(t)
	p := attacker.get("/authorize")
	p = attacker.post(p.url, "username", "ben")
	victim.get("/authorize") // has a browser cookie of its own
	base, _ := url.Parse(s.URL)
	var planted []*http.Cookie
	for _, c := range attacker.Jar.Cookies(base) {
		if strings.Contains(c.Name, "_i_") {
			planted = append(planted, c)
		}
	}
	if len(planted) == 0 {
		t.Fatal("no interaction cookie to plant")
	}
	victim.Jar.SetCookies(base, planted)
	if got := victim.read(victim.Get(p.url.String())); got.status != http.StatusGone {
		t.Errorf("a planted interaction answered %d at %s", got.status, got.url)
	}
}

func TestSigningOutEndsPendingInteractionsToo(t *testing.T) {
	s := newHouse(t)
	if _, err := s.Store.PublishTerms(t.Context(), store.TermsVersion{ApplicationID: "pa", Title: "T", Markdown: "m", Hash: "h", PublishedAt: s.Now()}); err != nil {
		t.Fatal(err)
	}
	b := s.browser(t)
	p := b.get("/authorize")
	p = b.post(p.url, "username", "ann")
	terms := b.at(b.post(p.url, "code", "right"), "/terms")
	base, _ := url.Parse(s.URL)
	kept := b.Jar.Cookies(base)
	b.get("/out")
	if got := b.read(b.Get(terms.url.String())); got.status != http.StatusGone {
		t.Errorf("the page of terms answers %d after signing out", got.status)
	}
	// Even with the cookies of before, copied: the session that the facts opened is dead.
	b.Jar.SetCookies(base, kept)
	if got := b.read(b.Get(terms.url.String())); got.url.Path != "/login" {
		t.Errorf("copied cookies lead to %s, want /login", got.url.Path)
	}
}

func TestEndedSessionsAndDisabledAccountsStopAtOnce(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	b.signIn("ann")
	half := s.browser(t)
	p := half.get("/authorize")
	p = half.at(half.post(p.url, "username", "ann"), "/mfa/challenge")
	s.Pass(time.Second)
	if _, err := s.Store.UpdateAccount(t.Context(), "ann", func(a *store.Account) error { a.NotBefore = s.Now(); return nil }); err != nil {
		t.Fatal(err)
	}
	b.at(b.get("/authorize"), "/login")
	half.at(half.post(p.url, "code", "right"), "/login")
	if home := b.get("/"); strings.Contains(home.body, "Sign out") {
		t.Error("the start page still knows her")
	}
}

// Of any number of concurrent ends of one interaction, one issues a code.
func TestInteractionIsConsumedOnce(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	b.signIn("ann")
	issued := len(s.Issued)
	s.Pass(time.Second)
	// prompt=select_account keeps an interaction although there is a session.
	p := b.at(b.get("/authorize?prompt=select_account"), "/login")
	var wg sync.WaitGroup
	var portals, others atomic.Int32
	for range 32 {
		wg.Go(func() {
			// Every caller sends the cookies of before, as a double click does.
			base, _ := url.Parse(s.URL)
			req, err := http.NewRequest(http.MethodPost, p.url.String(), strings.NewReader("continue=1"))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for _, c := range b.Jar.Cookies(base) {
				req.AddCookie(c)
			}
			client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			resp, err := client.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			switch {
			case strings.HasPrefix(resp.Header.Get("Location"), "/portal?code="):
				portals.Add(1)
			case resp.StatusCode == http.StatusGone:
				others.Add(1)
			default:
				t.Errorf("%d %s", resp.StatusCode, resp.Header.Get("Location"))
			}
		})
	}
	wg.Wait()
	if portals.Load() != 1 || others.Load() != 31 || len(s.Issued) != issued+1 {
		t.Errorf("%d codes, %d clean refusals, %d issued", portals.Load(), others.Load(), len(s.Issued)-issued)
	}
}

func TestPostedRequestIsDecidedWithCookies(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	b.signIn("ann")
	base, _ := url.Parse(s.URL)
	session := b.Jar.Cookies(base)
	// A form of another site: the browser sends no SameSite cookies with it.
	stranger := s.browser(t)
	stranger.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := stranger.PostForm(s.URL+"/authorize", url.Values{"state": {"posted"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(resp.Header.Get("Location"), "/continue?i=") {
		t.Fatalf("%d %s", resp.StatusCode, resp.Header.Get("Location"))
	}
	b.Jar.SetCookies(base, append(session, resp.Cookies()...))
	if p := b.at(b.get(resp.Header.Get("Location")), "/portal"); !strings.Contains(p.body, "state=posted") {
		t.Errorf("got %q", p.body)
	}
}

func TestLargeRequestSurvivesTheSignIn(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	large := strings.Repeat("0123456789abcdef", 512) // 8 KiB
	p := b.at(b.get("/authorize?claims="+large+"&state=big"), "/login")
	p = b.post(p.url, "username", "ann")
	p = b.at(b.post(p.url, "code", "right"), "/portal")
	if !strings.Contains(p.body, "state=big") {
		t.Errorf("got %q", p.body)
	}
}

func TestNoAccessIsSaidWithTwoWaysOn(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	p := b.get("/authorize")
	p = b.post(p.url, "username", "zoe")
	if p.status != http.StatusForbidden || !strings.Contains(p.body, "Partner Analytics") {
		t.Fatalf("%d %s", p.status, p.body)
	}
	id := p.url.Query().Get("i")
	login := b.at(b.post(&url.URL{Scheme: "http", Host: p.url.Host, Path: "/switch", RawQuery: "i=" + id}), "/login")
	b.at(b.post(login.url, "username", "ann"), "/mfa/challenge")
	denied := b.get("/authorize")
	denied = b.post(denied.url, "username", "zoe")
	back := b.at(b.post(&url.URL{Scheme: "http", Host: p.url.Host, Path: "/refuse", RawQuery: denied.url.RawQuery}), "/portal")
	if !strings.Contains(back.body, "error=access_denied") {
		t.Errorf("the portal got %q", back.body)
	}
}

// Step-up: a session of a password alone goes on with the code alone.
func TestSessionOfAPasswordStepsUpWithACode(t *testing.T) {
	s := newHouse(t)
	require := func(mfa bool) {
		if _, err := s.Store.UpdateApplication(t.Context(), "pa", func(a *store.Application) error { a.RequireMFA = mfa; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	require(false)
	b := s.browser(t)
	p := b.get("/authorize")
	b.at(b.post(p.url, "username", "ann"), "/portal")
	require(true)
	s.Pass(time.Minute)
	p = b.at(b.get("/authorize"), "/mfa/challenge")
	b.at(b.post(p.url, "code", "right"), "/portal")
	if first, second := s.Issued[0], s.Issued[1]; first.SessionID != second.SessionID || second.ACR != flow.ACRMulti || !second.AuthTime.After(first.AuthTime) {
		t.Errorf("issued %+v, then %+v", first, second)
	}
}

// A reset that commits while a code is being accepted wins.
func TestFactorProvedDuringAResetDoesNotCount(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	p := b.get("/authorize")
	p = b.at(b.post(p.url, "username", "ann"), "/mfa/challenge")
	s.Pass(time.Second)
	s.during = func() {
		if _, err := s.Store.UpdateAccount(context.Background(), "ann", func(a *store.Account) error { a.NotBefore = s.Now().Add(time.Second); return nil }); err != nil {
			t.Error(err)
		}
	}
	b.at(b.post(p.url, "code", "right"), "/login")
	if len(s.Issued) != 0 {
		t.Error("a code was issued")
	}
}

// After a restore nobody goes on with a sign-in of before: the record that it was
// finished may be lost with the newer database.
func TestInteractionsOfBeforeARestoreAreOver(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	p := b.get("/authorize")
	s.Pass(time.Minute)
	if err := s.Store.SetMeta(t.Context(), store.MetaRestored, s.Now().Format(time.RFC3339Nano)); err != nil {
		t.Fatal(err)
	}
	s.restart(t)
	if got := b.post(p.url, "username", "ann"); got.status != http.StatusGone {
		t.Errorf("%d at %s, want 410", got.status, got.url)
	}
	b.signIn("ann")
}

func TestBrowserKeepsFewPendingInteractions(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	var last page
	for range 20 {
		last = b.at(b.get("/authorize"), "/login")
		s.Pass(time.Second)
	}
	base, _ := url.Parse(s.URL)
	if n := len(b.Jar.Cookies(base)); n > 8 {
		t.Errorf("%d cookies after twenty tabs", n)
	}
	b.at(b.read(b.Get(last.url.String())), "/login")
}

func TestSignInFromTheStartPage(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	if p := b.get("/"); !strings.Contains(p.body, "/signin") {
		t.Fatalf("no way to sign in: %s", p.body)
	}
	p := b.at(b.get("/signin"), "/login")
	p = b.at(b.post(p.url, "username", "ann"), "/mfa/challenge")
	p = b.at(b.post(p.url, "code", "right"), "/")
	if !strings.Contains(p.body, "ann") || !strings.Contains(p.body, "https://portal.example/login") {
		t.Errorf("the start page says %s", p.body)
	}
}
