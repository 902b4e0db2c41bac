package storetest

import (
	"context"
	"slices"
	"strings"
	"time"

	"anteroom/store"
)

var accessTests = []Test{
	{"rows refer to rows that exist", references},
	{"taken ids are refused", takenIDs},
	{"organisations make no cycle", organisationTree},
	{"an assignment that exists stays as it is", assignmentStays},
	{"assignments are listed in order", assignmentOrder},
	{"activation turns invited assignments active, once", activation},
	{"a deleted role takes its assignments with it", deletedRole},
	{"a deleted application leaves nothing", deletedApplication},
	{"a deleted client leaves nothing to its successor", deletedClient},
	{"terms: versions, acceptance, withdrawal", terms},
	{"consents grow and can be revoked", consents},
}

func references(e *env) {
	e.world()
	s, ctx := e.s, e.ctx
	e.wants("client of no application", s.CreateClient(ctx, store.Client{ID: "x", ApplicationID: "none"}), store.ErrInvalid)
	e.wants("client without application", s.CreateClient(ctx, store.Client{ID: "x"}), store.ErrInvalid)
	e.wants("organisation below none", s.CreateOrganisation(ctx, store.Organisation{ID: "x", ParentID: "none"}), store.ErrInvalid)
	e.wants("organisation below itself", s.CreateOrganisation(ctx, store.Organisation{ID: "x", ParentID: "x"}), store.ErrInvalid)
	e.wants("role of no application", s.PutRole(ctx, store.Role{ApplicationID: "none", Key: "x"}), store.ErrInvalid)
	_, err := s.PublishTerms(ctx, store.TermsVersion{ApplicationID: "none"})
	e.wants("terms of no application", err, store.ErrInvalid)
	good := store.Assignment{AccountID: "ann", ApplicationID: "pcc", OrganisationID: "vendor", RoleKey: "admin", State: store.AssignmentInvited}
	for what, change := range map[string]func(*store.Assignment){
		"account":      func(a *store.Assignment) { a.AccountID = "none" },
		"application":  func(a *store.Assignment) { a.ApplicationID = "none" },
		"organisation": func(a *store.Assignment) { a.OrganisationID = "none" },
		"role":         func(a *store.Assignment) { a.RoleKey = "none" },
		"state":        func(a *store.Assignment) { a.State = "" },
	} {
		a := good
		change(&a)
		e.wants("assignment with an unknown "+what, s.PutAssignment(ctx, a), store.ErrInvalid)
	}
	e.wants("a good assignment", s.PutAssignment(ctx, good), nil)
	bare := store.Assignment{AccountID: "ann", ApplicationID: "pcc", State: store.AssignmentActive}
	e.wants("bare access", s.PutAssignment(ctx, bare), nil)
	_, err = s.Client(ctx, "x")
	e.wants("the refused client", err, store.ErrNotFound)
}

func takenIDs(e *env) {
	e.world()
	s, ctx := e.s, e.ctx
	e.wants("application", s.CreateApplication(ctx, store.Application{ID: "pcc", Name: "other"}), store.ErrExists)
	e.wants("client", s.CreateClient(ctx, store.Client{ID: "pcc-web", ApplicationID: "portal"}), store.ErrExists)
	e.wants("organisation", s.CreateOrganisation(ctx, store.Organisation{ID: "vendor"}), store.ErrExists)
	e.must(s.CreateSigningKey(ctx, store.SigningKey{KID: "k", Algorithm: "RS256"}))
	e.wants("signing key", s.CreateSigningKey(ctx, store.SigningKey{KID: "k"}), store.ErrExists)
	e.must(s.EnqueueMail(ctx, store.OutboxMessage{ID: "m", To: "ann"}))
	e.wants("message", s.EnqueueMail(ctx, store.OutboxMessage{ID: "m"}), store.ErrExists)
	e.equal("the client", value[store.Client](e)(s.Client(ctx, "pcc-web")).ApplicationID, "pcc")
	e.equal("the application", value[store.Application](e)(s.Application(ctx, "pcc")).Name, "pcc")
}

