package mfa

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"anteroom/account"
	"anteroom/flow"
	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// Store is what the second factor needs to remember.
type Store interface {
	store.UnitOfWork
	store.Authenticators
	store.RecoveryCodes
	store.Once
	store.Metadata
	store.AuditLog
}

// Hub is where each step ends. *flow.Hub implements it.
type Hub interface {
	Done(w http.ResponseWriter, r *http.Request, prove func(ctx context.Context, in *flow.Interaction) error) error
	Browser(r *http.Request) flow.Browser
	NewSalt(w http.ResponseWriter, r *http.Request) error
	Knows(r *http.Request, accountID string) bool
}

// Pages renders pages. *templates.Renderer implements it.
type Pages interface {
	Page(w http.ResponseWriter, status int, p templates.Page) error
}

// Outbox takes mail in the unit of work of ctx. *mail.Outbox implements it.
type Outbox interface {
	Enqueue(ctx context.Context, to string, m templates.Mail) error
}

// Handler serves the second factor. All fields but Log are required. Its
// handlers run under flow.Require; doc.go says which under which step.
type Handler struct {
	Store    Store
	Hub      Hub
	Seal     *seal.Keyring
	Pages    Pages
	Outbox   Outbox
	Throttle *account.Throttle
	Label    string // what authenticator apps show as the issuer: one name for all portals
	Issuer   string // URL of the sign-in service, for mails
	Now      func() time.Time
	Log      *slog.Logger // nil: slog.Default
}

func (h *Handler) log() *slog.Logger {
	if h.Log == nil {
		return slog.Default()
	}
	return h.Log
}

func (h *Handler) now() time.Time { return store.Time(h.Now()) }

// byMethod runs show for GET and HEAD, submit for POST.
func byMethod(w http.ResponseWriter, r *http.Request, show, submit web.Handler) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if show != nil {
			return show(w, r)
		}
	case http.MethodPost:
		if submit != nil {
			return submit(w, r)
		}
	}
	return &web.Problem{
		Status: http.StatusMethodNotAllowed, Heading: "This address is used another way",
		Sentence: "Open the sign-in page again and use its buttons.",
	}
}

// bound returns the account's authenticators, oldest first, with their secrets.
// One that does not open is logged and has no secret: it must neither keep
// another from being used, nor itself from being replaced.
func (h *Handler) bound(ctx context.Context, accountID string) ([]Entry, error) {
	rows, err := h.Store.AuthenticatorsOf(ctx, accountID)
	if err != nil {
		return nil, fmt.Errorf("list authenticators: %w", err)
	}
	var entries []Entry
	for _, row := range rows {
		secret, err := account.OpenTOTP(h.Seal, accountID, row.Sealed)
		if err != nil {
			h.log().ErrorContext(ctx, "authenticator does not open", "account", accountID, "authenticator", row.ID, "error", err)
		}
		entries = append(entries, Entry{ID: row.ID, Secret: secret})
	}
	return entries, nil
}

// last returns the step above which codes are accepted. After a restore from a
// backup the store has forgotten what was accepted since, so nothing that was
// shown before the restore counts (invariant I2).
func (h *Handler) last(ctx context.Context, accountID string) (int64, error) {
	last, err := h.Store.LastTOTP(ctx, accountID)
	if err != nil {
		return 0, fmt.Errorf("last accepted step: %w", err)
	}
	text, err := h.Store.Meta(ctx, store.MetaRestored)
	if errors.Is(err, store.ErrNotFound) {
		return last, nil
	}
	if err != nil {
		return 0, fmt.Errorf("time of the restore: %w", err)
	}
	restored, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, fmt.Errorf("time of the restore: %w", err)
	}
	return max(last, StepAt(restored)+skew), nil
}

// codeSpace and codeKey record one code of one authenticator as spent: by being
// accepted, or by a diagnosis that spoke about it. Of the two only one happens.
const codeSpace = "totp code"

func codeKey(accountID, authenticatorID string, step int64) string {
	return accountID + "/" + authenticatorID + "/" + strconv.FormatInt(step, 10)
}

