package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"anteroom/store"
)

var unitTests = []Test{
	{"a unit commits all of its writes", unitCommits},
	{"a unit reads its own writes, nobody else does", ownWrites},
	{"a unit that fails leaves nothing", unitFails},
	{"a verb that fails does not spoil its unit", failedVerb},
	{"the loser of a unit gets its typed error and nothing else", loserOfUnit},
	{"inner units join the outer one", innerUnits},
	{"a rolled back inner unit fails the outer one", lostInnerUnits},
	{"a unit that is over is as if there were none", unitOver},
	{"an ended context writes nothing", endedContext},
	{"what a function panics with reaches its caller", panics},
}

// known tells whether metadata with these names is there.
func known(e *env, names ...string) (out []bool) {
	e.Helper()
	for _, name := range names {
		_, err := e.s.Meta(e.ctx, name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			e.Fatalf("unexpected error: %v", err)
		}
		out = append(out, err == nil)
	}
	return out
}

func unitCommits(e *env) {
	s := e.s
	e.wants("Do", s.Do(e.ctx, func(ctx context.Context) error {
		return errors.Join(s.SetMeta(ctx, "a", "1"), s.SetMeta(ctx, "b", "1"))
	}), nil)
	ctx, err := s.Begin(e.ctx)
	e.must(err)
	e.must(s.SetMeta(ctx, "c", "1"))
	e.must(s.SetMeta(ctx, "c", "2"))
	e.must(s.DeleteMeta(ctx, "a"))
	e.wants("Commit", s.Commit(ctx), nil)
	e.equal("a, b, c", known(e, "a", "b", "c"), []bool{false, true, true})
	e.equal("the last value", value[string](e)(s.Meta(e.ctx, "c")), "2")
	e.wants("an empty unit", s.Do(e.ctx, func(context.Context) error { return nil }), nil)
	e.wants("a unit that only reads", s.Do(e.ctx, func(ctx context.Context) error { _, err := s.Meta(ctx, "c"); return err }), nil)
}

func ownWrites(e *env) {
	e.world()
	s := e.s
	ctx, err := s.Begin(e.ctx)
	e.must(err)
	defer func() { _ = s.Rollback(ctx) }()
	e.must(s.CreateAccount(ctx, store.Account{ID: "new", UserName: "New"}))
	a, err := s.AccountByName(ctx, "NEW")
	e.wants("own account by name", err, nil)
	e.equal("own account by name", a.ID, "new")
	a, err = s.UpdateAccount(ctx, "new", func(a *store.Account) error { a.UserName = "Newer"; return nil })
	e.wants("own update", err, nil)
	e.equal("own update", a.UserName, "Newer")
	_, err = s.AccountByName(ctx, "new")
	e.wants("own old name", err, store.ErrNotFound)
	e.must(s.DeleteClient(ctx, "pcc-web"))
	_, err = s.Client(ctx, "pcc-web")
	e.wants("own deletion", err, store.ErrNotFound)
	rows, _, err := s.Clients(ctx, "", store.Page{})
	e.must(err)
	e.equal("own listing", len(rows), 1)
	accounts, _, err := s.Accounts(ctx, store.Page{})
	e.must(err)
	e.equal("own accounts", len(accounts), 3)
	e.must(s.UseOnce(ctx, "jti", "a", t0, in(minute)))
	e.wants("own use", s.UseOnce(ctx, "jti", "a", t0, in(minute)), store.ErrConsumed)
	e.must(s.AdvanceTOTP(ctx, "ann", 5))
	e.equal("own step", value[int64](e)(s.LastTOTP(ctx, "ann")), int64(5))
	e.wants("own step again", s.AdvanceTOTP(ctx, "ann", 5), store.ErrConsumed)
	e.must(s.AppendAudit(ctx, event("a", "ann", t0)))
	events, _, err := s.AuditEvents(ctx, store.AuditFilter{}, store.Page{})
	e.must(err)
	e.equal("own event", len(events), 1)
	outside := func(what string, want error, wantAccounts, wantEvents int) {
		_, err = s.AccountByName(e.ctx, "newer")
		e.wants("account, "+what, err, want)
		accounts, _, err = s.Accounts(e.ctx, store.Page{})
		e.must(err)
		e.equal("accounts, "+what, len(accounts), wantAccounts)
		events, _, err = s.AuditEvents(e.ctx, store.AuditFilter{}, store.Page{})
		e.must(err)
		e.equal("events, "+what, len(events), wantEvents)
	}
	outside("before the commit", store.ErrNotFound, 2, 0)
	e.wants("commit", s.Commit(ctx), nil)
	outside("after the commit", nil, 3, 1)
}

