package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"anteroom/admin"
	"anteroom/internal/demo"
)

// enrol scans the QR and types the code.
func (p *product) enrol(tab Tab, who *person) {
	p.t.Helper()
	p.at(tab, "/mfa/enroll")
	who.secret = tab.Scan()
	tab.Press("enroll-submit", "code", p.nextCode(who.secret))
}

// saveCodes takes the recovery codes along.
func (p *product) saveCodes(tab Tab, who *person) {
	p.t.Helper()
	p.at(tab, "/mfa/recovery-codes")
	who.recovery = tab.Items("recovery-codes")
	if distinct := slices.Compact(slices.Sorted(slices.Values(who.recovery))); len(distinct) != 10 {
		p.t.Errorf("%d different recovery codes, want 10: %q", len(distinct), who.recovery)
	}
	tab.Press("recovery-codes-done")
}

// signIn types user name and password, and a code if one is asked for.
func (p *product) signIn(tab Tab, who *person) {
	p.t.Helper()
	p.at(tab, "/login")
	tab.Press("login-submit", "username", who.email, "password", who.password)
	if who.secret != "" {
		p.at(tab, "/mfa/challenge")
		tab.Press("challenge-submit", "code", p.nextCode(who.secret))
	}
}

// activated walks J1 to its end: who is signed in at Partner Analytics.
func (p *product) activated(tab Tab, who *person) {
	p.t.Helper()
	tab.Open(p.invite(who, demo.PartnerAnalytics, "viewer"))
	tab.Press("activate-submit", "new_password", who.password)
	p.enrol(tab, who)
	p.saveCodes(tab, who)
	tab.Press("terms-submit", "accept", "on")
	p.at(tab, "/activated")
	tab.Press("go-to-portal")
	p.arrived(tab, demo.PartnerAnalytics, who)
}

func TestJourney1ActivationForPartnerAnalytics(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ann := newPerson("ann@acme.example")
		link := p.invite(ann, demo.PartnerAnalytics, "viewer")
		if mail := p.mails(ann)[0]; !strings.Contains(mail.HTML, "Complete the Activation") || !strings.Contains(mail.Text, link) {
			t.Errorf("the mail lacks the button or the link: %s", mail.Text)
		}
		for range 2 { // mail scanners open links, too
			scanner := NewVisitor()
			if err := scanner.Open(t.Context(), link); err != nil || !scanner.Has("activate-submit") {
				t.Fatalf("a scanner sees %v %s", err, scanner.Text("error"))
			}
		}
		tab := open(t)
		tab.Open(link)
		p.at(tab, "/activate")
		tab.Press("activate-submit", "new_password", "password1")
		if !tab.Has("error") {
			t.Error("a common password was accepted")
		}
		tab.Press("activate-submit", "new_password", ann.password)

		p.at(tab, "/mfa/enroll")
		first := tab.Scan()
		tab.Reload()
		if again := tab.Scan(); again != first {
			t.Errorf("the QR changed with a reload")
		}
		tab.Press("enroll-submit", "code", "12 34 5")
		if !tab.Has("error") {
			t.Error("five digits were accepted")
		}
		if again := tab.Scan(); again != first {
			t.Errorf("the QR changed with a mistyped code")
		}
		tab.Press("enroll-submit", "code", p.codeAt(first, p.clock.now().Add(5*time.Minute)))
		if !tab.Has("error") {
			t.Error("a code of the future was accepted")
		}
		p.enrol(tab, ann)
		p.saveCodes(tab, ann)

		p.at(tab, "/terms")
		tab.Press("terms-submit")
		if p.at(tab, "/terms"); !tab.Has("error") {
			t.Error("terms were accepted without a tick")
		}
		tab.Press("terms-submit", "accept", "on")
		p.at(tab, "/activated")
		tab.Press("go-to-portal")
		p.arrived(tab, demo.PartnerAnalytics, ann)
		if roles := tab.Text("roles"); roles != "viewer" {
			t.Errorf("roles %q", roles)
		}
		if orgs := tab.Text("organizations"); !strings.HasPrefix(orgs, "Acme GmbH") {
			t.Errorf("organisations %q", orgs)
		}
		var account admin.AccountDetail
		if p.do("GET", "/accounts/"+ann.email, nil, &account); account.State != "active" || account.Assignments[0].State != "active" {
			t.Errorf("account %s, access %s", account.State, account.Assignments[0].State)
		}
		p.awaitMail(ann, "authenticator")
	})
}

