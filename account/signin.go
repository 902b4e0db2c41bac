package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"anteroom/store"
)

// ErrWrongPassword: the name and the password do not fit together. It is the
// same, and takes as long, for an unknown name, a wrong password, an account
// without one and a disabled account.
var ErrWrongPassword error = wrongPassword{}

type wrongPassword struct{}

func (wrongPassword) Error() string { return "wrong user name or password" }

// Explain does not say which of the two is wrong.
func (wrongPassword) Explain() string {
	return "The user name or the password is not right. Check both and try again."
}

// CheckPassword returns the account of a user name or e-mail address if the
// password is right. known tells whether this browser signed in to an account
// before. A right password commits nothing, unless failures are to be forgotten.
// Returns ErrWrongPassword, *Throttled, ErrBusy.
func (a *Accounts) CheckPassword(ctx context.Context, name, password, address string, known func(accountID string) bool) (store.Account, error) {
	start := time.Now()
	acct, found, err := a.byName(ctx, name)
	if err != nil {
		return store.Account{}, err
	}
	try := Attempt{Factor: FactorPassword, Account: store.FoldName(name), Address: address}
	if found {
		try.Account, try.Known = acct.ID, known != nil && known(acct.ID)
	}
	if err := a.Throttle.Allow(ctx, try); err != nil {
		return store.Account{}, err
	}
	usable := found && acct.State != store.AccountDisabled
	err = a.guess(ctx, try, acct.PasswordHash, password, usable)
	if errors.Is(err, ErrWrongPassword) {
		a.log().InfoContext(ctx, "password refused", "account", acct.ID, "address", address)
		a.settle(ctx, start)
	}
	if err != nil {
		return store.Account{}, err
	}
	return acct, nil
}

// guess compares in a slot of the hasher and counts before it leaves the slot:
// of many guesses sent at once, no more than there are slots pass the limit.
func (a *Accounts) guess(ctx context.Context, try Attempt, stored, typed string, usable bool) error {
	release, err := a.Hasher.slot(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := a.Throttle.Allow(ctx, try); err != nil {
		return err
	}
	right := a.Hasher.compare(stored, typed) && usable
	if !right {
		if err := a.Throttle.Failed(ctx, try); err != nil {
			return err
		}
		return ErrWrongPassword
	}
	return a.Throttle.Succeeded(ctx, try)
}

// Rehash returns a stronger hash of a password that was just found right, to be
// kept with KeepHash, or "" if there is no need, or no time now.
func (a *Accounts) Rehash(ctx context.Context, acct store.Account, password string) (string, error) {
	if !a.Hasher.Weak(acct.PasswordHash) {
		return "", nil
	}
	normal, err := NormalisePassword(password)
	if err != nil {
		return "", nil // what another system accepted stays as it is
	}
	hash, err := a.Hasher.Hash(ctx, normal)
	if errors.Is(err, ErrBusy) {
		return "", nil
	}
	return hash, err
}

// KeepHash replaces the hash that acct was read with, unless the password was
// changed since. It is the same password: nothing ends.
func (a *Accounts) KeepHash(ctx context.Context, acct store.Account, hash string) error {
	if hash == "" {
		return nil
	}
	_, err := a.Store.UpdateAccount(ctx, acct.ID, func(now *store.Account) error {
		if now.PasswordHash == acct.PasswordHash {
			now.PasswordHash = hash
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep the stronger hash of %s: %w", acct.ID, err)
	}
	return nil
}

// MinLength is the least length of a new password: shorter ones are for accounts
// whose every way in asks a second factor too. applicationID is where the person
// is going, may be empty.
func (a *Accounts) MinLength(ctx context.Context, acct store.Account, applicationID string) (int, error) {
	assigned, err := a.Store.AssignmentsOf(ctx, acct.ID, "")
	if err != nil {
		return 0, fmt.Errorf("list assignments: %w", err)
	}
	ways := map[string]bool{applicationID: applicationID != ""}
	for _, one := range assigned {
		ways[one.ApplicationID] = true
	}
	any := false
	for page := (store.Page{}); ; {
		apps, next, err := a.Store.Applications(ctx, page)
		if err != nil {
			return 0, fmt.Errorf("list applications: %w", err)
		}
		for _, app := range apps {
			if !ways[app.ID] && app.Access != store.AccessEveryone {
				continue
			}
			if !app.RequireMFA {
				return MinAlone, nil
			}
			any = true
		}
		if next == "" {
			break
		}
		page.After = next
	}
	if !any {
		return MinAlone, nil
	}
	return MinWithSecond, nil
}

// NewPassword checks a new password for the account and returns its hash.
// Call it before the unit of work that keeps the hash: it is slow, and units
// may run twice. Returns *Unsuitable, ErrBusy.
func (a *Accounts) NewPassword(ctx context.Context, acct store.Account, applicationID, typed string) (string, error) {
	minimum, err := a.MinLength(ctx, acct, applicationID)
	if err != nil {
		return "", err
	}
	if typed == "" {
		return "", unsuitable("Type the password that you want to use from now on.")
	}
	if len(typed) > maxTyped {
		return "", unsuitable("This password is too long. Use at most %d characters.", MaxPassword)
	}
	normal, err := NormalisePassword(typed)
	if err != nil {
		return "", unsuitable("This password contains characters that not every keyboard can type again. Choose another one.")
	}
	app, err := a.application(ctx, applicationID)
	if err != nil {
		return "", err
	}
	words := []string{acct.UserName, acct.Email, app.Name, app.ID, a.Product}
	for _, claim := range []string{"name", "given_name", "family_name", "nickname"} {
		if word, ok := acct.Profile[claim].(string); ok {
			words = append(words, word)
		}
	}
	if err := Suitable(normal, minimum, words...); err != nil {
		return "", err
	}
	return a.Hasher.Hash(ctx, normal)
}
