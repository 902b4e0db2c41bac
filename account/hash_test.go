package account

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"anteroom/internal/web"

	"golang.org/x/crypto/bcrypt"
)

// knownHash is the vector of phc-winner-argon2, test.c: "password", "somesalt".
const (
	knownHash     = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	saltAndKey    = "$c29tZXNhbHRzb21lc2FsdA$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	outOfBounds   = "$argon2id$v=19$m=4194304,t=2,p=1" + saltAndKey
	ourParameters = "$argon2id$v=19$m=19456,t=2,p=1$"
)

func TestParseHashBounds(t *testing.T) {
	for _, c := range []struct {
		name, hash string
		ok         bool
	}{
		{"ours", newHash("x"), true},
		{"stronger", "$argon2id$v=19$m=65536,t=3,p=4" + saltAndKey, true},
		{"weaker", "$argon2id$v=19$m=1024,t=1,p=1" + saltAndKey, true},
		{"too little memory", "$argon2id$v=19$m=1023,t=1,p=1" + saltAndKey, false},
		{"memory of the whole machine", outOfBounds, false},
		{"work without end", "$argon2id$v=19$m=262144,t=16,p=1" + saltAndKey, false},
		{"no passes", "$argon2id$v=19$m=19456,t=0,p=1" + saltAndKey, false},
		{"no lanes", "$argon2id$v=19$m=19456,t=2,p=0" + saltAndKey, false},
		{"too many lanes", "$argon2id$v=19$m=19456,t=2,p=255" + saltAndKey, false},
		{"another order", "$argon2id$v=19$t=2,m=19456,p=1" + saltAndKey, false},
		{"a parameter more", "$argon2id$v=19$m=19456,t=2,p=1,x=1" + saltAndKey, false},
		{"a parameter less", "$argon2id$v=19$m=19456,t=2" + saltAndKey, false},
		{"leading zero", "$argon2id$v=19$m=019456,t=2,p=1" + saltAndKey, false},
		{"negative", "$argon2id$v=19$m=-1,t=2,p=1" + saltAndKey, false},
		{"another version", "$argon2id$v=16$m=19456,t=2,p=1" + saltAndKey, false},
		{"argon2i", "$argon2i$v=19$m=19456,t=2,p=1" + saltAndKey, false},
		{"padding", "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA==$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", false},
		{"short salt", "$argon2id$v=19$m=19456,t=2,p=1$c29t$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", false},
		{"short key", "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$nf65", false},
		{"bcrypt", "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW", true},
		{"bcrypt of PHP", "$2y$10$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW", true},
		{"bcrypt, worthless", "$2b$04$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW", false},
		{"bcrypt, minutes long", "$2b$20$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW", false},
		{"bcrypt, broken variant", "$2x$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW", false},
		{"bcrypt, cut off", "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMU", false},
		{"a password in clear", "hunter2", false},
		{"empty", "", false},
	} {
		if _, err := parseHash(c.hash); (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok %v", c.name, err, c.ok)
		}
	}
}