func organisationTree(e *env) {
	e.world()
	s, ctx := e.s, e.ctx
	e.must(s.CreateOrganisation(ctx, store.Organisation{ID: "company", ParentID: "partner"}))
	under := func(id, parent string) error {
		_, err := s.UpdateOrganisation(ctx, id, func(o *store.Organisation) error { o.ParentID = parent; return nil })
		return err
	}
	e.wants("below itself", under("vendor", "vendor"), store.ErrInvalid)
	e.wants("below its child", under("vendor", "partner"), store.ErrInvalid)
	e.wants("below its grandchild", under("vendor", "company"), store.ErrInvalid)
	e.wants("below none", under("partner", "none"), store.ErrInvalid)
	e.equal("after refusals", value[store.Organisation](e)(s.Organisation(ctx, "vendor")).ParentID, "")
	e.wants("further up", under("company", "vendor"), nil)
	e.wants("to a root", under("partner", ""), nil)
	e.wants("turned round", under("vendor", "partner"), nil)
}

func assignmentStays(e *env) {
	e.world()
	s, ctx := e.s, e.ctx
	a := store.Assignment{AccountID: "ann", ApplicationID: "pcc", OrganisationID: "vendor", RoleKey: "admin", State: store.AssignmentInvited, GrantedBy: "bob", CreatedAt: t0}
	e.must(s.PutAssignment(ctx, a))
	n, err := s.ActivateAssignments(ctx, "ann", "pcc", in(minute))
	e.must(err)
	e.equal("activated", n, 1)
	again := a
	again.GrantedBy, again.CreatedAt = "eve", in(time.Hour)
	e.wants("the same again", s.PutAssignment(ctx, again), nil)
	want := a
	want.State, want.ActivatedAt = store.AssignmentActive, in(minute)
	e.equal("the assignment", value[[]store.Assignment](e)(s.AssignmentsOf(ctx, "ann", "pcc")), []store.Assignment{want})
	e.wants("remove", s.RemoveAssignment(ctx, store.Assignment{AccountID: "ann", ApplicationID: "pcc", OrganisationID: "vendor", RoleKey: "admin"}), nil)
	e.wants("remove again", s.RemoveAssignment(ctx, a), store.ErrNotFound)
	rows, _, err := s.AssignmentsIn(ctx, "pcc", store.Page{})
	e.must(err)
	e.equal("who may enter", len(rows), 0)
}

func assignmentOrder(e *env) {
	e.world()
	s, ctx := e.s, e.ctx
	var all []store.Assignment
	for _, account := range []string{"ann", "bob"} {
		for _, application := range []string{"pcc", "portal"} {
			for _, organisation := range []string{"", "partner", "vendor"} {
				for _, role := range []string{"", "admin", "user"} {
					all = append(all, store.Assignment{AccountID: account, ApplicationID: application, OrganisationID: organisation, RoleKey: role, State: store.AssignmentActive})
				}
			}
		}
	}
	for i := range all { // in another order
		e.must(s.PutAssignment(ctx, all[(i*7)%len(all)]))
	}
	e.equal("all of ann", value[[]store.Assignment](e)(s.AssignmentsOf(ctx, "ann", "")), all[:18])
	e.equal("ann in the portal", value[[]store.Assignment](e)(s.AssignmentsOf(ctx, "ann", "portal")), all[9:18])
	rows, next, err := s.AssignmentsIn(ctx, "pcc", store.Page{})
	e.must(err)
	e.equal("all of pcc", rows, slices.Concat(all[:9], all[18:27]))
	e.equal("no further page", next, "")
	_, _, err = s.AssignmentsIn(ctx, "pcc", store.Page{After: "\x00 not a cursor %"})
	e.wants("a cursor from nowhere", err, store.ErrInvalid)
}

