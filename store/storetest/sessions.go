package storetest

import (
	"time"

	"anteroom/store"
)

var sessionTests = []Test{
	{"a session lives until it is ended or expires", sessions},
	{"a session is renewed in place", renewedSession},
	{"ending an account's sessions ends the live ones", endedSessions},
	{"signing keys: oldest first", signingKeys},
	{"metadata is set, set once, and forgotten", metadata},
}

func session(id string, age time.Duration) store.Session {
	return store.Session{ID: id, TokenHash: "hash-" + id, AccountID: "ann", AMR: []string{"pwd", "otp"}, CreatedAt: in(-age), ExpiresAt: in(time.Hour)}
}

func sessions(e *env) {
	s, ctx := e.s, e.ctx
	e.must(s.CreateSession(ctx, session("1", 0)))
	taken := session("1", 0)
	taken.TokenHash = "other"
	e.wants("a taken id", s.CreateSession(ctx, taken), store.ErrExists)
	taken = session("2", 0)
	taken.TokenHash = "hash-1"
	e.wants("a taken hash", s.CreateSession(ctx, taken), store.ErrExists)
	got, err := s.Session(ctx, "1", t0)
	e.wants("by id", err, nil)
	e.equal("by id", got, session("1", 0))
	got, err = s.Session(ctx, "1", in(time.Hour))
	e.wants("expired, by id", err, store.ErrExpired)
	e.equal("the row of an expired one", got.AccountID, "ann")
	_, err = s.SessionByToken(ctx, "hash-1", in(time.Hour))
	e.wants("expired, by token", err, store.ErrExpired)
	e.wants("end", s.EndSession(ctx, "1", in(minute)), nil)
	e.wants("end again", s.EndSession(ctx, "1", in(2*minute)), nil)
	got, err = s.SessionByToken(ctx, "hash-1", in(2*time.Hour))
	e.wants("ended, and expired since", err, store.ErrRevoked)
	e.equal("when it was ended", got.EndedAt, in(minute))
	_, err = s.RenewSession(ctx, "1", t0, func(*store.Session) error { return nil })
	e.wants("renew an ended one", err, store.ErrRevoked)
}

func renewedSession(e *env) {
	s, ctx := e.s, e.ctx
	e.must(s.CreateSession(ctx, session("1", 0)))
	e.must(s.CreateSession(ctx, session("2", 0)))
	got, err := s.RenewSession(ctx, "1", t0, func(s *store.Session) error {
		s.TokenHash, s.AuthTime, s.AMR = "new", in(minute), append(s.AMR, "hwk")
		return nil
	})
	e.wants("renew", err, nil)
	want := session("1", 0)
	want.TokenHash, want.AuthTime, want.AMR = "new", in(minute), []string{"pwd", "otp", "hwk"}
	e.equal("renewed", got, want)
	got, err = s.SessionByToken(ctx, "new", t0)
	e.wants("by the new token", err, nil)
	e.equal("by the new token", got, want)
	_, err = s.SessionByToken(ctx, "hash-1", t0)
	e.wants("by the old token", err, store.ErrNotFound)
	_, err = s.RenewSession(ctx, "1", t0, func(s *store.Session) error { s.TokenHash = "hash-2"; return nil })
	e.wants("with a taken hash", err, store.ErrExists)
	_, err = s.RenewSession(ctx, "1", in(time.Hour), func(*store.Session) error { return nil })
	e.wants("an expired one", err, store.ErrExpired)
	_, err = s.SessionByToken(ctx, "new", t0)
	e.wants("after refusals", err, nil)
}

func endedSessions(e *env) {
	s, ctx := e.s, e.ctx
	for i, id := range []string{"new", "old", "ended", "late", "bobs"} {
		row := session(id, time.Duration(i)*minute)
		switch id {
		case "late":
			row.ExpiresAt = t0
		case "bobs":
			row.AccountID = "bob"
		}
		e.must(s.CreateSession(ctx, row))
	}
	e.must(s.EndSession(ctx, "ended", t0))
	ids := func(rows []store.Session) (ids []string) {
		for _, row := range rows {
			ids = append(ids, row.ID)
		}
		return ids
	}
	e.equal("live ones, newest first", ids(value[[]store.Session](e)(s.SessionsOf(ctx, "ann", t0))), []string{"new", "old"})
	ended := value[[]store.Session](e)(s.EndSessionsOf(ctx, "ann", in(minute)))
	e.equal("ended", ids(ended), []string{"new", "old"})
	e.equal("when", ended[0].EndedAt, in(minute))
	e.equal("ended again", ids(value[[]store.Session](e)(s.EndSessionsOf(ctx, "ann", in(minute)))), []string(nil))
	for id, want := range map[string]error{"new": store.ErrRevoked, "old": store.ErrRevoked, "ended": store.ErrRevoked, "late": store.ErrExpired, "bobs": nil} {
		_, err := s.Session(ctx, id, in(minute))
		e.wants("session "+id, err, want)
	}
}

func signingKeys(e *env) {
	s, ctx := e.s, e.ctx
	for i, kid := range []string{"z", "a", "m"} {
		e.must(s.CreateSigningKey(ctx, store.SigningKey{KID: kid, CreatedAt: in(time.Duration(i) * minute)}))
	}
	e.wants("retire", s.UpdateSigningKey(ctx, "a", func(k *store.SigningKey) error { k.RetiredAt = in(minute); return nil }), nil)
	kids := func() (kids []string) {
		for _, k := range value[[]store.SigningKey](e)(s.SigningKeys(ctx)) {
			kids = append(kids, k.KID)
		}
		return kids
	}
	e.equal("oldest first", kids(), []string{"z", "a", "m"})
	e.equal("retired", value[[]store.SigningKey](e)(s.SigningKeys(ctx))[1].RetiredAt, in(minute))
	e.wants("delete", s.DeleteSigningKey(ctx, "z"), nil)
	e.wants("delete again", s.DeleteSigningKey(ctx, "z"), store.ErrNotFound)
	e.equal("left", kids(), []string{"a", "m"})
}

func metadata(e *env) {
	s, ctx := e.s, e.ctx
	_, err := s.Meta(ctx, "a")
	e.wants("unset", err, store.ErrNotFound)
	e.equal("set once", value[string](e)(s.SetMetaOnce(ctx, "a", "1")), "1")
	e.equal("set once, again", value[string](e)(s.SetMetaOnce(ctx, "a", "2")), "1")
	e.must(s.SetMeta(ctx, "a", "3"))
	e.equal("after set", value[string](e)(s.Meta(ctx, "a")), "3")
	e.must(s.SetMeta(ctx, "a", ""))
	got, err := s.Meta(ctx, "a")
	e.wants("set to nothing", err, nil)
	e.equal("set to nothing", got, "")
	e.wants("delete", s.DeleteMeta(ctx, "a"), nil)
	e.wants("delete again", s.DeleteMeta(ctx, "a"), nil)
	_, err = s.Meta(ctx, "a")
	e.wants("deleted", err, store.ErrNotFound)
}
