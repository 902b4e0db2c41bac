package storetest

import (
	"context"
	"errors"
	"slices"
	"time"

	"anteroom/store"
)

var grantTests = []Test{
	{"a code is redeemed once", redeemedCode},
	{"a refresh token is rotated once", rotatedToken},
	{"a dead family says why, in order", deadFamily},
	{"revoking by filter ends what matches and is alive", revokedGrants},
	{"codes and tokens belong to their grant", families},
	{"an access token can be denied", deniedToken},
	{"a grant comes with whom it stands for", standings},
}

// issue creates a grant with a code, both named by id.
func issue(e *env, id string, change func(*store.Grant, *store.Code)) {
	e.Helper()
	g := store.Grant{ID: id, ClientID: "c", ApplicationID: "pcc", AccountID: "ann", SessionID: "s", Scopes: []string{"openid"}, CreatedAt: t0, ExpiresAt: in(24 * time.Hour)}
	c := store.Code{Hash: "code-" + id, GrantID: id, IssuedAt: t0, ExpiresAt: in(minute)}
	if change != nil {
		change(&g, &c)
	}
	e.must(e.s.IssueCode(e.ctx, g, c))
}

func redeemedCode(e *env) {
	s, ctx := e.s, e.ctx
	issue(e, "1", nil)
	for range 2 {
		c, g, err := s.Code(ctx, "code-1", t0)
		e.wants("look", err, nil)
		e.equal("look", []string{c.GrantID, g.ID}, []string{"1", "1"})
	}
	e.wants("redeem", s.RedeemCode(ctx, "code-1", in(time.Second)), nil)
	e.wants("redeem again", s.RedeemCode(ctx, "code-1", in(time.Second)), store.ErrConsumed)
	c, g, err := s.Code(ctx, "code-1", in(2*time.Second))
	e.wants("look at a used one", err, store.ErrConsumed)
	e.equal("when it was used", c.UsedAt, in(time.Second))
	e.equal("its grant", g.ID, "1")
	_, err = s.Grant(ctx, "1", in(minute))
	e.wants("the grant outlives its code", err, nil)
	issue(e, "2", nil)
	e.wants("a late code", s.RedeemCode(ctx, "code-2", in(minute)), store.ErrExpired)
}

func rotatedToken(e *env) {
	s, ctx := e.s, e.ctx
	issue(e, "1", nil)
	issue(e, "2", nil)
	token := func(hash string) store.RefreshToken {
		return store.RefreshToken{Hash: hash, GrantID: "1", Scopes: []string{"openid"}, IssuedAt: t0, ExpiresAt: in(time.Hour)}
	}
	e.wants("the first leaf", s.CreateRefreshToken(ctx, token("a")), nil)
	e.wants("a taken hash", s.CreateRefreshToken(ctx, token("a")), store.ErrExists)
	e.wants("rotate", s.RotateRefreshToken(ctx, "a", token("b"), t0), nil)
	e.wants("rotate again", s.RotateRefreshToken(ctx, "a", token("c"), t0), store.ErrConsumed)
	_, _, err := s.RefreshToken(ctx, "c", t0)
	e.wants("the token of the loser", err, store.ErrNotFound)
	old, g, err := s.RefreshToken(ctx, "a", t0)
	e.wants("the old one", err, store.ErrConsumed)
	e.equal("the old one", []any{old.UsedAt, g.ID}, []any{t0, "1"})
	e.wants("to a taken hash", s.RotateRefreshToken(ctx, "b", token("a"), t0), store.ErrExists)
	foreign := token("d")
	foreign.GrantID = "2"
	e.wants("to another family", s.RotateRefreshToken(ctx, "b", foreign, t0), store.ErrInvalid)
	_, _, err = s.RefreshToken(ctx, "b", t0)
	e.wants("the leaf after refusals", err, nil)
	e.wants("a late one", s.RotateRefreshToken(ctx, "b", token("e"), in(time.Hour)), store.ErrExpired)
	e.wants("the leaf", s.RotateRefreshToken(ctx, "b", token("f"), in(time.Hour-minute)), nil)
}

