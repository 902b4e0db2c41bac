package mfa

import (
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/flow"
	"anteroom/store"
)

func TestEnrolmentByScanningBindsSpendsAndSignsIn(t *testing.T) {
	s := newHouse(t)
	b := s.browser()
	p := b.at(b.password("pa", "new"), "/mfa/enroll")

	uri := scan(t, modules(t, svgPart.FindString(p.body)))
	u, err := url.Parse(uri)
	s.Must(err)
	if u.Query().Get("secret") != base32Text.EncodeToString(p.secret(t)) || !strings.HasPrefix(uri, "otpauth://totp/Anteroom:new%40acme.example?") {
		t.Errorf("the QR code says %s, the text %s", uri, base32Text.EncodeToString(p.secret(t)))
	}
	for _, want := range []string{"Partner Analytics asks for a code", "Ask your IT department which app is allowed."} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}

	step := StepAt(s.Now())
	secret, p := b.enroll(p)
	codes := p.codes()
	if len(codes) != 10 {
		t.Fatalf("%d recovery codes are shown", len(codes))
	}
	if got := s.authenticators("new"); len(got) != 1 || got[0].Kind != "totp" || strings.Contains(string(got[0].Sealed), string(secret)) {
		t.Errorf("bound %+v", got)
	}
	if got := s.last("new"); got != step {
		t.Errorf("last accepted step %d, want that of the enrolment code, %d", got, step)
	}
	if got := s.codesLeft("new"); got != 10 {
		t.Errorf("%d recovery codes kept", got)
	}

	file := b.again(p, "/mfa/recovery-codes.txt")
	if file.header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.HasPrefix(file.header.Get("Content-Disposition"), "attachment;") || file.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the download has headers %v", file.header)
	}
	for _, code := range codes {
		if !strings.Contains(file.body, code+"\r\n") {
			t.Errorf("%s is not in the download:\n%s", code, file.body)
		}
	}

	b.at(b.post(p, "/mfa/recovery-codes"), "/portal")
	if got := s.Issued[0]; got.ACR != flow.ACRMulti || !slices.Equal(got.AMR, []string{"pwd", "otp", "mfa"}) {
		t.Errorf("issued %+v", got)
	}
	if got := s.mails(); !slices.Equal(got, []string{"authenticator_added new@acme.example"}) {
		t.Errorf("mails %q", got)
	}
	events := s.events("new")
	for _, want := range []string{"authenticator.added", "recovery_codes.created", "session.opened"} {
		if count(events, want) != 1 {
			t.Errorf("events %q, want one %s", events, want)
		}
	}
}

func TestThePendingSecretStaysUntilItIsConfirmed(t *testing.T) {
	s := newHouse(t)
	b := s.browser()
	p := b.at(b.password("pa", "new"), "/mfa/enroll")
	first := p.secret(t)
	same := func(when string, p page) {
		t.Helper()
		if !slices.Equal(p.secret(t), first) {
			t.Errorf("another secret %s", when)
		}
	}
	same("after a reload", b.again(p, "/mfa/enroll"))
	wrong := b.post(p, "/mfa/enroll", "code", "000000")
	wrong.refused(t, 422, "This code is not right.")
	same("after a mistyped code", wrong)
	same("in another tab, on the way to another portal", b.at(b.password("pcc", "new"), "/mfa/enroll"))
	s.restart()
	same("after a restart", b.again(p, "/mfa/enroll"))
	s.Pass(20 * time.Minute)
	same("after twenty minutes", b.again(p, "/mfa/enroll"))

	if got := s.browser().password("pa", "new").secret(t); slices.Equal(got, first) {
		t.Error("another browser that knows the password sees the same secret")
	}
	restarted := b.at(b.post(p, "/mfa/enroll/restart"), "/mfa/enroll")
	if slices.Equal(restarted.secret(t), first) {
		t.Error("starting again gives the same secret")
	}
	// Nothing was kept of all that.
	if got := s.authenticators("new"); len(got) != 0 || s.last("new") != 0 || s.codesLeft("new") != 0 || len(s.mails()) != 0 || len(s.events("new")) != 0 {
		t.Errorf("kept: %+v, step %d, %d codes, mails %q, events %q", got, s.last("new"), s.codesLeft("new"), s.mails(), s.events("new"))
	}
	b.post(p, "/mfa/enroll", "code", s.code(first)).refused(t, 422, "not right")
	b.enroll(restarted)
}

// Somebody who only knows the password opens the page first, notes the secret,
// and must not hold the one that the member confirms later.
func TestWhoeverOnlyKnowsThePasswordLearnsNoSecretThatIsConfirmed(t *testing.T) {
	s := newHouse(t)
	thief := s.browser()
	seen := thief.at(thief.password("pa", "new"), "/mfa/enroll")
	stolen := seen.secret(t)
	member := s.browser()
	secret, _ := member.enroll(member.password("pa", "new"))
	if slices.Equal(secret, stolen) {
		t.Fatal("the member confirmed the secret that the thief saw")
	}
	s.Pass(time.Minute)
	// The thief's page is dead: there is an authenticator now.
	p := thief.at(thief.post(seen, "/mfa/enroll", "code", s.code(stolen)), "/mfa/challenge")
	thief.post(p, "/mfa/challenge", "code", s.code(stolen)).refused(t, 422, "older entry")
	if len(s.authenticators("new")) != 1 {
		t.Error("the thief's authenticator was bound")
	}
}

