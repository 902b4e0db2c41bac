package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"anteroom/admin"
	"anteroom/internal/demo"
)

// Of any number of concurrent callers exactly one wins; the others get a clean
// answer. Every 5xx fails the test by the log.
const crowd = 32

// together runs do in crowd goroutines that start at the same moment.
func together(do func(i int)) {
	var ready, running sync.WaitGroup
	gate := make(chan struct{})
	for i := range crowd {
		ready.Add(1)
		running.Go(func() {
			ready.Done()
			<-gate
			do(i)
		})
	}
	ready.Wait()
	close(gate)
	running.Wait()
}

// signingIn brings a crowd of browsers to the page after the password.
func (p *product) signingIn(who *person, rp *party) []*Visitor {
	p.t.Helper()
	browsers := make([]*Visitor, crowd)
	errs := make([]error, crowd)
	together(func(i int) {
		v := NewVisitor()
		browsers[i] = v
		if errs[i] = rp.begin(p.t.Context(), v, oauth2.GenerateVerifier()); errs[i] == nil {
			errs[i] = v.Press(p.t.Context(), "login-submit", fields("username", who.email, "password", who.password))
		}
	})
	for _, err := range errs {
		if err != nil {
			p.t.Fatal(err)
		}
	}
	return browsers
}

func (p *product) party(application string) *party {
	p.t.Helper()
	rp, err := register(p.t.Context(), p.op, p.issuer, application)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(rp.http.CloseIdleConnections)
	return rp
}

// winners counts the browsers that got on, and checks that the others stayed on
// the same page with a sentence and a 4xx.
func winners(t *testing.T, browsers []*Visitor, page, sentence string) int {
	t.Helper()
	won := 0
	for _, v := range browsers {
		stayed := v.URL().Path == page && v.Location() == nil
		switch {
		case !stayed:
			won++
		case v.Status() < 400 || v.Status() >= 500 || !strings.Contains(v.Text("error"), sentence):
			t.Errorf("a loser got %d %q", v.Status(), v.Text("error"))
		}
	}
	return won
}

func TestOneCodeSignsInOneBrowserOfManyAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t)
	ann, rp := p.known("ann@acme.example"), p.party(demo.PCC)
	browsers := p.signingIn(ann, rp)
	code := p.code(ann.secret)
	errs := make([]error, crowd)
	together(func(i int) {
		errs[i] = browsers[i].Press(t.Context(), "challenge-submit", fields("code", code))
	})
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if won := winners(t, browsers, "/mfa/challenge", "used this code already"); won != 1 {
		t.Errorf("one code let %d browsers in", won)
	}
}

func TestOneRecoveryCodeLetsOneBrowserOfManyIn(t *testing.T) {
	t.Parallel()
	p := start(t)
	ann, tab := newPerson("ann@acme.example"), newPlain(t)
	p.activated(tab, ann)
	browsers := p.signingIn(ann, p.party(demo.PartnerAnalytics))
	errs := make([]error, crowd)
	together(func(i int) {
		if errs[i] = browsers[i].Press(t.Context(), "use-recovery-code", nil); errs[i] == nil {
			errs[i] = browsers[i].Press(t.Context(), "recovery-submit", fields("recovery_code", ann.recovery[0]))
		}
	})
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if won := winners(t, browsers, "/mfa/recovery", " "); won != 1 {
		t.Errorf("one recovery code let %d browsers in", won)
	}
	var account admin.AccountDetail
	if p.do("GET", "/accounts/"+ann.email, nil, &account); account.RecoveryCodesLeft != 9 {
		t.Errorf("%d recovery codes are left, want 9", account.RecoveryCodesLeft)
	}
}

func TestOneInvitationIsUsedByOneBrowserOfMany(t *testing.T) {
	t.Parallel()
	p := start(t)
	ann := newPerson("ann@acme.example")
	link := p.invite(ann, demo.PCC, "")
	browsers := make([]*Visitor, crowd)
	errs := make([]error, crowd)
	for i := range browsers {
		browsers[i] = NewVisitor()
		if err := browsers[i].Open(t.Context(), link); err != nil {
			t.Fatal(err)
		}
	}
	together(func(i int) {
		errs[i] = browsers[i].Press(t.Context(), "activate-submit", fields("new_password", fmt.Sprintf("a passphrase that is mine, number %d", i)))
	})
	won := -1
	for i, v := range browsers {
		switch {
		case errs[i] != nil:
			t.Error(errs[i])
		case v.URL().Path == "/mfa/enroll":
			if won >= 0 {
				t.Errorf("browsers %d and %d both used the invitation", won, i)
			}
			won = i
		case v.Status() >= 500 || !v.Has("error"):
			t.Errorf("a loser is at %s (%d): %q", v.URL(), v.Status(), v.Text("error"))
		}
	}
	if won < 0 {
		t.Fatal("nobody could use the invitation")
	}
	// The password is the winner's.
	ann.password = fmt.Sprintf("a passphrase that is mine, number %d", won)
	tab := newPlain(t)
	tab.Open(p.portals[demo.PCC] + "/login")
	tab.Press("login-submit", "username", ann.email, "password", ann.password)
	p.at(tab, "/mfa/enroll")
}

