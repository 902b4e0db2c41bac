package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/store"
)

// KeyStore is what the ring of signing keys needs of the store.
type KeyStore interface {
	store.UnitOfWork
	store.SigningKeys
	store.Once
	store.AuditLog
}

// KeyPolicy says how the ring turns; zero means the value in brackets.
type KeyPolicy struct {
	RotateEvery  time.Duration // [90 days] a new key signs after this
	PublishAhead time.Duration // [24 h] a new key is in the JWKS this long before it signs
}

// KeyOptions configure Keys. Log and Policy may be zero.
type KeyOptions struct {
	Store     KeyStore
	Seal      *seal.Keyring
	Log       *slog.Logger
	Now       func() time.Time
	Policy    KeyPolicy
	TokenLife time.Duration // longest life of a token that these keys sign
}

// How fresh what a node knows of the keys is: it looks again after keysStale,
// and never signs or verifies with what is older than keysTooOld.
const (
	keysStale  = 500 * time.Millisecond
	keysTooOld = time.Second
)

// hintHorizon is how long after its retirement a key still verifies
// id_token_hint; then it is deleted.
const hintHorizon = 400 * 24 * time.Hour

// Keys is the ring of signing keys. Keys are made, published before they sign,
// replaced, and withdrawn after the last token they signed has expired; private
// parts are sealed at rest, bound to their KID, and destroyed at withdrawal.
// All nodes share the ring through the store.
type Keys struct {
	o       KeyOptions
	current atomic.Pointer[keySet]
	loading sync.Mutex // one load at a time; signing never takes it
	making  sync.Mutex // one first key at a time
}

// OpenKeys returns the ring. It makes the first key of each algorithm if there
// is none, and fails if the keys do not open under the master key.
func OpenKeys(o KeyOptions) (*Keys, error) {
	if o.Policy.RotateEvery <= 0 {
		o.Policy.RotateEvery = 90 * 24 * time.Hour
	}
	if o.Policy.PublishAhead <= 0 {
		o.Policy.PublishAhead = 24 * time.Hour
	}
	o.Policy.PublishAhead = min(o.Policy.PublishAhead, o.Policy.RotateEvery/2)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	k := &Keys{o: o}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := k.Maintain(ctx); err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	for _, alg := range initialAlgorithms {
		if _, err := k.signer(ctx, alg); err != nil {
			return nil, fmt.Errorf("signing keys: %w", err)
		}
	}
	return k, nil
}

// set returns the keys as the store has them, at most keysTooOld ago. If the
// store cannot answer, what is known goes on being used.
func (k *Keys) set(ctx context.Context) (*keySet, error) {
	s := k.current.Load()
	age := keysTooOld
	if s != nil {
		age = time.Since(s.loaded)
	}
	switch {
	case age < keysStale:
		return s, nil
	case age < keysTooOld:
		if !k.loading.TryLock() {
			return s, nil
		}
	default:
		k.loading.Lock()
	}
	defer k.loading.Unlock()
	if s := k.current.Load(); s != nil && time.Since(s.loaded) < keysStale {
		return s, nil
	}
	return k.load(ctx)
}

// reload looks again at what was looked at longer than age ago.
func (k *Keys) reload(ctx context.Context, age time.Duration) (*keySet, error) {
	k.loading.Lock()
	defer k.loading.Unlock()
	if s := k.current.Load(); s != nil && time.Since(s.loaded) < age {
		return s, nil
	}
	return k.load(ctx)
}

func (k *Keys) load(ctx context.Context) (*keySet, error) {
	before := k.current.Load()
	rows, err := k.o.Store.SigningKeys(context.WithoutCancel(ctx))
	if err != nil {
		if before == nil {
			return nil, fmt.Errorf("load signing keys: %w", err)
		}
		k.o.Log.ErrorContext(ctx, "signing keys not reloaded; going on with those known", "error", err.Error())
		again := *before
		again.loaded = time.Now()
		k.current.Store(&again)
		return &again, nil
	}
	s, err := newKeySet(rows, before, k.o.Seal)
	if err != nil {
		return nil, err
	}
	k.current.Store(s)
	return s, nil
}

// List returns all keys, oldest first, without their private parts.
func (k *Keys) List(ctx context.Context) ([]store.SigningKey, error) {
	rows, err := k.o.Store.SigningKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list signing keys: %w", err)
	}
	for i := range rows {
		rows[i].Sealed = nil
	}
	return rows, nil
}