func TestVerifyKnowsOwnAndForeignHashes(t *testing.T) {
	h, ctx := NewHasher(2), context.Background()
	foreign, err := bcrypt.GenerateFromPassword([]byte("Grüße aus Köln"), minBcryptCost)
	if err != nil {
		t.Fatal(err)
	}
	composed, decomposed := "caf\u00e9 cr\u00e8me br\u00fbl\u00e9e", "cafe\u0301 cre\u0300me bru\u0302le\u0301e"
	other, err := bcrypt.GenerateFromPassword([]byte(decomposed), minBcryptCost)
	if err != nil {
		t.Fatal(err)
	}
	own := newHash(composed)
	for _, c := range []struct {
		name, stored, typed string
		want                bool
	}{
		{"right", own, composed, true},
		{"the same on another keyboard", own, decomposed, true},
		{"wrong", own, "cafe creme brulee", false},
		{"bcrypt, right", string(foreign), "Grüße aus Köln", true},
		{"bcrypt, wrong", string(foreign), "Gruesse aus Koeln", false},
		{"a foreign hash of what was typed, not normalised", string(other), decomposed, true},
		{"no password", "", "", false},
		{"no password, and one typed", "", "x", false},
		{"a hash that is none", "hunter2", "hunter2", false},
		{"longer than any password", own, composed + strings.Repeat("x", maxTyped), false},
		{"not UTF-8", own, "\xff\xfe", false},
	} {
		got, err := h.Verify(ctx, c.stored, c.typed)
		if err != nil || got != c.want {
			t.Errorf("%s: %v, %v, want %v", c.name, got, err, c.want)
		}
	}
	if h.Weak(own) || !h.Weak(string(foreign)) || !h.Weak("$argon2id$v=19$m=1024,t=1,p=1"+saltAndKey) {
		t.Error("Weak does not tell old hashes from new ones")
	}
	if h.Weak("$argon2id$v=19$m=65536,t=3,p=4" + saltAndKey) {
		t.Error("a stronger hash would be replaced by a weaker one")
	}
	if !strings.HasPrefix(own, ourParameters) {
		t.Errorf("new hash %q, want %q", own, ourParameters)
	}
}

// The reference implementation's hash verifies: we compute argon2id as others do.
func TestKnownVector(t *testing.T) {
	parsed, err := parseHash(strings.Replace(knownHash, "m=256", "m=19456", 1))
	if err != nil {
		t.Fatal(err)
	}
	parsed.memory = 256 // below our bounds, but what the vector was made with
	if !parsed.matches("password") || parsed.matches("Password") {
		t.Error("argon2id differs from the reference (phc-winner-argon2, test.c)")
	}
}

func TestHashingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(1)
		release, err := h.slot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		const callers = queuePerSlot + 20
		var wg sync.WaitGroup
		var mu sync.Mutex
		var atOnce, late int
		start := time.Now()
		for range callers {
			wg.Go(func() {
				_, err := h.Hash(t.Context(), "x")
				if !errors.Is(err, ErrBusy) {
					t.Errorf("got %v, want ErrBusy", err)
				}
				mu.Lock()
				defer mu.Unlock()
				if time.Since(start) == 0 {
					atOnce++
				} else {
					late++
				}
			})
		}
		wg.Wait()
		if atOnce != 20 || late != queuePerSlot || time.Since(start) != queueWait {
			t.Errorf("%d refused at once and %d after %v, want 20 and %d after %v", atOnce, late, time.Since(start), queuePerSlot, queueWait)
		}
		release()
		if _, err := h.slot(t.Context()); err != nil {
			t.Errorf("a free slot: %v", err)
		}
		if h.waiting.Load() != 0 {
			t.Error("somebody still waits")
		}
	})
	problem, ok := errors.AsType[*web.Problem](ErrBusy)
	if !ok || problem.Status != 503 || problem.RetryAfter == 0 {
		t.Errorf("ErrBusy is %+v, want 503 with Retry-After", problem)
	}
}

// An account that does not exist is compared with a hash that costs as much as
// those of others and that nobody can match.
func TestNobodysHashCostsAsMuchAsOurs(t *testing.T) {
	own, err := parseHash(newHash("x"))
	if err != nil {
		t.Fatal(err)
	}
	dummy := NewHasher(1).dummy
	if dummy.argonParams != own.argonParams || len(dummy.salt) != len(own.salt) || len(dummy.key) != len(own.key) || dummy.bcrypt != nil {
		t.Errorf("got %+v, want the costs of %+v", dummy, own)
	}
	if other := NewHasher(1).dummy; bytes.Equal(dummy.key, other.key) || bytes.Equal(dummy.salt, other.salt) {
		t.Error("two hashers have the same one: it is not random")
	}
	if dummy.matches("") || dummy.matches("nobody has this password") {
		t.Error("somebody has it")
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add(newHash("x"))
	f.Add("$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW")
	f.Add("$argon2id$v=19$m=1,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseHash(s)
		if err != nil {
			return
		}
		if h.bcrypt == nil && !h.bounded() {
			t.Errorf("%q is out of bounds and was accepted: %+v", s, h)
		}
	})
}
