package postgres

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"anteroom/store"

	"github.com/jackc/pgx/v5"
)

var terms = newTable("terms_versions", 1, func(v *store.TermsVersion) []field {
	return []field{
		{"application_id", &v.ApplicationID}, {"version", &v.Version}, {"title", &v.Title}, {"markdown", &v.Markdown},
		{"hash", &v.Hash}, {"published_at", when{&v.PublishedAt}}, {"withdrawn", &v.Withdrawn},
	}
})

var acceptances = newTable("terms_acceptances", 2, func(a *store.TermsAcceptance) []field {
	return []field{
		{"account_id", &a.AccountID}, {"application_id", &a.ApplicationID}, {"version", &a.Version}, {"hash", &a.Hash},
		{"accepted_at", when{&a.AcceptedAt}}, {"client_id", &a.ClientID},
	}
})

// PublishTerms: see store.Terms.
func (s *Store) PublishTerms(ctx context.Context, v store.TermsVersion) (out store.TermsVersion, err error) {
	v = store.Canonical(v)
	sum := sha256.Sum256([]byte(v.Markdown))
	v.Hash = hex.EncodeToString(sum[:])
	err = s.write(ctx, func(ctx context.Context, t *tx) error {
		// The application's row lets one publish at a time.
		n, err := t.lock(ctx, `SELECT 1 FROM applications WHERE id = $1 FOR UPDATE`, v.ApplicationID)
		if err == nil && n == 0 {
			err = fmt.Errorf("no application %q: %w", v.ApplicationID, store.ErrInvalid)
		}
		if err != nil {
			return err
		}
		next := v
		_, err = t.statement(ctx, `SELECT coalesce(max(version), 0) + 1 FROM terms_versions WHERE application_id = $1`, []any{v.ApplicationID},
			func(r pgx.Rows) error { return r.Scan(&next.Version) })
		if err != nil {
			return err
		}
		out = next
		return terms.insert(ctx, t, next)
	})
	return out, err
}

// CurrentTerms: see store.Terms.
func (s *Store) CurrentTerms(ctx context.Context, applicationID string) (v store.TermsVersion, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		v, err = terms.get(ctx, t, `WHERE application_id = $1 ORDER BY version DESC LIMIT 1`, store.Text(applicationID))
		return err
	})
	if err == nil && v.Withdrawn {
		return store.TermsVersion{}, fmt.Errorf("terms were withdrawn: %w", store.ErrNotFound)
	}
	return v, err
}

// TermsVersions: see store.Terms.
func (s *Store) TermsVersions(ctx context.Context, applicationID string) (rows []store.TermsVersion, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, err = terms.rows(ctx, t, `WHERE application_id = $1 ORDER BY version`, store.Text(applicationID))
		return err
	})
	return rows, err
}

// AcceptTerms: see store.Terms.
func (s *Store) AcceptTerms(ctx context.Context, a store.TermsAcceptance) error {
	a = store.Canonical(a)
	if err := store.CheckIdentity(a.AccountID); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		v, err := terms.get(ctx, t, `WHERE application_id = $1 AND version = $2 FOR SHARE`, a.ApplicationID, a.Version)
		if err != nil {
			return err
		}
		if v.Hash != a.Hash {
			return fmt.Errorf("terms %q version %d have another hash: %w", a.ApplicationID, a.Version, store.ErrInvalid)
		}
		_, err = acceptances.add(ctx, t, a)
		return err
	})
}

// AcceptedTerms: see store.Terms.
func (s *Store) AcceptedTerms(ctx context.Context, accountID, applicationID string) (a store.TermsAcceptance, err error) {
	err = s.lookup(ctx, func(ctx context.Context, t *tx) (err error) {
		a, err = acceptances.get(ctx, t, `WHERE account_id = $1 AND application_id = $2 ORDER BY version DESC LIMIT 1`, store.Text(accountID), store.Text(applicationID))
		return err
	})
	return a, err
}

var consents = newTable("consents", 2, func(c *store.Consent) []field {
	return []field{
		{"account_id", &c.AccountID}, {"client_id", &c.ClientID}, {"scopes", &c.Scopes}, {"details", &c.Details}, {"granted_at", when{&c.GrantedAt}},
	}
})

// PutConsent: see store.Consents.
func (s *Store) PutConsent(ctx context.Context, c store.Consent) error {
	c = store.Canonical(c)
	if err := store.CheckIdentity(c.AccountID, c.ClientID); err != nil {
		return err
	}
	slices.Sort(c.Scopes)
	c.Scopes = slices.Compact(c.Scopes)
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		for {
			if added, err := consents.add(ctx, t, c); err != nil || added {
				return err
			}
			before, err := consents.get(ctx, t, consents.byKey+` FOR UPDATE`, c.AccountID, c.ClientID)
			if errors.Is(err, store.ErrNotFound) {
				continue // revoked in between
			}
			if err != nil {
				return err
			}
			all := c
			all.Details = cmp.Or(c.Details, before.Details)
			all.Scopes = slices.Concat(c.Scopes, before.Scopes)
			slices.Sort(all.Scopes)
			all.Scopes = slices.Compact(all.Scopes)
			return consents.save(ctx, t, all)
		}
	})
}

// Consent: see store.Consents.
func (s *Store) Consent(ctx context.Context, accountID, clientID string) (c store.Consent, err error) {
	err = s.lookup(ctx, func(ctx context.Context, t *tx) (err error) {
		c, err = consents.get(ctx, t, consents.byKey, store.Text(accountID), store.Text(clientID))
		return err
	})
	return c, err
}

// ConsentsOf: see store.Consents.
func (s *Store) ConsentsOf(ctx context.Context, accountID string) (rows []store.Consent, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, err = consents.rows(ctx, t, `WHERE account_id = $1 ORDER BY client_id`, store.Text(accountID))
		return err
	})
	return rows, err
}

// RevokeConsent: see store.Consents.
func (s *Store) RevokeConsent(ctx context.Context, accountID, clientID string) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `DELETE FROM consents `+consents.byKey, store.Text(accountID), store.Text(clientID))
		return gone("consent", n, err)
	})
}
