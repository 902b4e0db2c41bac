package storetest

import (
	"errors"
	"fmt"
	"time"

	"anteroom/store"
)

var lifeTests = []Test{
	{"a thing is alive until the microsecond of its end", expiry},
	{"sweeping removes what is over and nothing else", sweeping},
	{"sweeping goes in steps", sweepSteps},
	{"everything is there after opening again", reopened},
	{"a closed store is unavailable", closed},
}

func expiry(e *env) {
	s, ctx := e.s, e.ctx
	end := in(minute)
	e.must(s.CreateInvitation(ctx, store.Invitation{ID: "i", TokenHash: "i", AccountID: "ann", ApplicationID: "pcc", ExpiresAt: end}))
	e.must(s.CreateReset(ctx, store.Reset{ID: "r", TokenHash: "r", AccountID: "ann", ExpiresAt: end}))
	e.must(s.CreateSession(ctx, store.Session{ID: "s", TokenHash: "s", AccountID: "ann", ExpiresAt: end}))
	e.must(s.IssueCode(ctx, store.Grant{ID: "g", ExpiresAt: in(time.Hour)}, store.Code{Hash: "c", GrantID: "g", ExpiresAt: end}))
	e.must(s.CreateRefreshToken(ctx, store.RefreshToken{Hash: "t", GrantID: "g", ExpiresAt: end}))
	e.must(s.CreateGrant(ctx, store.Grant{ID: "g2", AccountID: "ann", ExpiresAt: end}))
	reads := map[string]func(now time.Time) error{
		"invitation":    func(now time.Time) error { _, err := s.InvitationByToken(ctx, "i", now); return err },
		"reset":         func(now time.Time) error { _, err := s.ResetByToken(ctx, "r", now); return err },
		"session":       func(now time.Time) error { _, err := s.Session(ctx, "s", now); return err },
		"session token": func(now time.Time) error { _, err := s.SessionByToken(ctx, "s", now); return err },
		"code":          func(now time.Time) error { _, _, err := s.Code(ctx, "c", now); return err },
		"refresh token": func(now time.Time) error { _, _, err := s.RefreshToken(ctx, "t", now); return err },
		"grant":         func(now time.Time) error { _, err := s.Grant(ctx, "g2", now); return err },
		"session list": func(now time.Time) error {
			return listed(s.SessionsOf(ctx, "ann", now))
		},
		"grant list": func(now time.Time) error {
			return listed(s.GrantsOf(ctx, store.GrantFilter{AccountID: "ann"}, now))
		},
	}
	uses := map[string]func(now time.Time) error{
		"use the invitation": func(now time.Time) error { _, err := s.UseInvitation(ctx, "i", now); return err },
		"use the reset":      func(now time.Time) error { _, err := s.UseReset(ctx, "r", now); return err },
		"redeem the code":    func(now time.Time) error { return s.RedeemCode(ctx, "c", now) },
		"renew the session": func(now time.Time) error {
			_, err := s.RenewSession(ctx, "s", now, func(*store.Session) error { return nil })
			return err
		},
		"rotate the refresh token": func(now time.Time) error {
			return s.RotateRefreshToken(ctx, "t", store.RefreshToken{Hash: "u", GrantID: "g"}, now)
		},
	}
	for what, read := range reads {
		e.wants(what+" at its end", read(end), store.ErrExpired)
		e.wants(what+" after its end", read(in(time.Hour/2)), store.ErrExpired)
		e.wants(what+" in another zone", read(end.In(zone)), store.ErrExpired)
		e.wants(what+" a nanosecond before its end", read(end.Add(-1)), nil)
		e.wants(what+" a microsecond before its end", read(end.Add(-time.Microsecond)), nil)
	}
	for what, use := range uses {
		e.wants(what+" at its end", use(end), store.ErrExpired)
		e.wants(what+" a microsecond before its end", use(end.Add(-time.Microsecond)), nil)
	}
}

// listed is ErrExpired for a listing without rows.
func listed[T any](rows []T, err error) error {
	if err == nil && len(rows) == 0 {
		return store.ErrExpired
	}
	return err
}

