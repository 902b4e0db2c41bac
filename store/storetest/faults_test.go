package storetest_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/store"
	"anteroom/store/storetest"
)

// fault is a store that breaks one rule, and the test that must notice.
type fault struct {
	name     string
	caughtBy string
	wrap     func(store.Store) store.Store
	backend  func(*testing.T) storetest.Backend // instead of wrap
}

// unless turns one error into success.
func unless(err, swallowed error) error {
	if errors.Is(err, swallowed) {
		return nil
	}
	return err
}

const (
	oneWins = "of 32 callers exactly one wins"
	copied  = "returned and passed values are copies"
	ends    = "a thing is alive until the microsecond of its end"
)

var faults = []fault{
	{name: "a code is redeemed again", caughtBy: "a code is redeemed once", wrap: breaking(func(b *broken, s store.Store) {
		b.redeem = func(ctx context.Context, h string, now time.Time) error {
			return unless(s.RedeemCode(ctx, h, now), store.ErrConsumed)
		}
	})},
	{name: "a code is checked, then used", caughtBy: oneWins, wrap: breaking(func(b *broken, s store.Store) {
		b.redeem = func(ctx context.Context, h string, now time.Time) error {
			if _, _, err := s.Code(ctx, h, now); err != nil {
				return err
			}
			runtime.Gosched()
			return unless(s.RedeemCode(ctx, h, now), store.ErrConsumed)
		}
	})},
	{name: "an expired code counts as unused", caughtBy: "a dead family says why, in order", wrap: breaking(func(b *broken, s store.Store) {
		b.code = func(ctx context.Context, h string, now time.Time) (store.Code, store.Standing, error) {
			c, g, err := s.Code(ctx, h, now)
			if err != nil && !now.Before(c.ExpiresAt) {
				err = store.ErrExpired
			}
			return c, g, err
		}
	})},
	{name: "a refresh token is rotated again", caughtBy: "a refresh token is rotated once", wrap: breaking(func(b *broken, s store.Store) {
		b.rotate = func(ctx context.Context, old string, next store.RefreshToken, now time.Time) error {
			err := s.RotateRefreshToken(ctx, old, next, now)
			if errors.Is(err, store.ErrConsumed) {
				return s.CreateRefreshToken(ctx, next)
			}
			return err
		}
	})},
	{name: "the loser's refresh token stays", caughtBy: oneWins, wrap: breaking(func(b *broken, s store.Store) {
		b.rotate = func(ctx context.Context, old string, next store.RefreshToken, now time.Time) error {
			err := s.RotateRefreshToken(ctx, old, next, now)
			if errors.Is(err, store.ErrConsumed) {
				_ = s.CreateRefreshToken(ctx, next)
			}
			return err
		}
	})},
	{name: "the same TOTP step is accepted again", caughtBy: "a TOTP step is accepted once and steps only grow", wrap: breaking(func(b *broken, s store.Store) {
		b.totp = func(ctx context.Context, id string, step int64) error {
			err := s.AdvanceTOTP(ctx, id, step)
			if last, _ := s.LastTOTP(ctx, id); last == step {
				return nil
			}
			return err
		}
	})},
	{name: "an earlier TOTP step is accepted", caughtBy: "a TOTP step is accepted once and steps only grow", wrap: breaking(func(b *broken, s store.Store) {
		b.totp = func(ctx context.Context, id string, step int64) error {
			err := s.AdvanceTOTP(ctx, id, step)
			if last, _ := s.LastTOTP(ctx, id); step < last {
				return nil
			}
			return err
		}
	})},
	{name: "a recovery code works twice", caughtBy: "a recovery code works once", wrap: breaking(func(b *broken, s store.Store) {
		b.recovery = func(ctx context.Context, id, h string, now time.Time) error {
			return unless(s.UseRecoveryCode(ctx, id, h, now), store.ErrConsumed)
		}
	})},
	{name: "looking at a link uses it", caughtBy: "an invitation works once and looking consumes nothing", wrap: breaking(func(b *broken, s store.Store) { b.lookInvite = s.UseInvitation })},
	{name: "older resets stay open", caughtBy: "a reset works once and only the newest", wrap: breaking(func(b *broken, s store.Store) {
		b.lookReset = func(ctx context.Context, h string, now time.Time) (store.Reset, error) {
			r, err := s.ResetByToken(ctx, h, now)
			return r, unless(err, store.ErrRevoked)
		}
	})},

	{name: "Rollback commits", caughtBy: "a unit that fails leaves nothing", wrap: breaking(func(b *broken, s store.Store) { b.rollback = s.Commit })},
	{name: "Commit forgets", caughtBy: "a unit commits all of its writes", wrap: breaking(func(b *broken, s store.Store) { b.commit = s.Rollback })},
	{name: "Do writes at once", caughtBy: "a unit that fails leaves nothing", wrap: breaking(func(b *broken, _ store.Store) {
		b.do = func(ctx context.Context, fn func(context.Context) error) error { return fn(ctx) }
	})},
	{name: "losers write what they wrote before", caughtBy: "of 32 units exactly one wins and the losers write nothing", wrap: breaking(func(b *broken, _ store.Store) {
		b.do = func(ctx context.Context, fn func(context.Context) error) error { return fn(ctx) }
	})},
	{name: "together writes at once", caughtBy: "what 32 callers do together is done whole or not at all", wrap: breaking(func(b *broken, _ store.Store) {
		b.together = func(ctx context.Context, fn func(context.Context) error) error { return fn(ctx) }
	})},
	{name: "losers together leave half", caughtBy: "who loses together with others does not disturb them", wrap: breaking(func(b *broken, s store.Store) {
		b.together = func(ctx context.Context, fn func(context.Context) error) error {
			var lost error
			return errors.Join(s.Together(ctx, func(ctx context.Context) error {
				lost = fn(ctx)
				return nil
			}), lost)
		}
	})},
	{name: "an inner rollback is ignored", caughtBy: "a rolled back inner unit fails the outer one", wrap: breaking(func(b *broken, s store.Store) {
		type inside struct{}
		b.begin = func(ctx context.Context) (context.Context, error) {
			if ctx.Value(inside{}) != nil {
				return context.WithValue(ctx, inside{}, "inner"), nil
			}
			ctx, err := s.Begin(ctx)
			if err != nil {
				return nil, err
			}
			return context.WithValue(ctx, inside{}, "outer"), nil
		}
		b.rollback = func(ctx context.Context) error {
			if ctx.Value(inside{}) == "inner" {
				return nil
			}
			return s.Rollback(ctx)
		}
	})},
	{name: "the loser's error has no type", caughtBy: "the loser of a unit gets its typed error and nothing else", wrap: breaking(func(b *broken, s store.Store) {
		b.do = func(ctx context.Context, fn func(context.Context) error) error {
			if err := s.Do(ctx, fn); err != nil {
				return errors.New(err.Error())
			}
			return nil
		}
		b.commit = func(ctx context.Context) error {
			if err := s.Commit(ctx); err != nil {
				return errors.New(err.Error())
			}
			return nil
		}
	})},
	{name: "a unit reads what is committed", caughtBy: "a unit reads its own writes, nobody else does", wrap: breaking(func(b *broken, s store.Store) {
		b.byName = func(_ context.Context, name string) (store.Account, error) {
			return s.AccountByName(context.Background(), name)
		}
	})},
	{name: "the audit entry is written at once", caughtBy: "the audit log is one chain", wrap: breaking(func(b *broken, s store.Store) {
		b.audit = func(_ context.Context, e store.AuditEvent) error { return s.AppendAudit(context.Background(), e) }
	})},
	{name: "an ended context writes", caughtBy: "an ended context writes nothing", wrap: breaking(func(b *broken, s store.Store) {
		b.setMeta = func(ctx context.Context, name, v string) error { return s.SetMeta(context.WithoutCancel(ctx), name, v) }
	})},
	{name: "a panic is swallowed", caughtBy: "what a function panics with reaches its caller", wrap: breaking(func(b *broken, s store.Store) {
		b.do = func(ctx context.Context, fn func(context.Context) error) (err error) {
			defer func() { _ = recover() }()
			return s.Do(ctx, fn)
		}
	})},

	{name: "what is returned is shared", caughtBy: copied, wrap: breaking(func(b *broken, s store.Store) {
		var mu sync.Mutex
		cache := map[string]store.Client{}
		b.client = func(ctx context.Context, id string) (store.Client, error) {
			mu.Lock()
			defer mu.Unlock()
			if c, ok := cache[id]; ok {
				return c, nil
			}
			c, err := s.Client(ctx, id)
			if err == nil {
				cache[id] = c
			}
			return c, err
		}
	})},
	{name: "what is passed is kept", caughtBy: copied, wrap: breaking(func(b *broken, s store.Store) {
		var mu sync.Mutex
		profiles := map[string]map[string]any{}
		b.create = func(ctx context.Context, a store.Account) error {
			mu.Lock()
			defer mu.Unlock()
			profiles[a.ID] = a.Profile
			return s.CreateAccount(ctx, a)
		}
		b.account = func(ctx context.Context, id string) (store.Account, error) {
			mu.Lock()
			defer mu.Unlock()
			a, err := s.Account(ctx, id)
			a.Profile = profiles[id]
			return a, err
		}
	})},
	{name: "a field is forgotten", caughtBy: "what is stored comes back whole", wrap: breaking(func(b *broken, s store.Store) {
		b.create = func(ctx context.Context, a store.Account) error { a.Profile = nil; return s.CreateAccount(ctx, a) }
	})},
	{name: "an empty list is not nil", caughtBy: "nil and empty are the same and come back as nil", wrap: breaking(func(b *broken, s store.Store) {
		b.client = func(ctx context.Context, id string) (store.Client, error) {
			c, err := s.Client(ctx, id)
			c.Scopes = append([]string{}, c.Scopes...)
			return c, err
		}
	})},
	{name: "times are local", caughtBy: "times come back in UTC to the microsecond", wrap: breaking(func(b *broken, s store.Store) {
		b.account = func(ctx context.Context, id string) (store.Account, error) {
			a, err := s.Account(ctx, id)
			a.CreatedAt = a.CreatedAt.In(time.FixedZone("", 3600))
			return a, err
		}
	})},
	{name: "times are whole milliseconds", caughtBy: "times come back in UTC to the microsecond", wrap: breaking(func(b *broken, s store.Store) {
		b.create = func(ctx context.Context, a store.Account) error {
			a.CreatedAt = a.CreatedAt.Truncate(time.Millisecond)
			return s.CreateAccount(ctx, a)
		}
	})},
	{name: "garbage is a failure", caughtBy: "garbage names are unknown, not a failure", wrap: breaking(func(b *broken, s store.Store) {
		b.account = func(ctx context.Context, id string) (store.Account, error) {
			if strings.ContainsRune(id, 0) {
				return store.Account{}, errors.New("invalid byte sequence for encoding UTF8: 0x00")
			}
			return s.Account(ctx, id)
		}
	})},
	{name: "an update swallows its error", caughtBy: "an update that fails changes nothing", wrap: breaking(func(b *broken, s store.Store) {
		b.update = func(ctx context.Context, id string, fn func(*store.Account) error) (store.Account, error) {
			return s.UpdateAccount(ctx, id, func(a *store.Account) error { _ = fn(a); return nil })
		}
	})},
	{name: "an update is lost", caughtBy: "32 callers count without loss", wrap: breaking(func(b *broken, s store.Store) {
		b.update = func(ctx context.Context, id string, fn func(*store.Account) error) (store.Account, error) {
			read, err := s.Account(ctx, id)
			if err != nil {
				return read, err
			}
			if err := fn(&read); err != nil {
				return read, err
			}
			return s.UpdateAccount(ctx, id, func(a *store.Account) error { *a = read; return nil })
		}
	})},
	{name: "names differ by case", caughtBy: "names and addresses are unique when folded", wrap: breaking(func(b *broken, s store.Store) {
		b.byName = func(ctx context.Context, name string) (store.Account, error) {
			a, err := s.AccountByName(ctx, name)
			if err == nil && a.UserName != name && a.Email != name {
				return store.Account{}, store.ErrNotFound
			}
			return a, err
		}
	})},

	{name: "a session lives a microsecond too long", caughtBy: ends, wrap: breaking(func(b *broken, s store.Store) {
		b.session = func(ctx context.Context, id string, now time.Time) (store.Session, error) {
			return s.Session(ctx, id, now.Add(-time.Microsecond))
		}
	})},
	{name: "a session dies a microsecond too soon", caughtBy: ends, wrap: breaking(func(b *broken, s store.Store) {
		b.session = func(ctx context.Context, id string, now time.Time) (store.Session, error) {
			return s.Session(ctx, id, now.Add(time.Microsecond))
		}
	})},
	{name: "a code lives a microsecond too long", caughtBy: ends, wrap: breaking(func(b *broken, s store.Store) {
		b.redeem = func(ctx context.Context, h string, now time.Time) error {
			return s.RedeemCode(ctx, h, now.Add(-time.Microsecond))
		}
	})},
	{name: "a jti is forgotten a microsecond too soon", caughtBy: "a value is used once until its time", wrap: breaking(func(b *broken, s store.Store) {
		b.once = func(ctx context.Context, space, key string, now, until time.Time) error {
			return s.UseOnce(ctx, space, key, now.Add(time.Microsecond), until)
		}
	})},
	{name: "spaces of values are one", caughtBy: "a value is used once until its time", wrap: breaking(func(b *broken, s store.Store) {
		b.once = func(ctx context.Context, _, key string, now, until time.Time) error {
			return s.UseOnce(ctx, "x", key, now, until)
		}
	})},
	{name: "a window of failures slides", caughtBy: "failures count within a window", wrap: breaking(func(b *broken, s store.Store) {
		b.record = func(ctx context.Context, key string, now time.Time, w time.Duration) (store.Failure, error) {
			f, err := s.RecordFailure(ctx, key, now, w)
			f.Until = now.Add(w)
			return f, err
		}
	})},
	{name: "failures are not bounded", caughtBy: "failure counters are bounded", backend: func(t *testing.T) storetest.Backend {
		sound := backend(t, func(s store.Store) store.Store { return s })
		return storetest.Backend{Open: func(storetest.Options) (store.Store, error) { return sound.Open(storetest.Options{}) }}
	}},
	{name: "ending a dead session is an error", caughtBy: "a session lives until it is ended or expires", wrap: breaking(func(b *broken, s store.Store) {
		b.endSession = func(ctx context.Context, id string, now time.Time) error {
			if _, err := s.Session(ctx, id, now); err != nil {
				return err
			}
			return s.EndSession(ctx, id, now)
		}
	})},
	{name: "an assignment is overwritten", caughtBy: "an assignment that exists stays as it is", wrap: breaking(func(b *broken, s store.Store) {
		b.assign = func(ctx context.Context, a store.Assignment) error {
			_ = s.RemoveAssignment(ctx, a)
			return s.PutAssignment(ctx, a)
		}
	})},
	{name: "a consent replaces the one before", caughtBy: "consents grow and can be revoked", wrap: breaking(func(b *broken, s store.Store) {
		b.consent = func(ctx context.Context, c store.Consent) error {
			_ = s.RevokeConsent(ctx, c.AccountID, c.ClientID)
			return s.PutConsent(ctx, c)
		}
	})},
	{name: "a filter's field is ignored", caughtBy: "revoking by filter ends what matches and is alive", wrap: breaking(func(b *broken, s store.Store) {
		b.revoke = func(ctx context.Context, f store.GrantFilter, why string, now time.Time) ([]string, error) {
			f.ApplicationID = ""
			return s.RevokeGrants(ctx, f, why, now)
		}
	})},
	{name: "a denied token is accepted", caughtBy: "an access token can be denied", wrap: breaking(func(b *broken, _ store.Store) {
		b.denied = func(context.Context, string) (bool, error) { return false, nil }
	})},
	{name: "mail is claimed without a lease", caughtBy: "mail is claimed for a lease, longest due first", wrap: breaking(func(b *broken, s store.Store) {
		b.claim = func(ctx context.Context, now time.Time, _ time.Duration, n int) ([]store.OutboxMessage, error) {
			return s.ClaimMail(ctx, now, 0, n)
		}
	})},
	{name: "requests about a person are counted before they are written", caughtBy: "of 32 callers exactly one wins", wrap: breaking(func(b *broken, s store.Store) {
		b.ask = func(ctx context.Context, r store.Backchannel, most int) error {
			waiting, err := s.BackchannelsOf(ctx, r.AccountID, r.CreatedAt)
			if err == nil && len(waiting) >= most {
				err = store.ErrTooMany
			}
			if err != nil {
				return err
			}
			time.Sleep(time.Millisecond)
			return s.CreateBackchannel(ctx, r, 1<<20)
		}
	})},
	{name: "any number of requests waits for a person", caughtBy: "a backchannel request waits for its account until somebody decides", wrap: breaking(func(b *broken, s store.Store) {
		b.ask = func(ctx context.Context, r store.Backchannel, _ int) error { return s.CreateBackchannel(ctx, r, 1<<20) }
	})},
	{name: "the audit chain is cut", caughtBy: "the audit log is one chain", wrap: breaking(func(b *broken, s store.Store) {
		b.events = func(ctx context.Context, f store.AuditFilter, p store.Page) ([]store.AuditEvent, string, error) {
			rows, next, err := s.AuditEvents(ctx, f, p)
			for i := range rows {
				if rows[i].Seq == 9 {
					rows[i].Details = map[string]string{"a": "changed"}
				}
			}
			return rows, next, err
		}
	})},
	{name: "metadata set once is overwritten", caughtBy: "32 callers share out what there is", wrap: breaking(func(b *broken, s store.Store) {
		b.metaOnce = func(ctx context.Context, name, v string) (string, error) { return v, s.SetMeta(ctx, name, v) }
	})},
	{name: "pages are counted, not followed", caughtBy: "pages are stable while rows come and go", wrap: breaking(func(b *broken, s store.Store) {
		b.accounts = func(ctx context.Context, p store.Page) ([]store.Account, string, error) {
			skip, _ := strconv.Atoi(p.After)
			all, _, err := s.Accounts(ctx, store.Page{Limit: 1000})
			if err != nil || p.Limit < 0 || p.Limit > 1000 {
				return nil, "", errors.Join(err, store.ErrInvalid)
			}
			end := min(skip+p.Limit, len(all))
			next := ""
			if end < len(all) {
				next = strconv.Itoa(end)
			}
			return all[min(skip, end):end], next, nil
		}
	})},
	{name: "a full last page promises another", caughtBy: "a page has 1 to 1000 rows, 100 if not said", wrap: breaking(func(b *broken, s store.Store) {
		b.accounts = func(ctx context.Context, p store.Page) ([]store.Account, string, error) {
			rows, next, err := s.Accounts(ctx, p)
			if next == "" && len(rows) == p.Limit && len(rows) > 0 {
				next = rows[len(rows)-1].ID
			}
			return rows, next, err
		}
	})},
	{name: "sweeping takes what is alive", caughtBy: "sweeping removes what is over and nothing else", wrap: breaking(func(b *broken, s store.Store) {
		b.sweep = func(ctx context.Context, now time.Time, n int) (int, error) {
			return s.Sweep(ctx, now.Add(time.Hour), n)
		}
	})},
	{name: "sweeping leaves what is over", caughtBy: "sweeping removes what is over and nothing else", wrap: breaking(func(b *broken, s store.Store) {
		b.sweep = func(context.Context, time.Time, int) (int, error) { return 0, nil }
	})},
	{name: "sweeping knows no limit", caughtBy: "sweeping goes in steps", wrap: breaking(func(b *broken, s store.Store) {
		b.sweep = func(ctx context.Context, now time.Time, _ int) (int, error) { return s.Sweep(ctx, now, 1000) }
	})},
	{name: "everything is forgotten at the end", caughtBy: "everything is there after opening again", backend: func(t *testing.T) storetest.Backend {
		return storetest.Backend{Open: func(o storetest.Options) (store.Store, error) {
			return backend(t, func(s store.Store) store.Store { return s }).Open(o)
		}}
	}},
	{name: "a closed store is ready", caughtBy: "a closed store is unavailable", wrap: breaking(func(b *broken, _ store.Store) {
		b.ready = func(context.Context) error { return nil }
	})},
}
