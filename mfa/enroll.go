package mfa

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"

	"anteroom/account"
	"anteroom/flow"
	"anteroom/internal/audit"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// enrolment is a pending one: nothing of it is kept until it is confirmed.
type enrolment struct {
	*flow.Pending
	secret []byte
	bound  []Entry // authenticators that the account has already
	older  []Entry // what else may be in the app
}

func (h *Handler) enrolment(r *http.Request) (*enrolment, error) {
	p := flow.From(r)
	bound, err := h.bound(r.Context(), p.Account.ID)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, one := range bound {
		ids = append(ids, one.ID)
	}
	browser := h.Hub.Browser(r)
	e := &enrolment{Pending: p, bound: bound, secret: pendingSecret(h.Seal, p.Account, browser, ids)}
	e.older = slices.Concat(bound, slices.DeleteFunc(leftBehind(h.Seal, p.Account, browser, bound), func(old Entry) bool {
		return slices.Equal(old.Secret, e.secret)
	}))
	return e, nil
}

// Enroll (GET, POST, step flow.StepEnroll) shows a new secret and binds it when
// the first code of it is right.
func (h *Handler) Enroll(w http.ResponseWriter, r *http.Request) error {
	show := func(w http.ResponseWriter, r *http.Request) error {
		e, err := h.enrolment(r)
		if err != nil {
			return err
		}
		return h.showEnroll(w, e, http.StatusOK, "")
	}
	return byMethod(w, r, show, h.confirm)
}

// EnrollRestart (POST, step flow.StepEnroll) gives this browser another secret.
func (h *Handler) EnrollRestart(w http.ResponseWriter, r *http.Request) error {
	return byMethod(w, r, nil, func(w http.ResponseWriter, r *http.Request) error {
		if err := h.Hub.NewSalt(w, r); err != nil {
			return fmt.Errorf("start enrolment again: %w", err)
		}
		return h.backToEnroll(w, r)
	})
}

func (h *Handler) backToEnroll(w http.ResponseWriter, r *http.Request) error {
	http.Redirect(w, r, flow.From(r).URL(string(flow.StepEnroll)), http.StatusSeeOther)
	return nil
}

func (h *Handler) showEnroll(w http.ResponseWriter, e *enrolment, status int, sentence string) error {
	uri := otpauthURI(h.Label, e.Account.UserName, e.secret)
	qr, err := qrSVG(uri)
	if err != nil {
		return err
	}
	text := base32Text.EncodeToString(e.secret)
	page := &templates.Enroll{
		Frame: e.Frame(), Action: e.URL(string(flow.StepEnroll)), NewSecret: e.URL(pathRestart),
		QR: qr, Secret: grouped(text), SecretRaw: text, OtpauthURI: template.URL(uri),
		Account: label(h.Label) + ": " + label(e.Account.UserName),
		Hint:    e.Application.EnrolmentHint, Replaces: len(e.bound) > 0, Error: sentence,
	}
	if e.Application.RequireMFA {
		page.Why = e.Application.Name + " asks for a code from an authenticator app at every sign-in."
	}
	return h.Pages.Page(w, status, page)
}

// confirm binds the secret if the code is of it.
func (h *Handler) confirm(w http.ResponseWriter, r *http.Request) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	e, err := h.enrolment(r)
	if err != nil {
		return err
	}
	code, _ := ParseCode(form.Get("code"))
	step, finding, err := h.checkEnrolment(r, e, code)
	if status, sentence, ok := throttled(w, err); ok {
		return h.showEnroll(w, e, status, sentence)
	}
	if err != nil {
		return err
	}
	if finding != nil {
		return h.showEnroll(w, e, refusalStatus, finding.Explain(true))
	}
	err = h.bind(w, r, e, step)
	if err == nil || !lostRace(err) {
		return err
	}
	return h.afterLostBind(w, r, e, step, err)
}

// checkEnrolment returns the step of a right code, or why it is refused. A wrong
// code is no guess here, for the page shows the secret, and nothing is counted.
// But where the account has an authenticator, what is said about its codes is
// worth guessing, so it counts as it does at a challenge.
func (h *Handler) checkEnrolment(r *http.Request, e *enrolment, code string) (int64, *Finding, error) {
	if len(e.bound) > 0 {
		defer h.Throttle.Lane(e.Account.ID)()
		if err := h.Throttle.Allow(r.Context(), h.attempt(r, e.Pending)); err != nil {
			return 0, nil, err
		}
	}
	last, err := h.last(r.Context(), e.Account.ID)
	if err != nil {
		return 0, nil, err
	}
	pending := []Entry{{Secret: e.secret}}
	if m, ok := accepted(pending, code, h.now(), last); ok {
		return m.step, nil, nil
	}
	f := Diagnose(Case{Entries: pending, Older: e.older, Code: code, Now: h.now(), Last: last, Typed: true})
	if len(e.bound) == 0 || f.Reason == Malformed || f.Reason == Replayed {
		return 0, &f, nil
	}
	return 0, &f, h.count(r, e.Pending, f)
}

