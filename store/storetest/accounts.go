package storetest

import (
	"time"

	"anteroom/store"
)

var accountTests = []Test{
	{"names and addresses are unique when folded", foldedNames},
	{"a freed name can be taken", freedName},
	{"authenticators: oldest first, by their account", authenticators},
	{"a TOTP step is accepted once and steps only grow", totpSteps},
	{"a recovery code works once", recoveryCodes},
}

var linkTests = []Test{
	{"an invitation works once and looking consumes nothing", invitations},
	{"revoking invitations ends the open ones", revokedInvitations},
	{"a reset works once and only the newest", resets},
	{"a dead link says why, in order", deadLinks},
}

func foldedNames(e *env) {
	s, ctx := e.s, e.ctx
	e.must(s.CreateAccount(ctx, store.Account{ID: "1", UserName: "Ann", Email: "Ann@Example.org"}))
	for _, c := range []struct {
		what string
		a    store.Account
	}{
		{"the id", store.Account{ID: "1", UserName: "other"}},
		{"the name", store.Account{ID: "2", UserName: "Ann"}},
		{"the name in another case", store.Account{ID: "2", UserName: "aNN"}},
		{"the name in full width", store.Account{ID: "2", UserName: "Ａｎｎ"}},
		{"the name with space around", store.Account{ID: "2", UserName: " ann "}},
		{"the address", store.Account{ID: "2", UserName: "other", Email: "ann@EXAMPLE.org"}},
		{"the address as a name", store.Account{ID: "2", UserName: "ann@example.org"}},
		{"the name as an address", store.Account{ID: "2", UserName: "other", Email: "ann"}},
	} {
		e.wants("create with a taken: "+c.what, s.CreateAccount(ctx, c.a), store.ErrExists)
	}
	_, err := s.Account(ctx, "2")
	e.wants("the refused account", err, store.ErrNotFound)
	_, err = s.AccountByName(ctx, "other")
	e.wants("the refused account by name", err, store.ErrNotFound)
	for _, name := range []string{"Ann", "ann", "ANN", "ann@example.ORG", " Ann"} {
		a, err := s.AccountByName(ctx, name)
		e.wants("by name "+name, err, nil)
		e.equal("by name "+name, a.UserName, "Ann") // as written
	}
	// Somebody whose address is the user name takes it once, and two people
	// without an address do not meet.
	e.wants("name and address alike", s.CreateAccount(ctx, store.Account{ID: "3", UserName: "eve@x.org", Email: "Eve@x.org"}), nil)
	e.wants("no address", s.CreateAccount(ctx, store.Account{ID: "4", UserName: "four"}), nil)
	e.wants("no address again", s.CreateAccount(ctx, store.Account{ID: "5", UserName: "five"}), nil)
}

func freedName(e *env) {
	e.world()
	s, ctx := e.s, e.ctx
	a, err := s.UpdateAccount(ctx, "ann", func(a *store.Account) error {
		a.UserName, a.Email = "ANN", "" // another way to write it; no address any more
		return nil
	})
	e.wants("another way to write the name", err, nil)
	e.equal("the name", a.UserName, "ANN")
	_, err = s.AccountByName(ctx, "ann@example.org")
	e.wants("the address that was given up", err, store.ErrNotFound)
	_, err = s.UpdateAccount(ctx, "bob", func(b *store.Account) error { b.Email = "ann@example.org"; return nil })
	e.wants("taking it", err, nil)
	_, err = s.UpdateAccount(ctx, "ann", func(a *store.Account) error { a.UserName = "anna"; return nil })
	e.must(err)
	e.wants("taking the old name", s.CreateAccount(ctx, store.Account{ID: "new", UserName: "Ann"}), nil)
	found := value[store.Account](e)(s.AccountByName(ctx, "ann"))
	e.equal("whose name it is now", found.ID, "new")
}

func authenticators(e *env) {
	s, ctx := e.s, e.ctx
	for i, id := range []string{"z", "a", "m"} {
		e.must(s.AddAuthenticator(ctx, store.Authenticator{ID: id, AccountID: "ann", CreatedAt: in(time.Duration(i) * minute)}))
	}
	e.must(s.AddAuthenticator(ctx, store.Authenticator{ID: "other", AccountID: "ann2"}))
	e.wants("a taken id", s.AddAuthenticator(ctx, store.Authenticator{ID: "z", AccountID: "ann"}), store.ErrExists)
	e.wants("an id taken by somebody else", s.AddAuthenticator(ctx, store.Authenticator{ID: "other", AccountID: "ann"}), store.ErrExists)
	ids := func() (ids []string) {
		for _, a := range value[[]store.Authenticator](e)(s.AuthenticatorsOf(ctx, "ann")) {
			ids = append(ids, a.ID)
		}
		return ids
	}
	e.equal("oldest first", ids(), []string{"z", "a", "m"})
	e.wants("touch", s.TouchAuthenticator(ctx, "ann", "a", in(minute)), nil)
	rows := value[[]store.Authenticator](e)(s.AuthenticatorsOf(ctx, "ann"))
	e.equal("last use", rows[1].LastUsedAt, in(minute))
	e.wants("touch somebody else's", s.TouchAuthenticator(ctx, "ann", "other", t0), store.ErrNotFound)
	e.wants("remove somebody else's", s.RemoveAuthenticator(ctx, "ann", "other"), store.ErrNotFound)
	e.wants("remove", s.RemoveAuthenticator(ctx, "ann", "a"), nil)
	e.wants("remove again", s.RemoveAuthenticator(ctx, "ann", "a"), store.ErrNotFound)
	e.equal("what is left", ids(), []string{"z", "m"})
	e.wants("the id is free again", s.AddAuthenticator(ctx, store.Authenticator{ID: "a", AccountID: "bob"}), nil)
}

