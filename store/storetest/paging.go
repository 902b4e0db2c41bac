package storetest

import (
	"fmt"
	"slices"

	"anteroom/store"
)

var pagingTests = []Test{
	{"listings come in pages", pages},
	{"pages are stable while rows come and go", stablePages},
	{"a page has 1 to 1000 rows, 100 if not said", pageLimits},
}

// listing is a paged listing over rows that the test makes and removes.
type listing struct {
	name   string
	add    func(id string) error
	remove func(id string) error // nil: rows are never removed
	list   func(store.Page) (ids []string, next string, err error)
}

func idsOf[T any](id func(T) string) func([]T, string, error) ([]string, string, error) {
	return func(rows []T, next string, err error) (ids []string, _ string, _ error) {
		for _, row := range rows {
			ids = append(ids, id(row))
		}
		return ids, next, err
	}
}

func listings(e *env) []listing {
	s, ctx := e.s, e.ctx
	e.must(s.CreateAccount(ctx, store.Account{ID: "owner", UserName: "owner"}))
	for _, id := range []string{"app", "app2", "app3"} {
		e.must(s.CreateApplication(ctx, store.Application{ID: id}))
	}
	e.must(s.CreateClient(ctx, store.Client{ID: "m-of-app2", ApplicationID: "app2"}))
	e.must(s.CreateOrganisation(ctx, store.Organisation{ID: "o"}))
	account := idsOf(func(a store.Account) string { return a.ID })
	application := idsOf(func(a store.Application) string { return a.ID })
	client := idsOf(func(c store.Client) string { return c.ID })
	organisation := idsOf(func(o store.Organisation) string { return o.ID })
	assignment := idsOf(func(a store.Assignment) string { return a.OrganisationID })
	notice := idsOf(func(n store.Notice) string { return n.ID })
	registration := idsOf(func(r store.RegistrationToken) string { return r.ID })
	message := idsOf(func(m store.OutboxMessage) string { return m.ID })
	return []listing{
		{"accounts", func(id string) error {
			return s.CreateAccount(ctx, store.Account{ID: id, UserName: fmt.Sprintf("%x", id)})
		}, nil,
			func(p store.Page) ([]string, string, error) { return account(s.Accounts(ctx, p)) }},
		{"applications", func(id string) error { return s.CreateApplication(ctx, store.Application{ID: id}) },
			func(id string) error { return s.DeleteApplication(ctx, id) },
			func(p store.Page) ([]string, string, error) { return application(s.Applications(ctx, p)) }},
		{"clients", func(id string) error { return s.CreateClient(ctx, store.Client{ID: id, ApplicationID: "app"}) },
			func(id string) error { return s.DeleteClient(ctx, id) },
			func(p store.Page) ([]string, string, error) { return client(s.Clients(ctx, "", p)) }},
		{"clients of an application", func(id string) error { return s.CreateClient(ctx, store.Client{ID: "of-" + id, ApplicationID: "app3"}) },
			func(id string) error { return s.DeleteClient(ctx, "of-"+id) },
			func(p store.Page) ([]string, string, error) {
				ids, next, err := client(s.Clients(ctx, "app3", p))
				for i := range ids {
					ids[i] = ids[i][3:]
				}
				return ids, next, err
			}},
		{"organisations", func(id string) error { return s.CreateOrganisation(ctx, store.Organisation{ID: id}) }, nil,
			func(p store.Page) ([]string, string, error) { return organisation(s.Organisations(ctx, p)) }},
		{"assignments", func(id string) error {
			if err := s.CreateOrganisation(ctx, store.Organisation{ID: "in-" + id}); err != nil {
				return err
			}
			return s.PutAssignment(ctx, store.Assignment{AccountID: "owner", ApplicationID: "app", OrganisationID: "in-" + id, State: store.AssignmentActive})
		},
			func(id string) error {
				return s.RemoveAssignment(ctx, store.Assignment{AccountID: "owner", ApplicationID: "app", OrganisationID: "in-" + id})
			},
			func(p store.Page) ([]string, string, error) {
				ids, next, err := assignment(s.AssignmentsIn(ctx, "app", p))
				for i := range ids {
					ids[i] = ids[i][3:]
				}
				return ids, next, err
			}},
		{"messages", func(id string) error { return s.EnqueueMail(ctx, store.OutboxMessage{ID: id}) },
			func(id string) error { return s.MailSent(ctx, id) },
			func(p store.Page) ([]string, string, error) { return message(s.PendingMail(ctx, p)) }},
		{"registration tokens", func(id string) error {
			return s.CreateRegistrationToken(ctx, store.RegistrationToken{ID: id, Hash: id, ExpiresAt: in(minute)})
		}, nil,
			func(p store.Page) ([]string, string, error) { return registration(s.RegistrationTokens(ctx, p)) }},
		{"notices", func(id string) error { return s.EnqueueNotice(ctx, store.Notice{ID: id}) },
			func(id string) error { return s.NoticeDelivered(ctx, id) },
			func(p store.Page) ([]string, string, error) { return notice(s.PendingNotices(ctx, p)) }},
	}
}

