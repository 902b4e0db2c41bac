package e2e

import (
	"bytes"
	"context"
	"encoding/json"

	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"anteroom/account"
	"anteroom/admin"
	"anteroom/internal/audit"
	"anteroom/internal/demo"
)

// life is one person in the load: what the service acknowledged to them, and
// nothing that it did not. A step that was sent and never answered is pending:
// it may have happened or not.
type life struct {
	person
	browser *Visitor

	enrolled bool
	usedStep int64 // the last TOTP step that was accepted; 0: none
	accepted bool  // the terms
	signedIn bool  // a code for the client came back
	redeemed string
	verifier string
	refresh  string // the newest refresh token
	rotated  string // the one before it
	pending  string // the step without an answer
}

// world is the load: people, the client, and when to stop.
type world struct {
	process *process
	rp      *party
	lives   []*life
	answers atomic.Int64 // acknowledged steps
}

const crashPassword = "correct horse battery staple"

// populate moves people in who have a password, and no second factor yet.
func (w *world) populate(t *testing.T, from, n int) {
	t.Helper()
	hash, err := account.NewHasher(1).Hash(t.Context(), crashPassword)
	if err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	for i := range n {
		email := fmt.Sprintf("member%03d@acme.example", from+i)
		if err := json.NewEncoder(&lines).Encode(map[string]any{
			"user_name": email, "email": email, "password_hash": hash,
			"assignments": []map[string]string{{"application": demo.PartnerAnalytics}},
		}); err != nil {
			t.Fatal(err)
		}
		w.lives = append(w.lives, &life{person: person{email: email, password: crashPassword}})
	}
	var result admin.ImportResult
	if err := w.process.op.Do(t.Context(), http.MethodPost, "/accounts/import", &lines, &result); err != nil || result.Imported != n {
		t.Fatalf("import: %v %+v", err, result)
	}
}