func sweepStore(e *env, s store.Store, now time.Time) (total int) {
	e.Helper()
	for range 1000 {
		n, err := s.Sweep(e.ctx, now, 100)
		e.must(err)
		total += n
		if n == 0 {
			return total
		}
	}
	e.Fatalf("sweeping does not end")
	return total
}

func sweepAll(e *env, now time.Time) int { e.Helper(); return sweepStore(e, e.s, now) }

func sweeping(e *env) {
	s, ctx := e.s, e.ctx
	const day = 24 * time.Hour
	e.must(s.CreateInvitation(ctx, store.Invitation{ID: "i", TokenHash: "i", AccountID: "ann", ApplicationID: "pcc", ExpiresAt: in(minute)}))
	e.must(s.CreateReset(ctx, store.Reset{ID: "r", TokenHash: "r", AccountID: "ann", ExpiresAt: in(minute)}))
	e.must(s.CreateSession(ctx, store.Session{ID: "late", TokenHash: "late", AccountID: "ann", ExpiresAt: in(minute)}))
	e.must(s.CreateSession(ctx, store.Session{ID: "ended", TokenHash: "ended", AccountID: "ann", ExpiresAt: in(90 * day)}))
	e.must(s.EndSession(ctx, "ended", in(minute)))
	e.must(s.UseOnce(ctx, "jti", "j", t0, in(minute)))
	e.must(s.RevokeAccessToken(ctx, "denied", in(minute)))
	for id, end := range map[string]time.Time{"late": in(minute), "revoked": in(minute), "live": in(200 * day)} {
		issue(e, id, func(g *store.Grant, c *store.Code) { g.ExpiresAt = end })
		e.must(s.CreateRefreshToken(ctx, store.RefreshToken{Hash: "token-" + id, GrantID: id, ExpiresAt: in(day)}))
	}
	e.must(s.RevokeGrant(ctx, "revoked", "x", t0))
	_, err := s.RecordFailure(ctx, "k", t0, minute)
	e.must(err)
	e.must(s.CreateInvitation(ctx, store.Invitation{ID: "i2", TokenHash: "i2", AccountID: "ann", ApplicationID: "pcc", ExpiresAt: in(100 * day)}))

	gone := map[string]func() error{
		"invitation":            func() error { _, err := s.InvitationByToken(ctx, "i", t0); return err },
		"reset":                 func() error { _, err := s.ResetByToken(ctx, "r", t0); return err },
		"expired session":       func() error { _, err := s.Session(ctx, "late", t0); return err },
		"session's token":       func() error { _, err := s.SessionByToken(ctx, "late", t0); return err },
		"ended session":         func() error { _, err := s.Session(ctx, "ended", t0); return err },
		"expired grant":         func() error { _, err := s.Grant(ctx, "late", t0); return err },
		"its code":              func() error { _, _, err := s.Code(ctx, "code-late", t0); return err },
		"its token":             func() error { _, _, err := s.RefreshToken(ctx, "token-late", t0); return err },
		"revoked grant":         func() error { _, err := s.Grant(ctx, "revoked", t0); return err },
		"used jti":              func() error { return onceOr(s.UseOnce(ctx, "jti", "j", t0, in(minute))) },
		"denied token":          func() error { return found(s.AccessTokenRevoked(ctx, "denied")) },
		"failures":              func() error { f, err := s.Failure(ctx, "k", t0); return found(f.Count > 0, err) },
		"live grant":            func() error { _, err := s.Grant(ctx, "live", t0); return err },
		"live grant's old code": func() error { _, _, err := s.Code(ctx, "code-live", t0); return err },
		"later invitation":      func() error { _, err := s.InvitationByToken(ctx, "i2", t0); return err },
	}
	ends := map[string]time.Time{
		"invitation": in(minute + 90*day), "reset": in(minute + 90*day),
		"expired session": in(minute + day), "session's token": in(minute + day), "ended session": in(minute + day),
		"expired grant": in(minute), "its code": in(minute), "its token": in(minute), "revoked grant": in(minute),
		"used jti": in(minute), "denied token": in(minute), "failures": in(minute),
	}
	for _, now := range []time.Time{t0, in(minute - time.Microsecond), in(minute), in(minute + day - time.Microsecond), in(minute + day), in(minute + 90*day - time.Microsecond), in(minute + 90*day)} {
		sweepAll(e, now)
		for what, look := range gone {
			end, ends := ends[what]
			err := look()
			if ends && !now.Before(end) {
				e.wants(fmt.Sprintf("%s after sweeping at %v", what, now.Sub(t0)), err, store.ErrNotFound)
			} else if errors.Is(err, store.ErrNotFound) {
				e.Errorf("%s is gone after sweeping at %v", what, now.Sub(t0))
			}
		}
		if !now.Before(in(minute)) { // looking used it again
			sweepAll(e, now)
		}
	}
}