// ours keeps the ids that a test made.
func ours(ids []string) []string {
	return slices.DeleteFunc(ids, func(id string) bool { return len(id) < 2 || id[:2] != "p-" })
}

// walk collects all pages; between is called after each.
func walk(e *env, l listing, limit int, between func(page int)) (ids []string) {
	after := ""
	for page := 0; ; page++ {
		got, next, err := l.list(store.Page{After: after, Limit: limit})
		e.must(err)
		if len(got) > limit {
			e.Errorf("%s: a page of %d rows, want at most %d", l.name, len(got), limit)
		}
		ids = append(ids, ours(got)...)
		if next == "" || page > 100 {
			return ids
		}
		after = next
		if between != nil {
			between(page)
		}
	}
}

func pages(e *env) {
	for _, l := range listings(e) {
		var want []string
		for _, tail := range []string{"b", "B", "a", "é", "z", "0", "10", "2", "a b", "a-b", "a'b", "a/b", "Z"} { // ordered by bytes
			want = append(want, "p-"+tail)
			e.must(l.add("p-" + tail))
		}
		slices.Sort(want)
		for _, limit := range []int{1, 3, 1000} {
			e.equal(fmt.Sprintf("%s in pages of %d", l.name, limit), walk(e, l, limit, nil), want)
		}
	}
}

func stablePages(e *env) {
	for _, l := range listings(e) {
		var stay []string
		for i := range 20 {
			id := fmt.Sprintf("p-%02d", i)
			e.must(l.add(id))
			if i%5 != 2 || l.remove == nil {
				stay = append(stay, id)
			}
		}
		got := walk(e, l, 3, func(page int) {
			e.must(l.add(fmt.Sprintf("p-00-new-%d", page))) // before the cursor, soon
			if page%2 == 0 && l.remove != nil && page < 8 {
				e.must(l.remove(fmt.Sprintf("p-%02d", page/2*5+2))) // before, at or after the cursor
			}
		})
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			e.Errorf("%s: rows twice or out of order: %v", l.name, got)
		}
		for _, id := range stay {
			if !slices.Contains(got, id) {
				e.Errorf("%s: row %s was there all the time and is missing: %v", l.name, id, got)
			}
		}
	}
}

func pageLimits(e *env) {
	for _, l := range listings(e) {
		for i := range 120 {
			e.must(l.add(fmt.Sprintf("p-%03d", i)))
		}
		ids, next, err := l.list(store.Page{})
		e.wants(l.name+" without a limit", err, nil)
		e.equal(l.name+" without a limit: more", next != "", true)
		if len(ids) > 100 || len(ids) < 97 { // some rows belong to the scene
			e.Errorf("%s without a limit: %d rows, want 100", l.name, len(ids))
		}
		for _, limit := range []int{-1, 1001} {
			_, _, err = l.list(store.Page{Limit: limit})
			e.wants(fmt.Sprintf("%s with limit %d", l.name, limit), err, store.ErrInvalid)
		}
		// The last page is known to be the last.
		total := len(walk(e, l, 1000, nil))
		all, next, err := l.list(store.Page{Limit: 1000})
		e.must(err)
		e.equal(l.name+": rows", total, 120)
		e.equal(l.name+": a page that holds everything has no next", next, "")
		all, next, err = l.list(store.Page{Limit: len(all)})
		e.must(err)
		e.equal(l.name+": a page that holds exactly everything has no next", next, "")
		e.equal(l.name+": nothing is missing", len(ours(all)), 120)
	}
	for i := range 4 {
		e.must(e.s.AppendAudit(e.ctx, event("a", "", in(minute*2))))
		_, next, err := e.s.AuditEvents(e.ctx, store.AuditFilter{}, store.Page{Limit: i + 1})
		e.must(err)
		e.equal("events: a page that holds exactly everything has no next", next, "")
	}
	_, _, err := e.s.AuditEvents(e.ctx, store.AuditFilter{}, store.Page{Limit: 1001})
	e.wants("events with limit 1001", err, store.ErrInvalid)
}
