package provider

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"

	"github.com/go-jose/go-jose/v4"

	"anteroom/flow"
	"anteroom/store"
)

// KeySource fetches what clients publish at their jwks_uri (RFC 7591 section 2).
type KeySource interface {
	// KeySet returns the JWK set (RFC 7517 section 5) at uri, which may be one that
	// was fetched before; it looks again if that one has no key with kid.
	KeySet(ctx context.Context, uri, kid string) (json.RawMessage, error)
}

// maxClientKeys bounds the keys of a client that are tried.
const maxClientKeys = 20

// setting returns registered metadata of a client that is a text.
func setting(c store.Client, name string) string {
	s, _ := c.Settings[name].(string)
	return s
}

// flag returns registered metadata of a client that is true or false.
func flag(c store.Client, name string) bool {
	b, _ := c.Settings[name].(bool)
	return b
}

// clientKeys returns the public keys of a client: those that it registered, or
// those that it publishes.
func (p *Provider) clientKeys(ctx context.Context, c store.Client, kid string) ([]jose.JSONWebKey, error) {
	var raw []byte
	var err error
	switch registered, uri := c.Settings["jwks"], setting(c, "jwks_uri"); {
	case registered != nil:
		raw, err = json.Marshal(registered)
	case uri != "" && setting(c, flow.SettingDocumentHost) != "":
		// A stranger's word: networks that the operator allowed are not for it.
		raw, err = p.documents.Fetch.Get(ctx, uri)
	case uri != "" && p.keySource != nil:
		raw, err = p.keySource.KeySet(ctx, uri, kid)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keys of client %q: %w", c.ID, err)
	}
	return parseKeySet(raw)
}

// parseKeySet reads a JWK set and leaves out what we cannot use: keys of types
// that we do not know are no error (RFC 7517 section 5).
func parseKeySet(raw []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("JWK set: %w", err)
	}
	var keys []jose.JSONWebKey
	for _, one := range set.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(one, &k) == nil && k.IsPublic() && k.Valid() && len(keys) < maxClientKeys {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// CheckKeySet says what is wrong with a JWK set that somebody wants to register,
// in words for them; nil if nothing is.
func CheckKeySet(raw []byte) error {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil || len(set.Keys) == 0 {
		return errors.New(`a JWK set looks like {"keys": [...]} (RFC 7517 section 5)`)
	}
	if len(set.Keys) > maxClientKeys {
		return fmt.Errorf("a JWK set has at most %d keys", maxClientKeys)
	}
	for i, one := range set.Keys {
		var k jose.JSONWebKey
		err := json.Unmarshal(one, &k)
		if err == nil && !k.IsPublic() {
			return fmt.Errorf("key %d of the JWK set is private or a secret; register public keys only", i+1)
		}
		if err != nil || !k.Valid() {
			return fmt.Errorf("key %d of the JWK set cannot be read", i+1)
		}
		if !anyFits(k) {
			return fmt.Errorf("key %d of the JWK set fits none of %v (RSA needs 2048 bits, EC the curve P-256), and none of %v", i+1, clientAlgorithms, keyManagement)
		}
	}
	return nil
}

func anyFits(k jose.JSONWebKey) bool {
	return verifies(k) || slices.ContainsFunc(keyManagement, func(alg string) bool { return encryptsWith(k, alg) })
}

func verifies(k jose.JSONWebKey) bool {
	return slices.ContainsFunc(clientAlgorithms, func(alg string) bool { return keyFits(k, alg) })
}

// registeredKeys are the keys that a client registered, as far as they are good.
func registeredKeys(c store.Client) []jose.JSONWebKey {
	raw, err := json.Marshal(c.Settings["jwks"])
	if err != nil {
		return nil
	}
	keys, err := parseKeySet(raw)
	if err != nil {
		return nil
	}
	return keys
}

// cannotSign says why nothing that a client signs could be verified, "" if it
// could. What it publishes at its jwks_uri may change at any time.
func cannotSign(c store.Client) string {
	switch {
	case setting(c, "jwks_uri") != "" || slices.ContainsFunc(registeredKeys(c), verifies):
		return ""
	case c.Settings["jwks"] == nil:
		return "is missing"
	}
	return fmt.Sprintf("has no key for any of %v (RSA needs 2048 bits, EC the curve P-256)", clientAlgorithms)
}

// keyFits tells whether a key may verify what alg signed (RFC 7518 section 3).
func keyFits(k jose.JSONWebKey, alg string) bool {
	if k.Use == "enc" || (k.Algorithm != "" && k.Algorithm != alg) {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return (alg == "RS256" || alg == "PS256") && soundRSA(key)
	case *ecdsa.PublicKey:
		return alg == "ES256" && key.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// soundRSA: what is too small protects nothing, what is too large keeps us busy,
// and with the exponent 1 everybody can sign and read.
func soundRSA(k *rsa.PublicKey) bool {
	return k.N.BitLen() >= 2048 && k.N.BitLen() <= 8192 && k.E >= 3 && k.E%2 == 1
}

// verifyByClient checks that a key of the client signed. It takes as long for a
// client without keys.
func (p *Provider) verifyByClient(ctx context.Context, c store.Client, signed *jose.JSONWebSignature) error {
	header := signed.Signatures[0].Protected
	keys, err := p.clientKeys(ctx, c, header.KeyID)
	if err != nil {
		return err
	}
	tried := false
	for _, k := range keys {
		if !keyFits(k, header.Algorithm) || (header.KeyID != "" && k.KeyID != "" && k.KeyID != header.KeyID) {
			continue
		}
		tried = true
		if _, err := signed.Verify(k.Key); err == nil {
			return nil
		}
	}
	if !tried {
		_, _ = signed.Verify(nobodysKeys()[header.Algorithm])
	}
	return fmt.Errorf("no key of client %q signed this (kid %q, alg %s)", c.ID, header.KeyID, header.Algorithm)
}

// nobodysKeys are public keys whose private parts nobody has.
var nobodysKeys = sync.OnceValue(func() map[string]any {
	modulus := make([]byte, 256)
	_, _ = rand.Read(modulus)
	modulus[0] |= 0x80
	modulus[255] |= 1
	rsaKey := &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic("provider: " + err.Error()) // crypto/rand never fails
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic("provider: " + err.Error())
	}
	return map[string]any{"RS256": rsaKey, "PS256": rsaKey, "ES256": &ec.PublicKey, "EdDSA": ed}
})
