package login_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/account"
	"anteroom/store"
	"anteroom/templates"
)

func TestActivationChoosesAPasswordAndLeadsOn(t *testing.T) {
	s := newHouse(t)
	path, ann := s.invite("ann@acme.example", "pa")
	for range 3 { // a mail scanner opens it, too
		page := s.browser().get(path)
		if page.status != 200 || !page.has("new_password") || !page.has("activate-submit") || !page.says("Partner Analytics") || !page.says("At least 8 characters") {
			t.Fatalf("%d %s", page.status, page.text())
		}
	}
	b := s.browser()
	refused := b.post(path, "new_password", "short")
	if refused.status != http.StatusUnprocessableEntity || !refused.says("too short") || !refused.has("new_password") {
		t.Errorf("short: %d %s", refused.status, refused.text())
	}
	if refused := b.post(path, "new_password", "PartnerAnalytics1"); !refused.says("partneranalytics") {
		t.Errorf("the portal's name: %s", refused.text())
	}
	if got := s.account(ann.ID); got.PasswordHash != "" || got.EmailVerified {
		t.Fatalf("a refused password changed the account: %+v", got)
	}
	if end := b.post(path, "new_password", "gr7!kvmq"); !end.at("/mfa/enroll") {
		t.Fatalf("at %s: %s", end.path, end.text())
	}
	if got := s.account(ann.ID); got.PasswordHash == "" || !got.EmailVerified {
		t.Errorf("account %+v", got)
	}
	dead := b.get(path)
	if dead.status != http.StatusGone || dead.has("new_password") || !dead.says("was used already") || !dead.says("Sign in to Partner Analytics") ||
		!strings.Contains(dead.body, s.URL+"/portal?launch=pa") {
		t.Errorf("used: %d %s", dead.status, dead.text())
	}
	if late := s.browser().post(path, "new_password", "another gr7!kvmq"); late.status != http.StatusGone {
		t.Errorf("a second password: %d %s", late.status, late.text())
	}
}

func TestActivationWithoutASecondFactorEndsAtThePortal(t *testing.T) {
	s := newHouse(t)
	path, ann := s.invite("ann@acme.example", "plain")
	b := s.browser()
	if page := b.get(path); !page.says("At least 15 characters") {
		t.Errorf("%s", page.text())
	}
	end := b.post(path, "new_password", goodPassword)
	if !end.at("/activated") || !end.has("go-to-portal") {
		t.Fatalf("at %s: %s", end.path, end.text())
	}
	held, err := s.Store.AssignmentsOf(t.Context(), ann.ID, "plain")
	s.Must(err)
	if got := s.account(ann.ID); got.State != store.AccountActive || held[0].State != store.AssignmentActive {
		t.Errorf("%s with %+v", got.State, held)
	}
}

func TestOfTwoTabsOneActivates(t *testing.T) {
	s := newHouse(t)
	path, ann := s.invite("ann@acme.example", "pa")
	one, two := s.browser(), s.browser()
	one.get(path)
	two.get(path)
	if end := one.post(path, "new_password", "first gr7!kvmq"); !end.at("/mfa/enroll") {
		t.Fatalf("at %s", end.path)
	}
	hash := s.account(ann.ID).PasswordHash
	if end := two.post(path, "new_password", "second gr7!kvmq"); end.status != http.StatusGone || !end.says("used already") || !end.says("Sign in to") {
		t.Errorf("%d %s", end.status, end.text())
	}
	if got := s.account(ann.ID).PasswordHash; got != hash {
		t.Error("the second tab replaced the password")
	}
}

