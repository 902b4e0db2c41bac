package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"anteroom/internal/audit"
	"anteroom/internal/rar"
	"anteroom/store"
)

const (
	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeOfAccess    = "urn:ietf:params:oauth:token-type:access_token"
	typeOfJWT       = "urn:ietf:params:oauth:token-type:jwt"
	maxActors       = 5 // links of a chain of delegation
	settingExchange = "token_exchange"
)

// actor says who acts for the subject of a token (RFC 8693 section 4.1).
type actor struct {
	Subject  string `json:"sub"`
	ClientID string `json:"client_id,omitempty"`
	Actor    *actor `json:"act,omitempty"` // who did before
}

// exchangePolicy is what an operator lets a client exchange: its setting
// token_exchange, {"clients": [...], "impersonation": true}. Without one a client
// exchanges nothing.
type exchangePolicy struct {
	clients       []string // whose tokens; its own are always among them
	impersonation bool     // tokens that do not say who acts
}

func exchangePolicyOf(c store.Client) (exchangePolicy, bool) {
	raw, ok := c.Settings[settingExchange].(map[string]any)
	if !ok {
		return exchangePolicy{}, false
	}
	var policy exchangePolicy
	list, _ := raw["clients"].([]any)
	for _, one := range list {
		policy.clients = append(policy.clients, text1(one))
	}
	policy.impersonation, _ = raw["impersonation"].(bool)
	return policy, true
}

// admitExchange is RFC 8693 section 2.1: an access token of a person for another
// one, for fewer scopes, other resources, and this client. What ends the first
// token's grant ends the second, and it lives no longer.
func (p *Provider) admitExchange(ctx context.Context, x *exchange) error {
	policy, ok := exchangePolicyOf(x.client)
	if !ok || public(x.client) {
		return refuse("unauthorized_client", "The operator has not said which tokens this client may exchange.")
	}
	if t := x.form.Get("requested_token_type"); t != "" && t != typeOfAccess && t != typeOfJWT {
		return refuse("invalid_request", "The requested_token_type %s is not supported.", t)
	}
	subject, err := p.exchangeable(ctx, x, "subject_token")
	if err != nil {
		return err
	}
	from := subject.claims.ClientID
	if from != x.client.ID && !contains(policy.clients, from) {
		return refuse("invalid_request", "This client may not exchange the tokens of %s.", from)
	}
	if err := p.exchangeActor(ctx, x, subject, policy); err != nil {
		return err
	}
	x.grant, x.account, x.subjectExpires = subject.grant, subject.account, subject.claims.ExpiresAt
	// Roles are those in the application that the new token is for.
	x.grant.ApplicationID = x.client.ApplicationID
	may, err := p.mayEnter(ctx, x.account, x.app)
	if err != nil {
		return fmt.Errorf("check access: %w", err)
	}
	if !may {
		return refuse("invalid_request", "The person has no access to the application of this client.")
	}
	return x.exchangeScopes(subject)
}

// exchangeScopes: some of the subject token's, and never those that make more
// of an access token than it is.
func (x *exchange) exchangeScopes(subject liveToken) error {
	have := slices.DeleteFunc(words(subject.claims.Scope), func(s string) bool {
		return s == "openid" || s == "offline_access" || !contains(x.client.Scopes, s)
	})
	x.scopes = have
	if asked := words(x.form.Get("scope")); len(asked) > 0 {
		for _, s := range asked {
			if !contains(have, s) {
				return refuse("invalid_scope", "The subject_token or this client has no scope %s to give.", s)
			}
		}
		x.scopes = asked
	}
	x.resources = append(slices.Clone(x.form["resource"]), x.form["audience"]...)
	if err := checkResources(x.resources, x.client.Audiences); err != nil {
		return err
	}
	return x.narrowDetails(rar.Stored(string(subject.claims.Details)))
}

// exchangeable returns a token of the request that is good and a person's.
func (p *Provider) exchangeable(ctx context.Context, x *exchange, name string) (liveToken, error) {
	raw, kind := x.form.Get(name), x.form.Get(name+"_type")
	switch {
	case raw == "" || kind == "":
		return liveToken{}, refuse("invalid_request", "The parameters %s and %s_type are both needed.", name, name)
	case kind != typeOfAccess && kind != typeOfJWT:
		return liveToken{}, refuse("invalid_request", "The %s_type %s is not supported.", name, kind)
	}
	t, err := p.live(ctx, raw)
	if errors.Is(err, errToken) || errors.Is(err, errDead) {
		return t, refuse("invalid_request", "The %s is unknown, expired or revoked.", name).because(err) // section 2.2.2
	}
	if err != nil {
		return t, err
	}
	if t.grant.ID == "" && name == "subject_token" {
		return t, refuse("invalid_request", "The subject_token is not about a person.")
	}
	return t, nil
}

// exchangeActor says in the new token who acts: who shows an actor_token, else
// the client; nobody, where the operator allows that.
func (p *Provider) exchangeActor(ctx context.Context, x *exchange, subject liveToken, policy exchangePolicy) error {
	before := subject.claims.Actor
	for depth, a := 0, before; a != nil; depth, a = depth+1, a.Actor {
		if depth >= maxActors {
			return refuse("invalid_request", "The subject_token was passed on too often.")
		}
	}
	if x.form.Get("actor_token") == "" {
		if x.form.Get("actor_token_type") != "" {
			return refuse("invalid_request", "There is an actor_token_type without an actor_token.")
		}
		if !policy.impersonation {
			x.actor = &actor{Subject: x.client.ID, ClientID: x.client.ID, Actor: before}
		} else {
			x.actor = before
		}
		return nil
	}
	t, err := p.exchangeable(ctx, x, "actor_token")
	if err != nil {
		return err
	}
	if t.claims.ClientID != x.client.ID {
		return refuse("invalid_request", "The actor_token is another client's.")
	}
	x.actor = &actor{Subject: t.claims.Subject, ClientID: t.claims.ClientID, Actor: before}
	return nil
}

// settleExchange records the exchange; the token itself is not stored.
func (p *Provider) settleExchange(ctx context.Context, x *exchange) error {
	details := map[string]string{"impersonation": "false"}
	if x.actor == nil {
		details["impersonation"] = "true"
	}
	return p.record(ctx, audit.TokenExchanged, x, details)
}

func (p *Provider) lostExchange(_ context.Context, _ *exchange, cause error) error {
	return refuse("invalid_request", "The subject_token is unknown, expired or revoked.").because(cause)
}
