package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"anteroom/internal/audit"
	"anteroom/internal/web"
	"anteroom/store"
)

// refreshGrace is how long after its rotation a refresh token may come again
// without ending its family: a double submit, or a retry after a lost answer.
// It gets invalid_grant all the same, and there is never a second live leaf.
const refreshGrace = 10 * time.Second

// One sentence for all ways in which a code or token is no good: which one it
// was is nobody's business but ours.
func badCode(cause error) *refusal {
	return refuse("invalid_grant", "The code is unknown, expired, used, or not for this client and request.").because(cause)
}

func badRefresh(cause error) *refusal {
	return refuse("invalid_grant", "The refresh token is unknown, expired, used, revoked, or not for this client.").because(cause)
}

// orBad refuses with bad what is over, and passes failures on.
func orBad(err error, bad func(error) *refusal) error {
	if errors.Is(err, errDead) || over(err) {
		return bad(err)
	}
	return err
}

func (p *Provider) admitCode(ctx context.Context, x *exchange) error {
	raw := x.form.Get("code")
	if raw == "" {
		return refuse("invalid_request", "The parameter code is missing.")
	}
	var of store.Standing
	var err error
	x.code, of, err = p.store.Code(ctx, p.seal.Digest(digestCode, raw), x.now)
	x.standFor(of)
	if errors.Is(err, store.ErrNotFound) {
		return badCode(err)
	}
	if err != nil && !over(err) {
		return fmt.Errorf("load code: %w", err)
	}
	// The client first: somebody else's attempt must not end the family.
	if x.grant.ClientID != x.client.ID {
		return badCode(errors.New("a code of another client"))
	}
	if errors.Is(err, store.ErrConsumed) {
		return p.lostCode(ctx, x, err)
	}
	if err != nil {
		return badCode(err)
	}
	if jkt := grantKey(x.grant); jkt != "" && (x.cnf == nil || x.cnf.JKT != jkt) {
		return badCode(errors.New("a code that another key asked for (RFC 9449 section 10)"))
	}
	if err := p.standing(of, true); err != nil {
		return orBad(err, badCode)
	}
	x.scopes = x.grant.Scopes
	return x.narrow()
}

// settleCode uses the code up and adds the first refresh token.
func (p *Provider) settleCode(ctx context.Context, x *exchange) error {
	if !x.redeems {
		return errors.New("the handlers did not use the code up")
	}
	if err := p.store.RedeemCode(ctx, x.code.Hash, x.now); err != nil {
		return err
	}
	if x.next != nil {
		if err := p.store.CreateRefreshToken(ctx, *x.next); err != nil {
			return err
		}
	}
	return p.record(ctx, audit.CodeRedeemed, x, nil)
}

// lostCode answers a code that was used before, at once or later: its tokens die
// (RFC 6749 section 4.1.2).
func (p *Provider) lostCode(ctx context.Context, x *exchange, cause error) error {
	if !errors.Is(cause, store.ErrConsumed) {
		return badCode(cause)
	}
	if err := p.endFamily(ctx, x, audit.CodeReused); err != nil {
		return err
	}
	return badCode(cause)
}

// burn uses up a code that came with a wrong verifier, or without the one that
// it needs: whoever sent it did not begin the request.
func (p *Provider) burn(ctx context.Context, x *exchange, cause error) error {
	err := p.store.Do(ctx, func(ctx context.Context) error {
		if err := p.store.RedeemCode(ctx, x.code.Hash, x.now); err != nil {
			return err
		}
		if err := p.store.RevokeGrant(ctx, x.grant.ID, "wrong code_verifier", x.now); err != nil {
			return err
		}
		return p.record(ctx, audit.GrantRevoked, x, map[string]string{"reason": "wrong code_verifier"})
	})
	if over(err) {
		return p.lostCode(ctx, x, err)
	}
	if err != nil {
		return fmt.Errorf("burn code: %w", err)
	}
	return refuse("invalid_grant", "The code_verifier is missing or does not belong to the code_challenge.").because(cause)
}

// endFamily revokes the grant of a code or token that was used twice. Once is
// enough: what repeats itself writes nothing.
func (p *Provider) endFamily(ctx context.Context, x *exchange, event string) error {
	g, err := p.store.Grant(ctx, x.grant.ID, x.now)
	if over(err) || (err == nil && !g.RevokedAt.IsZero()) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load grant: %w", err)
	}
	err = p.store.Do(ctx, func(ctx context.Context) error {
		if err := p.store.RevokeGrant(ctx, x.grant.ID, event, x.now); err != nil {
			return err
		}
		return p.record(ctx, event, x, nil)
	})
	if err != nil && !over(err) {
		return fmt.Errorf("end family: %w", err)
	}
	return nil
}

