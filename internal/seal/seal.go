// Package seal keeps secrets at rest. Everything derives from one master key:
// Seal and Open are authenticated encryption bound to a purpose and an owner,
// Digest is a keyed hash for secrets that have enough entropy of their own
// (tokens, codes, links, client secrets), Derive makes keys and secrets that
// need not be stored.
//
// A sealed value that is moved to another owner, or opened for another purpose,
// does not open.
package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

// KeySize is the length of a master key in bytes.
const KeySize = 32

// ErrOpen: the value was altered, belongs to another owner or purpose, or was
// sealed under another master key. It does not say which.
var ErrOpen = errors.New("sealed value does not open")

// Keyring seals under one master key. It is safe for concurrent use.
type Keyring struct {
	master  []byte
	sealing sync.Map // keys, by purpose, which is a constant of the code
	pools   sync.Map // of keyed hashes, by purpose
}

// New returns a Keyring. The master key must have KeySize bytes.
func New(master []byte) (*Keyring, error) {
	if len(master) != KeySize {
		return nil, fmt.Errorf("master key has %d bytes, want %d", len(master), KeySize)
	}
	return &Keyring{master: append([]byte(nil), master...)}, nil
}

// Derive returns n bytes that only holders of the master key can compute
// (HKDF-SHA256, RFC 5869). The same purpose and context give the same bytes.
func (k *Keyring) Derive(purpose, context string, n int) []byte {
	out, err := hkdf.Key(sha256.New, k.master, nil, purpose+"\x00"+context, n)
	if err != nil {
		panic("seal: " + err.Error()) // n beyond 255 hashes: a programming error
	}
	return out
}

// Seal encrypts plain for purpose and owner (XChaCha20-Poly1305, random nonce).
func (k *Keyring) Seal(purpose, owner string, plain []byte) []byte {
	aead := k.aead(purpose)
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails (crypto/rand)
	return aead.Seal(nonce, nonce, plain, []byte(owner))
}

// Open returns what Seal was given, or ErrOpen.
func (k *Keyring) Open(purpose, owner string, sealed []byte) ([]byte, error) {
	aead := k.aead(purpose)
	if len(sealed) < aead.NonceSize() {
		return nil, ErrOpen
	}
	nonce, box := sealed[:aead.NonceSize()], sealed[aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, box, []byte(owner))
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

func (k *Keyring) aead(purpose string) cipher.AEAD {
	key, ok := k.sealing.Load(purpose)
	if !ok {
		key = k.Derive("seal", purpose, KeySize)
		k.sealing.Store(purpose, key)
	}
	aead, err := chacha20poly1305.NewX(key.([]byte))
	if err != nil {
		panic("seal: " + err.Error()) // key size is a constant
	}
	return aead
}

// Digest returns the keyed hash under which a secret is stored and found
// (HMAC-SHA256, base64url). Not for passwords.
func (k *Keyring) Digest(purpose, secret string) string {
	macs := k.macs(purpose)
	mac := macs.Get().(hash.Hash)
	defer macs.Put(mac)
	mac.Reset()
	mac.Write([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// macs are the keyed hashes of a purpose that nobody is using: half of the work of
// one is to take in its key.
func (k *Keyring) macs(purpose string) *sync.Pool {
	if pool, ok := k.pools.Load(purpose); ok {
		return pool.(*sync.Pool)
	}
	key := k.Derive("digest", purpose, KeySize)
	pool, _ := k.pools.LoadOrStore(purpose, &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }})
	return pool.(*sync.Pool)
}

// ID identifies the master key without revealing it, so that a node with
// another key refuses to start.
func (k *Keyring) ID() string {
	return base64.RawURLEncoding.EncodeToString(k.Derive("identity", "", 12))
}

// Token returns a new random secret of 256 bits, base64url.
func Token() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// RandomID returns a new random identifier of 128 bits, base64url.
func RandomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
