package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"anteroom/store"

	"github.com/jackc/pgx/v5"
)

var accounts = newTable("accounts", 1, func(a *store.Account) []field {
	return []field{
		{"id", &a.ID}, {"user_name", &a.UserName}, {"email", &a.Email}, {"email_verified", &a.EmailVerified},
		{"state", &a.State}, {"organisation_id", &a.OrganisationID},
		{"password_hash", &a.PasswordHash}, {"password_changed_at", when{&a.PasswordChangedAt}},
		{"profile", &a.Profile}, {"not_before", when{&a.NotBefore}},
		{"created_at", when{&a.CreatedAt}}, {"updated_at", when{&a.UpdatedAt}},
	}
})

// namesOf are the folded names of an account, sorted, each once.
func namesOf(a *store.Account) []string {
	names := []string{store.FoldName(a.UserName)}
	if a.Email != "" {
		names = append(names, store.FoldName(a.Email))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func checkAccount(a *store.Account) error {
	return store.CheckIdentity(append(namesOf(a), a.ID)...)
}

// takeNames gives names to an account, all or none. Returns ErrExists.
func takeNames(ctx context.Context, t *tx, accountID string, names []string) error {
	var taken []string
	_, err := t.statement(ctx, `INSERT INTO account_names (name, account_id) SELECT n, $2 FROM unnest($1::text[]) AS n ON CONFLICT (name) DO NOTHING RETURNING name`,
		[]any{names, accountID}, func(r pgx.Rows) error {
			var name string
			err := r.Scan(&name)
			taken = append(taken, name)
			return err
		})
	if err != nil || len(taken) == len(names) {
		t.wrote = t.wrote || len(taken) > 0
		return err
	}
	if len(taken) > 0 {
		if _, err := t.statement(ctx, `DELETE FROM account_names WHERE name = ANY($1)`, []any{taken}, nil); err != nil {
			return err
		}
	}
	return fmt.Errorf("account name: %w", store.ErrExists)
}

// CreateAccount: see store.Accounts.
func (s *Store) CreateAccount(ctx context.Context, a store.Account) error {
	a = store.Canonical(a)
	if err := checkAccount(&a); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		if err := accounts.insert(ctx, t, a); err != nil {
			return err
		}
		err := takeNames(ctx, t, a.ID, namesOf(&a))
		if err != nil && t.lost == nil {
			if _, undo := t.exec(ctx, `DELETE FROM accounts WHERE id = $1`, a.ID); undo != nil {
				return undo
			}
		}
		return err
	})
}

// Account: see store.Accounts.
func (s *Store) Account(ctx context.Context, id string) (a store.Account, err error) {
	err = s.lookup(ctx, func(ctx context.Context, t *tx) (err error) {
		a, err = accounts.get(ctx, t, accounts.byKey, store.Text(id))
		return err
	})
	return a, err
}

// AccountByName: see store.Accounts.
func (s *Store) AccountByName(ctx context.Context, nameOrEmail string) (a store.Account, err error) {
	err = s.lookup(ctx, func(ctx context.Context, t *tx) (err error) {
		a, err = accounts.get(ctx, t, `WHERE id = (SELECT account_id FROM account_names WHERE name = $1)`, store.Text(store.FoldName(nameOrEmail)))
		return err
	})
	return a, err
}

// UpdateAccount: see store.Accounts.
func (s *Store) UpdateAccount(ctx context.Context, id string, change func(*store.Account) error) (a store.Account, err error) {
	err = s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		a, err = accounts.change(ctx, t, []any{store.Text(id)}, change, func(before, after *store.Account) error {
			if err := checkAccount(after); err != nil {
				return err
			}
			return rename(ctx, t, after.ID, namesOf(before), namesOf(after))
		})
		return err
	})
	return a, err
}

// rename takes the new names and frees the old ones.
func rename(ctx context.Context, t *tx, accountID string, before, after []string) error {
	fresh := slices.DeleteFunc(slices.Clone(after), func(n string) bool { return slices.Contains(before, n) })
	stale := slices.DeleteFunc(slices.Clone(before), func(n string) bool { return slices.Contains(after, n) })
	if len(fresh) > 0 {
		if err := takeNames(ctx, t, accountID, fresh); err != nil {
			return err
		}
	}
	if len(stale) == 0 {
		return nil
	}
	_, err := t.exec(ctx, `DELETE FROM account_names WHERE name = ANY($1) AND account_id = $2`, stale, accountID)
	return err
}

// Accounts: see store.Accounts.
func (s *Store) Accounts(ctx context.Context, page store.Page) (rows []store.Account, next string, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, next, err = accounts.page(ctx, t, page, "id", "")
		return err
	})
	return rows, next, err
}

var authenticators = newTable("authenticators", 1, func(a *store.Authenticator) []field {
	return []field{
		{"id", &a.ID}, {"account_id", &a.AccountID}, {"kind", &a.Kind}, {"label", &a.Label}, {"sealed", &a.Sealed},
		{"created_at", when{&a.CreatedAt}}, {"last_used_at", when{&a.LastUsedAt}},
	}
})

