package storetest

import (
	"time"

	"anteroom/store"
)

var noticeTests = []Test{
	{"a notice is claimed for a lease, longest due first", claimedNotices},
	{"a notice is delivered, tried again, or given up", noticeOutcomes},
}

func noticeIDs(rows []store.Notice) (ids []string) {
	for _, m := range rows {
		ids = append(ids, m.ID)
	}
	return ids
}

func claimedNotices(e *env) {
	s, ctx := e.s, e.ctx
	for id, due := range map[string]time.Time{"b": in(-minute), "a": in(-time.Second), "c": in(-2 * minute), "now": t0, "later": in(time.Microsecond)} {
		e.must(s.EnqueueNotice(ctx, store.Notice{ID: id, Delivery: store.Delivery{NextAttempt: due}}))
	}
	claim := func(now time.Time, n int) []store.Notice {
		return value[[]store.Notice](e)(s.ClaimNotices(ctx, now, 5*minute, n))
	}
	e.equal("none", noticeIDs(claim(t0, 0)), []string(nil))
	rows := claim(t0, 2)
	e.equal("the longest due", noticeIDs(rows), []string{"c", "b"})
	e.equal("their next attempt", rows[0].NextAttempt, in(5*minute))
	e.equal("claiming is no attempt", rows[0].Attempts, 0)
	e.equal("the rest that is due", noticeIDs(claim(t0, 10)), []string{"a", "now"})
	e.equal("nothing is left", noticeIDs(claim(t0, 10)), []string(nil))
	e.equal("when one more is due", noticeIDs(claim(in(minute), 10)), []string{"later"})
	e.equal("when the lease is over", len(claim(in(5*minute), 10)), 4)
}

func noticeOutcomes(e *env) {
	s, ctx := e.s, e.ctx
	for _, id := range []string{"a", "b", "c"} {
		e.must(s.EnqueueNotice(ctx, store.Notice{ID: id, Delivery: store.Delivery{NextAttempt: t0}}))
	}
	e.wants("sent", s.NoticeDelivered(ctx, "a"), nil)
	e.wants("sent again", s.NoticeDelivered(ctx, "a"), store.ErrNotFound)
	e.wants("failed", s.NoticeFailed(ctx, "b", "refused", in(minute), in(time.Hour)), nil)
	e.wants("failed again", s.NoticeFailed(ctx, "b", "no route", in(minute), in(2*time.Hour)), nil)
	e.wants("given up", s.NoticeFailed(ctx, "c", "unknown user", in(minute), time.Time{}), nil)
	rows, next, err := s.PendingNotices(ctx, store.Page{})
	e.must(err)
	e.equal("no further page", next, "")
	e.equal("pending", rows, []store.Notice{
		{ID: "b", Delivery: store.Delivery{NextAttempt: in(2 * time.Hour), Attempts: 2, LastError: "no route"}},
		{ID: "c", Delivery: store.Delivery{NextAttempt: t0, Attempts: 1, LastError: "unknown user", GivenUpAt: in(minute)}},
	})
	due := value[[]store.Notice](e)(s.ClaimNotices(ctx, in(24*time.Hour), minute, 10))
	e.equal("what is still tried", noticeIDs(due), []string{"b"})
	sweepAll(e, in(minute+30*24*time.Hour-time.Microsecond))
	rows, _, err = s.PendingNotices(ctx, store.Page{})
	e.must(err)
	e.equal("before 30 days are over", noticeIDs(rows), []string{"b", "c"})
	sweepAll(e, in(minute+30*24*time.Hour))
	rows, _, err = s.PendingNotices(ctx, store.Page{})
	e.must(err)
	e.equal("after 30 days", noticeIDs(rows), []string{"b"})
}