func totpSteps(e *env) {
	s, ctx := e.s, e.ctx
	last := func() int64 { return value[int64](e)(s.LastTOTP(ctx, "ann")) }
	e.equal("no step yet", last(), int64(0))
	e.wants("the first step", s.AdvanceTOTP(ctx, "ann", 100), nil)
	e.wants("the same step", s.AdvanceTOTP(ctx, "ann", 100), store.ErrConsumed)
	e.wants("an earlier step", s.AdvanceTOTP(ctx, "ann", 99), store.ErrConsumed)
	e.equal("after refusals", last(), int64(100))
	e.wants("the next step", s.AdvanceTOTP(ctx, "ann", 101), nil)
	e.wants("a step that skips some", s.AdvanceTOTP(ctx, "ann", 1<<40), nil)
	e.equal("the last step", last(), int64(1<<40))
	e.equal("somebody else's", value[int64](e)(s.LastTOTP(ctx, "bob")), int64(0))
	// Removal and new enrolment make no old code good.
	e.must(s.AddAuthenticator(ctx, store.Authenticator{ID: "a", AccountID: "ann"}))
	e.must(s.RemoveAuthenticator(ctx, "ann", "a"))
	e.must(s.AddAuthenticator(ctx, store.Authenticator{ID: "b", AccountID: "ann"}))
	e.wants("an old step after a new enrolment", s.AdvanceTOTP(ctx, "ann", 1<<40), store.ErrConsumed)
}

func recoveryCodes(e *env) {
	s, ctx := e.s, e.ctx
	left := func() int { return value[int](e)(s.RecoveryCodesLeft(ctx, "ann")) }
	e.equal("none yet", left(), 0)
	e.must(s.ReplaceRecoveryCodes(ctx, "ann", []string{"a", "b", "c"}, t0))
	e.must(s.ReplaceRecoveryCodes(ctx, "bob", []string{"a"}, t0))
	e.equal("a new set", left(), 3)
	e.wants("use", s.UseRecoveryCode(ctx, "ann", "a", t0), nil)
	e.wants("use again", s.UseRecoveryCode(ctx, "ann", "a", t0), store.ErrConsumed)
	e.wants("an unknown one", s.UseRecoveryCode(ctx, "ann", "x", t0), store.ErrNotFound)
	e.equal("after one use", left(), 2)
	e.equal("somebody else's", value[int](e)(s.RecoveryCodesLeft(ctx, "bob")), 1)
	e.must(s.ReplaceRecoveryCodes(ctx, "ann", []string{"d"}, t0))
	e.wants("one of the old set", s.UseRecoveryCode(ctx, "ann", "b", t0), store.ErrNotFound)
	e.equal("the newest set", left(), 1)
	e.must(s.ReplaceRecoveryCodes(ctx, "ann", nil, t0))
	e.equal("no set", left(), 0)
}

func invitation(id string) store.Invitation {
	return store.Invitation{ID: id, TokenHash: "hash-" + id, AccountID: "ann", ApplicationID: "pcc", CreatedAt: t0, ExpiresAt: in(time.Hour)}
}

func invitations(e *env) {
	s, ctx := e.s, e.ctx
	e.must(s.CreateInvitation(ctx, invitation("1")))
	e.wants("a taken id", s.CreateInvitation(ctx, store.Invitation{ID: "1", TokenHash: "x", AccountID: "ann", ApplicationID: "pcc"}), store.ErrExists)
	e.wants("a taken hash", s.CreateInvitation(ctx, store.Invitation{ID: "2", TokenHash: "hash-1", AccountID: "ann", ApplicationID: "pcc"}), store.ErrExists)
	for range 2 {
		inv, err := s.InvitationByToken(ctx, "hash-1", t0)
		e.wants("look", err, nil)
		e.equal("look", inv, invitation("1"))
	}
	used, err := s.UseInvitation(ctx, "hash-1", in(minute))
	e.wants("use", err, nil)
	e.equal("when it was used", used.UsedAt, in(minute))
	used, err = s.UseInvitation(ctx, "hash-1", in(2*minute))
	e.wants("use again", err, store.ErrConsumed)
	e.equal("the row of a used link", used.AccountID, "ann")
	_, err = s.InvitationByToken(ctx, "hash-1", in(minute))
	e.wants("look at a used one", err, store.ErrConsumed)
	older := invitation("0")
	older.CreatedAt = in(-minute)
	e.must(s.CreateInvitation(ctx, older))
	rows := value[[]store.Invitation](e)(s.InvitationsOf(ctx, "ann"))
	e.equal("how many", len(rows), 2)
	e.equal("oldest first", rows[0].ID, "0")
}