// State says what a key of List does now: "pending" (published, signs later),
// "active", "retiring" (published, signs no more) or "retired".
func (k *Keys) State(key store.SigningKey, all []store.SigningKey) string {
	now := k.now()
	active := activeKey(all, key.Algorithm, now)
	switch {
	case !key.RetiredAt.IsZero() && !now.Before(key.RetiredAt):
		return "retired"
	case active != nil && active.KID == key.KID:
		return "active"
	case now.Before(key.ActiveAt):
		return "pending"
	}
	return "retiring"
}

// Run maintains the ring until ctx ends. Any number of nodes may: one wins.
func (k *Keys) Run(ctx context.Context) {
	tick := time.NewTicker(5 * time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := k.Maintain(ctx); err != nil && ctx.Err() == nil {
				k.o.Log.ErrorContext(ctx, "signing keys not maintained", "error", err.Error())
			}
		}
	}
}

// Maintain does what is due: makes missing keys and the successors of old ones,
// destroys the private part of retired ones, deletes what nobody needs.
func (k *Keys) Maintain(ctx context.Context) error {
	rows, err := k.o.Store.SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("load signing keys: %w", err)
	}
	now := k.now()
	for _, alg := range inUse(rows) {
		newest := newestKey(rows, alg)
		plan := rotation{algorithm: alg, activeAt: now}
		if newest != nil {
			due := newest.ActiveAt.Add(k.o.Policy.RotateEvery)
			if now.Before(due.Add(-k.o.Policy.PublishAhead)) {
				continue
			}
			plan.after, plan.retire = newest, newest
			plan.activeAt = due
			if soonest := now.Add(k.o.Policy.PublishAhead); plan.activeAt.Before(soonest) {
				plan.activeAt = soonest
			}
		}
		if _, err := k.rotate(ctx, plan); err != nil && !errors.Is(err, store.ErrConsumed) {
			return err
		}
	}
	if err := k.retire(ctx, rows, now); err != nil {
		return err
	}
	_, err = k.reload(ctx, 0)
	return err
}

// Rotate makes a new key of each algorithm, that signs after lead (0: at once),
// and withdraws keys that were waiting to sign. The keys that sign now stay in
// the JWKS until their last token has expired. Clients that follow the cache
// times of the JWKS see no failure if lead is at least JWKSMaxAge; with less
// they must refetch on an unknown kid, as the specifications tell them to.
// Returns store.ErrConsumed if another node rotated at the same moment.
func (k *Keys) Rotate(ctx context.Context, lead time.Duration) ([]store.SigningKey, error) {
	rows, err := k.o.Store.SigningKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("load signing keys: %w", err)
	}
	now := k.now()
	var made []store.SigningKey
	for _, alg := range inUse(rows) {
		plan := rotation{algorithm: alg, activeAt: now.Add(max(lead, 0)), after: newestKey(rows, alg), retire: activeKey(rows, alg, now)}
		for _, r := range rows {
			if r.Algorithm == alg && r.ActiveAt.After(now) && plan.retire != nil && r.KID != plan.retire.KID {
				plan.drop = append(plan.drop, r.KID)
			}
		}
		row, err := k.rotate(ctx, plan)
		if err != nil {
			return nil, err
		}
		row.Sealed = nil
		made = append(made, row)
	}
	_, err = k.reload(ctx, 0)
	return made, err
}

// Withdraw takes a key out of the ring for good, before its last token has
// expired: whoever stole it signs nothing more that is believed here, and nobody
// who reads the JWKS from now on believes it. Returns store.ErrNotFound, and
// store.ErrInvalid for a key that signs now: rotate first.
func (k *Keys) Withdraw(ctx context.Context, kid string) error {
	rows, err := k.o.Store.SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("load signing keys: %w", err)
	}
	i := slices.IndexFunc(rows, func(r store.SigningKey) bool { return r.KID == kid })
	if i < 0 {
		return fmt.Errorf("signing key %q: %w", kid, store.ErrNotFound)
	}
	if active := activeKey(rows, rows[i].Algorithm, k.now()); active != nil && active.KID == kid {
		return fmt.Errorf("signing key %q signs now: %w", kid, store.ErrInvalid)
	}
	err = k.o.Store.Do(ctx, func(ctx context.Context) error {
		if err := k.o.Store.DeleteSigningKey(ctx, kid); err != nil {
			return err
		}
		return k.record(ctx, audit.KeyWithdrawn, rows[i])
	})
	if err != nil {
		return fmt.Errorf("withdraw signing key: %w", err)
	}
	_, err = k.reload(ctx, 0)
	return err
}

