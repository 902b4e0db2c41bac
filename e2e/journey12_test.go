package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"anteroom/internal/demo"
)

// leadsOn fails the test unless the page says in a sentence what is the matter,
// and offers something to press.
func leadsOn(t *testing.T, tab Tab) {
	t.Helper()
	if sentence := tab.Text("error"); len(strings.Fields(sentence)) < 4 {
		t.Errorf("%s says %q, which is no sentence", tab.URL(), sentence)
	}
	if tab.Ways() == 0 {
		t.Errorf("%s leaves nothing to press", tab.URL())
	}
}

// known is somebody who is active at both portals, with an authenticator.
func (p *product) known(email string) *person {
	p.t.Helper()
	who := newPerson(email)
	who.secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	p.move(who, demo.PCC)
	return who
}

func TestJourney12TwoTabsBothArrive(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ann, one := p.known("ann@acme.example"), open(t)
		two, three := one.New(), one.New()
		one.Open(p.portals[demo.PCC] + "/login")
		two.Open(p.portals[demo.PCC] + "/login")
		three.Open(p.portals[demo.PCC] + "/login")
		three.Press("login-submit", "username", ann.email, "password", ann.password)
		p.at(three, "/mfa/challenge")

		p.signIn(one, ann)
		p.arrived(one, demo.PCC, ann)

		two.Reload() // the session of the other tab counts here, too
		p.arrived(two, demo.PCC, ann)
		three.Press("challenge-submit", "code", p.nextCode(ann.secret))
		p.arrived(three, demo.PCC, ann)
	})
}

func TestJourney12TwoTabsOfOneInvitation(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ann, one := newPerson("ann@acme.example"), open(t)
		link := p.invite(ann, demo.PCC, "")
		one.Open(link)
		two := one.New()
		two.Open(link)
		one.Press("activate-submit", "new_password", ann.password)
		p.at(one, "/mfa/enroll")
		two.Press("activate-submit", "new_password", "some other passphrase of mine")
		leadsOn(t, two)
		p.enrol(one, ann)
		p.saveCodes(one, ann)
		one.Press("challenge-submit", "code", p.nextCode(ann.secret))
		p.at(one, "/activated")
		two.Reload()
		leadsOn(t, two)
		two.Press("go-to-portal")
		p.arrived(two, demo.PCC, ann)
	})
}

func TestJourney12BackButtonNeverDeadEnds(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ann, tab := newPerson("ann@acme.example"), open(t)
		tab.Open(p.invite(ann, demo.PartnerAnalytics, "viewer"))
		tab.Press("activate-submit", "new_password", ann.password)
		p.enrol(tab, ann)
		p.saveCodes(tab, ann)
		p.at(tab, "/terms")

		// A browser may show the page from its memory; using it must lead on.
		tab.Back()
		tab.Reload()
		p.at(tab, "/terms")
		tab.Press("terms-submit", "accept", "on")
		p.at(tab, "/activated")
		tab.Press("go-to-portal")
		p.arrived(tab, demo.PartnerAnalytics, ann)

		tab.Press("sign-out")
		tab.Press("sign-in")
		step := tab.URL().String()
		p.signIn(tab, ann)
		tab.Open(step)
		leadsOn(t, tab)
		tab.Press("continue-to-portal")
		p.arrived(tab, demo.PartnerAnalytics, ann)
	})
}

func TestJourney12ExpiredSignInStartsAgain(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ann, tab := p.known("ann@acme.example"), open(t)
		tab.Open(p.portals[demo.PCC] + "/login")
		p.clock.advance(90 * time.Minute) // over lunch
		tab.Press("login-submit", "username", ann.email, "password", ann.password)
		leadsOn(t, tab)
		tab.Press("continue-to-portal")
		p.signIn(tab, ann)
		p.arrived(tab, demo.PCC, ann)
	})
}

