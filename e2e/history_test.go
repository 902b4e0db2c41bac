package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"anteroom/admin"
	"anteroom/internal/audit"
	"anteroom/internal/demo"
	"anteroom/store"
)

// history asks a service, after whatever happened to it, about everything that it
// acknowledged to people. It is the one oracle of all tests of faults, for both
// stores, and knows I1 to I6 of the design.
type history struct {
	t  *testing.T
	op *demo.Operator

	losses []string
	who    *life
}

// lost notes what contradicts the history.
func (h *history) lost(format string, args ...any) {
	h.losses = append(h.losses, fmt.Sprintf("%s: %s (trouble: %v)", h.who.email, fmt.Sprintf(format, args...), h.who.trouble))
}

func (h *history) try(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("%s: %v", h.who.email, err)
	}
}

// checkLife returns what of a life contradicts the service. It uses up the life:
// codes and tokens are tried a second time.
func checkLife(t *testing.T, op *demo.Operator, l *life) []string {
	t.Helper()
	h := &history{t: t, op: op, who: l}
	var acct admin.AccountDetail
	h.try(op.Do(t.Context(), http.MethodGet, "/accounts/"+l.email, nil, &acct))
	h.checkAudit(acct)
	h.checkFactors(acct)
	if l.acked[audit.AccountDisabled] > 0 && acct.State != store.AccountDisabled {
		h.lost("the account is %s, and was disabled", acct.State)
	}
	session := h.checkSession()
	for _, ticket := range l.codes {
		h.checkTicket(ticket, session)
	}
	h.checkSignIn()
	return h.losses
}

// out tells whether the person may be kept out, and whether they must be.
func (l *life) out() (may, must bool) {
	must = l.acked[audit.AccountDisabled] > 0
	return must || l.unsure[audit.AccountDisabled] > 0, must
}

// checkAudit: each acknowledged event has exactly one entry, and none claims what
// did not happen (I5).
func (h *history) checkAudit(acct admin.AccountDetail) {
	h.t.Helper()
	l, counts := h.who, map[string]int{}
	for after := ""; ; {
		var entries admin.List[admin.AuditEvent]
		h.try(h.op.Do(h.t.Context(), http.MethodGet, "/audit?limit=1000&account="+acct.ID+"&after="+after, nil, &entries))
		for _, e := range entries.Items {
			counts[e.Type]++
		}
		if after = entries.Next; after == "" {
			break
		}
	}
	for _, event := range []string{
		audit.AuthenticatorAdded, audit.RecoveryCodesCreated, audit.SignedIn, audit.TermsAccepted, audit.ConsentGiven,
		audit.CodeIssued, audit.CodeRedeemed, audit.TokenRefreshed, audit.GrantRevoked, audit.AccountDisabled,
	} {
		n, least := counts[event], l.acked[event]
		if most := least + l.unsure[event]; n < least || n > most {
			h.lost("%d entries %s, want %d to %d", n, event, least, most)
		}
	}
	for _, once := range []string{audit.AuthenticatorAdded, audit.TermsAccepted, audit.AccountDisabled} {
		if counts[once] > 1 {
			h.lost("%d entries %s", counts[once], once)
		}
	}
	for _, never := range []string{audit.AuthenticatorRemoved, audit.RecoveryCodeUsed, audit.RefreshReused, audit.CodeReused} {
		if counts[never] > 0 {
			h.lost("an entry %s, which nobody did", never)
		}
	}
}

// checkFactors: an acknowledged enrolment is there, once, with its recovery codes (I3).
func (h *history) checkFactors(acct admin.AccountDetail) {
	l, n := h.who, len(acct.Authenticators)
	least := l.acked[audit.AuthenticatorAdded]
	if most := least + l.unsure[audit.AuthenticatorAdded]; n < least || n > min(most, 1) {
		h.lost("%d authenticators, want %d to %d", n, least, most)
	}
	if left := acct.RecoveryCodesLeft; left != 10*n {
		h.lost("%d recovery codes with %d authenticators", left, n)
	}
}