// rotation is one new key and what it does to the others.
type rotation struct {
	algorithm string
	activeAt  time.Time
	after     *store.SigningKey // newest so far: the same one is followed once; nil: there is none
	retire    *store.SigningKey // signs until then
	drop      []string          // were waiting to sign
}

// rotate writes a rotation. Of several nodes that do the same one wins; the
// others get store.ErrConsumed.
func (k *Keys) rotate(ctx context.Context, plan rotation) (store.SigningKey, error) {
	now := k.now()
	row, err := generateKey(plan.algorithm, k.o.Seal)
	if err != nil {
		return row, err
	}
	row.CreatedAt, row.ActiveAt = now, store.Time(plan.activeAt)
	if r := plan.retire; r != nil && !row.ActiveAt.After(r.ActiveAt) {
		row.ActiveAt = r.ActiveAt.Add(time.Microsecond) // the clock went back
	}
	claim := plan.algorithm + "/first"
	if plan.after != nil {
		claim = plan.algorithm + "/" + plan.after.KID
	}
	err = k.o.Store.Do(ctx, func(ctx context.Context) error {
		if err := k.o.Store.UseOnce(ctx, "signing key", claim, now, now.Add(time.Hour)); err != nil {
			return err
		}
		if err := k.o.Store.CreateSigningKey(ctx, row); err != nil {
			return err
		}
		for _, kid := range plan.drop {
			if err := k.o.Store.DeleteSigningKey(ctx, kid); err != nil {
				return err
			}
		}
		kind := audit.KeyCreated
		if plan.retire != nil {
			kind = audit.KeyRotated
			end := row.ActiveAt.Add(k.o.TokenLife + JWKSMaxAge)
			if err := k.o.Store.UpdateSigningKey(ctx, plan.retire.KID, func(r *store.SigningKey) error {
				r.RetiredAt = end
				return nil
			}); err != nil {
				return err
			}
		}
		return k.record(ctx, kind, row)
	})
	if err != nil {
		return row, fmt.Errorf("new %s key: %w", plan.algorithm, err)
	}
	return row, nil
}

// retire destroys what can sign no more, and deletes what nobody will show us.
func (k *Keys) retire(ctx context.Context, rows []store.SigningKey, now time.Time) error {
	for _, row := range rows {
		if row.RetiredAt.IsZero() || now.Before(row.RetiredAt) {
			continue
		}
		err := k.o.Store.Do(ctx, func(ctx context.Context) error {
			if now.After(row.RetiredAt.Add(hintHorizon)) {
				return k.o.Store.DeleteSigningKey(ctx, row.KID)
			}
			if len(row.Sealed) == 0 {
				return nil
			}
			if err := k.o.Store.UpdateSigningKey(ctx, row.KID, func(r *store.SigningKey) error {
				r.Sealed = nil
				return nil
			}); err != nil {
				return err
			}
			return k.record(ctx, audit.KeyRetired, row)
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("retire key %q: %w", row.KID, err)
		}
	}
	return nil
}

func (k *Keys) record(ctx context.Context, kind string, row store.SigningKey) error {
	return audit.Record(ctx, k.o.Store, store.AuditEvent{
		At: k.now(), Type: kind, Actor: audit.Actor(ctx),
		Details: map[string]string{"kid": row.KID, "algorithm": row.Algorithm},
	})
}

func (k *Keys) now() time.Time { return store.Time(k.o.Now()) }

func newestKey(rows []store.SigningKey, alg string) *store.SigningKey {
	var newest *store.SigningKey
	for i, r := range rows {
		if r.Algorithm == alg && (newest == nil || r.ActiveAt.After(newest.ActiveAt)) {
			newest = &rows[i]
		}
	}
	return newest
}

// activeKey is the key that signs at now: the latest whose time has come. If
// the clock was set back to before all of them it is the first one.
func activeKey(rows []store.SigningKey, alg string, now time.Time) *store.SigningKey {
	own := make([]*store.SigningKey, 0, len(rows))
	for i, r := range rows {
		if r.Algorithm == alg && (r.RetiredAt.IsZero() || now.Before(r.RetiredAt)) {
			own = append(own, &rows[i])
		}
	}
	slices.SortFunc(own, func(a, b *store.SigningKey) int { return a.ActiveAt.Compare(b.ActiveAt) })
	var active *store.SigningKey
	for _, r := range own {
		if active == nil || !r.ActiveAt.After(now) {
			active = r
		}
	}
	return active
}
