package bolt

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"anteroom/store"
)

// names holds folded user names and addresses, in one space: nobody can take the
// address of somebody else as a user name.
const names bucket = "accounts.name"

var accounts = &table[store.Account]{
	bucket: "accounts",
	key:    func(a *store.Account) string { return key(a.ID) },
	indexes: func(a *store.Account) []index {
		all := []index{{names, key(store.FoldName(a.UserName)), true}}
		if a.Email != "" {
			all = append(all, index{names, key(store.FoldName(a.Email)), true})
		}
		return all
	},
}

func checkAccount(a *store.Account) error {
	if err := store.CheckIdentity(a.ID, store.FoldName(a.UserName)); err != nil {
		return err
	}
	if a.Email == "" {
		return nil
	}
	return store.CheckIdentity(store.FoldName(a.Email))
}

// CreateAccount: see store.Accounts.
func (s *Store) CreateAccount(ctx context.Context, a store.Account) error {
	a = store.Canonical(a)
	if err := checkAccount(&a); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error { return accounts.insert(t, a) })
}

// Account: see store.Accounts.
func (s *Store) Account(ctx context.Context, id string) (a store.Account, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		a, err = accounts.get(t, key(id))
		return err
	})
	return a, err
}

// AccountByName: see store.Accounts.
func (s *Store) AccountByName(ctx context.Context, nameOrEmail string) (a store.Account, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		a, err = accounts.by(t, names, key(store.FoldName(nameOrEmail)))
		return err
	})
	return a, err
}

// UpdateAccount: see store.Accounts.
func (s *Store) UpdateAccount(ctx context.Context, id string, change func(*store.Account) error) (a store.Account, err error) {
	err = s.write(ctx, func(t tx) (err error) {
		a, err = accounts.update(t, key(id), func(a *store.Account) error {
			if err := change(a); err != nil {
				return err
			}
			return checkAccount(a)
		})
		return err
	})
	return a, err
}

// Accounts: see store.Accounts.
func (s *Store) Accounts(ctx context.Context, page store.Page) (rows []store.Account, next string, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		rows, next, err = pageByID(t, accounts, accounts.bucket, "", page)
		return err
	})
	return rows, next, err
}

const (
	authenticatorIDs bucket = "authenticators.id"
	totpSteps        bucket = "totp"
)

var authenticators = &table[store.Authenticator]{
	bucket: "authenticators",
	key:    func(a *store.Authenticator) string { return key(a.AccountID, a.ID) },
	indexes: func(a *store.Authenticator) []index {
		return []index{{authenticatorIDs, key(a.ID), true}}
	},
}

// AddAuthenticator: see store.Authenticators.
func (s *Store) AddAuthenticator(ctx context.Context, a store.Authenticator) error {
	a = store.Canonical(a)
	if err := store.CheckIdentity(a.ID, a.AccountID); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error { return authenticators.insert(t, a) })
}

// AuthenticatorsOf: see store.Authenticators.
func (s *Store) AuthenticatorsOf(ctx context.Context, accountID string) (rows []store.Authenticator, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		rows, err = authenticators.rows(t, authenticators.bucket, key(accountID))
		return err
	})
	slices.SortStableFunc(rows, func(a, b store.Authenticator) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return rows, err
}

// RemoveAuthenticator: see store.Authenticators.
func (s *Store) RemoveAuthenticator(ctx context.Context, accountID, id string) error {
	return s.write(ctx, func(t tx) error { return authenticators.remove(t, key(accountID, id)) })
}

// TouchAuthenticator: see store.Authenticators.
func (s *Store) TouchAuthenticator(ctx context.Context, accountID, id string, at time.Time) error {
	return s.write(ctx, func(t tx) error {
		_, err := authenticators.update(t, key(accountID, id), func(a *store.Authenticator) error {
			a.LastUsedAt = at
			return nil
		})
		return err
	})
}

// AdvanceTOTP: see store.Authenticators.
func (s *Store) AdvanceTOTP(ctx context.Context, accountID string, step int64) error {
	if err := store.CheckIdentity(accountID); err != nil {
		return err
	}
	return s.write(ctx, func(t tx) error {
		last, err := lastTOTP(t, accountID)
		if err != nil {
			return err
		}
		if step <= last {
			return fmt.Errorf("step %d, the last was %d: %w", step, last, store.ErrConsumed)
		}
		return t.put(totpSteps, key(accountID), strconv.AppendInt(nil, step, 10))
	})
}

// LastTOTP: see store.Authenticators.
func (s *Store) LastTOTP(ctx context.Context, accountID string) (step int64, err error) {
	err = s.read(ctx, func(t tx) (err error) {
		step, err = lastTOTP(t, accountID)
		return err
	})
	return step, err
}

func lastTOTP(t tx, accountID string) (int64, error) {
	data := t.get(totpSteps, key(accountID))
	if data == nil {
		return 0, nil
	}
	return strconv.ParseInt(string(data), 10, 64)
}

// recoveryCode is one code of an account's set.
type recoveryCode struct {
	AccountID string
	Hash      string
	CreatedAt time.Time
	UsedAt    time.Time
}

var recoveryCodes = &table[recoveryCode]{
	bucket: "recovery_codes",
	key:    func(c *recoveryCode) string { return key(c.AccountID, c.Hash) },
}

// ReplaceRecoveryCodes: see store.RecoveryCodes.
func (s *Store) ReplaceRecoveryCodes(ctx context.Context, accountID string, hashes []string, now time.Time) error {
	if err := store.CheckIdentity(append([]string{accountID}, hashes...)...); err != nil {
		return err
	}
	hashes = slices.Clone(hashes)
	return s.write(ctx, func(t tx) error {
		for k := range t.scan(recoveryCodes.bucket, key(accountID), "") {
			if err := recoveryCodes.del(t, k); err != nil {
				return err
			}
		}
		for _, hash := range hashes {
			if err := recoveryCodes.put(t, recoveryCode{AccountID: accountID, Hash: hash, CreatedAt: now}); err != nil {
				return err
			}
		}
		return nil
	})
}

// UseRecoveryCode: see store.RecoveryCodes.
func (s *Store) UseRecoveryCode(ctx context.Context, accountID, hash string, now time.Time) error {
	return s.write(ctx, func(t tx) error {
		_, err := recoveryCodes.update(t, key(accountID, hash), func(c *recoveryCode) error {
			if !c.UsedAt.IsZero() {
				return fmt.Errorf("recovery code: %w", store.ErrConsumed)
			}
			c.UsedAt = now
			return nil
		})
		return err
	})
}

// RecoveryCodesLeft: see store.RecoveryCodes.
func (s *Store) RecoveryCodesLeft(ctx context.Context, accountID string) (left int, err error) {
	err = s.read(ctx, func(t tx) error {
		rows, err := recoveryCodes.rows(t, recoveryCodes.bucket, key(accountID))
		left = 0
		for _, c := range rows {
			if c.UsedAt.IsZero() {
				left++
			}
		}
		return err
	})
	return left, err
}