func TestJourney12DeadLinksOfferAFreshOne(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ann, tab := newPerson("ann@acme.example"), open(t)
		replaced := p.invite(ann, demo.PCC, "")
		expired := p.invite(ann, demo.PCC, "")
		tab.Open(replaced)
		leadsOn(t, tab)

		p.clock.advance(8 * 24 * time.Hour)
		tab.Open(expired)
		leadsOn(t, tab)
		if tab.Has("activate-submit") {
			t.Error("a dead link shows a form")
		}
		before := len(p.mails(ann))
		tab.Press("resend-link")
		fresh := p.link(ann, before, "/activate")
		tab.Open(fresh)
		tab.Press("activate-submit", "new_password", ann.password)
		p.enrol(tab, ann)
		p.saveCodes(tab, ann)
		tab.Press("challenge-submit", "code", p.nextCode(ann.secret))
		tab.Press("go-to-portal")
		p.arrived(tab, demo.PCC, ann)

		// Yesterday's mail, after everything is done.
		tab.Open(fresh)
		leadsOn(t, tab)
		tab.Press("go-to-portal")
		p.arrived(tab, demo.PCC, ann)

		for _, broken := range []string{p.issuer + "/activate?token=unknown", p.issuer + "/activate", p.issuer + "/reset?token=unknown", fresh + "x"} {
			tab.Open(broken)
			leadsOn(t, tab)
		}
	})
}

func TestJourney12ARestartInTheMiddleIsNotNoticed(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ann, tab := newPerson("ann@acme.example"), open(t)
		link := p.invite(ann, demo.PartnerAnalytics, "viewer")
		p.restart()
		tab.Open(link)
		p.restart()
		tab.Press("activate-submit", "new_password", ann.password)
		before := tab.Scan()
		p.restart()
		tab.Reload()
		if after := tab.Scan(); after != before {
			t.Error("the QR changed with the restart")
		}
		p.enrol(tab, ann)
		p.restart()
		p.saveCodes(tab, ann)
		p.restart()
		tab.Press("terms-submit", "accept", "on")
		p.restart()
		tab.Press("go-to-portal")
		p.arrived(tab, demo.PartnerAnalytics, ann)
		p.restart()
		tab.Press("refresh")
		if tab.Has("error") {
			t.Errorf("refresh after a restart: %s", tab.Text("error"))
		}
		tab.Press("sign-out")
		tab.Press("sign-in")
		p.restart()
		tab.Press("login-submit", "username", ann.email, "password", ann.password)
		p.restart()
		tab.Press("challenge-submit", "code", p.nextCode(ann.secret))
		p.arrived(tab, demo.PartnerAnalytics, ann)
	})
}

func TestJourney12NoAccessSaysSoAndLeadsBack(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ann, tab := p.known("ann@acme.example"), open(t)
		tab.Open(p.portals[demo.PartnerAnalytics] + "/login")
		tab.Press("login-submit", "username", ann.email, "password", ann.password)
		leadsOn(t, tab)
		tab.Press("back-to-portal")
		if tab.Text("error-code") != "access_denied" {
			t.Errorf("the portal was told %q", tab.Text("error-code"))
		}
		tab.Press("sign-in")
		if tab.Has("login-submit") {
			tab.Press("login-submit", "username", ann.email, "password", ann.password)
		}
		leadsOn(t, tab)
		ben := newPerson("ben@acme.example")
		p.move(ben, demo.PartnerAnalytics)
		tab.Press("switch-account")
		p.signIn(tab, ben)
		p.enrol(tab, ben)
		p.saveCodes(tab, ben)
		tab.Press("terms-submit", "accept", "on")
		p.arrived(tab, demo.PartnerAnalytics, ben)
	})
}

func TestJourney12DecliningTheTermsGoesBackToThePortal(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ben, tab := newPerson("ben@acme.example"), open(t)
		ben.secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
		p.move(ben, demo.PartnerAnalytics)
		tab.Open(p.portals[demo.PartnerAnalytics] + "/login")
		p.signIn(tab, ben)
		tab.Press("terms-decline")
		if tab.Text("error-code") != "access_denied" {
			t.Fatalf("declining ends at %s with %q", tab.URL(), tab.Text("error-code"))
		}
		tab.Press("sign-in")
		p.at(tab, "/terms") // who did not accept is asked again
		tab.Press("terms-submit", "accept", "on")
		p.arrived(tab, demo.PartnerAnalytics, ben)
	})
}

