package storetest

import (
	"context"
	"fmt"
	"time"

	"anteroom/store"
)

var auditTests = []Test{
	{"the audit log is one chain", auditChain},
	{"the audit log is filtered by account, type and time", auditFilter},
}

// verifyChain returns the whole log, after following its hashes.
func verifyChain(e *env, s store.Store) (all []store.AuditEvent) {
	e.Helper()
	prev, after := "", ""
	for {
		rows, next, err := s.AuditEvents(e.ctx, store.AuditFilter{}, store.Page{After: after, Limit: 7})
		e.must(err)
		for _, row := range rows {
			e.equal("sequence", row.Seq, int64(len(all)+1))
			e.equal(fmt.Sprintf("entry %d: hash of the one before", row.Seq), row.PrevHash, prev)
			e.equal(fmt.Sprintf("entry %d: hash", row.Seq), row.Hash, store.AuditHash(row))
			prev = row.Hash
			all = append(all, row)
		}
		if next == "" {
			return all
		}
		after = next
	}
}

func event(kind, account string, at time.Time) store.AuditEvent {
	return store.AuditEvent{At: at, Type: kind, Actor: "system", AccountID: account, Details: map[string]string{"b": "2", "a": "1\x00"}}
}

func auditChain(e *env) {
	s, ctx := e.s, e.ctx
	forged := event("a", "ann", t0)
	forged.Seq, forged.PrevHash, forged.Hash = 99, "forged", "forged"
	e.must(s.AppendAudit(ctx, forged))
	e.must(s.Do(ctx, func(ctx context.Context) error {
		for i := range 20 {
			if err := s.AppendAudit(ctx, event("b", "bob", in(time.Duration(i)*time.Second))); err != nil {
				return err
			}
		}
		return nil
	}))
	mine := fmt.Errorf("mine")
	e.wants("a unit that fails", s.Do(ctx, func(ctx context.Context) error {
		if err := s.AppendAudit(ctx, event("never", "", t0)); err != nil {
			return err
		}
		return mine
	}), mine)
	e.must(s.AppendAudit(ctx, event("c", "", t0)))
	e.equal("entries", len(verifyChain(e, s)), 22)
	e.reopen()
	e.must(e.s.AppendAudit(ctx, event("d", "", t0)))
	all := verifyChain(e, e.s)
	e.equal("entries after opening again", len(all), 23)
	e.equal("details", all[0].Details, map[string]string{"a": "1\uFFFD", "b": "2"})
}

func auditFilter(e *env) {
	s, ctx := e.s, e.ctx
	for i := range 30 {
		e.must(s.AppendAudit(ctx, event([]string{"in", "out"}[i%2], []string{"ann", "bob", "an"}[i%3], in(time.Duration(i)*minute))))
	}
	for _, c := range []struct {
		what string
		f    store.AuditFilter
		want func(i int) bool
	}{
		{"everything", store.AuditFilter{}, func(int) bool { return true }},
		{"account", store.AuditFilter{AccountID: "an"}, func(i int) bool { return i%3 == 2 }},
		{"type", store.AuditFilter{Type: "out"}, func(i int) bool { return i%2 == 1 }},
		{"both", store.AuditFilter{Type: "in", AccountID: "bob"}, func(i int) bool { return i%2 == 0 && i%3 == 1 }},
		{"since", store.AuditFilter{Since: in(20 * minute)}, func(i int) bool { return i >= 20 }},
		{"until", store.AuditFilter{Until: in(5 * minute)}, func(i int) bool { return i < 5 }},
		{"all of it", store.AuditFilter{AccountID: "ann", Type: "in", Since: in(6 * minute), Until: in(18 * minute)}, func(i int) bool { return i == 6 || i == 12 }},
		{"unknown account", store.AuditFilter{AccountID: "a"}, func(int) bool { return false }},
	} {
		var got, want []int64
		for i := range 30 {
			if c.want(i) {
				want = append(want, int64(i+1))
			}
		}
		for after, more := "", true; more; more = after != "" {
			rows, next, err := s.AuditEvents(ctx, c.f, store.Page{After: after, Limit: 4})
			e.must(err)
			for _, row := range rows {
				got = append(got, row.Seq)
			}
			after = next
		}
		e.equal(c.what, got, want)
	}
	_, _, err := s.AuditEvents(ctx, store.AuditFilter{}, store.Page{After: "first"})
	e.wants("a cursor from nowhere", err, store.ErrInvalid)
}