func (p *Provider) admitRefresh(ctx context.Context, x *exchange) error {
	raw := x.form.Get("refresh_token")
	if raw == "" {
		return refuse("invalid_request", "The parameter refresh_token is missing.")
	}
	var of store.Standing
	var err error
	x.used, of, err = p.store.RefreshToken(ctx, p.seal.Digest(digestRefresh, raw), x.now)
	x.standFor(of)
	if errors.Is(err, store.ErrNotFound) {
		return badRefresh(err)
	}
	if err != nil && !over(err) {
		return fmt.Errorf("load refresh token: %w", err)
	}
	// The client first, as with codes.
	if x.grant.ClientID != x.client.ID {
		return badRefresh(errors.New("a refresh token of another client"))
	}
	if !x.holds(raw) {
		return badRefresh(errors.New("a refresh token of another key, or without proof"))
	}
	if errors.Is(err, store.ErrConsumed) {
		return p.lostRefresh(ctx, x, err)
	}
	if err != nil {
		return badRefresh(err)
	}
	if err := p.recheck(ctx, x, of); err != nil {
		return orBad(err, badRefresh)
	}
	if asked := words(x.form.Get("scope")); len(asked) > 0 {
		for _, s := range asked {
			if !contains(x.used.Scopes, s) {
				return refuse("invalid_scope", "The scope %s was not granted.", s)
			}
		}
		x.scopes = slices.DeleteFunc(slices.Clone(x.scopes), func(s string) bool { return !contains(asked, s) })
	}
	return x.narrow()
}

// recheck asks at every refresh what was asked at the sign-in: is the account
// still active, may it still enter, is its session alive where it must be, does
// the client still have the scopes and the consent.
func (p *Provider) recheck(ctx context.Context, x *exchange, of store.Standing) error {
	if err := p.standing(of, x.used.SessionBound); err != nil {
		return err
	}
	may, err := p.mayEnter(ctx, x.account, x.app)
	if err != nil {
		return fmt.Errorf("check access: %w", err)
	}
	if !may {
		return fmt.Errorf("the account may not enter any more: %w", errDead)
	}
	x.scopes, err = p.consented(ctx, x.app, x.grant, x.used.Scopes)
	if err != nil {
		return err
	}
	x.scopes = slices.DeleteFunc(slices.Clone(x.scopes), func(s string) bool { return !contains(x.client.Scopes, s) })
	return nil
}

func (p *Provider) settleRefresh(ctx context.Context, x *exchange) error {
	if !x.rotates || x.next == nil {
		return errors.New("the handlers did not rotate the refresh token")
	}
	if fapi(x.client) {
		return p.record(ctx, audit.TokenRefreshed, x, nil) // it keeps its refresh token
	}
	if err := p.store.RotateRefreshToken(ctx, x.used.Hash, *x.next, x.now); err != nil {
		return err
	}
	return p.record(ctx, audit.TokenRefreshed, x, nil)
}

// lostRefresh answers a refresh token that was rotated before: later than the
// grace it was stolen, from the client or by it, and the family ends (RFC 9700
// section 4.14.2).
func (p *Provider) lostRefresh(ctx context.Context, x *exchange, cause error) error {
	late := !x.used.UsedAt.IsZero() && x.now.Sub(x.used.UsedAt) > refreshGrace
	if errors.Is(cause, store.ErrConsumed) && late {
		if err := p.endFamily(ctx, x, audit.RefreshReused); err != nil {
			return err
		}
	}
	return badRefresh(cause)
}

// identityScopes are about a person; a client has none of its own.
var identityScopes = []string{"openid", "profile", "email", "phone", "address", "offline_access", "roles"}

// admitClient is RFC 6749 section 4.4. Without scope the client gets those that
// it is registered for.
func (p *Provider) admitClient(_ context.Context, x *exchange) error {
	if public(x.client) {
		return refuse("unauthorized_client", "A public client has no tokens of its own.")
	}
	asked := words(x.form.Get("scope"))
	for _, s := range asked {
		if !contains(x.client.Scopes, s) || contains(identityScopes, s) {
			return refuse("invalid_scope", "This client has no scope %s of its own.", s)
		}
	}
	if len(asked) == 0 {
		asked = slices.DeleteFunc(slices.Clone(x.client.Scopes), func(s string) bool { return contains(identityScopes, s) })
	}
	x.scopes, x.resources = asked, x.form["resource"]
	if err := checkResources(x.resources, x.client.Audiences); err != nil {
		return err
	}
	details, err := askDetails(x.form.Get(paramDetails), x.client, x.app)
	if err != nil {
		return err
	}
	return x.forResources(details)
}

// record writes the audit event of an exchange in the unit of work of ctx.
func (p *Provider) record(ctx context.Context, event string, x *exchange, details map[string]string) error {
	e := store.AuditEvent{
		At: x.now, Type: event, Actor: "client:" + x.client.ID, AccountID: x.grant.AccountID,
		ApplicationID: x.grant.ApplicationID, ClientID: x.client.ID, SessionID: x.grant.SessionID,
		Address: web.Address(ctx), Details: map[string]string{"grant": x.grant.ID},
	}
	for k, v := range details {
		e.Details[k] = v
	}
	return audit.Record(ctx, p.store, e)
}
