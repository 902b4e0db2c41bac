package bolt

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"anteroom/store"
)

var terms = &table[store.TermsVersion]{
	bucket: "terms",
	key:    func(v *store.TermsVersion) string { return key(v.ApplicationID, ordered(int64(v.Version))) },
}

const acceptancesIn bucket = "terms_acceptances.application"

var acceptances = &table[store.TermsAcceptance]{
	bucket: "terms_acceptances",
	key: func(a *store.TermsAcceptance) string {
		return key(a.AccountID, a.ApplicationID, ordered(int64(a.Version)))
	},
	indexes: func(a *store.TermsAcceptance) []index {
		return []index{{acceptancesIn, key(a.ApplicationID, a.AccountID, ordered(int64(a.Version))), false}}
	},
}

// newest returns the last of the rows under prefix. Returns ErrNotFound.
func newest[T any](t tx, tb *table[T], prefix string) (T, error) {
	rows, err := tb.rows(t, tb.bucket, prefix)
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("%s: %w", tb.bucket, store.ErrNotFound)
	}
	if err != nil {
		var none T
		return none, err
	}
	return rows[len(rows)-1], nil
}

// PublishTerms: see store.Terms.
func (s *Store) PublishTerms(ctx context.Context, v store.TermsVersion) (out store.TermsVersion, err error) {
	v = store.Canonical(v)
	sum := sha256.Sum256([]byte(v.Markdown))
	v.Hash = hex.EncodeToString(sum[:])
	err = s.write(ctx, func(t tx) error {
		if err := needApplication(t, v.ApplicationID); err != nil {
			return err
		}
		rows, err := terms.rows(t, terms.bucket, key(v.ApplicationID))
		if err != nil {
			return err
		}
		next := v
		next.Version = 1
		if len(rows) > 0 {
			next.Version = rows[len(rows)-1].Version + 1
		}
		out = next
		return terms.insert(t, next)
	})
	return out, err
}

// CurrentTerms: see store.Terms.
func (s *Store) CurrentTerms(ctx context.Context, applicationID string) (v store.TermsVersion, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		v, err = newest(t, terms, key(applicationID))
		return err
	})
	if err == nil && v.Withdrawn {
		return store.TermsVersion{}, fmt.Errorf("terms were withdrawn: %w", store.ErrNotFound)
	}
	return v, err
}

// TermsVersions: see store.Terms.
func (s *Store) TermsVersions(ctx context.Context, applicationID string) (rows []store.TermsVersion, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		rows, err = terms.rows(t, terms.bucket, key(applicationID))
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
	return s.write(ctx, func(t tx) error {
		v, err := terms.get(t, key(a.ApplicationID, ordered(int64(a.Version))))
		if err != nil {
			return err
		}
		if v.Hash != a.Hash {
			return fmt.Errorf("terms %q version %d have another hash: %w", a.ApplicationID, a.Version, store.ErrInvalid)
		}
		if acceptances.has(t, acceptances.key(&a)) {
			return nil
		}
		return acceptances.insert(t, a)
	})
}

// AcceptedTerms: see store.Terms.
func (s *Store) AcceptedTerms(ctx context.Context, accountID, applicationID string) (a store.TermsAcceptance, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		a, err = newest(t, acceptances, key(accountID, applicationID))
		return err
	})
	return a, err
}

const consentsTo bucket = "consents.client"

var consents = &table[store.Consent]{
	bucket: "consents",
	key:    func(c *store.Consent) string { return key(c.AccountID, c.ClientID) },
	indexes: func(c *store.Consent) []index {
		return []index{{consentsTo, key(c.ClientID, c.AccountID), false}}
	},
}

// PutConsent: see store.Consents.
func (s *Store) PutConsent(ctx context.Context, c store.Consent) error {
	c = store.Canonical(c)
	if err := store.CheckIdentity(c.AccountID, c.ClientID); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error {
		all := c
		all.Scopes = slices.Clone(c.Scopes)
		if before, err := consents.get(t, consents.key(&c)); err == nil {
			all.Scopes = append(all.Scopes, before.Scopes...)
			all.Details = cmp.Or(c.Details, before.Details)
		}
		slices.Sort(all.Scopes)
		all.Scopes = slices.Compact(all.Scopes)
		return consents.put(t, all)
	})
}

// Consent: see store.Consents.
func (s *Store) Consent(ctx context.Context, accountID, clientID string) (c store.Consent, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		c, err = consents.get(t, key(accountID, clientID))
		return err
	})
	return c, err
}

// ConsentsOf: see store.Consents.
func (s *Store) ConsentsOf(ctx context.Context, accountID string) (rows []store.Consent, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		rows, err = consents.rows(t, consents.bucket, key(accountID))
		return err
	})
	return rows, err
}

// RevokeConsent: see store.Consents.
func (s *Store) RevokeConsent(ctx context.Context, accountID, clientID string) error {
	return s.write(ctx, func(t tx) error { return consents.remove(t, key(accountID, clientID)) })
}