// steps are the pages of the flow, besides those that links lead to.
var steps = []string{"/login", "/mfa/enroll", "/mfa/recovery-codes", "/mfa/recovery-codes.txt", "/mfa/challenge", "/mfa/recovery", "/terms", "/consent", "/continue", "/activated"}

func TestJourney12NoStepCanBeOpenedWithoutASignInOrSkipped(t *testing.T) {
	t.Parallel()
	p := start(t)
	ann := p.known("ann@acme.example")
	stranger := newPlain(t)
	for _, step := range steps {
		for _, i := range []string{"", "?i=", "?i=unknown", "?i=%ff", "?i=a&i=b"} {
			stranger.Open(p.issuer + step + i)
			leadsOn(t, stranger)
		}
	}

	// Somebody who is to sign in first is led there from every step.
	tab := newPlain(t).(*plain)
	tab.Open(p.portals[demo.PCC] + "/login")
	i := "?i=" + query(t, tab.URL().String(), "i")
	for _, step := range steps {
		tab.Open(p.issuer + step + i)
		p.at(tab, "/login")
	}
	// And from every form, whatever is in it.
	forms := []string{"code=123456", "recovery_code=aaaaa-bbbbb", "accept=1", "accept=on", "", "deny=1"}
	for _, step := range []string{"/mfa/enroll", "/mfa/recovery-codes", "/mfa/challenge", "/mfa/recovery", "/terms", "/consent"} {
		for _, form := range forms {
			tab.post(p.issuer+step+i, form)
			p.at(tab, "/login")
		}
	}
	tab.Press("login-submit", "username", ann.email, "password", ann.password)
	p.at(tab, "/mfa/challenge")
	for _, step := range []string{"/login", "/mfa/enroll", "/mfa/recovery-codes", "/terms", "/consent", "/continue", "/activated"} {
		tab.Open(p.issuer + step + i)
		p.at(tab, "/mfa/challenge")
	}
	// Another browser with the same address gets nowhere.
	stranger.Open(p.issuer + "/mfa/challenge" + i)
	leadsOn(t, stranger)
	tab.Press("challenge-submit", "code", p.nextCode(ann.secret))
	p.arrived(tab, demo.PCC, ann)
	for _, step := range steps {
		if tab.Open(p.issuer + step + i); step != "/activated" { // it says that the account is active, which is true
			leadsOn(t, tab)
		}
	}
}

// post sends a form from nowhere, as a script would.
func (p *plain) post(address, form string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.ctx(), http.MethodPost, address, strings.NewReader(form))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p.try(p.v.do(r))
}

func TestNothingOfTheDemoIsReachableUnderServe(t *testing.T) {
	t.Parallel()
	p := start(t)
	tab := newPlain(t).(*plain)
	for _, path := range []string{"/demo", "/demo/", "/demo/mail.json", "/demo/mail/1", "/demo/mail/1/html", "/admin/api/v1/accounts"} {
		tab.Open(p.issuer + path)
		if tab.v.Status() != http.StatusNotFound {
			t.Errorf("%s answers %d", path, tab.v.Status())
		}
	}
}

func TestALinkIsBuiltFromTheConfiguredIssuerOnly(t *testing.T) {
	t.Parallel()
	p := start(t)
	ann := p.known("ann@acme.example")
	form := url.Values{"username": {ann.email}}
	r, err := http.NewRequest(http.MethodPost, strings.Replace(p.issuer, "localhost", "127.0.0.1", 1)+"/forgot", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Forwarded-Host", "evil.example")
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("Forwarded", "host=evil.example;proto=https")
	r.Host = "evil.example"
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	p.link(ann, 0, "/reset")
	if text := p.mails(ann)[0]; strings.Contains(text.Text+text.HTML, "evil") {
		t.Errorf("the mail repeats the Host header: %s", text.Text)
	}
}
