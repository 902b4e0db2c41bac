package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"anteroom/admin"
	"anteroom/internal/audit"
	"anteroom/internal/demo"
)

// life is one person in a load, and what the service acknowledged to them. What
// was sent and got no answer, or a 503, may have happened or not.
type life struct {
	person
	rp      *party
	browser *Visitor

	acked  map[string]int // events by type of audit entry
	unsure map[string]int // those that may have happened besides
	steps  []int64        // TOTP steps that were accepted
	tried  int64          // the last one that was sent
	codes  []*ticket

	verifier string // of the sign-in that is under way; "": none is
	told     bool   // the last form was answered with a redirect
	answers  *atomic.Int64
	end      fate
	faint    bool // goes home when a node goes away, and stays in the middle of it
	trouble  []error
}

// ticket is what came of one code.
type ticket struct {
	code, verifier  string
	refresh, before string // the newest refresh token, and the one that it replaced
	open            string // what got no answer: "redeem", "refresh" or "revoke"
	redeemed        bool
	revoked         bool
	claims          claims
}

// claims are those of an ID token that say how somebody signed in.
type claims struct {
	Session  string   `json:"sid"`
	AuthTime int64    `json:"auth_time"`
	AMR      []string `json:"amr"`
	ACR      string   `json:"acr"`
}

// What may become of a request when nodes and databases go away.
var (
	errGone = errors.New("no answer")       // or the balancer's own, for a node that went away
	errBusy = errors.New("try again later") // a clean 503
	errLost = errors.New("the sign-in has to begin again")
)

func newLife(who person, rp *party, answers *atomic.Int64) *life {
	return &life{person: who, rp: rp, answers: answers, acked: map[string]int{}, unsure: map[string]int{}}
}

// open opens a browser that notes when a form was answered with a redirect: even
// if the page after it never comes, the service has acknowledged the form.
func (l *life) open() {
	if l.browser != nil {
		return
	}
	l.browser = NewVisitor()
	after := l.browser.Client.CheckRedirect
	l.browser.Client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		l.told = l.told || via[len(via)-1].Method == http.MethodPost
		return after(r, via)
	}
	l.browser.Stay(partyRedirect)
}

// judge says what an answer to the browser means. err is that of the visitor.
func (l *life) judge(err error) error {
	v := l.browser
	switch {
	case errors.Is(err, ErrNoSuchElement):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", errGone, err)
	case v.Status() == http.StatusBadGateway && v.Header().Get(goneHeader) != "":
		return errGone
	case v.Status() == http.StatusServiceUnavailable && v.Header().Get("Retry-After") != "" && v.Has("error"):
		return errBusy
	case v.Status() >= 500:
		return fmt.Errorf("status %d at %s: %q", v.Status(), v.URL(), v.Text("error"))
	}
	return nil
}

// press sends a form. Events are what it brings about if it is accepted.
func (l *life) press(ctx context.Context, button string, form url.Values, events ...string) error {
	l.told = false
	err := l.judge(l.browser.Press(ctx, button, form))
	switch {
	case l.told || err == nil && l.browser.Location() != nil:
		l.told = true
		l.did(events...)
	case errors.Is(err, errGone), errors.Is(err, errBusy):
		for _, e := range events {
			l.unsure[e]++
		}
	}
	return err
}

// did notes what was acknowledged.
func (l *life) did(events ...string) {
	for _, e := range events {
		l.acked[e]++
		l.answers.Add(1)
	}
}

// signIn goes on with the sign-in that is under way, or begins one, does what
// each page asks, and returns with the code.
func (l *life) signIn(ctx context.Context) error {
	err := l.resume(ctx)
	for range 16 {
		switch {
		case errors.Is(err, errGone), errors.Is(err, errBusy):
			l.unsure[audit.CodeIssued]++
			return err
		case err != nil:
			return err
		case l.browser.Location() != nil:
			return l.arrive()
		}
		err = l.page(ctx)
	}
	return fmt.Errorf("the sign-in does not end, now at %s: %q", l.browser.URL(), l.browser.Text("error"))
}

