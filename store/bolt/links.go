package bolt

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

const (
	invitationHashes    bucket = "invitations.hash"
	invitationsByWho    bucket = "invitations.account"
	invitationsByTarget bucket = "invitations.application"
	resetHashes         bucket = "resets.hash"
	resetsByWho         bucket = "resets.account"
)

var invitations = &table[store.Invitation]{
	bucket: "invitations",
	key:    func(i *store.Invitation) string { return key(i.ID) },
	indexes: func(i *store.Invitation) []index {
		return []index{
			{invitationHashes, key(i.TokenHash), true},
			{invitationsByWho, key(i.AccountID, i.ID), false},
			{invitationsByTarget, key(i.ApplicationID, i.ID), false},
		}
	},
	expires: func(i *store.Invitation) time.Time { return i.ExpiresAt.Add(linkKeep) },
}

var resets = &table[store.Reset]{
	bucket: "resets",
	key:    func(r *store.Reset) string { return key(r.ID) },
	indexes: func(r *store.Reset) []index {
		return []index{
			{resetHashes, key(r.TokenHash), true},
			{resetsByWho, key(r.AccountID, r.ID), false},
		}
	},
	expires: func(r *store.Reset) time.Time { return r.ExpiresAt.Add(linkKeep) },
}

// CreateInvitation: see store.Invitations.
func (s *Store) CreateInvitation(ctx context.Context, inv store.Invitation) error {
	inv = store.Canonical(inv)
	if err := store.CheckIdentity(inv.ID, inv.TokenHash, inv.AccountID, inv.ApplicationID); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error { return invitations.insert(t, inv) })
}

// InvitationByToken: see store.Invitations.
func (s *Store) InvitationByToken(ctx context.Context, tokenHash string, now time.Time) (inv store.Invitation, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		inv, err = invitationByToken(t, tokenHash, now)
		return err
	})
	return inv, err
}

func invitationByToken(t tx, tokenHash string, now time.Time) (store.Invitation, error) {
	inv, err := invitations.by(t, invitationHashes, key(tokenHash))
	if err != nil {
		return inv, err
	}
	return inv, store.Dead("invitation", inv.UsedAt, inv.RevokedAt, inv.ExpiresAt, now)
}

// UseInvitation: see store.Invitations.
func (s *Store) UseInvitation(ctx context.Context, tokenHash string, now time.Time) (inv store.Invitation, err error) {
	err = s.write(ctx, func(t tx) (err error) {
		if inv, err = invitationByToken(t, tokenHash, now); err != nil {
			return err
		}
		inv.UsedAt = store.Time(now)
		return invitations.put(t, inv)
	})
	return inv, err
}

// RevokeInvitations: see store.Invitations.
func (s *Store) RevokeInvitations(ctx context.Context, accountID, applicationID string, now time.Time) (n int, err error) {
	err = s.write(ctx, func(t tx) error {
		n = 0
		rows, err := invitations.rows(t, invitationsByWho, key(accountID))
		for _, inv := range rows {
			if applicationID != "" && inv.ApplicationID != applicationID {
				continue
			}
			if store.Dead("invitation", inv.UsedAt, inv.RevokedAt, inv.ExpiresAt, now) != nil {
				continue
			}
			inv.RevokedAt = now
			if err := invitations.put(t, inv); err != nil {
				return err
			}
			n++
		}
		return err
	})
	return n, err
}

// InvitationsOf: see store.Invitations.
func (s *Store) InvitationsOf(ctx context.Context, accountID string) (rows []store.Invitation, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		rows, err = invitations.rows(t, invitationsByWho, key(accountID))
		return err
	})
	slices.SortStableFunc(rows, func(a, b store.Invitation) int {
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
	return s.write(ctx, func(t tx) error {
		if err := resets.insert(t, r); err != nil {
			return err
		}
		rows, err := resets.rows(t, resetsByWho, key(r.AccountID))
		for _, old := range rows {
			if old.ID == r.ID || !old.UsedAt.IsZero() || !old.RevokedAt.IsZero() {
				continue
			}
			old.RevokedAt = r.CreatedAt
			if err := resets.put(t, old); err != nil {
				return err
			}
		}
		return err
	})
}

// ResetByToken: see store.Resets.
func (s *Store) ResetByToken(ctx context.Context, tokenHash string, now time.Time) (r store.Reset, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		r, err = resetByToken(t, tokenHash, now)
		return err
	})
	return r, err
}

func resetByToken(t tx, tokenHash string, now time.Time) (store.Reset, error) {
	r, err := resets.by(t, resetHashes, key(tokenHash))
	if err != nil {
		return r, err
	}
	return r, store.Dead("reset", r.UsedAt, r.RevokedAt, r.ExpiresAt, now)
}

// UseReset: see store.Resets.
func (s *Store) UseReset(ctx context.Context, tokenHash string, now time.Time) (r store.Reset, err error) {
	err = s.write(ctx, func(t tx) (err error) {
		if r, err = resetByToken(t, tokenHash, now); err != nil {
			return err
		}
		r.UsedAt = store.Time(now)
		return resets.put(t, r)
	})
	return r, err
}