func deadFamily(e *env) {
	s, ctx := e.s, e.ctx
	for id, want := range map[string]error{"used": store.ErrConsumed, "revoked": store.ErrRevoked, "late": store.ErrExpired} {
		issue(e, id, nil)
		e.must(s.CreateRefreshToken(ctx, store.RefreshToken{Hash: "token-" + id, GrantID: id, ExpiresAt: in(time.Hour)}))
		if id == "used" {
			e.must(s.RedeemCode(ctx, "code-used", t0))
			e.must(s.RotateRefreshToken(ctx, "token-used", store.RefreshToken{Hash: "next", GrantID: id}, t0))
		}
		if id != "late" {
			e.must(s.RevokeGrant(ctx, id, "why", t0))
		}
		now := in(25 * time.Hour) // everything is expired by then
		_, _, err := s.Code(ctx, "code-"+id, now)
		e.wants("code: "+id, err, want)
		e.wants("redeem: "+id, s.RedeemCode(ctx, "code-"+id, now), want)
		_, _, err = s.RefreshToken(ctx, "token-"+id, now)
		e.wants("token: "+id, err, want)
		e.wants("rotate: "+id, s.RotateRefreshToken(ctx, "token-"+id, store.RefreshToken{Hash: "x", GrantID: id}, now), want)
	}
	g, err := s.Grant(ctx, "revoked", in(25*time.Hour))
	e.wants("a revoked grant", err, store.ErrRevoked)
	e.equal("a revoked grant", []any{g.RevokedAt, g.RevokedReason}, []any{t0, "why"})
	_, err = s.Grant(ctx, "late", in(24*time.Hour))
	e.wants("an expired grant", err, store.ErrExpired)
	e.wants("revoke again", s.RevokeGrant(ctx, "revoked", "other", in(minute)), nil)
	g, _ = s.Grant(ctx, "revoked", t0)
	e.equal("the first reason stays", []any{g.RevokedAt, g.RevokedReason}, []any{t0, "why"})
	e.wants("a token of a revoked grant", s.CreateRefreshToken(ctx, store.RefreshToken{Hash: "y", GrantID: "revoked"}), store.ErrRevoked)
	// A token that outlives its family dies with it.
	issue(e, "short", func(g *store.Grant, c *store.Code) { g.ExpiresAt = in(minute); c.ExpiresAt = in(time.Hour) })
	_, _, err = s.Code(ctx, "code-short", in(minute))
	e.wants("a code of an expired family", err, store.ErrExpired)
}

