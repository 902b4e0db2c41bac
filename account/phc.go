package account

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// Bounds on the hashes of other systems: what verifies here must neither be
// worthless nor a way to exhaust the machine.
const (
	maxArgonMemory = 256 << 10 // KiB
	maxArgonTime   = 16
	maxArgonWork   = 1 << 20 // KiB times passes: about a second
	maxArgonLanes  = 16
	minBcryptCost  = 8
	maxBcryptCost  = 14
)

// ErrHash: the string is no password hash that can be verified here.
var ErrHash = errors.New("not an argon2id or bcrypt hash within bounds")

// argonParams are the costs of argon2id (RFC 9106 section 3.1).
type argonParams struct {
	memory uint32 // KiB
	time   uint32 // passes
	lanes  uint8
}

// ours is what new passwords are hashed with: 19 MiB, 2 passes, 1 lane (OWASP
// Password Storage Cheat Sheet).
var ours = argonParams{memory: 19 << 10, time: 2, lanes: 1}

const (
	saltSize = 16
	keySize  = 32
)

// passwordHash is a parsed hash: argon2id, or bcrypt when bcrypt is not empty.
type passwordHash struct {
	argonParams
	salt, key []byte
	bcrypt    []byte
}

// parseHash reads a PHC string of argon2id or a bcrypt string ($2a$, $2b$,
// $2y$). Returns ErrHash.
func parseHash(s string) (passwordHash, error) {
	if strings.HasPrefix(s, "$2") {
		return parseBcrypt(s)
	}
	parts := strings.Split(s, "$")
	if len(s) > 512 || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v=19" {
		return passwordHash{}, ErrHash
	}
	var h passwordHash
	for i, field := range strings.Split(parts[3], ",") {
		name, value, _ := strings.Cut(field, "=")
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || (len(value) > 1 && value[0] == '0') || i > 2 || name != [...]string{"m", "t", "p"}[i] {
			return passwordHash{}, ErrHash
		}
		switch name {
		case "m":
			h.memory = uint32(n)
		case "t":
			h.time = uint32(n)
		case "p":
			if n > maxArgonLanes {
				return passwordHash{}, ErrHash
			}
			h.lanes = uint8(n)
		}
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.key, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err1 != nil || err2 != nil || !h.bounded() {
		return passwordHash{}, ErrHash
	}
	return h, nil
}

func parseBcrypt(s string) (passwordHash, error) {
	cost, err := bcrypt.Cost([]byte(s))
	if err != nil || len(s) != 60 || cost < minBcryptCost || cost > maxBcryptCost || !strings.Contains("aby", s[2:3]) {
		return passwordHash{}, ErrHash
	}
	return passwordHash{bcrypt: []byte(s)}, nil
}

func (h passwordHash) bounded() bool {
	return h.memory >= 8*uint32(h.lanes) && h.memory >= 1<<10 && h.memory <= maxArgonMemory &&
		h.time >= 1 && h.time <= maxArgonTime && h.memory*h.time <= maxArgonWork && h.lanes >= 1 &&
		len(h.salt) >= 8 && len(h.salt) <= 64 && len(h.key) >= 16 && len(h.key) <= 64
}

// matches computes the hash again; it takes as long as the parameters say.
func (h passwordHash) matches(password string) bool {
	if h.bcrypt != nil {
		return bcrypt.CompareHashAndPassword(h.bcrypt, []byte(password)) == nil
	}
	key := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.lanes, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

// weak tells whether a new hash would be stronger, so that it replaces this one
// at the next sign-in.
func (h passwordHash) weak() bool {
	return h.bcrypt != nil || h.memory < ours.memory || h.time*h.memory < ours.time*ours.memory ||
		len(h.salt) < saltSize || len(h.key) < keySize
}

// newHash hashes under our parameters and a fresh salt.
func newHash(password string) string {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	key := argon2.IDKey([]byte(password), salt, ours.time, ours.memory, ours.lanes, keySize)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s",
		ours.memory, ours.time, ours.lanes, b64.EncodeToString(salt), b64.EncodeToString(key))
}

// nobodys is a hash under our parameters that no password has: salt and key are
// random. To compute a real one would cost each start the time and the memory of
// a hash.
func nobodys() passwordHash {
	h := passwordHash{argonParams: ours, salt: make([]byte, saltSize), key: make([]byte, keySize)}
	_, _ = rand.Read(h.salt) // never fails (crypto/rand)
	_, _ = rand.Read(h.key)
	return h
}
