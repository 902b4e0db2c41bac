package provider

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"anteroom/internal/seal"
	"anteroom/store"
)

// signingAlgorithms are what clients may choose. Of initialAlgorithms the ring
// always holds a key; one of the others is made when the first client wants it,
// and rotates with the rest from then on.
var (
	signingAlgorithms = []string{"RS256", "ES256", "PS256", "EdDSA"}
	initialAlgorithms = []string{"RS256", "ES256"}
)

// inUse are the algorithms that the ring holds, or must hold.
func inUse(rows []store.SigningKey) []string {
	all := slices.Clone(initialAlgorithms)
	for _, r := range rows {
		if !slices.Contains(all, r.Algorithm) {
			all = append(all, r.Algorithm)
		}
	}
	return all
}

// sealPurpose binds sealed private keys; the owner is the KID.
const sealPurpose = "signing key"

// Types of the JWTs that we sign, so that none passes for another (RFC 8725
// section 3.11).
const (
	typeAccessToken = "at+jwt" // RFC 9068 section 2.1
	typeIDToken     = "JWT"
	typeLogoutToken = "logout+jwt" // OpenID Connect Back-Channel Logout section 2.4

	typeIntrospection = "token-introspection+jwt" // RFC 9701 section 5
)

// ringKey is a key that was read from the store. Immutable.
type ringKey struct {
	row    store.SigningKey
	public jose.JSONWebKey
	signer *jwsSigner // nil: retired, verifies only
}

// keySet is what a node knows of the ring. Immutable.
type keySet struct {
	loaded time.Time // of this node's monotonic clock
	rows   []store.SigningKey
	able   []store.SigningKey // rows with a private part
	byKID  map[string]*ringKey
}

// newKeySet opens keys; those that before held already are taken over.
func newKeySet(rows []store.SigningKey, before *keySet, ring *seal.Keyring) (*keySet, error) {
	s := &keySet{loaded: time.Now(), rows: rows, byKID: make(map[string]*ringKey, len(rows))}
	for _, row := range rows {
		if len(row.Sealed) > 0 {
			s.able = append(s.able, row)
		}
		if before != nil {
			if old := before.byKID[row.KID]; old != nil && bytes.Equal(old.row.Sealed, row.Sealed) {
				s.byKID[row.KID] = old
				continue
			}
		}
		key, err := openKey(row, ring)
		if err != nil {
			return nil, err
		}
		s.byKID[row.KID] = key
	}
	return s, nil
}

func openKey(row store.SigningKey, ring *seal.Keyring) (*ringKey, error) {
	key := &ringKey{row: row}
	if err := json.Unmarshal(row.PublicJWK, &key.public); err != nil {
		return nil, fmt.Errorf("public part of key %q: %w", row.KID, err)
	}
	if len(row.Sealed) == 0 {
		return key, nil
	}
	der, err := ring.Open(sealPurpose, row.KID, row.Sealed)
	if err != nil {
		return nil, fmt.Errorf("open key %q: %w", row.KID, err)
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("parse key %q: %w", row.KID, err)
	}
	key.signer, err = newJWSSigner(private, row.Algorithm, row.KID, typeAccessToken, typeIDToken, typeLogoutToken, typeIntrospection)
	if err != nil {
		return nil, fmt.Errorf("use key %q: %w", row.KID, err)
	}
	return key, nil
}

// generateKey returns a new key without its times.
func generateKey(alg string, ring *seal.Keyring) (store.SigningKey, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case "RS256", "PS256":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("unknown algorithm %q", alg)
	}
	if err != nil {
		return store.SigningKey{}, fmt.Errorf("generate key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return store.SigningKey{}, fmt.Errorf("encode key: %w", err)
	}
	kid := seal.RandomID()
	public, err := json.Marshal(jose.JSONWebKey{Key: private.Public(), KeyID: kid, Algorithm: alg, Use: "sig"})
	if err != nil {
		return store.SigningKey{}, fmt.Errorf("encode public key: %w", err)
	}
	return store.SigningKey{KID: kid, Algorithm: alg, Sealed: ring.Seal(sealPurpose, kid, der), PublicJWK: public}, nil
}

// signer returns the key that signs with alg now.
func (k *Keys) signer(ctx context.Context, alg string) (*ringKey, error) {
	s, err := k.set(ctx)
	if err != nil {
		return nil, err
	}
	row := activeKey(s.able, alg, k.now())
	if row == nil {
		if s, err = k.first(ctx, alg); err != nil {
			return nil, err
		}
		if row = activeKey(s.able, alg, k.now()); row == nil {
			return nil, fmt.Errorf("no %s key can sign", alg)
		}
	}
	return s.byKID[row.KID], nil
}

// first makes the first key of an algorithm, in a unit of work of its own: what
// the caller is doing may fail, and others use the key by then.
func (k *Keys) first(ctx context.Context, alg string) (*keySet, error) {
	k.making.Lock()
	defer k.making.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s, err := k.reload(ctx, 0)
	if err != nil || !slices.Contains(signingAlgorithms, alg) || newestKey(s.rows, alg) != nil {
		return s, err
	}
	if _, err := k.rotate(ctx, rotation{algorithm: alg, activeAt: k.now()}); err != nil && !errors.Is(err, store.ErrConsumed) {
		return nil, err
	}
	return k.reload(ctx, 0)
}

// sign returns the compact JWT of claims.
func (k *Keys) sign(ctx context.Context, alg, typ string, claims any) (string, error) {
	key, err := k.signer(ctx, alg)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	token, err := key.signer.sign(typ, payload)
	if err != nil {
		return "", fmt.Errorf("sign with key %q: %w", key.row.KID, err)
	}
	return token, nil
}

// find returns the key of a kid, nil if there is none. One that is not known
// here may have been made by another node just now, so it looks again; what
// strangers can cause this way is one look per tenth of a second.
func (k *Keys) find(ctx context.Context, kid string) (*ringKey, error) {
	s, err := k.set(ctx)
	if err != nil {
		return nil, err
	}
	if key := s.byKID[kid]; key != nil {
		return key, nil
	}
	if s, err = k.reload(ctx, 100*time.Millisecond); err != nil {
		return nil, err
	}
	return s.byKID[kid], nil
}