func activation(e *env) {
	e.world()
	s, ctx := e.s, e.ctx
	for _, application := range []string{"pcc", "portal"} {
		for _, role := range []string{"", "admin", "user"} {
			a := store.Assignment{AccountID: "ann", ApplicationID: application, RoleKey: role, State: store.AssignmentInvited, CreatedAt: t0}
			if role == "user" {
				a.State, a.ActivatedAt = store.AssignmentActive, t0
			}
			e.must(s.PutAssignment(ctx, a))
		}
	}
	n, err := s.ActivateAssignments(ctx, "ann", "pcc", in(minute))
	e.wants("activate", err, nil)
	e.equal("how many", n, 2)
	n, err = s.ActivateAssignments(ctx, "ann", "pcc", in(time.Hour))
	e.wants("activate again", err, nil)
	e.equal("how many then", n, 0)
	for _, a := range value[[]store.Assignment](e)(s.AssignmentsOf(ctx, "ann", "")) {
		want, at := store.AssignmentActive, in(minute)
		switch {
		case a.RoleKey == "user":
			at = t0
		case a.ApplicationID == "portal":
			want, at = store.AssignmentInvited, time.Time{}
		}
		e.equal("state of "+a.ApplicationID+"/"+a.RoleKey, a.State, want)
		e.equal("activation of "+a.ApplicationID+"/"+a.RoleKey, a.ActivatedAt, at)
	}
}

func deletedRole(e *env) {
	e.world()
	s, ctx := e.s, e.ctx
	for _, account := range []string{"ann", "bob"} {
		for _, application := range []string{"pcc", "portal"} {
			for _, role := range []string{"", "admin", "user"} {
				e.must(s.PutAssignment(ctx, store.Assignment{AccountID: account, ApplicationID: application, OrganisationID: "vendor", RoleKey: role, State: store.AssignmentActive}))
			}
		}
	}
	e.wants("replace", s.PutRole(ctx, store.Role{ApplicationID: "pcc", Key: "admin", Name: "Chief"}), nil)
	roles := value[[]store.Role](e)(s.RolesOf(ctx, "pcc"))
	e.equal("roles by key", []string{roles[0].Key, roles[0].Name, roles[1].Key}, []string{"admin", "Chief", "user"})
	e.wants("delete", s.DeleteRole(ctx, "pcc", "admin"), nil)
	e.wants("delete again", s.DeleteRole(ctx, "pcc", "admin"), store.ErrNotFound)
	e.equal("roles left", len(value[[]store.Role](e)(s.RolesOf(ctx, "pcc"))), 1)
	for _, account := range []string{"ann", "bob"} {
		rows := value[[]store.Assignment](e)(s.AssignmentsOf(ctx, account, ""))
		e.equal("assignments of "+account, len(rows), 5)
	}
	rows, _, err := s.AssignmentsIn(ctx, "pcc", store.Page{})
	e.must(err)
	e.equal("assignments in pcc", len(rows), 4)
}

// furnish gives an application one of everything that belongs to it.
func furnish(e *env, application string) {
	s, ctx := e.s, e.ctx
	v, err := s.PublishTerms(ctx, store.TermsVersion{ApplicationID: application, Markdown: "Be kind.", PublishedAt: t0})
	e.must(err)
	e.must(s.AcceptTerms(ctx, store.TermsAcceptance{AccountID: "ann", ApplicationID: application, Version: v.Version, Hash: v.Hash, AcceptedAt: t0}))
	e.must(s.PutAssignment(ctx, store.Assignment{AccountID: "ann", ApplicationID: application, RoleKey: "admin", State: store.AssignmentActive}))
	inv := invitation(application)
	inv.ApplicationID = application
	e.must(s.CreateInvitation(ctx, inv))
	e.must(s.PutConsent(ctx, store.Consent{AccountID: "ann", ClientID: application + "-web", Scopes: []string{"openid"}}))
	e.must(s.IssueCode(ctx,
		store.Grant{ID: "grant-" + application, ClientID: application + "-web", ApplicationID: application, AccountID: "ann", CreatedAt: t0, ExpiresAt: in(time.Hour)},
		store.Code{Hash: "code-" + application, GrantID: "grant-" + application, ExpiresAt: in(time.Hour)}))
}

