package consent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"anteroom/flow"
	"anteroom/internal/audit"
	"anteroom/internal/rar"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/templates"
)

// ScopesStore is what consent writes to.
type ScopesStore interface {
	store.UnitOfWork
	store.Consents
	store.AuditLog
}

// Scopes asks whether a client may have what it wants: scopes, and authorization
// details (RFC 9396).
type Scopes struct {
	Hub   Hub
	Store ScopesStore
	Pages *templates.Renderer
	Now   func() time.Time
}

// Covers tells whether have contains everything in want.
func Covers(have, want []string) bool {
	return !slices.ContainsFunc(want, func(scope string) bool { return !slices.Contains(have, scope) })
}

// scopeWords say what a scope lets a client have.
var scopeWords = map[string]string{
	"openid":         "Recognise you when you come back",
	"profile":        "See your name and your profile",
	"email":          "See your e-mail address",
	"address":        "See your postal address",
	"phone":          "See your phone number",
	"roles":          "See your roles and organisations here",
	"offline_access": "Keep access while you are away, until you take it back",
}

// Lines puts scopes into words, in the order asked, each once; given are those
// that were consented to before.
func Lines(asked, given []string) []templates.ScopeLine {
	var lines []templates.ScopeLine
	for i, scope := range asked {
		if slices.Contains(asked[:i], scope) {
			continue
		}
		lines = append(lines, templates.ScopeLine{
			Name: scope, Text: scopeWords[scope], New: len(given) > 0 && !slices.Contains(given, scope),
		})
	}
	return lines
}

// Show is GET /consent.
func (s *Scopes) Show(w http.ResponseWriter, r *http.Request) error {
	p := flow.From(r)
	given, err := s.Store.Consent(r.Context(), p.Account.ID, p.ClientID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("load consent: %w", err)
	}
	client := p.Client.Name
	if client == "" && p.Stranger() == "" {
		client = p.Application.Name
	}
	return s.Pages.Page(w, http.StatusOK, &templates.Consent{
		Frame:   p.Frame(),
		Action:  p.URL("/consent"),
		Client:  client,
		Host:    p.Stranger(),
		Person:  p.Account.DisplayName(),
		Details: rar.Describe(p.Details, p.Application.DetailTypes),
		Scopes:  Lines(p.Ask.Scopes, given.Scopes),
	})
}

// Submit is POST /consent.
func (s *Scopes) Submit(w http.ResponseWriter, r *http.Request) error {
	p := flow.From(r)
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	event := store.AuditEvent{
		At: s.Now(), Actor: p.Account.ID, AccountID: p.Account.ID, ApplicationID: p.ApplicationID,
		ClientID: p.ClientID, Address: web.Address(r.Context()),
		Details: map[string]string{"scopes": strings.Join(p.Ask.Scopes, " ")},
	}
	if types := p.Details.Types(); len(types) > 0 {
		event.Details["authorization_details"] = strings.Join(types, " ") // what they say is the person's matter
	}
	switch {
	case form.Get("deny") != "":
		event.Type = audit.ConsentRefused
		if err := audit.Record(r.Context(), s.Store, event); err != nil {
			return err
		}
		return s.Hub.Refuse(w, r, &flow.ProtocolError{Code: "access_denied", Description: "the person did not consent"})
	case form.Get("allow") == "":
		return s.Show(w, r)
	}
	event.Type = audit.ConsentGiven
	return s.Hub.Done(w, r, func(ctx context.Context, in *flow.Interaction) error {
		scopes := slices.Clone(p.Ask.Scopes)
		slices.Sort(scopes)
		if err := s.Store.PutConsent(ctx, store.Consent{
			AccountID: p.Account.ID, ClientID: p.ClientID, Scopes: slices.Compact(scopes),
			Details: p.Details.String(), GrantedAt: event.At,
		}); err != nil {
			return fmt.Errorf("keep consent: %w", err)
		}
		in.ConsentedAt = event.At
		return audit.Record(ctx, s.Store, event)
	})
}