func unitFails(e *env) {
	s := e.s
	mine := errors.New("mine")
	e.wants("Do", s.Do(e.ctx, func(ctx context.Context) error {
		e.must(s.SetMeta(ctx, "a", "1"))
		return mine
	}), mine)
	ctx, err := s.Begin(e.ctx)
	e.must(err)
	e.must(s.SetMeta(ctx, "b", "1"))
	e.wants("Rollback", s.Rollback(ctx), nil)
	e.wants("Commit after Rollback", s.Commit(ctx), store.ErrInvalid)
	e.wants("Rollback again", s.Rollback(ctx), nil)
	e.equal("a, b", known(e, "a", "b"), []bool{false, false})
	e.reopen()
	e.equal("a, b after opening again", known(e, "a", "b"), []bool{false, false})
}

func failedVerb(e *env) {
	e.world()
	s := e.s
	issue(e, "g", nil)
	e.must(s.RedeemCode(e.ctx, "code-g", t0))
	e.wants("the unit", s.Do(e.ctx, func(ctx context.Context) error {
		e.wants("a used code", s.RedeemCode(ctx, "code-g", t0), store.ErrConsumed)
		e.wants("a taken id", s.CreateAccount(ctx, store.Account{ID: "ann", UserName: "other"}), store.ErrExists)
		e.wants("a taken name", s.CreateAccount(ctx, store.Account{ID: "other", UserName: "ann"}), store.ErrExists)
		e.wants("a missing row", s.DeleteClient(ctx, "none"), store.ErrNotFound)
		e.wants("a dangling reference", s.CreateClient(ctx, store.Client{ID: "x", ApplicationID: "none"}), store.ErrInvalid)
		_, err := s.UpdateAccount(ctx, "ann", func(a *store.Account) error { a.UserName = "bob"; return nil })
		e.wants("an update to a taken name", err, store.ErrExists)
		// What its caller does about the used code.
		return errors.Join(s.RevokeGrant(ctx, "g", "reuse", t0), s.AppendAudit(ctx, event("grant.code_reused", "ann", t0)))
	}), nil)
	_, err := s.Grant(e.ctx, "g", t0)
	e.wants("the grant", err, store.ErrRevoked)
	_, err = s.Account(e.ctx, "other")
	e.wants("the refused account", err, store.ErrNotFound)
	e.equal("events", len(verifyChain(e, s)), 1)
}

// loserOfUnit has two units use the same thing. The second may find out in the
// verb (where the store waits for the first) or at its commit.
func loserOfUnit(e *env) {
	e.world()
	for i, c := range contests(e) {
		stores := e.handles()
		winner, loser := stores[0], stores[len(stores)-1]
		mark := fmt.Sprint("loser-", i)
		ctx, err := winner.Begin(e.ctx)
		e.must(err)
		e.must(c.use(ctx, winner, 0))
		done := make(chan error)
		begun := make(chan struct{})
		go func() {
			done <- loser.Do(e.ctx, func(ctx context.Context) error {
				if err := loser.SetMeta(ctx, mark, "1"); err != nil {
					return err
				}
				close(begun)
				return c.use(ctx, loser, 1)
			})
		}()
		<-begun
		time.Sleep(time.Millisecond) // let it come to the verb; any order is right
		first := winner.Commit(ctx)
		second := <-done
		switch {
		case first == nil:
			e.wants(c.name+": the second unit", second, c.lost)
			e.equal(c.name+": what else the second wrote", known(e, mark), []bool{false})
		case second == nil: // it overtook
			e.wants(c.name+": the first unit", first, c.lost)
		default:
			e.Errorf("%s: both lost: %v, %v", c.name, first, second)
		}
	}
}

func innerUnits(e *env) {
	s := e.s
	ctx, err := s.Begin(e.ctx)
	e.must(err)
	e.must(s.SetMeta(ctx, "outer", "1"))
	inner, err := s.Begin(ctx)
	e.must(err)
	e.must(s.SetMeta(inner, "inner", "1"))
	_, err = s.Meta(inner, "outer")
	e.wants("the outer write, inside", err, nil)
	e.wants("inner Commit", s.Commit(inner), nil)
	e.equal("after the inner commit", known(e, "outer", "inner"), []bool{false, false})
	e.wants("inner Rollback after Commit", s.Rollback(inner), nil)
	e.wants("Do inside", s.Do(ctx, func(ctx context.Context) error { return s.SetMeta(ctx, "do", "1") }), nil)
	_, err = s.Meta(ctx, "inner")
	e.wants("the inner write, outside", err, nil)
	e.equal("before the outer commit", known(e, "outer", "inner", "do"), []bool{false, false, false})
	e.wants("outer Commit", s.Commit(ctx), nil)
	e.equal("after the outer commit", known(e, "outer", "inner", "do"), []bool{true, true, true})

	mine := errors.New("mine")
	e.wants("a failing outer Do", s.Do(e.ctx, func(ctx context.Context) error {
		e.wants("inner Do", s.Do(ctx, func(ctx context.Context) error { return s.SetMeta(ctx, "lost", "1") }), nil)
		return mine
	}), mine)
	e.equal("the inner write of a failed outer unit", known(e, "lost"), []bool{false})
}

