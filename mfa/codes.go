package mfa

import (
	"crypto/rand"
	"strings"

	"anteroom/internal/seal"

	"golang.org/x/text/unicode/norm"
)

const (
	recoveryCodes  = 10
	recoveryLength = 12 // characters of 5 bits: 60 bits

	// recoveryAlphabet is Crockford's base32, small: no i, l, o, u, so that what
	// is read wrongly from paper can be told.
	recoveryAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
)

// newRecoveryCodes returns new codes as they are shown: k7m2-x9qd-4hnt.
func newRecoveryCodes() []string {
	codes := make([]string, recoveryCodes)
	for i := range codes {
		var raw [recoveryLength]byte
		_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
		for j := range raw {
			raw[j] = recoveryAlphabet[raw[j]%32]
		}
		codes[i] = showRecoveryCode(string(raw[:]))
	}
	return codes
}

// showRecoveryCode writes a normalised code in groups of four.
func showRecoveryCode(code string) string {
	return strings.ReplaceAll(grouped(code), " ", "-")
}

// ParseRecoveryCode returns the twelve characters of a typed code. Case, spaces
// and dashes do not matter, compatibility forms (full-width letters) count as
// what they look like, and the letters that the alphabet leaves out are read as
// what they were mistaken for. ok is false for what cannot be a code.
func ParseRecoveryCode(typed string) (code string, ok bool) {
	if len(typed) > maxTyped {
		return "", false
	}
	var b strings.Builder
	for _, r := range strings.ToLower(norm.NFKC.String(typed)) {
		switch {
		case separator(r):
			continue
		case r == 'o':
			r = '0'
		case r == 'i', r == 'l':
			r = '1'
		case r == 'u':
			r = 'v'
		}
		if !strings.ContainsRune(recoveryAlphabet, r) {
			return "", false
		}
		b.WriteRune(r)
	}
	return b.String(), b.Len() == recoveryLength
}

// recoveryHash is what the store keeps of a normalised code. The account is in
// it, so that a hash found elsewhere says nothing.
func recoveryHash(k *seal.Keyring, accountID, code string) string {
	return k.Digest("recovery code", accountID+"\x00"+code)
}

// recoveryHashes hashes codes as they are shown.
func recoveryHashes(k *seal.Keyring, accountID string, shown []string) []string {
	hashes := make([]string, len(shown))
	for i, code := range shown {
		hashes[i] = recoveryHash(k, accountID, strings.ReplaceAll(code, "-", ""))
	}
	return hashes
}
