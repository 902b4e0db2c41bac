package login_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"anteroom/account"
	"anteroom/flow"
	"anteroom/store"

	"golang.org/x/crypto/bcrypt"
)

func TestSignInLeadsOn(t *testing.T) {
	s := newHouse(t)
	ann := s.member("ann@acme.example", "plain", "pa")
	b := s.browser()
	page := b.get("/authorize?app=plain")
	if page.status != 200 || !page.has("username") || !page.has("password") || !page.has("login-submit") || !page.has("forgot-password") {
		t.Fatalf("login page: %d %s", page.status, page.text())
	}
	if end := b.signIn(page, " ann@acme.example ", goodPassword); !end.at("/portal") || s.Issued[0].AccountID != ann.ID || s.Issued[0].ACR != flow.ACRPassword {
		t.Fatalf("ended at %s with %+v", end.path, s.Issued)
	}
	// A second application that asks more gets its second factor, and no
	// password again.
	if end := b.get("/authorize?app=pa"); !end.at("/mfa/enroll") {
		t.Errorf("second application at %s", end.path)
	}
}

var interaction = regexp.MustCompile(`i=[\w-]+`)

// Unknown, wrong, disabled: the page is the same, byte for byte.
func TestRefusedPasswordsReadAlike(t *testing.T) {
	s := newHouse(t)
	s.member("ann@acme.example", "plain")
	disabled := s.member("dan@acme.example", "plain")
	s.Must(s.people.Disable(t.Context(), disabled.ID, account.Operator))
	s.invite("new@acme.example", "plain")
	var first string
	for _, name := range []string{"ann@acme.example", "nil@acme.example", "dan@acme.example", "new@acme.example"} {
		b := s.browser()
		password := goodPassword
		if name == "ann@acme.example" {
			password = "wrong"
		}
		page := b.signIn(b.get("/authorize?app=plain"), name, password)
		if page.status != http.StatusUnprocessableEntity || !page.at("/login") || !page.says("The user name or the password is not right") {
			t.Fatalf("%s: %d %s", name, page.status, page.text())
		}
		if !strings.Contains(page.body, `value="`+name+`"`) || strings.Contains(page.body, password) {
			t.Errorf("%s: what was typed is lost, or the password shown", name)
		}
		same := interaction.ReplaceAllString(strings.ReplaceAll(page.body, name, "NAME"), "i=X")
		if first == "" {
			first = same
		}
		if same != first {
			t.Errorf("%s reads differently:\n%s\n---\n%s", name, same, first)
		}
	}
}

func TestTooManyGuessesWait(t *testing.T) {
	s := newHouse(t)
	s.member("ann@acme.example", "plain")
	known := s.browser() // signed in here before
	if end := known.signIn(known.get("/authorize?app=plain"), "ann@acme.example", goodPassword); !end.at("/portal") {
		t.Fatalf("at %s", end.path)
	}
	b := s.browser()
	page := b.get("/authorize?app=plain")
	for range 5 {
		b.signIn(page, "ann@acme.example", "wrong")
	}
	refused := b.signIn(page, "ann@acme.example", goodPassword)
	if refused.status != http.StatusTooManyRequests || refused.header.Get("Retry-After") != "14" || !refused.says("Wait 14 seconds") ||
		!refused.has("login-submit") || !strings.Contains(refused.body, `value="ann@acme.example"`) {
		t.Errorf("%d, Retry-After %q: %s", refused.status, refused.header.Get("Retry-After"), refused.text())
	}
	// The browser that she signed in from before is not locked out by it, even
	// at the same address.
	if end := known.signIn(known.get("/authorize?app=plain&prompt=login"), "ann@acme.example", goodPassword); !end.at("/portal") {
		t.Errorf("her own browser: %d %s", end.status, end.text())
	}
	s.Pass(15 * time.Second)
	if end := b.signIn(page, "ann@acme.example", goodPassword); !end.at("/portal") {
		t.Errorf("after the wait: %d %s", end.status, end.text())
	}
}

func TestTheFormKnowsWhomItExpects(t *testing.T) {
	s := newHouse(t)
	s.member("ann@acme.example", "plain")
	b := s.browser()
	page := b.get("/authorize?app=plain&login_hint=" + url.QueryEscape(`"><script>alert(1)</script>`))
	if !strings.Contains(page.body, "&lt;script&gt;") || strings.Contains(page.body, "<script>alert") {
		t.Errorf("login_hint is not escaped")
	}
	if page := b.get("/authorize?app=plain&login_hint=" + strings.Repeat("x", 300)); strings.Contains(page.body, "xxx") {
		t.Error("a login_hint longer than any name is shown")
	}
	page = b.get("/authorize?app=plain&login_hint=ann%40acme.example")
	if !strings.Contains(page.body, `value="ann@acme.example"`) {
		t.Errorf("login_hint is not used: %s", page.body)
	}
	b.signIn(page, "ann@acme.example", goodPassword)

	page = b.get("/authorize?app=plain&prompt=login")
	if !page.says("Plain Portal asks you to sign in again.") || !strings.Contains(page.body, `value="ann@acme.example"`) || page.has("continue-as") {
		t.Errorf("prompt=login: %s", page.text())
	}
	page = b.get("/authorize?app=plain&prompt=select_account")
	if !page.has("continue-as") || !page.says("Continue as ann@acme.example") {
		t.Fatalf("prompt=select_account: %s", page.text())
	}
	if end := b.post(page.path, "continue", "1"); !end.at("/portal") {
		t.Errorf("continue: at %s", end.path)
	}
}