// bind keeps the confirmed authenticator, in one commit with all that it means.
func (h *Handler) bind(w http.ResponseWriter, r *http.Request, e *enrolment, step int64) error {
	id := authenticatorID(h.Seal, e.Account.ID, e.secret)
	now := h.now()
	added := store.Authenticator{
		ID: id, AccountID: e.Account.ID, Kind: "totp", Label: "Authenticator app",
		Sealed: account.SealTOTP(h.Seal, e.Account.ID, e.secret), CreatedAt: now, LastUsedAt: now,
	}
	codes := newRecoveryCodes()
	hashes := recoveryHashes(h.Seal, e.Account.ID, codes)
	return h.Hub.Done(w, r, func(ctx context.Context, in *flow.Interaction) error {
		replaced := in.EnrolmentOwed && len(e.bound) > 0
		if in.EnrolmentOwed {
			// One recovery code buys one enrolment, however often its cookie is sent.
			if err := h.Store.UseOnce(ctx, "enrolment owed", in.ID, now, in.ExpiresAt); err != nil {
				return fmt.Errorf("pay the owed enrolment: %w", err)
			}
			if err := h.removeOld(ctx, in, e.bound); err != nil {
				return err
			}
		}
		if err := h.Store.AdvanceTOTP(ctx, e.Account.ID, step); err != nil {
			return fmt.Errorf("advance: %w", err)
		}
		if err := h.Store.AddAuthenticator(ctx, added); err != nil {
			return fmt.Errorf("add authenticator: %w", err)
		}
		if err := h.record(ctx, in, audit.AuthenticatorAdded, map[string]string{"authenticator": id, "kind": "totp"}); err != nil {
			return err
		}
		if err := h.Store.ReplaceRecoveryCodes(ctx, e.Account.ID, hashes, now); err != nil {
			return fmt.Errorf("keep recovery codes: %w", err)
		}
		if err := h.record(ctx, in, audit.RecoveryCodesCreated, nil); err != nil {
			return err
		}
		if err := h.Throttle.Succeeded(ctx, h.attempt(r, e.Pending)); err != nil {
			return err
		}
		in.ProveSecondFactor(flow.Proof{At: now, Method: "otp", Enrolment: true})
		in.EnrolmentOwed, in.RecoveryCodes = false, slices.Clone(codes)
		return h.tell(ctx, e.Pending, templates.AuthenticatorAddedMail{MailFrame: h.mailFrame(e.Pending), At: now, Replaced: replaced})
	})
}

func (h *Handler) removeOld(ctx context.Context, in *flow.Interaction, old []Entry) error {
	for _, one := range old {
		if err := h.Store.RemoveAuthenticator(ctx, in.AccountID, one.ID); err != nil {
			return fmt.Errorf("remove authenticator: %w", err)
		}
		if err := h.record(ctx, in, audit.AuthenticatorRemoved, map[string]string{"authenticator": one.ID, "kind": "totp"}); err != nil {
			return err
		}
	}
	return nil
}

// lostRace: another request of the same account was quicker, or the same form
// was sent twice.
func lostRace(err error) bool {
	return errors.Is(err, store.ErrConsumed) || errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrNotFound)
}

// afterLostBind finds out what happened meanwhile, and leads on.
func (h *Handler) afterLostBind(w http.ResponseWriter, r *http.Request, e *enrolment, step int64, lost error) error {
	now, err := h.enrolment(r)
	if err != nil {
		return err
	}
	if !slices.Equal(now.secret, e.secret) {
		// Confirmed in another tab: the hub knows where to go from here.
		return h.backToEnroll(w, r)
	}
	last, err := h.last(r.Context(), e.Account.ID)
	if err != nil {
		return err
	}
	if errors.Is(lost, store.ErrConsumed) && last >= step {
		f := Finding{Reason: Replayed, Wait: waitAfter(last, h.now())}
		return h.showEnroll(w, e, refusalStatus, f.Explain(true))
	}
	if errors.Is(lost, store.ErrConsumed) {
		return &web.Problem{
			Status: http.StatusConflict, Heading: "Your authenticator is set up already", Frame: e.Frame(), Cause: lost,
			Sentence: "This page was used before. Sign in again with the code of your new authenticator.",
		}
	}
	return lost
}