// live signs somebody in for the first time and goes on refreshing. It returns
// when the service stops answering, or is told to stop.
func (w *world) live(ctx context.Context, l *life) error {
	l.browser, l.verifier = NewVisitor(), oauth2.GenerateVerifier()
	defer l.browser.Client.CloseIdleConnections()
	step := func(name string, do func() error) error {
		l.pending = name
		if err := do(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if s := l.browser.Status(); s >= 500 {
			return fmt.Errorf("%s: status %d", name, s)
		}
		l.pending = ""
		w.answers.Add(1)
		return nil
	}
	v := l.browser
	if err := step("begin", func() error { return w.rp.begin(ctx, v, l.verifier) }); err != nil {
		return err
	}
	if err := step("password", func() error { return v.Press(ctx, "login-submit", fields("username", l.email, "password", l.password)) }); err != nil {
		return err
	}
	l.secret = v.Text("totp-secret")
	now := time.Now()
	code, err := Code(l.secret, now)
	if err != nil {
		return fmt.Errorf("at %s: %w", v.URL(), err)
	}
	if err := step("enrol", func() error { return v.Press(ctx, "enroll-submit", fields("code", code)) }); err != nil {
		return err
	}
	if v.URL().Path != "/mfa/recovery-codes" {
		return fmt.Errorf("enrolment ends at %s: %q", v.URL(), v.Text("error"))
	}
	l.enrolled, l.usedStep, l.recovery = true, now.Unix()/30, v.Items("recovery-codes")
	if err := step("recovery codes", func() error { return v.Press(ctx, "recovery-codes-done", nil) }); err != nil {
		return err
	}
	if err := step("terms", func() error { return v.Press(ctx, "terms-submit", url.Values{"accept": {"on"}}) }); err != nil {
		return err
	}
	granted, failure, err := w.rp.answer(v)
	if err != nil || granted == "" {
		return fmt.Errorf("no code: %s %w", failure, err)
	}
	l.accepted, l.signedIn = true, true
	return w.tokens(ctx, l, granted)
}

// tokens redeems the code, then refreshes until it is stopped.
func (w *world) tokens(ctx context.Context, l *life, code string) error {
	l.pending = "redeem"
	tokens, err := w.rp.redeem(ctx, code, l.verifier)
	if err != nil {
		return fmt.Errorf("redeem: %w", err)
	}
	l.redeemed, l.refresh, l.pending = code, tokens.RefreshToken, ""
	w.answers.Add(1)
	for range 3 {
		l.pending = "refresh"
		tokens, err := w.rp.refresh(ctx, l.refresh)
		if err != nil {
			return fmt.Errorf("refresh: %w", err)
		}
		l.rotated, l.refresh, l.pending = l.refresh, tokens.RefreshToken, ""
		w.answers.Add(1)
	}
	return nil
}

// check asks the restarted service about everything that it acknowledged, and
// returns what got lost.
func (w *world) check(t *testing.T, l *life) (losses []string) {
	t.Helper()
	ctx := t.Context()
	lost := func(format string, args ...any) {
		losses = append(losses, fmt.Sprintf("%s (pending %q): %s", l.email, l.pending, fmt.Sprintf(format, args...)))
	}
	var acct admin.AccountDetail
	if err := w.process.op.Do(ctx, http.MethodGet, "/accounts/"+l.email, nil, &acct); err != nil {
		t.Fatal(err)
	}
	if n := len(acct.Authenticators); l.enrolled && n != 1 || n > 1 || n == 1 && !l.enrolled && l.pending != "enrol" {
		lost("%d authenticators, enrolment acknowledged: %t", n, l.enrolled)
	}
	if n := acct.RecoveryCodesLeft; n != 10*len(acct.Authenticators) {
		lost("%d recovery codes with %d authenticators", n, len(acct.Authenticators))
	}
	w.checkTokens(t, l, lost)
	w.checkSession(t, l, lost)
	if l.enrolled {
		w.checkSignIn(t, l, lost)
	}
	w.checkAudit(t, l, acct, lost)
	return losses
}

func (w *world) checkTokens(t *testing.T, l *life, lost func(string, ...any)) {
	t.Helper()
	if l.redeemed == "" {
		return
	}
	if l.refresh != "" {
		tokens, err := w.rp.refresh(t.Context(), l.refresh)
		switch {
		case err == nil && l.rotated != "":
			if _, err := w.rp.refresh(t.Context(), l.rotated); refusal(err) != "invalid_grant" {
				lost("a rotated refresh token came back to life: %v", err)
			}
			l.refresh = tokens.RefreshToken
		case err != nil && l.pending != "refresh":
			lost("an acknowledged refresh token is dead: %v", err)
		}
	}
	if _, err := w.rp.redeem(t.Context(), l.redeemed, l.verifier); refusal(err) != "invalid_grant" {
		lost("a redeemed code came back to life: %v", err)
	}
}

// checkSession: who was signed in still is, with terms accepted.
func (w *world) checkSession(t *testing.T, l *life, lost func(string, ...any)) {
	t.Helper()
	if !l.signedIn {
		return
	}
	v := l.browser.Tab()
	if err := w.rp.begin(t.Context(), v, oauth2.GenerateVerifier(), oauth2.SetAuthURLParam("prompt", "none")); err != nil {
		t.Fatal(err)
	}
	code, failure, err := w.rp.answer(v)
	if err != nil || code == "" {
		lost("an acknowledged session is gone: %s %v", failure, err)
	}
}

// checkSignIn: the used code stays used, the authenticator works, and the terms
// are not asked again.
func (w *world) checkSignIn(t *testing.T, l *life, lost func(string, ...any)) {
	t.Helper()
	ctx, v := t.Context(), NewVisitor()
	defer v.Client.CloseIdleConnections()
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	try(w.rp.begin(ctx, v, oauth2.GenerateVerifier()))
	try(v.Press(ctx, "login-submit", fields("username", l.email, "password", l.password)))
	if v.URL().Path != "/mfa/challenge" {
		lost("after the password comes %s: %q", v.URL(), v.Text("error"))
		return
	}
	used, err := Code(l.secret, time.Unix(l.usedStep*30, 0))
	try(err)
	try(v.Press(ctx, "challenge-submit", fields("code", used)))
	if v.URL().Path != "/mfa/challenge" || v.Location() != nil || !v.Has("error") {
		lost("the code of step %d was accepted a second time", l.usedStep)
		return
	}
	next, err := Code(l.secret, time.Unix((max(l.usedStep, time.Now().Unix()/30-1)+1)*30, 0))
	try(err)
	try(v.Press(ctx, "challenge-submit", fields("code", next)))
	if v.URL().Path == "/mfa/challenge" && v.Location() == nil {
		lost("the authenticator does not work: %q", v.Text("error"))
		return
	}
	if atTerms := v.URL().Path == "/terms" && v.Location() == nil; l.accepted && atTerms {
		lost("the terms are asked again")
	}
}

// checkAudit: each acknowledged event has exactly one entry (I5).
func (w *world) checkAudit(t *testing.T, l *life, acct admin.AccountDetail, lost func(string, ...any)) {
	t.Helper()
	counts := map[string]int{}
	for after := ""; ; {
		var entries admin.List[admin.AuditEvent]
		path := "/audit?limit=1000&account=" + acct.ID + "&after=" + after
		if err := w.process.op.Do(t.Context(), http.MethodGet, path, nil, &entries); err != nil {
			t.Fatal(err)
		}
		for _, e := range entries.Items {
			counts[e.Type]++
		}
		if after = entries.Next; after == "" {
			break
		}
	}
	if n := counts[audit.AuthenticatorAdded]; n != len(acct.Authenticators) {
		lost("%d audit entries for %d authenticators", n, len(acct.Authenticators))
	}
	if n := counts[audit.TermsAccepted]; l.accepted && n != 1 || n > 1 {
		lost("%d audit entries for one acceptance", n)
	}
	if n := counts[audit.CodeRedeemed]; l.redeemed != "" && n != 1 || n > 1 {
		lost("%d audit entries for one redeemed code", n)
	}
}

// load lets everybody live at once, bounded, until ctx ends or they are done.
func (w *world) load(ctx context.Context, lives []*life) []error {
	var mu sync.Mutex
	var failures []error
	var running sync.WaitGroup
	queue := make(chan *life, len(lives))
	for _, l := range lives {
		queue <- l
	}
	close(queue)
	for range 8 {
		running.Go(func() {
			for l := range queue {
				if ctx.Err() != nil {
					return
				}
				if err := w.live(ctx, l); err != nil {
					mu.Lock()
					failures = append(failures, fmt.Errorf("%s: %w", l.email, err))
					mu.Unlock()
					return // the service is gone, or wrong
				}
			}
		})
	}
	running.Wait()
	return failures
}

func TestKilledInTheMiddleOfALoadEveryAcknowledgedFactIsThere(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short leaves out the crash test, which takes half a minute")
	}
	w := &world{process: serve(t)}
	furnish(t, w.process)
	w.rp = mustRegister(t, w.process)
	const rounds, people = 4, 24
	for round := range rounds {
		w.populate(t, round*people, people)
		lives := w.lives[round*people:]
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan []error, 1)
		go func() { done <- w.load(ctx, lives) }()
		enough := w.answers.Load() + 20 + rand.Int64N(100) // of about 200
		for deadline := time.Now().Add(20 * time.Second); w.answers.Load() < enough && time.Now().Before(deadline); {
			time.Sleep(time.Duration(rand.Int64N(int64(time.Millisecond))))
		}
		if round == rounds-1 {
			w.process.terminate() // SIGTERM: nothing acknowledged is lost, either
		} else {
			w.process.kill()
		}
		cancel()
		<-done
		w.process.start()
		acknowledged := 0
		for _, l := range lives {
			if l.browser == nil {
				continue
			}
			if l.enrolled {
				acknowledged++
			}
			for _, loss := range w.check(t, l) {
				t.Error(loss)
			}
		}
		if acknowledged == 0 {
			t.Errorf("round %d: nothing was acknowledged, so nothing was tested", round+1)
		}
		t.Logf("round %d: %d enrolments were acknowledged", round+1, acknowledged)
		var verdict admin.Verdict
		if err := w.process.op.Do(t.Context(), http.MethodPost, "/audit/verify", admin.VerifyAudit{}, &verdict); err != nil || !verdict.Holds {
			t.Errorf("the audit chain: %v %+v", err, verdict)
		}
	}
}