func TestJourney2LaterSignInsAndSingleSignOn(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ann, tab := newPerson("ann@acme.example"), open(t)
		p.activated(tab, ann)

		tab.Press("userinfo")
		if claims := tab.Text("userinfo-claims"); !strings.Contains(claims, ann.email) || !strings.Contains(claims, `"viewer"`) {
			t.Errorf("userinfo says %s", claims)
		}
		tab.Press("refresh")
		if !tab.Has("notice") || tab.Has("error") {
			t.Errorf("refresh: %s", tab.Text("error"))
		}
		tab.Press("sign-out")
		if !tab.Has("signed-out") || !strings.HasPrefix(tab.URL().String(), p.portals[demo.PartnerAnalytics]) {
			t.Fatalf("signing out ends at %s", tab.URL())
		}

		tab.Press("sign-in")
		p.signIn(tab, ann)
		p.arrived(tab, demo.PartnerAnalytics, ann) // no terms again, nothing else

		p.do("POST", "/accounts/"+ann.email+"/assignments", admin.Assign{Application: demo.PCC, Role: "technician", Organisation: "acme"}, nil)
		tab.Open(p.portals[demo.PCC])
		tab.Press("sign-in")
		p.arrived(tab, demo.PCC, ann)
		if roles := tab.Text("roles"); roles != "technician" {
			t.Errorf("roles at the other portal: %q", roles)
		}

		// Signing out at one portal ends the single sign-on for both.
		tab.Press("sign-out")
		tab.Open(p.portals[demo.PCC])
		tab.Press("sign-in")
		p.at(tab, "/login")
	})
}

func TestJourney3ActivationForPCC(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		pia, tab := newPerson("pia@acme.example"), open(t)
		tab.Open(p.invite(pia, demo.PCC, "technician"))
		tab.Press("activate-submit", "new_password", pia.password)
		p.enrol(tab, pia)
		p.saveCodes(tab, pia)

		p.at(tab, "/mfa/challenge")
		if !tab.Has("wait") {
			t.Error("the page does not count down to the next code")
		}
		tab.Press("challenge-submit", "code", p.code(pia.secret))
		if p.at(tab, "/mfa/challenge"); !strings.Contains(tab.Text("error"), "used this code already") {
			t.Errorf("the enrolment code again: %q", tab.Text("error"))
		}
		tab.Press("challenge-submit", "code", p.nextCode(pia.secret))
		p.at(tab, "/activated") // no terms
		tab.Press("go-to-portal")
		p.arrived(tab, demo.PCC, pia)
		tab.Press("sign-out")
		tab.Press("sign-in")
		p.signIn(tab, pia) // one code from now on
		p.arrived(tab, demo.PCC, pia)
	})
}

func TestJourney4AccountWithoutASecondFactorAddsOne(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ben, tab := newPerson("ben@acme.example"), open(t)
		p.move(ben, demo.PartnerAnalytics)
		tab.Open(p.portals[demo.PartnerAnalytics])
		tab.Press("sign-in")
		tab.Press("login-submit", "username", ben.email, "password", "not it")
		if p.at(tab, "/login"); !tab.Has("error") || tab.Field("username") != ben.email {
			t.Errorf("after a wrong password: %q, user name %q", tab.Text("error"), tab.Field("username"))
		}
		p.signIn(tab, ben)
		p.enrol(tab, ben)
		p.saveCodes(tab, ben)
		tab.Press("terms-submit", "accept", "on")
		p.arrived(tab, demo.PartnerAnalytics, ben) // the portal began it: straight back
	})
}

func TestJourney5OneEnrolmentForEveryPortal(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ann, tab := newPerson("ann@acme.example"), open(t)
		p.activated(tab, ann)

		link := p.invite(ann, demo.PCC, "technician")
		if mail := p.mails(ann)[0]; !strings.Contains(mail.Subject, "You now have access") {
			t.Errorf("the mail is about %q", mail.Subject)
		}
		tab.Open(link)
		p.at(tab, "/login")
		tab.Press("continue-as")
		p.at(tab, "/activated")
		tab.Press("go-to-portal")
		p.arrived(tab, demo.PCC, ann)

		// In a browser that knows nobody: password and code, no enrolment, no terms.
		other := open(t)
		other.Open(p.portals[demo.PCC])
		other.Press("sign-in")
		p.signIn(other, ann)
		p.arrived(other, demo.PCC, ann)
	})
}

func TestJourney6WrongCodesAreExplainedAndNeverAccepted(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ann, tab := newPerson("ann@acme.example"), open(t)
		ann.secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
		p.move(ann, demo.PCC)
		tab.Open(p.portals[demo.PCC] + "/login")
		p.signIn(tab, ann)
		p.arrived(tab, demo.PCC, ann)
		used := p.code(ann.secret)
		tab.Press("sign-out")
		tab.Press("sign-in")
		tab.Press("login-submit", "username", ann.email, "password", ann.password)
		refuse := func(code, because string) {
			t.Helper()
			tab.Press("challenge-submit", "code", code)
			p.at(tab, "/mfa/challenge")
			if got := tab.Text("error"); !strings.Contains(got, because) {
				t.Errorf("%s is explained as %q, want %q in it", code, got, because)
			}
		}
		refuse(used, "used this code already")
		p.clock.advance(10 * time.Minute)
		refuse(p.codeAt(ann.secret, p.clock.now().Add(-2*time.Minute)), "behind")
		refuse(p.codeAt(ann.secret, p.clock.now().Add(3*time.Minute)), "ahead")
		refuse("abcdef", "six digits")
		tab.Press("challenge-submit", "code", p.nextCode(ann.secret))
		p.arrived(tab, demo.PCC, ann)
	})
}

