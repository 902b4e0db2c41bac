package provider

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/store"
	"anteroom/store/bolt"
)

const day = 24 * time.Hour

// ring is a key ring without a provider, over a real file.
type ring struct {
	t   *testing.T
	db  *bolt.Store
	now time.Time
	o   KeyOptions
}

func newRing(t *testing.T) *ring {
	r := &ring{t: t, now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	r.db = must(bolt.Open(filepath.Join(t.TempDir(), "keys.db"), bolt.Options{}))(t)
	t.Cleanup(func() { _ = r.db.Close() })
	r.o = KeyOptions{
		Store: r.db, Seal: testSeal(), Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return r.now }, TokenLife: 10 * time.Minute,
	}
	return r
}

func (r *ring) open() *Keys { r.t.Helper(); return must(OpenKeys(r.o))(r.t) }

func (r *ring) maintain(k *Keys) {
	r.t.Helper()
	if err := k.Maintain(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// states counts keys of an algorithm by what they do.
func (r *ring) states(k *Keys, alg string) string {
	r.t.Helper()
	all := must(k.List(r.t.Context()))(r.t)
	var out []string
	for _, key := range all {
		if len(key.Sealed) > 0 {
			r.t.Error("a private part is listed")
		}
		if key.Algorithm == alg {
			out = append(out, k.State(key, all))
		}
	}
	return strings.Join(out, " ")
}

func (r *ring) kid(k *Keys, alg string) string {
	r.t.Helper()
	return must(k.signer(r.t.Context(), alg))(r.t).row.KID
}

// publishes waits out the cache and tells whether the JWKS has a key.
func (r *ring) publishes(k *Keys, kid string) bool {
	r.t.Helper()
	d := must(k.published(r.t.Context()))(r.t)
	var set struct {
		Keys []struct{ Kid, Kty, Alg, Use, D string }
	}
	if err := json.Unmarshal(d.body, &set); err != nil {
		r.t.Fatal(err)
	}
	for _, key := range set.Keys {
		if key.D != "" || key.Use != "sig" || key.Alg == "" {
			r.t.Errorf("published key %+v", key)
		}
	}
	return slices.ContainsFunc(set.Keys, func(key struct{ Kid, Kty, Alg, Use, D string }) bool { return key.Kid == kid })
}

func TestTheFirstStartMakesOneKeyOfEachAlgorithm(t *testing.T) {
	r := newRing(t)
	var wait sync.WaitGroup
	for range 4 { // nodes that start at once
		wait.Go(func() {
			if _, err := OpenKeys(r.o); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	k := r.open()
	for _, alg := range initialAlgorithms {
		if got := r.states(k, alg); got != "active" {
			t.Errorf("%s: %s, want one active key", alg, got)
		}
		if !r.publishes(k, r.kid(k, alg)) {
			t.Errorf("%s: not published", alg)
		}
	}
}

func TestRotationIsAutomaticPublishedBeforeAndWithdrawnAfterTheLastToken(t *testing.T) {
	r := newRing(t)
	k := r.open()
	old := r.kid(k, "ES256")
	step := func(d time.Duration, want string) {
		t.Helper()
		r.now = r.now.Add(d)
		r.maintain(k)
		if got := r.states(k, "ES256"); got != want {
			t.Fatalf("at %v: %s, want %s", r.now, got, want)
		}
	}
	step(89*day-time.Minute, "active")
	step(time.Minute, "active pending")
	step(time.Hour, "active pending") // one successor, however often looked
	all := must(k.List(t.Context()))(t)
	next := all[slices.IndexFunc(all, func(s store.SigningKey) bool { return k.State(s, all) == "pending" && s.Algorithm == "ES256" })]
	if !r.publishes(k, next.KID) || r.kid(k, "ES256") != old {
		t.Fatal("a day before: want the new key published and the old one signing")
	}
	token := must(k.sign(t.Context(), "ES256", typeAccessToken, accessClaims{ID: "before"}))(t)
	step(23*time.Hour, "retiring active")
	if r.kid(k, "ES256") != next.KID || !r.publishes(k, old) {
		t.Fatal("then: want the new key signing and the old one published")
	}
	if err := k.open(t.Context(), token, typeAccessToken, false, &accessClaims{}); err != nil {
		t.Errorf("a token of the old key: %v", err)
	}
	step(14*time.Minute, "retiring active")
	step(2*time.Minute, "retired active")
	if r.publishes(k, old) {
		t.Error("the retired key is published")
	}
	if err := k.open(t.Context(), token, typeAccessToken, false, &accessClaims{}); !errors.Is(err, errToken) {
		t.Errorf("a token of a retired key: %v", err)
	}
	if err := k.open(t.Context(), token, typeAccessToken, true, &accessClaims{}); err != nil {
		t.Errorf("as a hint: %v", err)
	}
	for _, row := range must(r.db.SigningKeys(t.Context()))(t) {
		if row.KID == old && len(row.Sealed) != 0 {
			t.Error("the private part of a retired key is kept")
		}
	}
}

func TestKeysThatNobodyNeedsAreDeletedAndTheRingDoesNotGrow(t *testing.T) {
	r := newRing(t)
	k := r.open()
	for range 30 {
		r.now = r.now.Add(45 * day)
		r.maintain(k)
	}
	if n := len(must(r.db.SigningKeys(t.Context()))(t)); n > 20 {
		t.Errorf("%d keys after four years", n)
	}
}

func TestRotateAtOnce(t *testing.T) {
	r := newRing(t)
	k := r.open()
	old := r.kid(k, "RS256")
	r.now = r.now.Add(89 * day)
	r.maintain(k) // leaves a pending key
	made := must(k.Rotate(t.Context(), 0))(t)
	if len(made) != len(initialAlgorithms) || len(made[0].Sealed) != 0 {
		t.Errorf("made %+v", made)
	}
	if got := r.states(k, "RS256"); got != "retiring active" {
		t.Errorf("got %s: want the key in waiting gone", got)
	}
	if r.kid(k, "RS256") == old || !r.publishes(k, old) {
		t.Error("want the new key signing and the old one published")
	}
	must(k.Rotate(audit.WithActor(t.Context(), "operator"), 0))(t)
	rows, _, err := r.db.AuditEvents(t.Context(), store.AuditFilter{Type: audit.KeyRotated}, store.Page{})
	if err != nil || rows[len(rows)-1].Actor != "operator" || rows[0].Actor != "system" {
		t.Errorf("%v, events %+v", err, rows)
	}
}

func TestRotateWithLead(t *testing.T) {
	r := newRing(t)
	k := r.open()
	old := r.kid(k, "ES256")
	made := must(k.Rotate(t.Context(), 10*time.Minute))(t)
	if r.kid(k, "ES256") != old || !r.publishes(k, made[1].KID) {
		t.Error("want the old key signing and the new one published")
	}
	r.now = r.now.Add(10 * time.Minute)
	if r.kid(k, "ES256") == old {
		t.Error("after the lead the old key signs")
	}
}

func TestTwoRotationsAtTheSameMomentAreOne(t *testing.T) {
	r := newRing(t)
	a, b := r.open(), r.open()
	var wait sync.WaitGroup
	errs := make(chan error, 2)
	for _, k := range []*Keys{a, b} {
		wait.Go(func() {
			_, err := k.Rotate(t.Context(), 0)
			errs <- err
		})
	}
	wait.Wait()
	var lost int
	for range 2 {
		if err := <-errs; errors.Is(err, store.ErrConsumed) {
			lost++
		} else if err != nil {
			t.Error(err)
		}
	}
	n := 0
	for _, row := range must(r.db.SigningKeys(t.Context()))(t) {
		if row.RetiredAt.IsZero() {
			n++
		}
	}
	if n != len(initialAlgorithms) {
		t.Errorf("%d keys sign, %d rotations lost", n, lost)
	}
}

// Another node signs with a key that this one has not seen: it looks at once,
// and in any case within a second.
func TestNodesLearnOfNewKeys(t *testing.T) {
	r := newRing(t)
	a, b := r.open(), r.open()
	must(b.set(t.Context()))(t)
	r.now = r.now.Add(time.Hour)
	must(a.Rotate(t.Context(), 0))(t)
	time.Sleep(110 * time.Millisecond)
	token := must(a.sign(t.Context(), "ES256", typeIDToken, idClaims{Subject: "ann"}))(t)
	if err := b.open(t.Context(), token, typeIDToken, false, &idClaims{}); err != nil {
		t.Errorf("at once: %v", err)
	}
	r.now = r.now.Add(time.Hour)
	made := must(a.Rotate(t.Context(), 0))(t)
	time.Sleep(keysTooOld)
	if got := r.kid(b, "RS256"); got != made[0].KID {
		t.Error("a second later the other node signs with the old key")
	}
}

// RELIABILITY: signing keys rotate under load.
func TestTokensVerifyWhileKeysRotateUnderLoad(t *testing.T) {
	r := newRig(t)
	var stop atomic.Bool
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for !stop.Load() {
				token, err := r.p.keys.sign(t.Context(), "ES256", typeAccessToken, accessClaims{ID: "x"})
				if err != nil {
					t.Error(err)
					return
				}
				if err := r.p.keys.open(t.Context(), token, typeAccessToken, false, &accessClaims{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 2 {
		if _, err := r.p.keys.Rotate(t.Context(), 0); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	wait.Wait()
}

func TestKeysOfAnotherMasterKeyDoNotOpen(t *testing.T) {
	r := newRing(t)
	r.open()
	r.o.Seal = must(seal.New([]byte(strings.Repeat("x", seal.KeySize))))(t)
	if _, err := OpenKeys(r.o); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("got %v, want ErrOpen", err)
	}
}

// A clock that runs ahead and is set back must not leave nobody to sign.
func TestTheClockGoesBack(t *testing.T) {
	r := newRing(t)
	start := r.now
	k := r.open()
	for range 4 {
		r.now = r.now.Add(100 * day)
		r.maintain(k)
	}
	for _, back := range []time.Duration{0, -365 * day} {
		r.now = start.Add(back)
		for _, alg := range initialAlgorithms {
			if _, err := k.sign(t.Context(), alg, typeIDToken, idClaims{}); err != nil {
				t.Errorf("%v: %v", back, err)
			}
		}
	}
}

func TestRunMaintainsUntilItsContextEnds(t *testing.T) {
	r := newRing(t)
	k := r.open()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { k.Run(ctx); close(done) }()
	cancel()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("does not end")
	}
}

// PROTOCOL: PS256 and EdDSA by client choice. Their keys are made when the first
// client wants them, once for all nodes, and rotate from then on.
func TestKeysOfOtherAlgorithmsAreMadeOnDemand(t *testing.T) {
	r := newRing(t)
	a, b := r.open(), r.open()
	if got := r.states(a, "EdDSA") + r.states(a, "PS256"); got != "" {
		t.Fatalf("made without demand: %s", got)
	}
	for _, alg := range []string{"EdDSA", "PS256"} {
		var wait sync.WaitGroup
		for _, k := range []*Keys{a, b, a, b} {
			wait.Go(func() {
				token, err := k.sign(t.Context(), alg, typeIDToken, idClaims{Subject: "ann"})
				if err == nil {
					err = k.open(t.Context(), token, typeIDToken, false, &idClaims{})
				}
				if err != nil {
					t.Errorf("%s: %v", alg, err)
				}
			})
		}
		wait.Wait()
		if got := r.states(a, alg); got != "active" {
			t.Errorf("%s: %q, want one active key", alg, got)
		}
		if !r.publishes(a, r.kid(a, alg)) {
			t.Errorf("%s: not published", alg)
		}
	}
	r.now = r.now.Add(90 * day)
	r.maintain(a)
	if got := r.states(a, "EdDSA"); got != "active pending" {
		t.Errorf("after 90 days: %s", got)
	}
	if _, err := a.sign(t.Context(), "HS256", typeIDToken, idClaims{}); err == nil {
		t.Error("signs with an algorithm that clients may not choose")
	}
}

// The unit of work that wanted a key may fail; the key stays for the others.
func TestAFirstKeyOutlivesTheRequestThatWantedIt(t *testing.T) {
	r := newRing(t)
	k := r.open()
	var kid string
	_ = r.db.Do(t.Context(), func(ctx context.Context) error {
		kid = must(k.signer(ctx, "EdDSA"))(t).row.KID
		return errors.New("refused")
	})
	if rows := must(r.db.SigningKeys(t.Context()))(t); !slices.ContainsFunc(rows, func(s store.SigningKey) bool { return s.KID == kid }) {
		t.Error("a key that signed is not kept")
	}
}

// OpenID Connect Core section 3.1.3.6: at_hash is made with the hash of the
// algorithm, which is SHA-512 for Ed25519.
func TestAtHashFollowsTheAlgorithm(t *testing.T) {
	r := newRig(t)
	for alg, size := range map[string]int{"RS256": 16, "PS256": 16, "ES256": 16, "EdDSA": 32} {
		if err := changeClient("web", func(c *store.Client) { c.IDTokenSignedResponseAlg, c.AccessTokenSigningAlg = alg, alg })(r); err != nil {
			t.Fatal(err)
		}
		got := r.tokens("web")
		access := str(got["access_token"])
		header, claims := payload(t, str(got["id_token"]))
		hash := must(base64.RawURLEncoding.DecodeString(str(claims["at_hash"])))(t)
		sum256, sum512 := sha256.Sum256([]byte(access)), sha512.Sum512([]byte(access))
		want := sum256[:16]
		if size == 32 {
			want = sum512[:32]
		}
		if header["alg"] != alg || !bytes.Equal(hash, want) {
			t.Errorf("%s: header %v, at_hash of %d bytes", alg, header, len(hash))
		}
		if own, _ := payload(t, access); own["alg"] != alg {
			t.Errorf("access token: %v", own)
		}
		if res := r.post(PathUserInfo, nil, withToken(access)); res.StatusCode != 200 {
			t.Errorf("%s: userinfo %s", alg, res.text)
		}
	}
}