// checkSession: who was signed in still is, at the level that was proved and no
// other; who was not is not (I3, I6). It returns the claims of the session.
func (h *history) checkSession() (c claims) {
	l, ctx := h.who, h.t.Context()
	v := NewVisitor()
	if l.browser != nil {
		v = l.browser.Tab()
	}
	verifier := oauth2.GenerateVerifier()
	h.try(l.rp.begin(ctx, v, verifier, oauth2.SetAuthURLParam("prompt", "none")))
	code, failure, err := l.rp.answer(v)
	mayOut, mustOut := l.out()
	complete := l.acked[audit.SignedIn] > 0 && l.acked[audit.TermsAccepted] > 0 && l.acked[audit.ConsentGiven] > 0
	switch {
	case err != nil:
		h.lost("%v", err)
	case code != "" && mustOut:
		h.lost("disabled, and signed in all the same")
	case code != "" && l.acked[audit.SignedIn]+l.unsure[audit.SignedIn] == 0:
		h.lost("signed in without a second factor")
	case code == "" && complete && !mayOut:
		h.lost("an acknowledged session, acceptance or consent is gone: %s", failure)
	case code != "":
		tokens, err := l.rp.redeem(ctx, code, verifier)
		if err != nil {
			h.lost("a code of an acknowledged session: %v", err)
			return c
		}
		if c, err = readClaims(tokens); err != nil {
			h.lost("%v", err)
		}
		h.checkClaims(c)
	}
	return c
}

// checkClaims: no token says more than what was proved (I6).
func (h *history) checkClaims(c claims) {
	l := h.who
	proved := len(l.steps) + l.unsure[audit.SignedIn]
	if proved == 0 && (slices.Contains(c.AMR, "otp") || c.ACR != "urn:anteroom:acr:pwd") {
		h.lost("tokens say %v, %s, and no code was accepted", c.AMR, c.ACR)
	}
	if proved > 0 && (!slices.Contains(c.AMR, "otp") || c.ACR != "urn:anteroom:acr:mfa") {
		h.lost("tokens say %v, %s after a code was accepted", c.AMR, c.ACR)
	}
}

// checkTicket: a code yields one token set, a family has one live leaf, and what
// was revoked stays so (I1, I3, I4).
func (h *history) checkTicket(t *ticket, session claims) {
	l, ctx := h.who, h.t.Context()
	mayOut, mustOut := l.out()
	dead := t.revoked || mustOut
	perhaps := mayOut || t.open == "revoke" || t.open == "refresh"
	if t.redeemed {
		h.checkClaims(t.claims)
		if session.Session != "" && session.Session == t.claims.Session && session.AuthTime != t.claims.AuthTime {
			h.lost("the session was proved at %d, and now says %d", t.claims.AuthTime, session.AuthTime)
		}
		newest, before := t.refresh, t.before
		tokens, err := l.rp.refresh(ctx, newest)
		switch {
		case err == nil && dead:
			h.lost("a revoked refresh token came back to life")
		case err == nil:
			newest = tokens.RefreshToken
			if before == "" {
				before = t.refresh
			}
		case refusal(err) != "invalid_grant":
			h.lost("the newest refresh token: %v", err)
		case !dead && !perhaps:
			h.lost("an acknowledged refresh token is dead")
		}
		if before != "" {
			h.refused("a rotated refresh token", h.refreshed(before))
		}
		h.refused("a redeemed code", h.redeemed(t))
		h.refused("a refresh token whose code was used again", h.refreshed(newest))
		return
	}
	// Nobody got tokens for it: it was perhaps redeemed, and works once at most.
	if err := h.redeemed(t); err != nil && refusal(err) != "invalid_grant" || err != nil && t.open == "" && !mayOut {
		h.lost("an acknowledged code is dead: %v", err)
	}
	h.refused("a redeemed code", h.redeemed(t))
}

func (h *history) refreshed(token string) error {
	_, err := h.who.rp.refresh(h.t.Context(), token)
	return err
}

func (h *history) redeemed(t *ticket) error {
	_, err := h.who.rp.redeem(h.t.Context(), t.code, t.verifier)
	return err
}

func (h *history) refused(what string, err error) {
	if refusal(err) != "invalid_grant" {
		h.lost("%s works: %v", what, err)
	}
}