func TestAnotherCodeIsAskedAfterEnrolmentWhereThePortalWantsIt(t *testing.T) {
	s := newHouse(t)
	b := s.browser()
	secret, p := b.enroll(b.password("pcc", "new"))
	used := s.code(secret)
	p = b.at(b.post(p, "/mfa/recovery-codes"), "/mfa/challenge")
	if !strings.Contains(p.body, `data-countdown="12"`) || !strings.Contains(p.text(), "Now enter the next code") {
		t.Errorf("no countdown of 12 seconds: %s", p.text())
	}
	b.post(p, "/mfa/challenge", "code", used).refused(t, 422, "You used this code already; the next one comes in 12 s.")
	if len(s.Issued) != 0 {
		t.Fatal("signed in with the enrolment code")
	}
	s.Pass(12 * time.Second)
	if p = b.again(p, "/mfa/challenge"); strings.Contains(p.body, "data-countdown") {
		t.Error("it still counts down when the next code is there")
	}
	b.at(b.post(p, "/mfa/challenge", "code", s.code(secret)), "/portal")
}

func TestOneOfManyEqualConfirmationsBinds(t *testing.T) {
	s := newHouse(t)
	b := s.browser()
	p := b.at(b.password("pa", "new"), "/mfa/enroll")
	code := s.code(p.secret(t))
	var mu sync.Mutex
	answers := map[int]int{}
	var all sync.WaitGroup
	for range 32 {
		tab := b.twin()
		all.Go(func() {
			got := tab.post(p, "/mfa/enroll", "code", code)
			mu.Lock()
			defer mu.Unlock()
			answers[got.status]++
			if got.status != 303 && got.status != 422 {
				t.Errorf("status %d: %s", got.status, got.text())
			}
		})
	}
	all.Wait()
	if len(s.authenticators("new")) != 1 || s.codesLeft("new") != 10 || len(s.mails()) != 1 || count(s.events("new"), "authenticator.added") != 1 {
		t.Errorf("answers %v; %d bound, %d codes, mails %q, events %q",
			answers, len(s.authenticators("new")), s.codesLeft("new"), s.mails(), s.events("new"))
	}
}

// Codes of two steps may both be acceptable: they must not bind twice.
func TestTwoTabsWithTwoCodesBindOnce(t *testing.T) {
	s := newHouse(t)
	for range 8 {
		b := s.browser()
		p := b.at(b.password("pa", "new"), "/mfa/enroll")
		secret := p.secret(t)
		var both sync.WaitGroup
		for _, off := range []time.Duration{0, 30 * time.Second} {
			tab, code := b.twin(), codeAt(secret, s.Now().Add(off))
			both.Go(func() { tab.post(p, "/mfa/enroll", "code", code) })
		}
		both.Wait()
		if got := s.authenticators("new"); len(got) != 1 {
			t.Fatalf("%d authenticators", len(got))
		}
		for _, a := range s.authenticators("new") {
			s.Must(s.Store.RemoveAuthenticator(s.Context(), "new", a.ID))
		}
		s.Pass(5 * time.Minute)
	}
}

// The secret is on the page: a mistyped code there is no guess, and locks nobody.
func TestMistypedEnrolmentCodesAreExplainedAndNotCounted(t *testing.T) {
	s := newHouse(t)
	b := s.browser()
	p := b.at(b.password("pa", "new"), "/mfa/enroll")
	secret := p.secret(t)
	text := base32Text.EncodeToString(secret)
	phones := map[string]string{
		"Your phone is about three minutes behind": codeAt(secret, s.Now().Add(-3*time.Minute)),
		"took the key as plain text":               codeAt([]byte(text), s.Now()),
		"choose SHA-1":                             phone{key: secret, algo: "sha256"}.shows(t, s.Now()),
		"Enter the six digits":                     "12 34",
	}
	for says, code := range phones {
		b.post(p, "/mfa/enroll", "code", code).refused(t, 422, says)
	}
	for range 10 {
		b.post(p, "/mfa/enroll", "code", "000000").refused(t, 422, "not right")
	}
	b.enroll(p)
}

func TestAnAddressThatTakesNoMailKeepsNobodyOut(t *testing.T) {
	for _, address := range []string{"", "nobody"} {
		s := newHouse(t)
		_, err := s.Store.UpdateAccount(s.Context(), "new", func(a *store.Account) error { a.Email = address; return nil })
		s.Must(err)
		b := s.browser()
		b.enroll(b.password("pa", "new"))
		if got := s.mails(); len(got) != 0 {
			t.Errorf("mails %q to %q", got, address)
		}
	}
}