// spend records a code as spent until no clock can bring it back. Returns
// store.ErrConsumed if it was.
func (h *Handler) spend(ctx context.Context, accountID, authenticatorID string, step int64) error {
	return h.Store.UseOnce(ctx, codeSpace, codeKey(accountID, authenticatorID, step), h.now(), stepStart(step+skew+1))
}

// attempt is how a try of this request counts.
func (h *Handler) attempt(r *http.Request, p *flow.Pending) account.Attempt {
	return account.Attempt{
		Factor: account.FactorSecond, Account: p.Account.ID,
		Address: web.Address(r.Context()), Known: h.Hub.Knows(r, p.Account.ID),
	}
}

// record appends an audit event of the pending account in the unit of ctx.
func (h *Handler) record(ctx context.Context, in *flow.Interaction, kind string, details map[string]string) error {
	return audit.Record(ctx, h.Store, store.AuditEvent{
		At: h.now(), Type: kind, Actor: in.AccountID, AccountID: in.AccountID,
		ApplicationID: in.ApplicationID, ClientID: in.ClientID, SessionID: in.SessionID,
		Address: web.Address(ctx), Details: details,
	})
}

// refused counts a failure and records it, in one commit.
func (h *Handler) refused(r *http.Request, p *flow.Pending, why Reason) error {
	err := h.Store.Do(r.Context(), func(ctx context.Context) error {
		if err := h.Throttle.Failed(ctx, h.attempt(r, p)); err != nil {
			return err
		}
		return h.record(ctx, &p.Interaction, audit.SecondFactorRefused, map[string]string{"reason": string(why)})
	})
	if err != nil {
		return fmt.Errorf("count refused code: %w", err)
	}
	return nil
}

// replayed records that something spent was sent again. It is no guess, so it
// does not count as a failure: a form sent twice must not lock anybody out. Since
// nothing else bounds it, one event stands for all of a time step.
func (h *Handler) replayed(r *http.Request, p *flow.Pending, why Reason) error {
	now := h.now()
	step := StepAt(now)
	err := h.Store.Do(r.Context(), func(ctx context.Context) error {
		if err := h.Store.UseOnce(ctx, "replay recorded", codeKey(p.Account.ID, string(why), step), now, stepStart(step+1)); err != nil {
			return err
		}
		return h.record(ctx, &p.Interaction, audit.SecondFactorRefused, map[string]string{"reason": string(why)})
	})
	if err != nil && !errors.Is(err, store.ErrConsumed) {
		return fmt.Errorf("record replay: %w", err)
	}
	return nil
}

// mailFrame is the frame of a mail about the pending account.
func (h *Handler) mailFrame(p *flow.Pending) templates.MailFrame {
	return templates.MailFrame{
		Name: p.Account.DisplayName(), Portal: p.Application.Name,
		Colour: p.Application.Colour, Issuer: h.Issuer,
	}
}

// tell enqueues a mail to the pending account, if it has an address. One that
// mail cannot be sent to must not keep anybody from signing in.
func (h *Handler) tell(ctx context.Context, p *flow.Pending, m templates.Mail) error {
	if p.Account.Email == "" {
		return nil
	}
	err := h.Outbox.Enqueue(ctx, p.Account.Email, m)
	if errors.Is(err, store.ErrInvalid) {
		h.log().WarnContext(ctx, "no mail can be sent to the account", "account", p.Account.ID, "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("enqueue mail: %w", err)
	}
	return nil
}

// refusalStatus is the status of a form that comes back with a sentence.
const refusalStatus = http.StatusUnprocessableEntity

// throttled returns how a throttled form answers: its status and its sentence. ok is
// false if err is something else.
func throttled(w http.ResponseWriter, err error) (status int, sentence string, ok bool) {
	t, ok := errors.AsType[*account.Throttled](err)
	if !ok {
		return 0, "", false
	}
	w.Header().Set("Retry-After", strconv.Itoa(t.Seconds()))
	return http.StatusTooManyRequests, t.Explain(), true
}