// onceOr is ErrNotFound when a use was not remembered.
func onceOr(err error) error {
	if err == nil {
		return store.ErrNotFound
	}
	return err
}

func found(ok bool, err error) error {
	if err == nil && !ok {
		return store.ErrNotFound
	}
	return err
}

func sweepSteps(e *env) {
	s, ctx := e.s, e.ctx
	for i := range 10 {
		e.must(s.UseOnce(ctx, "jti", fmt.Sprint(i), t0, in(time.Duration(i)*time.Second)))
	}
	var steps []int
	for range 4 {
		n, err := s.Sweep(ctx, in(8*time.Second), 4)
		e.must(err)
		steps = append(steps, n)
	}
	e.equal("removed in steps of 4", steps, []int{4, 4, 1, 0})
	// A family larger than a step goes away bit by bit, its grant at last.
	issue(e, "g", func(g *store.Grant, _ *store.Code) { g.ExpiresAt = in(minute) })
	for i := range 9 {
		e.must(s.CreateRefreshToken(ctx, store.RefreshToken{Hash: fmt.Sprint("t", i), GrantID: "g"}))
	}
	for range 50 {
		n, err := s.Sweep(ctx, in(minute), 2)
		e.must(err)
		if n > 2 {
			e.Errorf("a step removed %d rows, want at most 2", n)
		}
		if n == 0 {
			break
		}
	}
	_, _, err := s.RefreshToken(ctx, "t8", t0)
	e.wants("the last token", err, store.ErrNotFound)
	_, err = s.Grant(ctx, "g", t0)
	e.wants("the grant", err, store.ErrNotFound)
}

func reopened(e *env) {
	e.world()
	issue(e, "g", nil)
	e.must(e.s.RedeemCode(e.ctx, "code-g", t0))
	e.must(e.s.AdvanceTOTP(e.ctx, "ann", 9))
	e.must(e.s.UseOnce(e.ctx, "jti", "j", t0, in(minute)))
	e.must(e.s.SetMeta(e.ctx, "m", "1"))
	_, err := e.s.RecordFailure(e.ctx, "k", t0, minute)
	e.must(err)
	e.reopen()
	s, ctx := e.s, e.ctx
	_, err = s.AccountByName(ctx, "ANN@example.org")
	e.wants("account", err, nil)
	e.wants("a taken name", s.CreateAccount(ctx, store.Account{ID: "x", UserName: "Ann"}), store.ErrExists)
	e.wants("used code", s.RedeemCode(ctx, "code-g", t0), store.ErrConsumed)
	e.wants("used step", s.AdvanceTOTP(ctx, "ann", 9), store.ErrConsumed)
	e.wants("used jti", s.UseOnce(ctx, "jti", "j", t0, in(minute)), store.ErrConsumed)
	e.equal("failures", value[store.Failure](e)(s.RecordFailure(ctx, "k", t0, minute)).Count, 2)
	e.equal("metadata", value[string](e)(s.Meta(ctx, "m")), "1")
	rows, _, err := s.Clients(ctx, "pcc", store.Page{})
	e.must(err)
	e.equal("clients", len(rows), 1)
	e.wants("ready", s.Ready(ctx), nil)
}

func closed(e *env) {
	s, ctx := e.s, e.ctx
	e.wants("ready", s.Ready(ctx), nil)
	e.wants("close", s.Close(), nil)
	e.wants("ready, closed", s.Ready(ctx), store.ErrUnavailable)
	e.wants("write, closed", s.SetMeta(ctx, "a", "1"), store.ErrUnavailable)
	_, err := s.Meta(ctx, "a")
	e.wants("read, closed", err, store.ErrUnavailable)
}
