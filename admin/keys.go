package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"anteroom/internal/audit"
	"anteroom/store"
)

// Key is one key of the ring that signs tokens. Its private part is not shown.
type Key struct {
	KID       string          `json:"kid"`
	Algorithm string          `json:"algorithm"`
	State     string          `json:"state"` // pending, active, retiring, retired
	CreatedAt time.Time       `json:"created_at"`
	ActiveAt  time.Time       `json:"active_at"`
	RetiredAt time.Time       `json:"retired_at,omitzero"`
	PublicJWK json.RawMessage `json:"public_jwk"`
}

// RotateKeys says how long the new keys are published before they sign.
type RotateKeys struct {
	Lead int64 `json:"lead,omitempty"` // seconds; 0: at once, when a key was stolen
}

func (a *API) listKeys(c call) (List[Key], error) {
	rows, err := a.Keys.List(c.ctx)
	return list(rows, "", func(k store.SigningKey) Key {
		return Key{k.KID, k.Algorithm, a.Keys.State(k, rows), k.CreatedAt, k.ActiveAt, k.RetiredAt, k.PublicJWK}
	}), err
}

func (a *API) rotateKeys(c call, in RotateKeys) (List[Key], error) {
	if in.Lead < 0 || in.Lead > 30*24*3600 {
		return List[Key]{}, mistakes{{"lead", "must be 0 to 2592000 seconds (30 days)"}}.problem()
	}
	_, err := a.Keys.Rotate(audit.WithActor(c.ctx, c.actor), time.Duration(in.Lead)*time.Second)
	if errors.Is(err, store.ErrConsumed) {
		return List[Key]{}, problem(http.StatusConflict, "rotated", "The keys were rotated by somebody else just now. List them before trying again.")
	}
	if err != nil {
		return List[Key]{}, err
	}
	return a.listKeys(c)
}

func (a *API) withdrawKey(c call) (Done, error) {
	kid := c.PathValue("key")
	err := a.Keys.Withdraw(audit.WithActor(c.ctx, c.actor), kid)
	if errors.Is(err, store.ErrInvalid) {
		return Done{}, problem(http.StatusConflict, "in-use", "This key signs now. Rotate at once first (anteroom keys rotate --now), then withdraw it.")
	}
	if err != nil {
		return Done{}, notFound(err, "signing key", kid)
	}
	return done("The key %s is withdrawn. Tokens that it signed count no more; portals learn it when they read the key set again.", kid)
}
