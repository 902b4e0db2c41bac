package account

import (
	"fmt"

	"anteroom/internal/seal"
)

const purposeTOTP = "totp secret"

// SealTOTP seals the secret of a time-based one-time password (raw bytes, not
// base32) for store.Authenticator.Sealed. It opens for this account only.
func SealTOTP(k *seal.Keyring, accountID string, secret []byte) []byte {
	return k.Seal(purposeTOTP, accountID, secret)
}

// OpenTOTP returns what SealTOTP was given, or seal.ErrOpen.
func OpenTOTP(k *seal.Keyring, accountID string, sealed []byte) ([]byte, error) {
	secret, err := k.Open(purposeTOTP, accountID, sealed)
	if err != nil {
		return nil, fmt.Errorf("open the authenticator secret of %s: %w", accountID, err)
	}
	return secret, nil
}
