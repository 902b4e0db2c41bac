package login_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/account"
	"anteroom/internal/seal"
	"anteroom/store"
)

const newPassword = "copper lantern orchard"

// forgot asks for a link from the sign-in page and returns the link's path.
func (b *browser) forgot(at answer, name string) (path string) {
	b.s.Helper()
	form := strings.Replace(at.path, "/login", "/forgot", 1)
	if page := b.get(form); page.status != 200 || !page.has("forgot-submit") {
		b.s.Fatalf("%d %s", page.status, page.text())
	}
	if sent := b.post(form, "username", name); sent.status != 200 || !sent.has("forgot-sent") {
		b.s.Fatalf("%d %s", sent.status, sent.text())
	}
	return b.s.path(b.s.lastLetter(name).link)
}

func TestAForgottenPasswordReturnsToThePortal(t *testing.T) {
	s := newHouse(t)
	ann := s.member("ann@acme.example", "plain")
	b := s.browser()
	at := b.get("/authorize?app=plain")
	path := b.forgot(at, "ann@acme.example")
	for range 2 { // a mail scanner, too
		if page := s.browser().get(path); page.status != 200 || !page.has("new_password") || !page.has("reset-submit") || !page.says("ann@acme.example") {
			t.Fatalf("%d %s", page.status, page.text())
		}
	}
	if page := b.post(path, "new_password", "short"); page.status != http.StatusUnprocessableEntity || !page.says("too short") {
		t.Errorf("%d %s", page.status, page.text())
	}
	s.letters()
	if end := b.post(path, "new_password", newPassword); !end.at("/portal") || len(s.Issued) != 1 || s.Issued[0].AccountID != ann.ID {
		t.Fatalf("at %s: %s", end.path, end.text())
	}
	s.lastLetter("ann@acme.example") // tells her
	dead := b.get(path)
	if dead.status != http.StatusGone || dead.has("new_password") || !dead.says("used already") || !dead.has("sign-in") || !dead.has("forgot-password") {
		t.Errorf("%d %s", dead.status, dead.text())
	}
	other := s.browser()
	page := other.signIn(other.get("/authorize?app=plain"), "ann@acme.example", goodPassword)
	if page.status != http.StatusUnprocessableEntity {
		t.Errorf("the old password: %d", page.status)
	}
	if end := other.signIn(page, "ann@acme.example", newPassword); !end.at("/portal") {
		t.Errorf("the new password: at %s", end.path)
	}
}

func TestAResetNeverSkipsTheSecondFactor(t *testing.T) {
	s := newHouse(t)
	ann := s.member("ann@acme.example", "pa")
	s.Must(s.Store.AddAuthenticator(t.Context(), store.Authenticator{ID: seal.RandomID(), AccountID: ann.ID, Kind: "totp"}))
	b := s.browser()
	path := b.forgot(b.get("/authorize?app=pa"), "ann@acme.example")
	if end := b.post(path, "new_password", newPassword); !end.at("/mfa/challenge") || len(s.Issued) != 0 {
		t.Errorf("at %s with %d codes", end.path, len(s.Issued))
	}
	if bound, err := s.Store.AuthenticatorsOf(t.Context(), ann.ID); err != nil || len(bound) != 1 {
		t.Errorf("authenticators %+v, %v", bound, err)
	}
}

func TestAResetInAnotherBrowserStillLeadsSomewhere(t *testing.T) {
	s := newHouse(t)
	s.member("ann@acme.example", "plain")
	b := s.browser()
	path := b.forgot(b.get("/authorize?app=plain"), "ann@acme.example")
	phone := s.browser()
	if end := phone.post(path, "new_password", newPassword); !end.at("/activated") || !end.has("go-to-portal") {
		t.Errorf("with an application: at %s", end.path)
	}
	path = b.forgot(answer{path: "/login"}, "ann@acme.example")
	if end := s.browser().post(path, "new_password", newPassword); end.path != "/" || !end.says("ann@acme.example") {
		t.Errorf("without an application: at %s: %s", end.path, end.text())
	}
}

func TestAResetEndsOtherSessions(t *testing.T) {
	s := newHouse(t)
	s.member("ann@acme.example", "plain")
	thief := s.browser()
	thief.signIn(thief.get("/authorize?app=plain"), "ann@acme.example", goodPassword)
	s.Pass(time.Second)
	b := s.browser()
	path := b.forgot(b.get("/authorize?app=plain"), "ann@acme.example")
	b.post(path, "new_password", newPassword)
	if page := thief.get("/authorize?app=plain"); !page.at("/login") {
		t.Errorf("the other session still works: at %s", page.path)
	}
	if page := b.get("/authorize?app=plain"); !page.at("/portal") {
		t.Errorf("the one that reset is not signed in: at %s", page.path)
	}
}

func TestOf32ResetsOneWins(t *testing.T) {
	s := newHouse(t)
	s.people.Hasher = account.NewHasher(32) // nobody is busy
	s.member("ann@acme.example", "plain")
	b := s.browser()
	path := b.forgot(b.get("/authorize?app=plain"), "ann@acme.example")
	var won, lost atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		b := s.browser()
		wg.Go(func() {
			switch end := b.post(path, "new_password", newPassword); {
			case end.at("/activated"):
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

func TestForgottenNamesAnswerAlike(t *testing.T) {
	s := newHouse(t)
	s.member("ann@acme.example", "plain")
	var pages []string
	for _, name := range []string{"ann@acme.example", "nobody@acme.example"} {
		b := s.browser()
		form := strings.Replace(b.get("/authorize?app=plain").path, "/login", "/forgot", 1)
		page := b.post(form, "username", name)
		if page.status != 200 || !page.has("forgot-sent") || strings.Contains(page.body, name) {
			t.Errorf("%s: %d %s", name, page.status, page.text())
		}
		pages = append(pages, interaction.ReplaceAllString(page.body, "i=X"))
	}
	if pages[0] != pages[1] {
		t.Errorf("the answers differ:\n%s\n---\n%s", pages[0], pages[1])
	}
	if len(s.letters()) != 1 {
		t.Error("not exactly one mail")
	}
}

func TestAForgottenPasswordOfAnInvitedAccountLeadsOn(t *testing.T) {
	s := newHouse(t)
	_, ann := s.invite("ann@acme.example", "plain")
	b := s.browser()
	path := b.forgot(b.get("/authorize?app=plain"), "ann@acme.example")
	if end := b.post(path, "new_password", newPassword); !end.at("/portal") {
		t.Fatalf("at %s: %s", end.path, end.text())
	}
	if got := s.account(ann.ID); got.State != store.AccountActive || !got.EmailVerified {
		t.Errorf("account %+v", got)
	}
}

func TestDeadResetLinksOfferAnother(t *testing.T) {
	s := newHouse(t)
	s.member("ann@acme.example", "plain")
	b := s.browser()
	first := b.forgot(b.get("/authorize?app=plain"), "ann@acme.example")
	second := b.forgot(b.get("/authorize?app=plain"), "ann@acme.example")
	if page := b.get(first); page.status != http.StatusGone || !page.says("A newer link replaced it") || !page.has("forgot-password") {
		t.Errorf("%d %s", page.status, page.text())
	}
	s.Pass(2 * time.Hour)
	for _, page := range []answer{b.get(second), b.post(second, "new_password", newPassword)} {
		if page.status != http.StatusGone || !page.says("too old") || !page.has("forgot-password") || page.has("new_password") {
			t.Errorf("%d %s", page.status, page.text())
		}
	}
}