// resume loads the last page again, or sends the browser to the issuer.
func (l *life) resume(ctx context.Context) error {
	l.open()
	if v := l.browser; l.verifier != "" && v.URL() != nil && v.Location() == nil {
		return l.judge(v.Open(ctx, v.URL().String()))
	}
	l.verifier = oauth2.GenerateVerifier()
	return l.judge(l.rp.begin(ctx, l.browser, l.verifier))
}

// page does what the page asks.
func (l *life) page(ctx context.Context) error {
	v := l.browser
	path := v.URL().Path
	if s := v.Status(); s == http.StatusGone || s == http.StatusConflict {
		path = "" // what was here is over
	}
	switch path {
	case "/login":
		if v.Has("error") {
			return fmt.Errorf("the password is refused: %q", v.Text("error"))
		}
		return l.press(ctx, "login-submit", fields("username", l.email, "password", l.password))
	case "/mfa/enroll":
		l.secret = v.Text("totp-secret")
		return l.code(ctx, "enroll-submit", audit.AuthenticatorAdded, audit.RecoveryCodesCreated, audit.SignedIn)
	case "/mfa/challenge":
		return l.code(ctx, "challenge-submit", audit.SignedIn)
	case "/mfa/recovery-codes":
		l.recovery = v.Items("recovery-codes")
		return l.press(ctx, "recovery-codes-done", nil)
	case "/terms":
		return l.press(ctx, "terms-submit", url.Values{"accept": {"on"}}, audit.TermsAccepted)
	case "/consent":
		return l.press(ctx, "consent-allow", nil, audit.ConsentGiven)
	}
	l.verifier = ""
	return fmt.Errorf("%w: %s says %q", errLost, v.URL(), v.Text("error"))
}

// code sends a code that was never sent before.
func (l *life) code(ctx context.Context, button string, events ...string) error {
	step, err := l.freshStep()
	if err != nil {
		return err
	}
	code, err := Code(l.secret, time.Unix(step*30, 0))
	if err != nil {
		return err
	}
	l.tried = step
	err = l.press(ctx, button, fields("code", code), events...)
	if l.told {
		if slices.Contains(l.steps, step) {
			return fmt.Errorf("step %d was accepted twice", step)
		}
		l.steps = append(l.steps, step)
	}
	return err
}

var errNoCode = errors.New("the phone shows no code that was never sent before")

// freshStep returns the first step within the allowed skew that was not sent yet.
func (l *life) freshStep() (int64, error) {
	now := time.Now().Unix() / 30
	if step := max(l.tried+1, now-1); step <= now+1 {
		return step, nil
	}
	return 0, errNoCode
}

// arrive takes the code, or the error, that the browser brought back.
func (l *life) arrive() error {
	code, failure, err := l.rp.answer(l.browser)
	verifier := l.verifier
	l.verifier = ""
	switch {
	case err != nil:
		return err
	case failure == "temporarily_unavailable":
		l.unsure[audit.CodeIssued]++
		return errBusy
	case code == "":
		return fmt.Errorf("the answer for the client is %q", failure)
	}
	l.did(audit.CodeIssued)
	l.codes = append(l.codes, &ticket{code: code, verifier: verifier})
	return nil
}

// ask makes a request of the client and notes its outcome.
func (l *life) ask(t *ticket, what, event string, do func() error) error {
	err := sort(do())
	switch {
	case err == nil:
		l.did(event)
	case errors.Is(err, errGone), errors.Is(err, errBusy):
		t.open = what
		l.unsure[event]++
	}
	return err
}