func TestOf32ActivationsOneWins(t *testing.T) {
	s := newHouse(t)
	s.people.Hasher = account.NewHasher(32) // nobody is busy
	path, _ := s.invite("ann@acme.example", "pa")
	var won, lost atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		b := s.browser()
		wg.Go(func() {
			switch end := b.post(path, "new_password", "gr7!kvmq gr8"); {
			case end.at("/mfa/enroll"):
				won.Add(1)
			case end.status == http.StatusGone && end.says("used already"):
				lost.Add(1)
			default:
				t.Errorf("%d at %s: %s", end.status, end.path, end.text())
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 31 {
		t.Errorf("%d won, %d lost", won.Load(), lost.Load())
	}
}

func TestADeadLinkOffersAFreshOne(t *testing.T) {
	s := newHouse(t)
	path, _ := s.invite("ann@acme.example", "pa")
	s.Pass(8 * 24 * time.Hour)
	b := s.browser()
	dead := b.get(path)
	if dead.status != http.StatusGone || dead.has("new_password") || !dead.says("too old") || !dead.says("a•••@acme.example") || dead.says("ann@acme.example") || !dead.has("resend-link") {
		t.Fatalf("%d %s", dead.status, dead.text())
	}
	_, secret, _ := strings.Cut(path, "token=")
	if !strings.Contains(dead.body, `name="token" value="`+secret+`"`) {
		t.Fatalf("the button lacks the token: %s", dead.body)
	}
	sent := b.post("/activate/resend", "token", secret)
	if sent.status != 200 || !sent.says("A new link is on its way") || sent.has("resend-link") {
		t.Errorf("%d %s", sent.status, sent.text())
	}
	fresh := s.path(s.lastLetter("ann@acme.example").link)
	if page := b.get(fresh); !page.has("new_password") {
		t.Errorf("fresh link: %d %s", page.status, page.text())
	}
	for range 2 {
		b.post("/activate/resend", "token", secret)
	}
	if page := b.post("/activate/resend", "token", secret); page.status != http.StatusTooManyRequests || page.header.Get("Retry-After") == "" {
		t.Errorf("the fourth: %d %s", page.status, page.text())
	}
	// A link that works needs no other.
	newest := s.path(s.lastLetter("ann@acme.example").link)
	_, live, _ := strings.Cut(newest, "token=")
	if page := b.post("/activate/resend", "token", live); !page.has("new_password") || len(s.letters()) != 0 {
		t.Errorf("resend of a live link: at %s", page.path)
	}
}

func TestAWithdrawnInvitationSendsNothing(t *testing.T) {
	s := newHouse(t)
	path, ann := s.invite("ann@acme.example", "pa")
	s.Must(s.Store.RemoveAssignment(t.Context(), store.Assignment{AccountID: ann.ID, ApplicationID: "pa"}))
	b := s.browser()
	_, secret, _ := strings.Cut(path, "token=")
	for _, page := range []answer{b.get(path), b.post(path, "new_password", goodPassword), b.post("/activate/resend", "token", secret)} {
		if page.status != http.StatusGone || !page.says("withdrawn") || page.has("resend-link") || strings.Contains(page.body, "@acme") {
			t.Errorf("%d at %s: %s", page.status, page.path, page.text())
		}
	}
	if len(s.letters()) != 0 {
		t.Error("a fresh link was sent")
	}
}

func TestAnInvitationOfSomebodyWithAPasswordLeadsToTheSignIn(t *testing.T) {
	s := newHouse(t)
	ann := s.member("ann@acme.example")
	path, _ := s.invite("ann@acme.example", "plain")
	b := s.browser()
	page := b.get(path)
	if !page.at("/login") || !strings.Contains(page.body, `value="ann@acme.example"`) || page.has("continue-as") {
		t.Fatalf("at %s: %s", page.path, page.text())
	}
	if got := s.browser().get(path); !got.at("/login") {
		t.Errorf("opening it used it up: %s", got.text())
	}
	if end := b.signIn(page, "ann@acme.example", goodPassword); !end.at("/activated") {
		t.Fatalf("at %s: %s", end.path, end.text())
	}
	held, err := s.Store.AssignmentsOf(t.Context(), ann.ID, "plain")
	s.Must(err)
	if held[0].State != store.AssignmentActive || !s.account(ann.ID).EmailVerified {
		t.Errorf("access %+v", held)
	}
	if dead := b.get(path); dead.status != http.StatusGone || !dead.says("used already") {
		t.Errorf("afterwards: %d %s", dead.status, dead.text())
	}
}

func TestASignedInMemberAcceptsWithAButton(t *testing.T) {
	s := newHouse(t)
	s.member("ann@acme.example", "pa")
	s.application("other", "Other Portal", false)
	path, ann := s.invite("ann@acme.example", "plain")
	s.Must(s.Store.PutAssignment(t.Context(), store.Assignment{AccountID: ann.ID, ApplicationID: "other", State: store.AssignmentActive}))
	b := s.browser()
	b.signIn(b.get("/authorize?app=other"), "ann@acme.example", goodPassword)
	s.Pass(time.Minute)
	page := b.get(path)
	if !page.has("continue-as") {
		t.Fatalf("at %s: %s", page.path, page.text())
	}
	inv, err := s.Store.InvitationsOf(t.Context(), ann.ID)
	s.Must(err)
	if !inv[0].UsedAt.IsZero() {
		t.Fatal("opening the link used it up")
	}
	if end := b.post(page.path, "continue", "1"); !end.at("/activated") {
		t.Errorf("at %s: %s", end.path, end.text())
	}
	if inv, err = s.Store.InvitationsOf(t.Context(), ann.ID); err != nil || inv[0].UsedAt.IsZero() {
		t.Errorf("not used up: %+v, %v", inv, err)
	}
}

func TestSomebodyElsesSessionDoesNotAccept(t *testing.T) {
	s := newHouse(t)
	s.member("bob@acme.example", "plain")
	s.member("ann@acme.example")
	b := s.browser()
	b.signIn(b.get("/authorize?app=plain"), "bob@acme.example", goodPassword)
	s.Pass(time.Minute)
	path, ann := s.invite("ann@acme.example", "plain")
	page := b.get(path)
	if !page.at("/login") || page.has("continue-as") {
		t.Fatalf("at %s: %s", page.path, page.text())
	}
	if refused := b.post(page.path, "continue", "1"); !refused.at("/login") {
		t.Errorf("bob went on at %s", refused.path)
	}
	b.signIn(page, "bob@acme.example", goodPassword)
	inv, err := s.Store.InvitationsOf(t.Context(), ann.ID)
	s.Must(err)
	if !inv[0].UsedAt.IsZero() {
		t.Error("bob used up ann's invitation")
	}
}

// The link dies while the sign-in form is open: the password still counts.
func TestADeadInvitationKeepsNobodyOut(t *testing.T) {
	s := newHouse(t)
	s.member("ann@acme.example")
	path, _ := s.invite("ann@acme.example", "plain")
	b := s.browser()
	page := b.get(path)
	s.invite("ann@acme.example", "plain") // replaces it
	if end := b.signIn(page, "ann@acme.example", goodPassword); !end.at("/activated") {
		t.Errorf("at %s: %s", end.path, end.text())
	}
}

func TestAUsedLinkWithoutAPortalAddressStillLeadsOn(t *testing.T) {
	s := newHouse(t)
	s.Must(s.Store.CreateApplication(t.Context(), store.Application{ID: "bare", Name: "Bare Portal", Access: store.AccessAssigned}))
	path, _ := s.invite("ann@acme.example", "bare")
	s.browser().post(path, "new_password", goodPassword)
	b := s.browser()
	dead := b.get(path)
	if dead.status != http.StatusGone || !dead.has("sign-in") {
		t.Fatalf("%d %s", dead.status, dead.text())
	}
	page := b.post(path, "sign_in", "1")
	if end := b.signIn(page, "ann@acme.example", goodPassword); !end.at("/activated") {
		t.Errorf("at %s: %s", end.path, end.text())
	}
}

func TestAnInvitationNamesTheInviter(t *testing.T) {
	s := newHouse(t)
	boss := s.member("boss@acme.example")
	out, err := s.people.Invite(t.Context(), account.Invite{
		Email: "ann@acme.example", ApplicationID: "pa", By: boss.ID, Profile: map[string]any{"name": "<b>Ann</b>"},
	})
	s.Must(err)
	if mail := s.lastLetter("ann@acme.example").mail.(templates.InvitationMail); mail.InvitedBy != "boss@acme.example" {
		t.Errorf("mail %+v", mail)
	}
	page := s.browser().get(s.path(out.Link))
	if !page.says("boss@acme.example invited you to Partner Analytics") || strings.Contains(page.body, "<b>Ann</b>") {
		t.Errorf("%s", page.text())
	}
}