// AddAuthenticator: see store.Authenticators.
func (s *Store) AddAuthenticator(ctx context.Context, a store.Authenticator) error {
	a = store.Canonical(a)
	if err := store.CheckIdentity(a.ID, a.AccountID); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error { return authenticators.insert(ctx, t, a) })
}

// AuthenticatorsOf: see store.Authenticators.
func (s *Store) AuthenticatorsOf(ctx context.Context, accountID string) (rows []store.Authenticator, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		rows, err = authenticators.rows(ctx, t, `WHERE account_id = $1`, store.Text(accountID))
		return err
	})
	slices.SortFunc(rows, func(a, b store.Authenticator) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return rows, err
}

// RemoveAuthenticator: see store.Authenticators.
func (s *Store) RemoveAuthenticator(ctx context.Context, accountID, id string) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `DELETE FROM authenticators WHERE id = $1 AND account_id = $2`, store.Text(id), store.Text(accountID))
		return gone("authenticator", n, err)
	})
}

// TouchAuthenticator: see store.Authenticators.
func (s *Store) TouchAuthenticator(ctx context.Context, accountID, id string, when time.Time) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `UPDATE authenticators SET last_used_at = $3 WHERE id = $1 AND account_id = $2`, store.Text(id), store.Text(accountID), at(when))
		return gone("authenticator", n, err)
	})
}

// AdvanceTOTP: see store.Authenticators.
func (s *Store) AdvanceTOTP(ctx context.Context, accountID string, step int64) error {
	accountID = store.Text(accountID)
	if err := store.CheckIdentity(accountID); err != nil {
		return err
	}
	if step <= 0 {
		return fmt.Errorf("step %d: %w", step, store.ErrConsumed)
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `INSERT INTO totp_steps (account_id, step) VALUES ($1, $2)
			ON CONFLICT (account_id) DO UPDATE SET step = excluded.step WHERE totp_steps.step < excluded.step`, accountID, step)
		if err == nil && n == 0 {
			return fmt.Errorf("step %d is not after the last one: %w", step, store.ErrConsumed)
		}
		return err
	})
}

// LastTOTP: see store.Authenticators.
func (s *Store) LastTOTP(ctx context.Context, accountID string) (step int64, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		step = 0
		_, err := t.statement(ctx, `SELECT step FROM totp_steps WHERE account_id = $1`, []any{store.Text(accountID)},
			func(r pgx.Rows) error { return r.Scan(&step) })
		return err
	})
	return step, err
}

// lockAccount makes what replaces a set of rows of an account take turns: of two
// at once one set stays, not both.
func lockAccount(ctx context.Context, t *tx, id string) error {
	_, err := t.lock(ctx, `SELECT 1 FROM accounts WHERE id = $1 FOR UPDATE`, id)
	return err
}

// ReplaceRecoveryCodes: see store.RecoveryCodes.
func (s *Store) ReplaceRecoveryCodes(ctx context.Context, accountID string, hashes []string, now time.Time) error {
	accountID = store.Text(accountID)
	hashes = store.Canonical(hashes)
	if err := store.CheckIdentity(append([]string{accountID}, hashes...)...); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		if err := lockAccount(ctx, t, accountID); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM recovery_codes WHERE account_id = $1`, accountID); err != nil || len(hashes) == 0 {
			return err
		}
		_, err := t.exec(ctx, `INSERT INTO recovery_codes (account_id, hash, created_at) SELECT $1, h, $3 FROM unnest($2::text[]) AS h
			ON CONFLICT (account_id, hash) DO NOTHING`, accountID, hashes, at(now))
		return err
	})
}

// UseRecoveryCode: see store.RecoveryCodes.
func (s *Store) UseRecoveryCode(ctx context.Context, accountID, hash string, now time.Time) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `UPDATE recovery_codes SET used_at = $3 WHERE account_id = $1 AND hash = $2 AND used_at IS NULL`,
			store.Text(accountID), store.Text(hash), at(now))
		if err != nil || n == 1 {
			return err
		}
		n, err = t.lock(ctx, `SELECT 1 FROM recovery_codes WHERE account_id = $1 AND hash = $2`, store.Text(accountID), store.Text(hash))
		if err == nil && n == 1 {
			return fmt.Errorf("recovery code: %w", store.ErrConsumed)
		}
		return gone("recovery code", n, err)
	})
}

// RecoveryCodesLeft: see store.RecoveryCodes.
func (s *Store) RecoveryCodesLeft(ctx context.Context, accountID string) (left int, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.statement(ctx, `SELECT count(*) FROM recovery_codes WHERE account_id = $1 AND used_at IS NULL`, []any{store.Text(accountID)},
			func(r pgx.Rows) error { return r.Scan(&left) })
		return err
	})
	return left, err
}
