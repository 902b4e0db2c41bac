package mfa

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"anteroom/flow"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// Challenge (GET, POST, step flow.StepChallenge) asks for a code.
func (h *Handler) Challenge(w http.ResponseWriter, r *http.Request) error {
	return byMethod(w, r, h.askCode, h.checkCode)
}

// afterEnrolment: the enrolment code was accepted, and the application wants
// another one. The enrolment code is spent, so the page counts down.
func afterEnrolment(p *flow.Pending) bool { return p.SecondFactor != nil && p.SecondFactor.Enrolment }

func (h *Handler) askCode(w http.ResponseWriter, r *http.Request) error {
	p := flow.From(r)
	wait := 0
	if afterEnrolment(p) {
		last, err := h.last(r.Context(), p.Account.ID)
		if err != nil {
			return err
		}
		wait = seconds(waitAfter(last, h.now()))
	}
	return h.showChallenge(w, p, http.StatusOK, "", wait)
}

func (h *Handler) showChallenge(w http.ResponseWriter, p *flow.Pending, status int, sentence string, wait int) error {
	return h.Pages.Page(w, status, &templates.Challenge{
		Frame: p.Frame(), Action: p.URL(string(flow.StepChallenge)), RecoveryURL: p.URL(pathRecovery),
		Error: sentence, Wait: wait, AfterEnrolment: afterEnrolment(p),
	})
}

func (h *Handler) checkCode(w http.ResponseWriter, r *http.Request) error {
	p := flow.From(r)
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	code, ok := ParseCode(form.Get("code"))
	if _, recovery := ParseRecoveryCode(form.Get("code")); recovery && !ok {
		return h.showChallenge(w, p, refusalStatus, "This looks like a recovery code. Follow the link below to use it.", 0)
	}
	m, finding, err := h.check(r, p, code)
	if status, sentence, ok := throttled(w, err); ok {
		return h.showChallenge(w, p, status, sentence, 0)
	}
	if err != nil {
		return err
	}
	if finding != nil {
		return h.refuseCode(w, r, p, *finding)
	}
	err = h.accept(w, r, p, m)
	if errors.Is(err, store.ErrNotFound) {
		// The authenticator was removed meanwhile: the hub knows what is next.
		http.Redirect(w, r, p.URL(string(flow.StepChallenge)), http.StatusSeeOther)
		return nil
	}
	if !errors.Is(err, store.ErrConsumed) {
		return err
	}
	// Of several equal codes sent at once one wins; this was another. Or a
	// diagnosis spoke about this code, and so spent it.
	if err := h.replayed(r, p, Replayed); err != nil {
		return err
	}
	last, err := h.last(r.Context(), p.Account.ID)
	if err != nil {
		return err
	}
	return h.refuseCode(w, r, p, Finding{Reason: Replayed, Wait: waitAfter(max(last, m.step), h.now())})
}

// check looks a code up: where it can be accepted, or why it is refused. The
// account's lane is held from the limit to the count, so that guesses sent at
// once meet the limit as those sent one by one.
func (h *Handler) check(r *http.Request, p *flow.Pending, code string) (match, *Finding, error) {
	ctx := r.Context()
	if len(code) != digits && len(code) != 8 {
		return match{}, &Finding{Reason: Malformed}, nil
	}
	defer h.Throttle.Lane(p.Account.ID)()
	if err := h.Throttle.Allow(ctx, h.attempt(r, p)); err != nil {
		return match{}, nil, err
	}
	bound, err := h.bound(ctx, p.Account.ID)
	if err != nil {
		return match{}, nil, err
	}
	last, err := h.last(ctx, p.Account.ID)
	if err != nil {
		return match{}, nil, err
	}
	if m, ok := accepted(bound, code, h.now(), last); ok {
		return m, nil, nil
	}
	older := leftBehind(h.Seal, p.Account, h.Hub.Browser(r), bound)
	f := Diagnose(Case{Entries: bound, Older: older, Code: code, Now: h.now(), Last: last})
	if f.Reason == Replayed {
		return match{}, &f, h.replayed(r, p, f.Reason)
	}
	return match{}, &f, h.count(r, p, f)
}

// count spends what a finding reveals, then counts the failure. Only then the
// finding may be shown.
func (h *Handler) count(r *http.Request, p *flow.Pending, f Finding) error {
	if f.Reveals != nil {
		err := h.spend(r.Context(), p.Account.ID, f.Reveals.AuthenticatorID, f.Reveals.Step)
		if err != nil && !errors.Is(err, store.ErrConsumed) {
			return fmt.Errorf("spend a revealed code: %w", err)
		}
	}
	return h.refused(r, p, f.Reason)
}

func (h *Handler) refuseCode(w http.ResponseWriter, r *http.Request, p *flow.Pending, f Finding) error {
	return h.showChallenge(w, p, refusalStatus, f.Explain(false), seconds(f.Wait))
}

// accept makes the found code count: the store decides whether it still can.
func (h *Handler) accept(w http.ResponseWriter, r *http.Request, p *flow.Pending, m match) error {
	now := h.now()
	return h.Hub.Done(w, r, func(ctx context.Context, in *flow.Interaction) error {
		if err := h.spend(ctx, p.Account.ID, m.entry.ID, m.step); err != nil {
			return fmt.Errorf("spend code: %w", err)
		}
		if err := h.Store.AdvanceTOTP(ctx, p.Account.ID, m.step); err != nil {
			return fmt.Errorf("advance: %w", err)
		}
		if err := h.Store.TouchAuthenticator(ctx, p.Account.ID, m.entry.ID, now); err != nil {
			return fmt.Errorf("touch authenticator: %w", err)
		}
		if err := h.Throttle.Succeeded(ctx, h.attempt(r, p)); err != nil {
			return err
		}
		in.ProveSecondFactor(flow.Proof{At: now, Method: "otp"})
		return nil
	})
}