func TestJourney6FailuresCountPerAccountAcrossBrowsers(t *testing.T) {
	t.Parallel()
	p := start(t)
	ann := newPerson("ann@acme.example")
	ann.secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	p.move(ann, demo.PCC)
	refused := 0
	for range 3 {
		tab := newPlain(t).(*plain)
		tab.Open(p.portals[demo.PCC] + "/login")
		tab.Press("login-submit", "username", ann.email, "password", ann.password)
		for range 6 {
			tab.Press("challenge-submit", "code", "000000")
			if tab.v.Status() == 429 {
				refused++
			}
		}
	}
	if refused == 0 {
		t.Fatal("18 guesses from three browsers, and none was throttled")
	}
	tab := newPlain(t).(*plain)
	tab.Open(p.portals[demo.PCC] + "/login")
	tab.Press("login-submit", "username", ann.email, "password", ann.password)
	tab.Press("challenge-submit", "code", p.code(ann.secret))
	if tab.v.Status() != 429 || tab.v.Header().Get("Retry-After") == "" {
		t.Errorf("a fresh browser gets %d, Retry-After %q", tab.v.Status(), tab.v.Header().Get("Retry-After"))
	}
	p.clock.advance(2 * time.Hour)
	tab.Open(p.portals[demo.PCC] + "/login")
	p.signIn(tab, ann)
	p.arrived(tab, demo.PCC, ann)
}

func TestJourney7ARecoveryCodeLetsInOnceAndLeadsToEnrolment(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ann, tab := newPerson("ann@acme.example"), open(t)
		p.activated(tab, ann)
		old, codes := ann.secret, ann.recovery
		tab.Press("sign-out")
		tab.Press("sign-in")
		tab.Press("login-submit", "username", ann.email, "password", ann.password)
		tab.Press("use-recovery-code")
		p.at(tab, "/mfa/recovery")
		tab.Press("recovery-submit", "recovery_code", "aaaaa-bbbbb-ccccc")
		if p.at(tab, "/mfa/recovery"); !tab.Has("error") {
			t.Error("an invented recovery code raised no objection")
		}
		tab.Press("recovery-submit", "recovery_code", strings.ToUpper(codes[3]))
		p.awaitMail(ann, "recovery code")
		p.enrol(tab, ann)
		if ann.secret == old {
			t.Error("the new authenticator has the old secret")
		}
		p.saveCodes(tab, ann)
		p.arrived(tab, demo.PartnerAnalytics, ann)

		other := open(t)
		other.Open(p.portals[demo.PartnerAnalytics] + "/login")
		other.Press("login-submit", "username", ann.email, "password", ann.password)
		other.Press("challenge-submit", "code", p.nextCode(old))
		if p.at(other, "/mfa/challenge"); !other.Has("error") {
			t.Error("the lost phone still works")
		}
		other.Press("use-recovery-code")
		other.Press("recovery-submit", "recovery_code", codes[4])
		if p.at(other, "/mfa/recovery"); !other.Has("error") {
			t.Error("recovery codes of the lost phone still work")
		}
	})
}

func TestJourney7AnAdministratorResetsTheSecondFactor(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ann, tab := newPerson("ann@acme.example"), open(t)
		p.activated(tab, ann)
		old := ann.secret
		p.do("POST", "/accounts/"+ann.email+"/reset-mfa", admin.Reason{Reason: "lost her phone, called from her desk"}, nil)
		p.awaitMail(ann, "reset")

		tab.Press("refresh")
		if !tab.Has("error") {
			t.Error("the refresh token outlived the reset")
		}
		tab.Open(p.portals[demo.PartnerAnalytics] + "/login")
		ann.secret = ""
		p.signIn(tab, ann) // her session ended, too
		p.enrol(tab, ann)
		if ann.secret == old {
			t.Error("the new authenticator has the old secret")
		}
		p.saveCodes(tab, ann)
		p.arrived(tab, demo.PartnerAnalytics, ann)
	})
}

func TestJourney8AForgottenPasswordNeverSkipsTheSecondFactor(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		p := start(t)
		ann, tab := newPerson("ann@acme.example"), open(t)
		ann.secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
		p.move(ann, demo.PCC)
		tab.Open(p.portals[demo.PCC] + "/login")
		tab.Press("forgot-password")
		p.at(tab, "/forgot")
		tab.Press("forgot-submit", "username", ann.email)
		link := p.link(ann, 0, "/reset")
		for range 2 {
			scanner := NewVisitor()
			if err := scanner.Open(t.Context(), link); err != nil {
				t.Fatal(err)
			}
		}
		tab.Open(link)
		ann.password = "another long passphrase of hers"
		tab.Press("reset-submit", "new_password", ann.password)
		if tab.Has("challenge-submit") {
			tab.Press("challenge-submit", "code", p.nextCode(ann.secret))
		} else {
			p.signIn(tab, ann)
		}
		p.arrived(tab, demo.PCC, ann)
		p.awaitMail(ann, "password was changed")
		tab.Open(link)
		if !tab.Has("error") {
			t.Error("a used link raised no objection")
		}
	})
}