func revokedInvitations(e *env) {
	s, ctx := e.s, e.ctx
	for _, id := range []string{"1", "2", "used", "late", "other", "bobs"} {
		inv := invitation(id)
		switch id {
		case "other":
			inv.ApplicationID = "portal"
		case "bobs":
			inv.AccountID = "bob"
		case "late":
			inv.ExpiresAt = in(minute)
		}
		e.must(s.CreateInvitation(ctx, inv))
	}
	_, err := s.UseInvitation(ctx, "hash-used", t0)
	e.must(err)
	n, err := s.RevokeInvitations(ctx, "ann", "pcc", in(minute))
	e.wants("revoke", err, nil)
	e.equal("how many were open", n, 2)
	n, err = s.RevokeInvitations(ctx, "ann", "pcc", in(minute))
	e.wants("revoke again", err, nil)
	e.equal("how many were open then", n, 0)
	for id, want := range map[string]error{"1": store.ErrRevoked, "2": store.ErrRevoked, "used": store.ErrConsumed, "late": store.ErrExpired, "other": nil, "bobs": nil} {
		_, err := s.UseInvitation(ctx, "hash-"+id, in(minute))
		e.wants("invitation "+id, err, want)
	}
	fresh := invitation("fresh")
	fresh.ApplicationID = "portal"
	e.must(s.CreateInvitation(ctx, fresh))
	n, err = s.RevokeInvitations(ctx, "ann", "", in(minute))
	e.wants("revoke for all applications", err, nil)
	e.equal("how many for all applications", n, 1)
}

func resets(e *env) {
	s, ctx := e.s, e.ctx
	create := func(id, account string) {
		e.must(s.CreateReset(ctx, store.Reset{ID: id, TokenHash: "hash-" + id, AccountID: account, CreatedAt: t0, ExpiresAt: in(time.Hour)}))
	}
	create("1", "ann")
	create("bobs", "bob")
	create("2", "ann")
	r, err := s.ResetByToken(ctx, "hash-1", t0)
	e.wants("the older one", err, store.ErrRevoked)
	e.equal("the row of a revoked one", r.RevokedAt, t0)
	_, err = s.UseReset(ctx, "hash-1", t0)
	e.wants("use the older one", err, store.ErrRevoked)
	_, err = s.ResetByToken(ctx, "hash-bobs", t0)
	e.wants("somebody else's", err, nil)
	r, err = s.UseReset(ctx, "hash-2", in(minute))
	e.wants("use the newest", err, nil)
	e.equal("when it was used", r.UsedAt, in(minute))
	_, err = s.UseReset(ctx, "hash-2", in(minute))
	e.wants("use it again", err, store.ErrConsumed)
	e.wants("a taken hash", s.CreateReset(ctx, store.Reset{ID: "3", TokenHash: "hash-bobs", AccountID: "ann"}), store.ErrExists)
	e.wants("a taken id", s.CreateReset(ctx, store.Reset{ID: "bobs", TokenHash: "x", AccountID: "ann"}), store.ErrExists)
	create("4", "ann")
	_, err = s.ResetByToken(ctx, "hash-2", in(minute))
	e.wants("a used one stays used", err, store.ErrConsumed)
}

func deadLinks(e *env) {
	s, ctx := e.s, e.ctx
	for id, want := range map[string]error{"used": store.ErrConsumed, "revoked": store.ErrRevoked, "late": store.ErrExpired} {
		inv := invitation(id)
		r := store.Reset{ID: id, TokenHash: "hash-" + id, AccountID: "of-" + id, CreatedAt: t0, ExpiresAt: in(time.Hour)}
		switch id { // each later reason holds, too
		case "used":
			inv.UsedAt, inv.RevokedAt = in(minute), in(minute)
			r.UsedAt, r.RevokedAt = in(minute), in(minute)
		case "revoked":
			inv.RevokedAt, r.RevokedAt = in(minute), in(minute)
		}
		e.must(s.CreateInvitation(ctx, inv))
		e.must(s.CreateReset(ctx, r))
		now := in(2 * time.Hour)
		got, err := s.InvitationByToken(ctx, "hash-"+id, now)
		e.wants("look at an invitation: "+id, err, want)
		e.equal("the row of an invitation: "+id, got, inv)
		_, err = s.UseInvitation(ctx, "hash-"+id, now)
		e.wants("use an invitation: "+id, err, want)
		gotReset, err := s.ResetByToken(ctx, "hash-"+id, now)
		e.wants("look at a reset: "+id, err, want)
		e.equal("the row of a reset: "+id, gotReset, r)
		_, err = s.UseReset(ctx, "hash-"+id, now)
		e.wants("use a reset: "+id, err, want)
	}
}