// The checker is checked, too: a history that is not true must not pass.
func TestTheHistoryCheckerNoticesWhatIsMissing(t *testing.T) {
	w := &world{process: serve(t)}
	furnish(t, w.process)
	w.rp = mustRegister(t, w.process)
	w.populate(t, 0, 2)
	if failed := w.load(t.Context(), w.lives[:1]); failed != nil {
		t.Fatal(failed)
	}
	done, never := w.lives[0], w.lives[1]
	if losses := w.check(t, done); losses != nil {
		t.Fatalf("a true history does not pass: %q", losses)
	}
	forged := []struct {
		name string
		life func() life
	}{
		{"an enrolment that never was", func() life {
			return life{person: person{email: never.email, password: never.password, secret: "GEZDGNBVGY3TQOJQ"}, browser: NewVisitor(), enrolled: true}
		}},
		{"an enrolment that nobody acknowledged", func() life { l := *done; l.enrolled = false; return l }},
		{"a session that never was", func() life {
			return life{person: never.person, browser: NewVisitor(), signedIn: true}
		}},
		{"a refresh token that is not the newest", func() life { l := *done; l.refresh = l.rotated; return l }},
		{"an acceptance that never was", func() life { return life{person: never.person, browser: NewVisitor(), accepted: true} }},
		{"a redeemed code without an entry", func() life {
			return life{person: never.person, browser: NewVisitor(), redeemed: "unknown"}
		}},
	}
	for _, f := range forged {
		l := f.life()
		if losses := w.check(t, &l); len(losses) == 0 {
			t.Errorf("%s passed", f.name)
		}
	}
}

func mustRegister(t *testing.T, p *process) *party {
	t.Helper()
	rp, err := register(t.Context(), p.op, p.issuer, demo.PartnerAnalytics)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rp.http.CloseIdleConnections)
	return rp
}

// furnish sets up the demo's applications; nobody opens their portals.
func furnish(t *testing.T, p *process) {
	t.Helper()
	_, log := newLog(t)
	portals := demo.NewPortals(p.issuer, "http://localhost:9", "http://localhost:10", log, time.Now)
	if err := demo.Furnish(t.Context(), p.op, p.dir, portals); err != nil {
		t.Fatal(err)
	}
}
