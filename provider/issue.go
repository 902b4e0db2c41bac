package provider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"anteroom/flow"
	"anteroom/internal/audit"
	"anteroom/internal/notice"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
)

// reparse checks the original parameters of an interaction from scratch: since
// the first time the client may have lost a redirect URI, a scope, or itself.
func (p *Provider) reparse(ctx context.Context, in flow.Interaction) (*authorization, error) {
	original, err := keptParams(in.Params)
	if err != nil {
		return nil, fmt.Errorf("parameters of interaction %q: %w", in.ID, err)
	}
	if in.Kind != flow.KindAuthorize || in.ClientID != original.Get("client_id") {
		return nil, fmt.Errorf("interaction %q is no authorization request", in.ID)
	}
	if original, err = p.pullAgain(ctx, original); err != nil {
		return nil, err
	}
	return p.parse(ctx, original)
}

// Issue implements flow.Engine. It writes the grant with its code and the audit
// event in the unit of work of ctx.
func (p *Provider) Issue(ctx context.Context, in flow.Interaction, auth flow.Authentication, scopes []string) (flow.Answer, error) {
	switch in.Kind {
	case flow.KindDevice:
		return p.approveDevice(ctx, in, auth, scopes)
	case flow.KindBackchannel:
		return p.approveBackchannel(ctx, in, auth, scopes)
	}
	a, err := p.reparse(ctx, in)
	if wrong, ok := errors.AsType[*refusal](err); ok && a != nil && wrong.status < 500 {
		return p.answerError(a.target, &wrong.ProtocolError), nil
	}
	if err != nil {
		return nil, err
	}
	denied, err := p.stillAllowed(ctx, a, in, auth)
	if err != nil {
		return nil, err
	}
	if denied != nil {
		return p.answerError(a.target, denied), nil
	}
	if ok, err := p.usePushed(ctx, a); err != nil {
		return nil, err
	} else if !ok {
		return p.answerError(a.target, &flow.ProtocolError{Code: "invalid_request_uri", Description: "A code was issued for this request_uri before."}), nil
	}
	i := &issue{now: p.now(), grant: p.newGrant(a, in, auth, scopes)}
	values, err := p.writeGrant(ctx, a, i)
	if err != nil {
		return nil, err
	}
	p.addSessionState(a, auth.SessionID, values)
	if sortedType(a.Get("response_type")) == "code" {
		return p.answer(a.target, values), nil
	}
	account, err := p.store.Account(ctx, auth.AccountID)
	if err != nil {
		return nil, fmt.Errorf("load account: %w", err)
	}
	return p.answerFront(a, &exchange{
		now: i.now, client: a.client, app: a.app, account: account, grant: i.grant, scopes: i.grant.Scopes, resources: a.resources,
		details: a.details.For(a.resources),
	}, values), nil
}

// writeGrant writes the grant, with its code if one was asked for, and what the
// audit log says about it. It returns the parameters of the answer so far.
func (p *Provider) writeGrant(ctx context.Context, a *authorization, i *issue) (url.Values, error) {
	values, event := url.Values{}, audit.TokensIssued
	if a.asks("code") {
		event = audit.CodeIssued
		for _, s := range i.grant.Scopes {
			a.requester.GrantScope(s)
		}
		a.requester.SetID(i.grant.ID)
		response, err := p.fosite.NewAuthorizeResponse(withIssue(withClient(ctx, a.plainClient()), i), a.requester, newSession(i.grant.AccountID))
		if err != nil {
			return nil, fmt.Errorf("issue code: %w", err)
		}
		values.Set("code", response.GetCode())
	} else if err := p.store.CreateGrant(ctx, i.grant); err != nil {
		return nil, fmt.Errorf("issue tokens: %w", err)
	}
	return values, audit.Record(ctx, p.store, store.AuditEvent{
		At: i.now, Type: event, Actor: i.grant.AccountID, AccountID: i.grant.AccountID,
		ApplicationID: a.app.ID, ClientID: a.client.ID, SessionID: i.grant.SessionID, Address: web.Address(ctx),
		Details: map[string]string{"grant": i.grant.ID, "response_type": sortedType(a.Get("response_type"))},
	})
}

// Refuse implements flow.Engine.
func (p *Provider) Refuse(ctx context.Context, in flow.Interaction, e *flow.ProtocolError) (flow.Answer, error) {
	switch in.Kind {
	case flow.KindDevice:
		return p.refuseDevice(ctx, in, in.AccountID)
	case flow.KindBackchannel:
		// Without an account of its own it is the one that began it, by her session.
		return p.refuseBackchannel(ctx, in, flow.Authentication{AccountID: cmp.Or(in.AccountID, in.Ask.HintSubject)})
	}
	a, err := p.reparse(ctx, in)
	if wrong, ok := errors.AsType[*refusal](err); ok && a != nil {
		return p.answerError(a.target, &wrong.ProtocolError), nil
	}
	if err != nil {
		return nil, err
	}
	return p.answerError(a.target, e), nil
}

// stillAllowed looks at the account as it is in the commit that issues the code.
func (p *Provider) stillAllowed(ctx context.Context, a *authorization, in flow.Interaction, auth flow.Authentication) (*flow.ProtocolError, error) {
	denied := &flow.ProtocolError{Code: "access_denied", Description: "The account has no access to this application."}
	if in.Ask.HintSubject != "" && in.Ask.HintSubject != auth.AccountID {
		return &flow.ProtocolError{Code: "login_required", Description: "Another account signed in than the one that was asked for."}, nil
	}
	account, err := p.store.Account(ctx, auth.AccountID)
	if errors.Is(err, store.ErrNotFound) {
		return denied, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load account: %w", err)
	}
	if account.State != store.AccountActive || auth.AuthTime.Before(account.NotBefore) {
		return denied, nil
	}
	may, err := p.mayEnter(ctx, account, a.app)
	if err != nil {
		return nil, fmt.Errorf("check access: %w", err)
	}
	if !may {
		return denied, nil
	}
	return nil, nil
}

// newGrant is what the client gets: never more than was asked for and allowed,
// and what the hub says was granted of it.
func (p *Provider) newGrant(a *authorization, in flow.Interaction, auth flow.Authentication, scopes []string) store.Grant {
	now := p.now()
	granted := slices.DeleteFunc(slices.Clone(a.scopes), func(s string) bool { return !contains(scopes, s) })
	later := url.Values{}
	if jkt := a.Get("dpop_jkt"); jkt != "" {
		later.Set("dpop_jkt", jkt)
	}
	return store.Grant{
		ID: seal.RandomID(), ClientID: a.client.ID, ApplicationID: a.app.ID,
		AccountID: auth.AccountID, SessionID: auth.SessionID,
		Scopes: granted, Audiences: a.resources, RequestedAt: in.StartedAt,
		AuthTime: auth.AuthTime, AMR: auth.AMR, ACR: auth.ACR,
		Nonce: a.params.Get("nonce"), Claims: a.claims.within(scopes).encode(), Details: a.details.String(), Params: later.Encode(),
		CreatedAt: now, ExpiresAt: now.Add(p.grantLife(a.client)),
	}
}

// grantLife is how long a family can live: used codes and tokens are kept as
// long as there is something that their reuse could end. Clients that want to be
// told of logouts are found by their grants, so these live as long.
func (p *Provider) grantLife(c store.Client) time.Duration {
	if contains(c.GrantTypes, "refresh_token") || notice.Wants(c) {
		return p.life.Grant
	}
	return p.life.Code + p.life.AccessToken
}