func lostInnerUnits(e *env) {
	s := e.s
	ctx, err := s.Begin(e.ctx)
	e.must(err)
	e.must(s.SetMeta(ctx, "outer", "1"))
	inner, err := s.Begin(ctx)
	e.must(err)
	e.must(s.SetMeta(inner, "inner", "1"))
	e.wants("inner Rollback", s.Rollback(inner), nil)
	e.wants("outer Commit", s.Commit(ctx), store.ErrInvalid)
	e.equal("after that", known(e, "outer", "inner"), []bool{false, false})

	mine := errors.New("mine")
	e.wants("outer Do", s.Do(e.ctx, func(ctx context.Context) error {
		e.must(s.SetMeta(ctx, "outer", "1"))
		e.wants("inner Do", s.Do(ctx, func(ctx context.Context) error {
			e.must(s.SetMeta(ctx, "inner", "1"))
			return mine
		}), mine)
		return nil // as if nothing had happened
	}), mine)
	e.equal("after a swallowed error", known(e, "outer", "inner"), []bool{false, false})
}

func unitOver(e *env) {
	s := e.s
	e.wants("Commit without a unit", s.Commit(e.ctx), store.ErrInvalid)
	e.wants("Rollback without a unit", s.Rollback(e.ctx), store.ErrInvalid)
	ctx, err := s.Begin(e.ctx)
	e.must(err)
	e.must(s.SetMeta(ctx, "a", "1"))
	e.must(s.Commit(ctx))
	e.wants("Commit again", s.Commit(ctx), store.ErrInvalid)
	e.wants("Rollback after Commit", s.Rollback(ctx), nil)
	e.wants("a verb", s.SetMeta(ctx, "b", "1"), nil)
	e.equal("a, b", known(e, "a", "b"), []bool{true, true})
	e.wants("another unit", s.Do(ctx, func(ctx context.Context) error { return s.SetMeta(ctx, "c", "1") }), nil)
	e.equal("c", known(e, "c"), []bool{true})
}

func endedContext(e *env) {
	s := e.s
	ended, end := context.WithCancel(e.ctx)
	end()
	e.wants("a verb", s.SetMeta(ended, "a", "1"), context.Canceled)
	_, err := s.Meta(ended, "a")
	e.wants("a reading verb", err, context.Canceled)
	e.wants("Do", s.Do(ended, func(ctx context.Context) error { return s.SetMeta(ctx, "b", "1") }), context.Canceled)
	ctx, end := context.WithCancel(e.ctx)
	ctx, err = s.Begin(ctx)
	e.must(err)
	e.must(s.SetMeta(ctx, "c", "1"))
	end()
	e.wants("Commit", s.Commit(ctx), context.Canceled)
	e.equal("a, b, c", known(e, "a", "b", "c"), []bool{false, false, false})
	e.wants("a verb after that", s.SetMeta(e.ctx, "d", "1"), nil)
}

func panics(e *env) {
	e.world()
	s := e.s
	try := func(what string, fn func()) {
		defer func() {
			if recover() == nil {
				e.Errorf("%s: no panic", what)
			}
		}()
		fn()
	}
	try("an update", func() {
		_, _ = s.UpdateAccount(e.ctx, "ann", func(a *store.Account) error { a.UserName = "x"; panic("mine") })
	})
	try("a unit", func() {
		_ = s.Do(e.ctx, func(ctx context.Context) error {
			e.must(s.SetMeta(ctx, "a", "1"))
			panic("mine")
		})
	})
	e.equal("what the unit wrote", known(e, "a"), []bool{false})
	a := value[store.Account](e)(s.Account(e.ctx, "ann"))
	e.equal("what the update wrote", a.UserName, "ann")
	e.wants("a verb after that", s.SetMeta(e.ctx, "b", "1"), nil)
}
