package admin

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/store"
)

// RegistrationToken lets its holder register clients (the initial access token of
// RFC 7591 section 1.2).
type RegistrationToken struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	State     string    `json:"state"` // open, used, revoked, expired
	Uses      int       `json:"uses"`  // how many clients it may register
	Used      int       `json:"used"`
	CreatedBy string    `json:"created_by"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	LastUsed  time.Time `json:"last_used,omitzero"`
}

// CreateRegistrationToken says what a new one is good for.
type CreateRegistrationToken struct {
	Name string `json:"name"`           // whom it is for
	Uses int    `json:"uses,omitempty"` // 1 to 1000; left out: 1
	Life int64  `json:"life,omitempty"` // seconds, at most 365 days; left out: 7 days
}

// CreatedRegistrationToken is a token, which is shown this once.
type CreatedRegistrationToken struct {
	RegistrationToken
	Token    string `json:"token"`
	Endpoint string `json:"registration_endpoint"` // where it is used, while registration is on
}

func viewRegistrationToken(t store.RegistrationToken, now time.Time) RegistrationToken {
	state := "open"
	switch {
	case t.Used >= t.Uses:
		state = "used"
	case !t.RevokedAt.IsZero():
		state = "revoked"
	case !t.ExpiresAt.After(now):
		state = "expired"
	}
	return RegistrationToken{t.ID, t.Name, state, t.Uses, t.Used, t.CreatedBy, t.CreatedAt, t.ExpiresAt, t.LastUsed}
}

func (a *API) listRegistrationTokens(c call) (List[RegistrationToken], error) {
	p, err := page(c)
	if err != nil {
		return List[RegistrationToken]{}, err
	}
	rows, next, err := a.Store.RegistrationTokens(c.ctx, p)
	now := a.Now()
	return list(rows, next, func(t store.RegistrationToken) RegistrationToken { return viewRegistrationToken(t, now) }), err
}

func (a *API) createRegistrationToken(c call, in CreateRegistrationToken) (CreatedRegistrationToken, error) {
	const day = 24 * 3600
	in.Uses, in.Life = cmp.Or(in.Uses, 1), cmp.Or(in.Life, 7*day)
	var found mistakes
	found.line("name", in.Name, 1, 100)
	if in.Uses < 1 || in.Uses > 1000 {
		found.add("uses", "must be 1 to 1000")
	}
	if in.Life < 60 || in.Life > 365*day {
		found.add("life", "must be 60 to 31536000 seconds (365 days)")
	}
	if err := found.problem(); err != nil {
		return CreatedRegistrationToken{}, err
	}
	token, now := seal.Token(), store.Time(a.Now())
	row := store.RegistrationToken{
		ID: seal.RandomID(), Hash: a.Seal.Digest(seal.RegistrationToken, token), Name: in.Name, CreatedBy: c.actor, Uses: in.Uses,
		CreatedAt: now, ExpiresAt: now.Add(time.Duration(in.Life) * time.Second),
	}
	err := a.Store.Do(c.ctx, func(ctx context.Context) error {
		if err := a.Store.CreateRegistrationToken(ctx, row); err != nil {
			return fmt.Errorf("create registration token: %w", err)
		}
		return a.record(ctx, c, store.AuditEvent{Type: audit.InitialTokenCreated, Details: map[string]string{
			"token": row.ID, "name": row.Name, "uses": strconv.Itoa(row.Uses), "until": row.ExpiresAt.Format(time.RFC3339),
		}})
	})
	return CreatedRegistrationToken{RegistrationToken: viewRegistrationToken(row, now), Token: token, Endpoint: a.Issuer + "/register"}, err
}

func (a *API) revokeRegistrationToken(c call) (Done, error) {
	id := c.PathValue("token")
	var row store.RegistrationToken
	err := a.Store.Do(c.ctx, func(ctx context.Context) (err error) {
		if row, err = a.Store.RevokeRegistrationToken(ctx, id, a.Now()); err != nil {
			return fmt.Errorf("revoke registration token: %w", err)
		}
		return a.record(ctx, c, store.AuditEvent{Type: audit.InitialTokenRevoked, Details: map[string]string{"token": row.ID, "name": row.Name}})
	})
	if err != nil {
		return Done{}, notFound(err, "registration token", id)
	}
	return done("The token %s (%s) registers no clients any more; those that it registered stay.", row.ID, row.Name)
}
