package provider

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
)

// Registration says who may register clients by themselves. The zero value:
// nobody, and there is no endpoint.
type Registration struct {
	// Open lets everybody register. Whoever does so chooses the name that people
	// read on the sign-in page.
	Open bool
	// Tokens lets those register who hold an initial access token (RFC 7591 section
	// 1.2) that the operator made (store.RegistrationTokens).
	Tokens bool
	// Token is one more such token, of the configuration, without an end; empty:
	// there is none.
	Token string
	// Issuers are whose software statements are believed; none: every statement is
	// refused.
	Issuers []StatementIssuer
	// NeedsStatement refuses registrations without one.
	NeedsStatement bool
}

// On tells whether anybody may.
func (r Registration) On() bool { return r.Open || r.Tokens || r.Token != "" }

// Who registers openly writes to the store: so many times an hour from one
// address.
const registerPerHour = 100

// mayRegister asks for an initial access token, or, where registration is open
// and none is shown, counts. What it returns uses the token up, in the unit of
// work that registers, and says which it was.
func (p *Provider) mayRegister(r *http.Request) (func(ctx context.Context) (map[string]string, error), error) {
	free := func(context.Context) (map[string]string, error) { return nil, nil }
	if r.Header.Get("Authorization") != "" {
		return p.initialToken(r)
	}
	if !p.registration.Open {
		return nil, errBearer(errNoToken)
	}
	f, err := p.store.RecordFailure(r.Context(), "register "+web.Address(r.Context()), p.now(), time.Hour)
	if err != nil {
		return nil, fmt.Errorf("count registrations: %w", err)
	}
	if f.Count > registerPerHour {
		return nil, refuse("temporarily_unavailable", "Too many registrations from this address. Try again in an hour.").
			withStatus(http.StatusTooManyRequests)
	}
	return free, nil
}

func (p *Provider) initialToken(r *http.Request) (func(ctx context.Context) (map[string]string, error), error) {
	raw, err := headerToken(r)
	if err != nil {
		return nil, err
	}
	hash := p.seal.Digest(seal.RegistrationToken, raw)
	if p.registration.Token != "" && hmac.Equal([]byte(hash), []byte(p.seal.Digest(seal.RegistrationToken, p.registration.Token))) {
		return func(context.Context) (map[string]string, error) {
			return map[string]string{"token": "registration.token"}, nil
		}, nil
	}
	_, err = p.store.RegistrationToken(r.Context(), hash, p.now())
	if deadToken(err) {
		return nil, errBearer(fmt.Errorf("initial access token: %w", err))
	}
	if err != nil {
		return nil, fmt.Errorf("load initial access token: %w", err)
	}
	return func(ctx context.Context) (map[string]string, error) {
		t, err := p.store.UseRegistrationToken(ctx, hash, p.now())
		return map[string]string{"token": t.ID}, err
	}, nil
}

// deadToken tells whether a registration token is unknown or good for nothing.
func deadToken(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConsumed) || errors.Is(err, store.ErrRevoked) || errors.Is(err, store.ErrExpired)
}

// headerToken is bearer without the form: a body here is metadata.
func headerToken(r *http.Request) (string, error) {
	all := r.Header.Values("Authorization")
	if len(all) == 0 {
		return "", errBearer(errNoToken)
	}
	scheme, token, _ := strings.Cut(all[0], " ")
	if len(all) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return "", errBearer(errors.New("an Authorization header that is not one Bearer token"))
	}
	return strings.TrimSpace(token), nil
}
