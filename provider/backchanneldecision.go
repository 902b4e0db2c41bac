package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"anteroom/flow"
	"anteroom/internal/audit"
	"anteroom/internal/notice"
	"anteroom/internal/seal"
	"anteroom/store"
)

func badAuthReqID(cause error) *refusal {
	return refuse("invalid_grant", "The auth_req_id is unknown, used, or not for this client.").because(cause)
}

// admitBackchannel is OpenID CIBA Core sections 10.1 and 11.
func (p *Provider) admitBackchannel(ctx context.Context, x *exchange) error {
	raw := x.form.Get("auth_req_id")
	if raw == "" {
		return refuse("invalid_request", "The parameter auth_req_id is missing.")
	}
	hash := p.seal.Digest(digestBackchannel, raw)
	b, err := p.store.Backchannel(ctx, hash, x.now)
	return p.admitWaiting(ctx, x, waiting{
		hash: hash, clientID: b.ClientID, grantID: b.GrantID, decidedAt: b.DecidedAt, usedAt: b.UsedAt, err: err,
		name: "auth_req_id", bad: badAuthReqID,
	})
}

// settleBackchannel uses the request up: of any number of polls one gets tokens.
func (p *Provider) settleBackchannel(ctx context.Context, x *exchange) error {
	_, err := p.store.UpdateBackchannel(ctx, x.waits, func(b *store.Backchannel) error { return useUp(&b.UsedAt, x.now) })
	if err != nil {
		return err
	}
	return p.settleWaiting(ctx, x, audit.BackchannelRedeemed)
}

// lostBackchannel: a client that polls twice at once keeps what the first poll got.
func (p *Provider) lostBackchannel(_ context.Context, _ *exchange, cause error) error {
	return badAuthReqID(cause)
}

// undecided returns the request of an interaction, if its person can still
// decide it, with its client and application.
func (p *Provider) undecided(ctx context.Context, hash, accountID string) (store.Backchannel, store.Client, store.Application, error) {
	var c store.Client
	var app store.Application
	b, err := p.store.Backchannel(ctx, hash, p.now())
	if err == nil && (!b.DecidedAt.IsZero() || b.AccountID != accountID) {
		err = errDecided
	}
	if err == nil {
		c, err = p.client(ctx, b.ClientID)
	}
	if err == nil && !contains(c.GrantTypes, grantBackchannel) {
		err = store.ErrNotFound
	}
	if err == nil {
		app, err = p.store.Application(ctx, b.ApplicationID)
	}
	if err != nil && !over(err) {
		err = fmt.Errorf("load backchannel request: %w", err)
	}
	return b, c, app, err
}

// approveBackchannel is Issue for a request over the back channel: the grant is
// made now, for whom the request is about and nobody else, and the client fetches
// its tokens with the next poll. The grant does not end with the session of the
// browser that was used to approve it.
func (p *Provider) approveBackchannel(ctx context.Context, in flow.Interaction, auth flow.Authentication, scopes []string) (flow.Answer, error) {
	hash := in.Values().Get("backchannel")
	b, c, app, err := p.undecided(ctx, hash, auth.AccountID)
	if over(err) {
		return p.requestsEnd("gone"), nil
	}
	if err != nil {
		return nil, err
	}
	denied, err := p.stillAllowed(ctx, &authorization{client: c, app: app}, in, auth)
	if err != nil {
		return nil, err
	}
	if denied != nil {
		return p.refuseBackchannel(ctx, in, auth)
	}
	g := p.laterGrant(c, app, auth, b.Scopes, scopes, backchannelLongest)
	g.Audiences, g.RequestedAt = b.Audiences, b.CreatedAt
	if err := p.store.CreateGrant(ctx, g); err != nil {
		return nil, fmt.Errorf("create grant: %w", err)
	}
	if err := p.decideBackchannel(ctx, b, c, g.ID); err != nil {
		return nil, fmt.Errorf("approve backchannel request: %w", err)
	}
	return p.requestsEnd("approved"), p.recordBackchannel(ctx, audit.BackchannelApproved, b, auth.AccountID, true)
}

// refuseBackchannel is Refuse for a request over the back channel. Only its
// person can: what somebody else did on the way leaves it waiting.
func (p *Provider) refuseBackchannel(ctx context.Context, in flow.Interaction, auth flow.Authentication) (flow.Answer, error) {
	err := p.store.Do(ctx, func(ctx context.Context) error {
		b, c, _, err := p.undecided(ctx, in.Values().Get("backchannel"), auth.AccountID)
		if err != nil {
			return err
		}
		if err := p.decideBackchannel(ctx, b, c, ""); err != nil {
			return err
		}
		return p.recordBackchannel(ctx, audit.BackchannelDenied, b, auth.AccountID, true)
	})
	if over(err) {
		return p.requestsEnd("gone"), nil
	}
	if err != nil {
		return nil, fmt.Errorf("deny backchannel request: %w", err)
	}
	return p.requestsEnd("denied"), nil
}

// decideBackchannel records a decision, once, in the unit of work of ctx, and
// with it the notice to a client in ping mode.
func (p *Provider) decideBackchannel(ctx context.Context, b store.Backchannel, c store.Client, grantID string) error {
	now := p.now()
	_, err := p.store.UpdateBackchannel(ctx, b.Hash, func(b *store.Backchannel) error {
		if !b.DecidedAt.IsZero() || !now.Before(b.ExpiresAt) {
			return errDecided
		}
		b.DecidedAt, b.GrantID = now, grantID
		return nil
	})
	if err != nil || setting(c, settingDelivery) != deliveryPing || len(b.Sealed) == 0 {
		return err
	}
	err = p.store.EnqueueNotice(ctx, store.Notice{
		ID: seal.RandomID(), Kind: store.NoticeDecided, ClientID: c.ID, AccountID: b.AccountID, Reference: b.Hash,
		CreatedAt: now, Delivery: store.Delivery{NextAttempt: now},
	})
	if err != nil {
		return fmt.Errorf("enqueue notice to %q: %w", c.ID, err)
	}
	return nil
}

// requestsEnd leads back to the page, once the decision is durable.
func (p *Provider) requestsEnd(result string) flow.Answer {
	return func(w http.ResponseWriter, r *http.Request) {
		p.noticed()
		w.Header().Set("Cache-Control", "no-store")
		redirect(w, r, PathRequests+"?"+url.Values{"result": {result}}.Encode())
	}
}

// ping tells a client that somebody decided (section 10.2); what, it learns from
// the token endpoint. Whoever fetched its tokens meanwhile need not be told.
func (p *Provider) ping(ctx context.Context, c store.Client, n store.Notice) error {
	b, err := p.store.Backchannel(ctx, n.Reference, p.now())
	if over(err) || (err == nil && !b.UsedAt.IsZero()) {
		return errNobody
	}
	if err != nil {
		return err
	}
	uri := notice.URI(c, settingNotify)
	if uri == "" || setting(c, settingDelivery) != deliveryPing {
		return errNobody
	}
	plain, err := p.seal.Open(sealBackchannel, b.Hash, b.Sealed)
	if err != nil {
		return fmt.Errorf("open notification: %w", err)
	}
	var told pinged
	if err := json.Unmarshal(plain, &told); err != nil {
		return errors.Join(errors.New("decode notification"), err)
	}
	body, err := json.Marshal(map[string]string{"auth_req_id": told.ID})
	if err != nil {
		return fmt.Errorf("encode notification: %w", err)
	}
	return p.fetch.PostBearer(ctx, uri, told.Token, "application/json", body)
}