func deletedApplication(e *env) {
	e.world()
	furnish(e, "pcc")
	furnish(e, "portal")
	s, ctx := e.s, e.ctx
	e.wants("delete", s.DeleteApplication(ctx, "pcc"), nil)
	e.wants("delete again", s.DeleteApplication(ctx, "pcc"), store.ErrNotFound)
	for _, application := range []string{"pcc", "portal"} {
		var want error
		grant := error(nil)
		left := 1
		if application == "pcc" {
			want, grant, left = store.ErrNotFound, store.ErrRevoked, 0
		}
		_, err := s.Application(ctx, application)
		e.wants(application+" itself", err, want)
		_, err = s.Client(ctx, application+"-web")
		e.wants(application+": client", err, want)
		_, err = s.CurrentTerms(ctx, application)
		e.wants(application+": terms", err, want)
		_, err = s.AcceptedTerms(ctx, "ann", application)
		e.wants(application+": acceptance", err, want)
		_, err = s.InvitationByToken(ctx, "hash-"+application, t0)
		e.wants(application+": invitation", err, want)
		_, err = s.Consent(ctx, "ann", application+"-web")
		e.wants(application+": consent", err, want)
		_, err = s.Grant(ctx, "grant-"+application, t0)
		e.wants(application+": grant", err, grant)
		e.equal(application+": roles", len(value[[]store.Role](e)(s.RolesOf(ctx, application))), 2*left)
		e.equal(application+": assignments", len(value[[]store.Assignment](e)(s.AssignmentsOf(ctx, "ann", application))), left)
	}
	rows, _, err := s.AssignmentsIn(ctx, "pcc", store.Page{})
	e.must(err)
	e.equal("who may enter", len(rows), 0)
	// A later application of that name starts from nothing.
	e.must(s.CreateApplication(ctx, store.Application{ID: "pcc"}))
	v, err := s.PublishTerms(ctx, store.TermsVersion{ApplicationID: "pcc", Markdown: "New."})
	e.must(err)
	e.equal("its first terms", v.Version, 1)
	_, err = s.AcceptedTerms(ctx, "ann", "pcc")
	e.wants("its terms are not accepted", err, store.ErrNotFound)
}

func deletedClient(e *env) {
	e.world()
	furnish(e, "pcc")
	s, ctx := e.s, e.ctx
	e.wants("delete", s.DeleteClient(ctx, "pcc-web"), nil)
	e.wants("delete again", s.DeleteClient(ctx, "pcc-web"), store.ErrNotFound)
	e.must(s.CreateClient(ctx, store.Client{ID: "pcc-web", ApplicationID: "pcc"}))
	_, err := s.Consent(ctx, "ann", "pcc-web")
	e.wants("consent", err, store.ErrNotFound)
	_, _, err = s.Code(ctx, "code-pcc", t0)
	e.wants("code", err, store.ErrRevoked)
	_, err = s.Application(ctx, "pcc")
	e.wants("the application", err, nil)
}