func revokedGrants(e *env) {
	s, ctx := e.s, e.ctx
	each := []struct {
		id     string
		change func(*store.Grant, *store.Code)
	}{
		{"1", nil},
		{"2", func(g *store.Grant, _ *store.Code) { g.CreatedAt, g.SessionID = in(minute), "s2" }},
		{"3", func(g *store.Grant, _ *store.Code) { g.ClientID, g.CreatedAt = "c2", in(-minute) }},
		{"4", func(g *store.Grant, _ *store.Code) { g.ApplicationID, g.ClientID = "portal", "c3" }},
		{"5", func(g *store.Grant, _ *store.Code) { g.AccountID, g.SessionID = "bob", "s3" }},
		{"6", func(g *store.Grant, _ *store.Code) { g.AccountID, g.SessionID = "", "" }},
		{"late", func(g *store.Grant, _ *store.Code) { g.ExpiresAt = t0 }},
		{"dead", nil},
	}
	for _, row := range each {
		issue(e, row.id, row.change)
	}
	e.must(s.RevokeGrant(ctx, "dead", "before", t0))
	for _, c := range []struct {
		what string
		f    store.GrantFilter
		want []string
	}{
		{"account", store.GrantFilter{AccountID: "ann"}, []string{"2", "1", "4", "3"}},
		{"client", store.GrantFilter{ClientID: "c"}, []string{"2", "1", "5", "6"}},
		{"application", store.GrantFilter{ApplicationID: "portal"}, []string{"4"}},
		{"session", store.GrantFilter{SessionID: "s2"}, []string{"2"}},
		{"account and client", store.GrantFilter{AccountID: "ann", ClientID: "c2"}, []string{"3"}},
		{"all four", store.GrantFilter{AccountID: "ann", ClientID: "c", ApplicationID: "pcc", SessionID: "s"}, []string{"1"}},
		{"nothing matches", store.GrantFilter{AccountID: "ann", SessionID: "s3"}, nil},
	} {
		var ids []string
		for _, g := range value[[]store.Grant](e)(s.GrantsOf(ctx, c.f, t0)) {
			ids = append(ids, g.ID)
		}
		e.equal("live grants by "+c.what, ids, c.want)
	}
	_, err := s.GrantsOf(ctx, store.GrantFilter{}, t0)
	e.wants("list without a filter", err, store.ErrInvalid)
	_, err = s.RevokeGrants(ctx, store.GrantFilter{}, "", t0)
	e.wants("revoke without a filter", err, store.ErrInvalid)
	ids := value[[]string](e)(s.RevokeGrants(ctx, store.GrantFilter{AccountID: "ann", ApplicationID: "pcc"}, "gone", in(minute)))
	e.equal("revoked", ids, []string{"2", "1", "3"})
	e.equal("revoked again", value[[]string](e)(s.RevokeGrants(ctx, store.GrantFilter{AccountID: "ann", ApplicationID: "pcc"}, "gone", in(minute))), []string(nil))
	for _, row := range each {
		want := map[string]error{"1": store.ErrRevoked, "2": store.ErrRevoked, "3": store.ErrRevoked, "late": store.ErrExpired, "dead": store.ErrRevoked}[row.id]
		g, err := s.Grant(ctx, row.id, in(minute))
		e.wants("grant "+row.id, err, want)
		e.equal("reason of "+row.id, g.RevokedReason == "gone", slices.Contains(ids, row.id))
	}
}

func families(e *env) {
	s, ctx := e.s, e.ctx
	issue(e, "1", nil)
	e.wants("a taken grant", s.CreateGrant(ctx, store.Grant{ID: "1"}), store.ErrExists)
	e.wants("a taken grant with a code", s.IssueCode(ctx, store.Grant{ID: "1"}, store.Code{Hash: "x", GrantID: "1"}), store.ErrExists)
	e.wants("a taken code", s.IssueCode(ctx, store.Grant{ID: "2"}, store.Code{Hash: "code-1", GrantID: "2"}), store.ErrExists)
	_, err := s.Grant(ctx, "2", t0)
	e.wants("the grant of a refused code", err, store.ErrNotFound)
	_, _, err = s.Code(ctx, "x", t0)
	e.wants("the code of a refused grant", err, store.ErrNotFound)
	e.wants("a code of another grant", s.IssueCode(ctx, store.Grant{ID: "3"}, store.Code{Hash: "y", GrantID: "1"}), store.ErrInvalid)
	e.wants("a token of no grant", s.CreateRefreshToken(ctx, store.RefreshToken{Hash: "t", GrantID: "none"}), store.ErrInvalid)
	e.wants("a grant without a code", s.CreateGrant(ctx, store.Grant{ID: "4", ExpiresAt: in(minute)}), nil)
	e.wants("its token", s.CreateRefreshToken(ctx, store.RefreshToken{Hash: "t", GrantID: "4", ExpiresAt: in(minute)}), nil)
	_, g, err := s.RefreshToken(ctx, "t", t0)
	e.wants("its token", err, nil)
	e.equal("its grant", g.ID, "4")
}