func TestContinueNeedsASessionThatCounts(t *testing.T) {
	s := newHouse(t)
	ann := s.member("ann@acme.example", "plain")
	b := s.browser()
	page := b.get("/authorize?app=plain&prompt=select_account")
	if refused := b.post(page.path, "continue", "1"); refused.status != http.StatusUnprocessableEntity || !refused.at("/login") {
		t.Errorf("without a session: %d at %s", refused.status, refused.path)
	}
	b.signIn(page, "ann@acme.example", goodPassword)
	page = b.get("/authorize?app=plain&prompt=select_account")
	s.Pass(time.Second)
	s.Must(s.people.EndSessions(t.Context(), ann.ID, account.Operator))
	if refused := b.post(page.path, "continue", "1"); !refused.at("/login") || len(s.Issued) != 1 {
		t.Errorf("with an ended session: at %s, %d codes", refused.path, len(s.Issued))
	}
}

func TestAWeakHashIsReplacedBySigningIn(t *testing.T) {
	s := newHouse(t)
	ann := s.member("ann@acme.example", "plain")
	weak, err := bcrypt.GenerateFromPassword([]byte(goodPassword), 8)
	s.Must(err)
	_, err = s.Store.UpdateAccount(t.Context(), ann.ID, func(a *store.Account) error { a.PasswordHash = string(weak); return nil })
	s.Must(err)
	b := s.browser()
	if end := b.signIn(b.get("/authorize?app=plain"), "ann@acme.example", goodPassword); !end.at("/portal") {
		t.Fatalf("at %s", end.path)
	}
	if got := s.account(ann.ID).PasswordHash; !strings.HasPrefix(got, "$argon2id$") {
		t.Errorf("hash %q", got)
	}
	other := s.browser()
	if end := other.signIn(other.get("/authorize?app=plain"), "ann@acme.example", goodPassword); !end.at("/portal") {
		t.Errorf("with the new hash at %s", end.path)
	}
}

func TestBadInputIsAClearRefusal(t *testing.T) {
	s := newHouse(t)
	s.member("ann@acme.example", "plain")
	path, _ := s.invite("new@acme.example", "pa")
	b := s.browser()
	login := b.get("/authorize?app=plain").path
	for _, c := range []struct {
		name, path, body string
		status           int
	}{
		{"nothing typed", login, "", 422},
		{"no password", login, "username=ann", 422},
		{"a field twice", login, "username=a&username=b&password=c", 400},
		{"not UTF-8", login, "username=%ff&password=x", 400},
		{"a NUL", login, "username=a%00b&password=x", 400},
		{"broken escapes", login, "username=%zz", 400},
		{"too large", login, "username=" + strings.Repeat("x", 100_000), 413},
		{"a password of a megabyte's tenth", login, "username=a&password=" + strings.Repeat("x", 60_000), 422},
		{"no password chosen", path, "", 422},
		{"a password twice", path, "new_password=a&new_password=b", 400},
		{"unknown link", "/activate?token=nonsense", "new_password=" + url.QueryEscape(goodPassword), 404},
		{"no token", "/activate", "new_password=x", 404},
		{"token twice", "/activate?token=a&token=b", "new_password=x", 400},
		{"unknown reset", "/reset?token=nonsense", "new_password=x", 404},
		{"resend of nothing", "/activate/resend", "", 404},
		{"nobody forgot", "/forgot", "username=", 422},
	} {
		page := b.postBody(c.path, c.body)
		if page.status != c.status || !page.has("error") {
			t.Errorf("%s: %d %s, want %d with a sentence", c.name, page.status, page.text(), c.status)
		}
	}
	for path, status := range map[string]int{"/activate": 404, "/reset?token=": 404, "/activate?token=%ff": 400, "/reset?token=a&token=b": 400, "/forgot?i=a&i=b": 400, "/login?i=gone": 410} {
		if page := b.get(path); page.status != status || !page.has("error") {
			t.Errorf("GET %s: %d %s, want %d", path, page.status, page.text(), status)
		}
	}
	json, err := http.NewRequest(http.MethodPost, s.URL+login, strings.NewReader(`{"username":"ann"}`))
	s.Must(err)
	json.Header.Set("Content-Type", "application/json")
	if page := b.do(json); page.status != http.StatusUnsupportedMediaType {
		t.Errorf("JSON: %d", page.status)
	}
}