// sort says what an answer to a client means.
func sort(err error) error {
	answer, ok := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case err == nil:
		return nil
	case !ok:
		return fmt.Errorf("%w: %w", errGone, err)
	case answer.Response.StatusCode == http.StatusBadGateway && answer.Response.Header.Get(goneHeader) != "":
		return errGone
	case answer.Response.StatusCode == http.StatusServiceUnavailable && answer.ErrorCode == "temporarily_unavailable" && answer.Response.Header.Get("Retry-After") != "":
		return errBusy
	}
	return err
}

func (l *life) redeem(ctx context.Context, t *ticket) error {
	return l.ask(t, "redeem", audit.CodeRedeemed, func() error {
		tokens, err := l.rp.redeem(ctx, t.code, t.verifier)
		if err != nil {
			return err
		}
		t.redeemed, t.refresh = true, tokens.RefreshToken
		t.claims, err = readClaims(tokens)
		return err
	})
}

func (l *life) refresh(ctx context.Context, t *ticket) error {
	return l.ask(t, "refresh", audit.TokenRefreshed, func() error {
		tokens, err := l.rp.refresh(ctx, t.refresh)
		if err != nil {
			return err
		}
		t.before, t.refresh = t.refresh, tokens.RefreshToken
		return nil
	})
}

func (l *life) revoke(ctx context.Context, t *ticket) error {
	err := l.ask(t, "revoke", audit.GrantRevoked, func() error { return l.rp.revoke(ctx, t.refresh) })
	t.revoked = err == nil
	return err
}

// revoke asks the issuer to end a refresh token and its family (RFC 7009).
func (c *party) revoke(ctx context.Context, token string) error {
	form := fields("token", token)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.Endpoint.TokenURL, "token")+"revoke", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.ClientSecret))
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == http.StatusOK {
		return err
	}
	refused := &oauth2.RetrieveError{Response: resp, Body: body}
	_ = json.Unmarshal(body, &struct {
		Code *string `json:"error"`
	}{&refused.ErrorCode})
	return refused
}

func readClaims(tokens *oauth2.Token) (c claims, err error) {
	raw, _ := tokens.Extra("id_token").(string)
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return c, fmt.Errorf("no ID token: %q", raw)
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	return c, err
}

// disable keeps the person out, as an operator.
func (l *life) disable(ctx context.Context, op *demo.Operator) error {
	err := op.Do(ctx, http.MethodPost, "/accounts/"+l.email+"/disable", nil, nil)
	problem, answered := errors.AsType[*admin.Problem](err)
	switch {
	case err == nil:
		l.did(audit.AccountDisabled)
		return nil
	case answered && problem.Status != http.StatusServiceUnavailable:
		return err
	case answered:
		err = fmt.Errorf("%w: %w", errBusy, err)
	default:
		err = fmt.Errorf("%w: %w", errGone, err)
	}
	l.unsure[audit.AccountDisabled]++
	return err
}

// A person's fate is how the load ends for them.
type fate int

const (
	stays    fate = iota // signed in
	revoked              // the client gives the tokens back
	disabled             // an operator keeps them out
	fates
)

// whole is one whole journey: sign-in with enrolment, terms and consent; code,
// refresh, refresh; and the fate. It stops at the first thing that fails, and goes on
// there, or begins again, when it is called again.
func (l *life) whole(ctx context.Context, op func() *demo.Operator) error {
	if l.unsure[audit.AccountDisabled] > 0 {
		return l.disable(ctx, op())
	}
	var t *ticket
	if n := len(l.codes); n > 0 && l.codes[n-1].open == "" {
		t = l.codes[n-1]
	} else {
		if err := l.signIn(ctx); err != nil {
			return err
		}
		t = l.codes[len(l.codes)-1]
	}
	if !t.redeemed {
		if err := l.redeem(ctx, t); err != nil {
			return fmt.Errorf("redeem: %w", err)
		}
	}
	for range 2 {
		if err := l.refresh(ctx, t); err != nil {
			return fmt.Errorf("refresh: %w", err)
		}
	}
	switch l.end {
	case revoked:
		return l.revoke(ctx, t)
	case disabled:
		return l.disable(ctx, op())
	}
	return nil
}