func deniedToken(e *env) {
	s, ctx := e.s, e.ctx
	denied := func(jti string) bool { return value[bool](e)(s.AccessTokenRevoked(ctx, jti)) }
	e.equal("an unknown token", denied("a"), false)
	e.wants("deny", s.RevokeAccessToken(ctx, "a", in(time.Hour)), nil)
	e.wants("deny again, for less", s.RevokeAccessToken(ctx, "a", in(minute)), nil)
	e.equal("denied", denied("a"), true)
	e.equal("another", denied("b"), false)
	sweepAll(e, in(2*minute))
	e.equal("denied until the later end", denied("a"), true)
	sweepAll(e, in(time.Hour))
	e.equal("after its end", denied("a"), false)
}

// standings: what is presented is judged by the account and the session as they
// are at the same moment, however one comes to the grant.
func standings(e *env) {
	e.world()
	s, ctx := e.s, e.ctx
	ann := value[store.Account](e)(s.Account(ctx, "ann"))
	session := store.Session{ID: "s", TokenHash: "h", AccountID: "ann", AuthTime: t0, AMR: []string{"pwd"}, ACR: "a", CreatedAt: t0, ExpiresAt: in(time.Hour)}
	e.must(s.CreateSession(ctx, session))
	issue(e, "whole", nil)
	issue(e, "alone", func(g *store.Grant, _ *store.Code) { g.AccountID, g.SessionID = "nobody", "" })
	for _, id := range []string{"whole", "alone"} {
		e.must(s.CreateRefreshToken(ctx, store.RefreshToken{Hash: "token-" + id, GrantID: id, ExpiresAt: in(time.Hour)}))
	}
	look := func(what, id string, want store.Standing, wantErr error) {
		e.Helper()
		of, err := s.Standing(ctx, id, t0)
		e.wants(what+": Standing", err, wantErr)
		e.equal(what+": Standing", of, want)
		_, of, err = s.Code(ctx, "code-"+id, t0)
		e.wants(what+": Code", err, wantErr)
		e.equal(what+": Code", of, want)
		_, of, err = s.RefreshToken(ctx, "token-"+id, t0)
		e.wants(what+": RefreshToken", err, wantErr)
		e.equal(what+": RefreshToken", of, want)
	}
	grant := func(id string) store.Grant {
		g, err := s.Grant(ctx, id, t0)
		if err != nil && !errors.Is(err, store.ErrRevoked) {
			e.must(err)
		}
		return g
	}
	look("alive", "whole", store.Standing{Grant: grant("whole"), Account: ann, Session: session}, nil)
	look("without account and session", "alone", store.Standing{Grant: grant("alone")}, nil)

	ann, err := s.UpdateAccount(ctx, "ann", func(a *store.Account) error { a.State = store.AccountDisabled; return nil })
	e.must(err)
	_, err = s.EndSessionsOf(ctx, "ann", t0)
	e.must(err)
	session.EndedAt = t0
	look("disabled and signed out", "whole", store.Standing{Grant: grant("whole"), Account: ann, Session: session}, nil)
	e.wants("the ended session", session.Dead(t0), store.ErrRevoked)
	e.must(s.RevokeGrant(ctx, "whole", "why", t0))
	look("revoked", "whole", store.Standing{Grant: grant("whole"), Account: ann, Session: session}, store.ErrRevoked)
	_, err = s.Standing(ctx, "none", t0)
	e.wants("unknown", err, store.ErrNotFound)

	e.wants("in a unit", s.Do(ctx, func(ctx context.Context) error {
		if _, err := s.UpdateAccount(ctx, "bob", func(a *store.Account) error { a.Email = "bob@new.example"; return nil }); err != nil {
			return err
		}
		e.must(s.CreateGrant(ctx, store.Grant{ID: "own", AccountID: "bob", CreatedAt: t0, ExpiresAt: in(time.Hour)}))
		of, err := s.Standing(ctx, "own", t0)
		e.equal("own writes", of.Account.Email, "bob@new.example")
		return err
	}), nil)
}
