package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"anteroom/internal/audit"
	"anteroom/store"
)

// Revoke ends a token (RFC 7009): an access token alone, a refresh token with
// its whole family. A token that is over or was never ours is answered like one
// that was just ended; if the store fails the answer is 503, never 200.
func (p *Provider) Revoke(w http.ResponseWriter, r *http.Request) {
	if cors(w, r, http.MethodPost) || !p.only(w, r, http.MethodPost) {
		return
	}
	if err := p.revoke(r); err != nil {
		p.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

func (p *Provider) revoke(r *http.Request) error {
	form, err := readStrict(r)
	if err != nil {
		return err
	}
	c, err := p.authenticate(r.Context(), r, form)
	if err != nil {
		return err
	}
	raw := form.Get("token")
	if raw == "" {
		return refuse("invalid_request", "The parameter token is missing.")
	}
	if strings.Contains(raw, ".") {
		return p.revokeAccess(r.Context(), c, raw)
	}
	return p.revokeRefresh(r.Context(), c, raw)
}

func errNotYours() *refusal {
	return refuse("unauthorized_client", "The token was not issued to this client.")
}

func (p *Provider) revokeAccess(ctx context.Context, c store.Client, raw string) error {
	t, err := p.openAccessToken(ctx, raw)
	if errors.Is(err, errToken) {
		return nil
	}
	if err != nil {
		return err
	}
	if t.ClientID != c.ID {
		return errNotYours()
	}
	denied, err := p.store.AccessTokenRevoked(ctx, t.ID)
	if err != nil {
		return fmt.Errorf("look up denied token: %w", err)
	}
	if denied {
		return nil
	}
	x := &exchange{now: p.now(), client: c, grant: store.Grant{ID: t.GrantID, ApplicationID: c.ApplicationID, SessionID: t.SessionID}}
	err = p.store.Do(ctx, func(ctx context.Context) error {
		if err := p.store.RevokeAccessToken(ctx, t.ID, time.Unix(t.ExpiresAt, 0)); err != nil {
			return err
		}
		return p.record(ctx, audit.GrantRevoked, x, map[string]string{"token": "access"})
	})
	if err != nil {
		return fmt.Errorf("deny access token: %w", err)
	}
	return nil
}

func (p *Provider) revokeRefresh(ctx context.Context, c store.Client, raw string) error {
	_, of, err := p.store.RefreshToken(ctx, p.seal.Digest(digestRefresh, raw), p.now())
	g := of.Grant
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil && !over(err):
		return fmt.Errorf("load refresh token: %w", err)
	case g.ClientID != c.ID:
		return errNotYours()
	case !g.RevokedAt.IsZero():
		return nil
	}
	x := &exchange{now: p.now(), client: c, grant: g}
	err = p.store.Do(ctx, func(ctx context.Context) error {
		if err := p.store.RevokeGrant(ctx, g.ID, "revoked by the client", x.now); err != nil {
			return err
		}
		return p.record(ctx, audit.GrantRevoked, x, map[string]string{"token": "refresh"})
	})
	if err != nil && !over(err) {
		return fmt.Errorf("revoke grant: %w", err)
	}
	return nil
}