func TestOneEnrolmentComesOfManyTabs(t *testing.T) {
	t.Parallel()
	p := start(t)
	ann, tab := newPerson("ann@acme.example"), newPlain(t).(*plain)
	tab.Open(p.invite(ann, demo.PCC, ""))
	tab.Press("activate-submit", "new_password", ann.password)
	secret := tab.Scan()
	code := p.code(secret)
	errs := make([]error, crowd)
	tabs := make([]*Visitor, crowd)
	for i := range tabs {
		tabs[i] = tab.v.Tab()
		if err := tabs[i].Open(t.Context(), tab.URL().String()); err != nil {
			t.Fatal(err)
		}
	}
	together(func(i int) { errs[i] = tabs[i].Press(t.Context(), "enroll-submit", fields("code", code)) })
	for i, v := range tabs {
		if errs[i] != nil {
			t.Error(errs[i])
		} else if v.Status() >= 500 {
			t.Errorf("a tab got %d", v.Status())
		}
	}
	var account admin.AccountDetail
	p.do("GET", "/accounts/"+ann.email, nil, &account)
	if len(account.Authenticators) != 1 || account.RecoveryCodesLeft != 10 {
		t.Errorf("%d authenticators and %d recovery codes, want 1 and 10", len(account.Authenticators), account.RecoveryCodesLeft)
	}
}

// signedIn lets somebody sign in and returns the code for the client.
func (p *product) signedIn(v *Visitor, who *person, rp *party, verifier string) string {
	p.t.Helper()
	ctx := p.t.Context()
	for _, err := range []error{
		rp.begin(ctx, v, verifier),
		v.Press(ctx, "login-submit", fields("username", who.email, "password", who.password)),
		v.Press(ctx, "challenge-submit", fields("code", p.nextCode(who.secret))),
	} {
		if err != nil {
			p.t.Fatal(err)
		}
	}
	code, failure, err := rp.answer(v)
	if err != nil || code == "" {
		p.t.Fatalf("no code: %v %s", err, failure)
	}
	return code
}

func TestOneAuthorizationCodeYieldsOneTokenSetAndReuseEndsIt(t *testing.T) {
	t.Parallel()
	p := start(t)
	ann, rp, verifier := p.known("ann@acme.example"), p.party(demo.PCC), oauth2.GenerateVerifier()
	code := p.signedIn(NewVisitor(), ann, rp, verifier)
	tokens := make([]*oauth2.Token, crowd)
	errs := make([]error, crowd)
	together(func(i int) { tokens[i], errs[i] = rp.redeem(t.Context(), code, verifier) })
	var won *oauth2.Token
	for i := range tokens {
		switch {
		case errs[i] == nil && won != nil:
			t.Error("two callers got tokens for one code")
		case errs[i] == nil:
			won = tokens[i]
		case refusal(errs[i]) != "invalid_grant":
			t.Errorf("a loser got %v", errs[i])
		}
	}
	if won == nil {
		t.Fatal("nobody got tokens")
	}
	if _, err := rp.refresh(t.Context(), won.RefreshToken); refusal(err) != "invalid_grant" {
		t.Errorf("the tokens of a code that was used twice live on: %v", err)
	}
}

func TestOneRefreshTokenHasOneSuccessorAndLateReuseEndsTheFamily(t *testing.T) {
	t.Parallel()
	p := start(t)
	ann, rp, verifier := p.known("ann@acme.example"), p.party(demo.PCC), oauth2.GenerateVerifier()
	first, err := rp.redeem(t.Context(), p.signedIn(NewVisitor(), ann, rp, verifier), verifier)
	if err != nil {
		t.Fatal(err)
	}
	tokens := make([]*oauth2.Token, crowd)
	errs := make([]error, crowd)
	together(func(i int) { tokens[i], errs[i] = rp.refresh(t.Context(), first.RefreshToken) })
	var won *oauth2.Token
	for i := range tokens {
		switch {
		case errs[i] == nil && won != nil:
			t.Error("one refresh token has two successors")
		case errs[i] == nil:
			won = tokens[i]
		case refusal(errs[i]) != "invalid_grant":
			t.Errorf("a loser got %v", errs[i])
		}
	}
	if won == nil {
		t.Fatal("nobody got tokens")
	}
	// Within the grace nothing more happens (docs/adr/0006); later, reuse ends all.
	next, err := rp.refresh(t.Context(), won.RefreshToken)
	if err != nil {
		t.Fatalf("the one successor does not work: %v", err)
	}
	p.clock.advance(time.Minute)
	if _, err := rp.refresh(t.Context(), first.RefreshToken); refusal(err) != "invalid_grant" {
		t.Errorf("a used token: %v", err)
	}
	if _, err := rp.refresh(t.Context(), next.RefreshToken); refusal(err) != "invalid_grant" {
		t.Errorf("the family lives on after reuse: %v", err)
	}
}