// checkSignIn: the used codes stay used, the authenticator works, terms and
// consent are not asked again, and who is disabled stays out (I2, I3).
func (h *history) checkSignIn() {
	l, ctx := h.who, h.t.Context()
	again := newLife(l.person, l.rp, new(atomic.Int64))
	again.tried = l.tried
	defer func() {
		if again.browser != nil {
			again.browser.Client.CloseIdleConnections()
		}
	}()
	h.try(again.resume(ctx))
	h.try(again.page(ctx))
	v := again.browser
	mayOut, mustOut := l.out()
	if refused := v.URL().Path == "/login"; refused && mayOut {
		return
	} else if mustOut {
		h.lost("disabled, and the password leads to %s", v.URL())
		return
	}
	enrolled := l.acked[audit.AuthenticatorAdded] > 0
	if at := v.URL().Path; at != "/mfa/challenge" {
		if enrolled || at != "/mfa/enroll" {
			h.lost("after the password comes %s: %q", v.URL(), v.Text("error"))
		}
		return
	} else if !enrolled && l.unsure[audit.AuthenticatorAdded] == 0 {
		h.lost("a code is asked for, and nobody enrolled")
		return
	}
	for _, step := range l.steps {
		used, err := Code(l.secret, time.Unix(step*30, 0))
		h.try(err)
		h.try(v.Press(ctx, "challenge-submit", fields("code", used)))
		if v.URL().Path != "/mfa/challenge" || v.Location() != nil || !v.Has("error") {
			h.lost("the code of step %d was accepted a second time", step)
			return
		}
	}
	switch err := again.page(ctx); {
	case errors.Is(err, errNoCode):
		return // until half a minute later
	case err != nil:
		h.lost("the challenge: %v", err)
	case v.URL().Path == "/mfa/challenge" && v.Location() == nil:
		h.lost("the authenticator does not work: %q", v.Text("error"))
	}
	h.checkPages(again)
}

// checkPages follows the pages after the challenge.
func (h *history) checkPages(again *life) {
	for v := again.browser; v.Location() == nil; {
		switch at := v.URL().Path; {
		case at == "/terms" && h.who.acked[audit.TermsAccepted] > 0:
			h.lost("the terms are asked again")
			return
		case at == "/consent" && h.who.acked[audit.ConsentGiven] > 0:
			h.lost("the consent is asked again")
			return
		case at != "/terms" && at != "/consent":
			h.lost("after the challenge comes %s: %q", v.URL(), v.Text("error"))
			return
		}
		h.try(again.page(h.t.Context()))
	}
}

// checkChain returns how the audit log is not one chain (I5).
func checkChain(t *testing.T, op *demo.Operator) string {
	t.Helper()
	var verdict admin.Verdict
	if err := op.Do(t.Context(), http.MethodPost, "/audit/verify", admin.VerifyAudit{}, &verdict); err != nil || !verdict.Holds {
		return fmt.Sprintf("the audit chain: %v %+v", err, verdict)
	}
	return ""
}

// checkRows looks at all rows of a store at once, for what no page and no endpoint
// shows: two live leaves of a family, tokens of a code that was never redeemed.
func checkRows(ctx context.Context, s store.Mover) (faults []string, err error) {
	shot, err := s.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, shot.Close()) }()
	type family struct{ codes, used, leaves, tokens int }
	families := map[string]*family{}
	of := func(grant string) *family {
		if families[grant] == nil {
			families[grant] = &family{}
		}
		return families[grant]
	}
	bound := map[string]int{}
	for noun, each := range map[store.Noun]func(row any){
		"codes": func(row any) {
			c := row.(store.Code)
			of(c.GrantID).codes++
			if !c.UsedAt.IsZero() {
				of(c.GrantID).used++
			}
		},
		"refresh_tokens": func(row any) {
			r := row.(store.RefreshToken)
			of(r.GrantID).tokens++
			if r.UsedAt.IsZero() {
				of(r.GrantID).leaves++
			}
		},
		"authenticators": func(row any) { bound[row.(store.Authenticator).AccountID]++ },
	} {
		if err := shot.Rows(ctx, noun, func(row any) error { each(row); return nil }); err != nil {
			return nil, err
		}
	}
	for id, f := range families {
		if f.leaves > 1 || f.codes > 1 || f.tokens > 0 && f.used != f.codes {
			faults = append(faults, fmt.Sprintf("grant %s has %d codes (%d used), %d refresh tokens, %d of them live", id, f.codes, f.used, f.tokens, f.leaves))
		}
	}
	for id, n := range bound {
		if n > 1 {
			faults = append(faults, fmt.Sprintf("account %s has %d authenticators", id, n))
		}
	}
	return faults, nil
}
