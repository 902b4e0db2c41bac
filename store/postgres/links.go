package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"anteroom/store"
)

// linkKeep is how long a link of an e-mail is remembered after its end, so that
// it can offer a fresh one.
const linkKeep = 90 * 24 * time.Hour

var invitations = newTable("invitations", 1, func(i *store.Invitation) []field {
	return []field{
		{"id", &i.ID}, {"token_hash", &i.TokenHash}, {"account_id", &i.AccountID}, {"application_id", &i.ApplicationID},
		{"invited_by", &i.InvitedBy}, {"created_at", when{&i.CreatedAt}}, {"expires_at", when{&i.ExpiresAt}},
		{"used_at", when{&i.UsedAt}}, {"revoked_at", when{&i.RevokedAt}},
	}
})

var resets = newTable("resets", 1, func(r *store.Reset) []field {
	return []field{
		{"id", &r.ID}, {"token_hash", &r.TokenHash}, {"account_id", &r.AccountID}, {"application_id", &r.ApplicationID},
		{"interaction_id", &r.InteractionID}, {"created_at", when{&r.CreatedAt}}, {"expires_at", when{&r.ExpiresAt}},
		{"used_at", when{&r.UsedAt}}, {"revoked_at", when{&r.RevokedAt}},
	}
})

const byToken = `WHERE token_hash = $1`

func deadInvitation(i store.Invitation, now time.Time) error {
	return store.Dead("invitation", i.UsedAt, i.RevokedAt, i.ExpiresAt, now)
}

func deadReset(r store.Reset, now time.Time) error {
	return store.Dead("reset", r.UsedAt, r.RevokedAt, r.ExpiresAt, now)
}

// useLink marks a link used if it is alive. Otherwise it returns the row with the
// reason.
func useLink[T any](ctx context.Context, t *tx, tb *table[T], tokenHash string, now time.Time, reason func(T, time.Time) error) (T, error) {
	n, err := t.exec(ctx, `UPDATE `+tb.name+` SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $2`,
		store.Text(tokenHash), at(now))
	if err != nil {
		var none T
		return none, err
	}
	row, err := tb.get(ctx, t, byToken, store.Text(tokenHash))
	if err != nil || n == 1 {
		return row, err
	}
	return row, reason(row, now)
}

// CreateInvitation: see store.Invitations.
func (s *Store) CreateInvitation(ctx context.Context, inv store.Invitation) error {
	inv = store.Canonical(inv)
	if err := store.CheckIdentity(inv.ID, inv.TokenHash, inv.AccountID, inv.ApplicationID); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error { return invitations.insert(ctx, t, inv) })
}

// InvitationByToken: see store.Invitations.
func (s *Store) InvitationByToken(ctx context.Context, tokenHash string, now time.Time) (inv store.Invitation, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		if inv, err = invitations.get(ctx, t, byToken, store.Text(tokenHash)); err != nil {
			return err
		}
		return deadInvitation(inv, now)
	})
	return inv, err
}

// UseInvitation: see store.Invitations.
func (s *Store) UseInvitation(ctx context.Context, tokenHash string, now time.Time) (inv store.Invitation, err error) {
	err = s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		inv, err = useLink(ctx, t, invitations, tokenHash, now, deadInvitation)
		return err
	})
	return inv, err
}

// RevokeInvitations: see store.Invitations.
func (s *Store) RevokeInvitations(ctx context.Context, accountID, applicationID string, now time.Time) (n int, err error) {
	err = s.write(ctx, func(ctx context.Context, t *tx) error {
		open, err := invitations.rows(ctx, t, `WHERE account_id = $1 AND ($2 = '' OR application_id = $2) AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $3
			ORDER BY id FOR UPDATE`, store.Text(accountID), store.Text(applicationID), at(now))
		n = len(open)
		if err != nil || n == 0 {
			return err
		}
		_, err = t.exec(ctx, `UPDATE invitations SET revoked_at = $2 WHERE id = ANY($1)`, idsOf(open, func(i store.Invitation) string { return i.ID }), at(now))
		return err
	})
	return n, err
}

func idsOf[T any](rows []T, id func(T) string) []string {
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = id(row)
	}
	return ids
}

// InvitationsOf: see store.Invitations.
func (s *Store) InvitationsOf(ctx context.Context, accountID string) (rows []store.Invitation, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, err = invitations.rows(ctx, t, `WHERE account_id = $1`, store.Text(accountID))
		return err
	})
	slices.SortFunc(rows, func(a, b store.Invitation) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return rows, err
}

// CreateReset: see store.Resets.
func (s *Store) CreateReset(ctx context.Context, r store.Reset) error {
	r = store.Canonical(r)
	if err := store.CheckIdentity(r.ID, r.TokenHash, r.AccountID); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		if err := lockAccount(ctx, t, r.AccountID); err != nil {
			return err
		}
		if err := resets.insert(ctx, t, r); err != nil {
			return err
		}
		_, err := t.exec(ctx, `UPDATE resets SET revoked_at = $3 WHERE account_id = $1 AND id <> $2 AND used_at IS NULL AND revoked_at IS NULL`,
			r.AccountID, r.ID, at(r.CreatedAt))
		return err
	})
}

// ResetByToken: see store.Resets.
func (s *Store) ResetByToken(ctx context.Context, tokenHash string, now time.Time) (r store.Reset, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		if r, err = resets.get(ctx, t, byToken, store.Text(tokenHash)); err != nil {
			return err
		}
		return deadReset(r, now)
	})
	return r, err
}

// UseReset: see store.Resets.
func (s *Store) UseReset(ctx context.Context, tokenHash string, now time.Time) (r store.Reset, err error) {
	err = s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		r, err = useLink(ctx, t, resets, tokenHash, now, deadReset)
		return err
	})
	return r, err
}
