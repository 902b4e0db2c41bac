package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"anteroom/internal/rar"
	"anteroom/store"
)

func (in Interaction) clone() Interaction {
	if in.SecondFactor != nil {
		proof := *in.SecondFactor
		in.SecondFactor = &proof
	}
	in.RecoveryCodes = slices.Clone(in.RecoveryCodes)
	return in
}

// decide loads what is known about an interaction and asks Next.
func (h *Hub) decide(ctx context.Context, in Interaction, session *store.Session) (*Pending, Decision, error) {
	p := &Pending{Interaction: in, Session: session}
	f := Facts{Session: session}
	if err := h.loadTarget(ctx, p, &f); err != nil {
		return nil, Decision{}, err
	}
	if err := h.loadAccount(ctx, p, &f); err != nil {
		return nil, Decision{}, err
	}
	d := Next(in, f)
	p.Step = d.Step
	return p, d, nil
}

// loadTarget: where the person is going.
func (h *Hub) loadTarget(ctx context.Context, p *Pending, f *Facts) (err error) {
	if p.ApplicationID == "" {
		return nil
	}
	if p.Application, err = h.store.Application(ctx, p.ApplicationID); err != nil {
		return gone(err, "application", p.ApplicationID)
	}
	f.Application = p.Application
	if p.Kind.forClient() {
		find := h.store.Client
		if h.Clients != nil {
			find = h.Clients
		}
		if p.Client, err = find(ctx, p.ClientID); err != nil {
			return gone(err, "client", p.ClientID)
		}
		f.Stranger = p.Stranger() != ""
	}
	terms, err := h.store.CurrentTerms(ctx, p.ApplicationID)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load terms of %q: %w", p.ApplicationID, err)
	}
	p.Terms = &terms
	return nil
}

// loadAccount: who it is, by the interaction's own facts or the session.
func (h *Hub) loadAccount(ctx context.Context, p *Pending, f *Facts) error {
	id := p.AccountID
	if id == "" && p.Session != nil {
		id = p.Session.AccountID
	}
	if id == "" {
		return nil
	}
	account, err := h.store.Account(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load account: %w", err)
	}
	p.Account, f.Account = account, &account
	bound, err := h.store.AuthenticatorsOf(ctx, id)
	if err != nil {
		return fmt.Errorf("load authenticators: %w", err)
	}
	f.HasAuthenticator = len(bound) > 0
	if p.ApplicationID == "" {
		return nil
	}
	if f.MayEnter, err = h.mayEnter(ctx, account, p.Application); err != nil {
		return fmt.Errorf("check access: %w", err)
	}
	if err := h.loadTerms(ctx, p, f); err != nil {
		return err
	}
	return h.loadConsent(ctx, p, f)
}

func (h *Hub) loadTerms(ctx context.Context, p *Pending, f *Facts) error {
	if p.Terms == nil {
		return nil
	}
	accepted, err := h.store.AcceptedTerms(ctx, p.Account.ID, p.ApplicationID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("load accepted terms: %w", err)
	}
	p.AcceptedAny = err == nil
	f.TermsOwed = accepted.Version < p.Terms.Version
	return nil
}

func (h *Hub) loadConsent(ctx context.Context, p *Pending, f *Facts) error {
	if !p.Kind.forClient() {
		return nil
	}
	given, err := h.store.Consent(ctx, p.Account.ID, p.ClientID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("load consent: %w", err)
	}
	known := err == nil
	if p.Ask.Details {
		if p.Details, err = h.Engine.Details(ctx, p.Interaction); err != nil {
			return fmt.Errorf("load authorization details: %w", err)
		}
		f.DetailsOwed = p.Details.Owed(p.Application.DetailTypes, rar.Stored(given.Details))
	}
	f.ConsentCovers = known && !slices.ContainsFunc(p.Ask.Scopes, func(s string) bool {
		return !slices.Contains(given.Scopes, s)
	})
	return nil
}
