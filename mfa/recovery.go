package mfa

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"anteroom/flow"
	"anteroom/internal/audit"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// RecoveryCodes (GET, POST, step flow.StepRecoveryCodes) shows new recovery
// codes, once. They travel in the sealed interaction until the person goes on;
// the store only has their hashes.
func (h *Handler) RecoveryCodes(w http.ResponseWriter, r *http.Request) error {
	show := func(w http.ResponseWriter, r *http.Request) error {
		p := flow.From(r)
		return h.Pages.Page(w, http.StatusOK, &templates.RecoveryCodes{
			Frame: p.Frame(), Action: p.URL(string(flow.StepRecoveryCodes)), DownloadURL: p.URL(pathDownload),
			Codes: p.Interaction.RecoveryCodes, Account: p.Account.UserName,
		})
	}
	saved := func(w http.ResponseWriter, r *http.Request) error {
		return h.Hub.Done(w, r, func(_ context.Context, in *flow.Interaction) error {
			in.RecoveryCodes = nil
			return nil
		})
	}
	return byMethod(w, r, show, saved)
}

// DownloadRecoveryCodes (GET, step flow.StepRecoveryCodes) is the same as a text
// file.
func (h *Handler) DownloadRecoveryCodes(w http.ResponseWriter, r *http.Request) error {
	return byMethod(w, r, func(w http.ResponseWriter, r *http.Request) error {
		p := flow.From(r)
		var b strings.Builder
		fmt.Fprintf(&b, "Recovery codes for %s\r\nAccount: %s\r\nMade on: %s\r\n\r\n",
			oneLine(h.Label), oneLine(p.Account.UserName), h.now().Format("2 January 2006"))
		for _, code := range p.Interaction.RecoveryCodes {
			b.WriteString(code + "\r\n")
		}
		b.WriteString("\r\nIf you lose your phone, one of these codes gets you in. Each works once.\r\n" +
			"Keep them where you find them without your phone.\r\n")
		header := w.Header()
		header.Set("Content-Type", "text/plain; charset=utf-8")
		header.Set("Content-Disposition", `attachment; filename="recovery-codes.txt"`)
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		_, err := w.Write([]byte(b.String()))
		return err
	}, nil)
}

// oneLine keeps names from writing lines of their own.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Recovery (GET, POST, step flow.StepChallenge) takes a recovery code instead of
// a code, once, and makes the person enrol anew. It never says otp (invariant
// I6): the hub opens no session before a new authenticator is bound.
func (h *Handler) Recovery(w http.ResponseWriter, r *http.Request) error {
	return byMethod(w, r, h.askRecovery, h.checkRecovery)
}

const noneLeft = "There are no recovery codes left for this account. Ask your administrator to reset your authenticator."

func (h *Handler) askRecovery(w http.ResponseWriter, r *http.Request) error {
	p := flow.From(r)
	left, err := h.Store.RecoveryCodesLeft(r.Context(), p.Account.ID)
	if err != nil {
		return fmt.Errorf("count recovery codes: %w", err)
	}
	sentence := ""
	if left == 0 {
		sentence = noneLeft
	}
	return h.showRecovery(w, p, http.StatusOK, sentence)
}

func (h *Handler) showRecovery(w http.ResponseWriter, p *flow.Pending, status int, sentence string) error {
	return h.Pages.Page(w, status, &templates.Recovery{
		Frame: p.Frame(), Action: p.URL(pathRecovery), BackURL: p.URL(string(flow.StepChallenge)), Error: sentence,
	})
}

func (h *Handler) checkRecovery(w http.ResponseWriter, r *http.Request) error {
	p := flow.From(r)
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	typed := form.Get("recovery_code")
	if code, ok := ParseCode(typed); ok && (len(code) == digits || len(code) == 8) {
		return h.showRecovery(w, p, refusalStatus, "This looks like a code from your authenticator app. Go back to enter it.")
	}
	code, ok := ParseRecoveryCode(typed)
	if !ok {
		return h.showRecovery(w, p, refusalStatus, "A recovery code has twelve letters and digits, like k7m2-x9qd-4hnt. Enter one that you have not used.")
	}
	sentence, err := h.useRecovery(w, r, p, code)
	if status, wait, ok := throttled(w, err); ok {
		return h.showRecovery(w, p, status, wait)
	}
	if err != nil || sentence == "" {
		return err
	}
	return h.showRecovery(w, p, refusalStatus, sentence)
}

var errUnknownCode = errors.New("unknown recovery code")

// useRecovery uses a code up, or says in a sentence why it is refused. The
// account's lane is held from the limit to the count.
func (h *Handler) useRecovery(w http.ResponseWriter, r *http.Request, p *flow.Pending, code string) (sentence string, err error) {
	defer h.Throttle.Lane(p.Account.ID)()
	if err := h.Throttle.Allow(r.Context(), h.attempt(r, p)); err != nil {
		return "", err
	}
	err = h.spendRecovery(w, r, p, recoveryHash(h.Seal, p.Account.ID, code))
	switch {
	case errors.Is(err, store.ErrConsumed):
		return "You used this recovery code already. Enter another one of your list.", h.replayed(r, p, Recovery)
	case errors.Is(err, errUnknownCode):
		return "This recovery code is not right. Check it, or enter another one of your newest list.", h.refused(r, p, Recovery)
	}
	return "", err
}

func (h *Handler) spendRecovery(w http.ResponseWriter, r *http.Request, p *flow.Pending, hash string) error {
	now := h.now()
	return h.Hub.Done(w, r, func(ctx context.Context, in *flow.Interaction) error {
		err := h.Store.UseRecoveryCode(ctx, p.Account.ID, hash, now)
		if errors.Is(err, store.ErrNotFound) {
			return errUnknownCode
		}
		if err != nil {
			return fmt.Errorf("use recovery code: %w", err)
		}
		left, err := h.Store.RecoveryCodesLeft(ctx, p.Account.ID)
		if err != nil {
			return fmt.Errorf("count recovery codes: %w", err)
		}
		if err := h.record(ctx, in, audit.RecoveryCodeUsed, nil); err != nil {
			return err
		}
		if err := h.Throttle.Succeeded(ctx, h.attempt(r, p)); err != nil {
			return err
		}
		in.ProveSecondFactor(flow.Proof{At: now, Method: "recovery"})
		in.EnrolmentOwed = true
		return h.tell(ctx, p, templates.RecoveryCodeUsedMail{MailFrame: h.mailFrame(p), At: now, Left: left})
	})
}