func terms(e *env) {
	e.world()
	s, ctx := e.s, e.ctx
	publish := func(text string, withdrawn bool) store.TermsVersion {
		return value[store.TermsVersion](e)(s.PublishTerms(ctx, store.TermsVersion{ApplicationID: "pcc", Version: 77, Hash: "wrong", Markdown: text, PublishedAt: t0, Withdrawn: withdrawn}))
	}
	one, two := publish("one", false), publish("two", false)
	e.equal("versions", []int{one.Version, two.Version}, []int{1, 2})
	e.equal("hash", one.Hash, "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed")
	e.equal("current", value[store.TermsVersion](e)(s.CurrentTerms(ctx, "pcc")), two)
	accept := func(account string, version int, hash string, at time.Time) error {
		return s.AcceptTerms(ctx, store.TermsAcceptance{AccountID: account, ApplicationID: "pcc", Version: version, Hash: hash, AcceptedAt: at})
	}
	e.wants("an unknown version", accept("ann", 3, one.Hash, t0), store.ErrNotFound)
	e.wants("another hash", accept("ann", 1, two.Hash, t0), store.ErrInvalid)
	e.wants("the newest first", accept("ann", 2, two.Hash, t0), nil)
	e.wants("then an older one", accept("ann", 1, one.Hash, in(minute)), nil)
	e.wants("the same again", accept("ann", 2, two.Hash, in(time.Hour)), nil)
	a := value[store.TermsAcceptance](e)(s.AcceptedTerms(ctx, "ann", "pcc"))
	e.equal("the newest accepted", []any{a.Version, a.AcceptedAt}, []any{2, t0})
	_, err := s.AcceptedTerms(ctx, "bob", "pcc")
	e.wants("somebody else's", err, store.ErrNotFound)
	publish("", true)
	_, err = s.CurrentTerms(ctx, "pcc")
	e.wants("after withdrawal", err, store.ErrNotFound)
	for range 8 { // more than one digit
		publish("more", false)
	}
	rows := value[[]store.TermsVersion](e)(s.TermsVersions(ctx, "pcc"))
	for i, v := range rows {
		e.equal("version in order", v.Version, i+1)
	}
	e.equal("current at last", value[store.TermsVersion](e)(s.CurrentTerms(ctx, "pcc")).Version, 11)
}

func consents(e *env) {
	s, ctx := e.s, e.ctx
	put := func(at time.Time, scopes ...string) {
		e.must(s.PutConsent(ctx, store.Consent{AccountID: "ann", ClientID: "c", Scopes: scopes, GrantedAt: at}))
	}
	put(t0, "profile", "openid", "openid")
	put(in(minute), "email", "profile")
	c := value[store.Consent](e)(s.Consent(ctx, "ann", "c"))
	e.equal("the union, sorted", c, store.Consent{AccountID: "ann", ClientID: "c", Scopes: []string{"email", "openid", "profile"}, GrantedAt: in(minute)})
	large := `[{"type":"a","identifier":"` + strings.Repeat("ü", 4<<10) + `"}]`
	for _, one := range []struct{ put, want string }{{`[{"type":"a"}]`, `[{"type":"a"}]`}, {"", `[{"type":"a"}]`}, {large, large}} {
		e.must(s.PutConsent(ctx, store.Consent{AccountID: "ann", ClientID: "c", Details: one.put, GrantedAt: in(minute)}))
		e.equal("details", value[store.Consent](e)(s.Consent(ctx, "ann", "c")).Details, one.want)
	}
	e.must(s.CreateGrant(ctx, store.Grant{ID: "large", Details: large, ExpiresAt: in(minute)}))
	e.equal("details of a grant", value[store.Grant](e)(s.Grant(ctx, "large", t0)).Details, large)
	_, err := s.Consent(ctx, "bob", "c")
	e.wants("somebody else's", err, store.ErrNotFound)
	e.wants("revoke", s.RevokeConsent(ctx, "ann", "c"), nil)
	e.wants("revoke again", s.RevokeConsent(ctx, "ann", "c"), store.ErrNotFound)
	put(t0, "openid")
	c = value[store.Consent](e)(s.Consent(ctx, "ann", "c"))
	e.equal("after revocation", c.Scopes, []string{"openid"})
	// Within one unit, and whichever of two comes first, the union holds.
	e.must(s.Do(ctx, func(ctx context.Context) error {
		return s.PutConsent(ctx, store.Consent{AccountID: "ann", ClientID: "c", Scopes: []string{"a"}, GrantedAt: t0})
	}))
	c = value[store.Consent](e)(s.Consent(ctx, "ann", "c"))
	e.equal("from a unit", c.Scopes, []string{"a", "openid"})
}
