package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"anteroom/store"
)

// Move tests that everything can be moved from one backend to another: whole,
// after an interruption too, and never into a database that has rows already. Both
// backends are empty at first, as is further, a second one of the target's kind.
func Move(t *testing.T, from, to, further Backend) {
	e := &env{TB: t, ctx: t.Context(), backend: from}
	e.s = e.open(Options{})
	fillAll(e)
	target := &env{TB: t, ctx: e.ctx, backend: to}
	target.s = target.open(Options{})

	e.wants("an interrupted move", onlyError(store.Move(e.ctx, mover(e), &breaking{Mover: mover(target), left: 9}, quietly)), errBroken)
	_, err := target.s.Meta(e.ctx, store.MetaMoving)
	e.wants("the mark of an unfinished move", err, nil)
	sums, err := store.Move(e.ctx, mover(e), mover(target), quietly)
	e.wants("the move, taken up again", err, nil)
	for _, noun := range store.Nouns {
		if sums[noun].Rows == 0 {
			e.Errorf("the scene has no %s to move", noun)
		}
	}
	_, err = target.s.Meta(e.ctx, store.MetaMoving)
	e.wants("the mark of a finished move", err, store.ErrNotFound)
	e.wants("a move into a store with rows", onlyError(store.Move(e.ctx, mover(e), mover(target), quietly)), store.ErrNotEmpty)

	changed := &env{TB: t, ctx: e.ctx, backend: further}
	changed.s = changed.open(Options{})
	e.wants("another interrupted move", onlyError(store.Move(e.ctx, mover(e), &breaking{Mover: mover(changed), left: 9}, quietly)), errBroken)
	e.must(e.s.SetMeta(e.ctx, "late", "1"))
	e.wants("going on with a source that has changed", onlyError(store.Move(e.ctx, mover(e), mover(changed), quietly)), store.ErrNotEmpty)

	target.reopen()
	goesOn(target)
}

func mover(e *env) store.Mover {
	e.Helper()
	m, ok := e.s.(store.Mover)
	if !ok {
		e.Fatalf("%T is no store.Mover", e.s)
	}
	return m
}

func quietly(string, store.Noun, int64, int64) {}

func onlyError(_ map[store.Noun]store.Sum, err error) error { return err }

var errBroken = errors.New("broken off")

// breaking breaks off after some loads.
type breaking struct {
	store.Mover
	left int
}

func (b *breaking) Load(ctx context.Context, noun store.Noun, rows []any) error {
	if b.left--; b.left < 0 {
		return errBroken
	}
	return b.Mover.Load(ctx, noun, rows)
}

// fillAll puts rows of every noun, every field filled, and more of some than go
// in one step.
func fillAll(e *env) {
	e.Helper()
	e.world()
	for _, n := range append(personNouns(e), protocolNouns(e)...) {
		e.must(n.put())
	}
	furnish(e, "portal")
	s, ctx := e.s, e.ctx
	e.must(s.RedeemCode(ctx, "code-portal", t0))
	e.must(s.CreateRefreshToken(ctx, store.RefreshToken{Hash: "old", GrantID: "grant-portal", ExpiresAt: in(time.Hour)}))
	e.must(s.RotateRefreshToken(ctx, "old", store.RefreshToken{Hash: "new", GrantID: "grant-portal", ExpiresAt: in(time.Hour)}, t0))
	e.must(s.AdvanceTOTP(ctx, "ann", 77))
	e.must(s.ReplaceRecoveryCodes(ctx, "ann", []string{"r1", "r2"}, t0))
	e.must(s.UseRecoveryCode(ctx, "ann", "r1", t0))
	e.must(s.RevokeAccessToken(ctx, "denied", in(time.Hour)))
	e.must(s.UseOnce(ctx, "jti", "used", t0, in(time.Hour)))
	e.must(s.SetMeta(ctx, "fact", "value"))
	notice, device := filled(func(n *store.Notice) { n.ID = "second" }), filled(func(d *store.Device) { d.Hash, d.UserCodeHash = "second", "second" })
	e.must(s.EnqueueNotice(ctx, notice))
	e.must(s.CreateDevice(ctx, device))
	e.must(s.CreateBackchannel(ctx, store.Backchannel{Hash: "waits", AccountID: "ann", CreatedAt: t0, ExpiresAt: in(time.Hour)}, 1))
	_, err := s.RecordFailure(ctx, "k", t0, time.Hour)
	e.must(err)
	e.must(s.Do(ctx, func(ctx context.Context) error {
		for i := range 1100 {
			if err := s.AppendAudit(ctx, event("moved", fmt.Sprint(i%7), in(time.Duration(i)*time.Second))); err != nil {
				return err
			}
			if err := s.UseOnce(ctx, "many", fmt.Sprint(i), t0, in(time.Hour)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// goesOn looks whether the rows mean in their new place what they meant before.
func goesOn(e *env) {
	s, ctx := e.s, e.ctx
	e.wants("a used code", s.RedeemCode(ctx, "code-portal", t0), store.ErrConsumed)
	e.wants("a rotated token", s.RotateRefreshToken(ctx, "old", store.RefreshToken{Hash: "x", GrantID: "grant-portal"}, t0), store.ErrConsumed)
	e.wants("the live leaf", s.RotateRefreshToken(ctx, "new", store.RefreshToken{Hash: "x", GrantID: "grant-portal", ExpiresAt: in(time.Hour)}, t0), nil)
	e.wants("an old TOTP step", s.AdvanceTOTP(ctx, "ann", 77), store.ErrConsumed)
	e.wants("the next TOTP step", s.AdvanceTOTP(ctx, "ann", 78), nil)
	e.wants("a used recovery code", s.UseRecoveryCode(ctx, "ann", "r1", t0), store.ErrConsumed)
	e.wants("an unused recovery code", s.UseRecoveryCode(ctx, "ann", "r2", t0), nil)
	e.wants("a used value", s.UseOnce(ctx, "jti", "used", t0, in(time.Hour)), store.ErrConsumed)
	e.equal("a denied token", value[bool](e)(s.AccessTokenRevoked(ctx, "denied")), true)
	e.equal("a fact", value[string](e)(s.Meta(ctx, "fact")), "value")
	e.equal("failures", value[store.Failure](e)(s.RecordFailure(ctx, "k", t0, time.Hour)).Count, 2)
	e.wants("a taken name", s.CreateAccount(ctx, store.Account{ID: "x", UserName: "ANN@example.org"}), store.ErrExists)
	a := value[store.Account](e)(s.AccountByName(ctx, "ANN"))
	e.equal("by name", a.ID, "ann")
	e.equal("grants of the account", len(value[[]store.Grant](e)(s.GrantsOf(ctx, store.GrantFilter{AccountID: "ann"}, t0))), 1)
	e.equal("what waits for the account", len(value[[]store.Backchannel](e)(s.BackchannelsOf(ctx, "ann", t0))), 1)
	before := len(verifyChain(e, s))
	e.must(s.AppendAudit(ctx, event("after", "", t0)))
	e.equal("the audit chain goes on", len(verifyChain(e, s)), before+1)
}
