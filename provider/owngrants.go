package provider

import (
	"context"

	"github.com/ory/fosite"
)

// ownGrants makes the tokens of grants that fosite has no handlers for, or none
// that we trust. What they may be made for was checked before (admit).
type ownGrants struct {
	tokens *strategy
}

var _ fosite.TokenEndpointHandler = (*ownGrants)(nil)

// ownGrantTypes says which tokens a grant gets besides an access token.
var ownGrantTypes = map[string]struct{ refresh, id bool }{
	grantDevice:      {refresh: true, id: true},
	grantBackchannel: {refresh: true, id: true},
	grantExchange:    {},
	grantJWTBearer:   {},
}

func (h *ownGrants) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

func (h *ownGrants) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	_, ok := ownGrantTypes[r.GetRequestForm().Get("grant_type")]
	return ok
}

func (h *ownGrants) HandleTokenEndpointRequest(ctx context.Context, r fosite.AccessRequester) error {
	if !h.CanHandleTokenEndpointRequest(ctx, r) {
		return fosite.ErrUnknownRequest
	}
	return nil
}

func (h *ownGrants) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, w fosite.AccessResponder) error {
	kind, ok := ownGrantTypes[r.GetRequestForm().Get("grant_type")]
	x := exchangeFrom(ctx)
	if !ok || x == nil {
		return fosite.ErrUnknownRequest
	}
	access, _, err := h.tokens.GenerateAccessToken(ctx, r)
	if err != nil {
		return err
	}
	w.SetAccessToken(access)
	w.SetTokenType("bearer")
	if r.GetRequestForm().Get("grant_type") == grantExchange {
		w.SetExtra("issued_token_type", typeOfAccess) // RFC 8693 section 2.2.1
	}
	if kind.refresh && contains(x.client.GrantTypes, "refresh_token") {
		refresh, _, err := h.tokens.GenerateRefreshToken(ctx, r)
		if err != nil {
			return err
		}
		w.SetExtra("refresh_token", refresh)
	}
	if kind.id && contains(x.scopes, "openid") {
		id, err := h.tokens.GenerateIDToken(ctx, 0, r)
		if err != nil {
			return err
		}
		w.SetExtra("id_token", id)
	}
	return nil
}
