package access_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"anteroom/access"
	"anteroom/store"
	"anteroom/store/bolt"
)

func newStore(t *testing.T) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	for _, app := range []store.Application{{ID: "pa", Access: store.AccessAssigned}, {ID: "pcc", Access: store.AccessAssigned}, {ID: "wiki", Access: store.AccessEveryone}} {
		must(s.CreateApplication(ctx, app))
	}
	must(s.CreateOrganisation(ctx, store.Organisation{ID: "acme", Name: "Acme"}))
	must(s.CreateOrganisation(ctx, store.Organisation{ID: "bolt", Name: "Bolt & Co"}))
	for _, key := range []string{"viewer", "editor", "admin"} {
		must(s.PutRole(ctx, store.Role{ApplicationID: "pa", Key: key}))
		must(s.PutRole(ctx, store.Role{ApplicationID: "pcc", Key: key}))
	}
	for _, id := range []string{"ann", "bob", "new", "nil"} {
		must(s.CreateAccount(ctx, store.Account{ID: id, UserName: id, State: store.AccountActive}))
	}
	for _, one := range []store.Assignment{
		{AccountID: "ann", ApplicationID: "pa", OrganisationID: "bolt", RoleKey: "viewer"},
		{AccountID: "ann", ApplicationID: "pa", OrganisationID: "acme", RoleKey: "viewer"},
		{AccountID: "ann", ApplicationID: "pa", OrganisationID: "acme", RoleKey: "editor"},
		{AccountID: "ann", ApplicationID: "pa", OrganisationID: "acme", RoleKey: "admin", State: store.AssignmentInvited},
		{AccountID: "ann", ApplicationID: "pcc", OrganisationID: "acme", RoleKey: "admin"},
		{AccountID: "bob", ApplicationID: "pa"},
		{AccountID: "bob", ApplicationID: "pa", RoleKey: "editor"},
		{AccountID: "bob", ApplicationID: "pa", OrganisationID: "bolt"},
		{AccountID: "new", ApplicationID: "pa", OrganisationID: "acme", RoleKey: "viewer", State: store.AssignmentInvited},
	} {
		if one.State == "" {
			one.State = store.AssignmentActive
		}
		must(s.PutAssignment(ctx, one))
	}
	return s
}

func TestClaimsAreOfThisApplicationAndActiveOnly(t *testing.T) {
	c := &access.Control{Store: newStore(t)}
	for _, row := range []struct{ account, application, want string }{
		{"ann", "pa", `{"roles":["editor","viewer"],"organizations":[{"id":"acme","name":"Acme","roles":["editor","viewer"]},{"id":"bolt","name":"Bolt \u0026 Co","roles":["viewer"]}]}`},
		{"ann", "pcc", `{"roles":["admin"],"organizations":[{"id":"acme","name":"Acme","roles":["admin"]}]}`},
		{"bob", "pa", `{"roles":["editor"],"organizations":[{"id":"bolt","name":"Bolt \u0026 Co","roles":[]}]}`},
		{"new", "pa", `{"roles":[],"organizations":[]}`},
		{"nil", "pa", `{"roles":[],"organizations":[]}`},
		{"ann", "", `{"roles":[],"organizations":[]}`},
	} {
		claims, err := c.Claims(t.Context(), row.account, row.application)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(claims)
		if err != nil || string(got) != row.want {
			t.Errorf("%s in %q:\n got %s\nwant %s (%v)", row.account, row.application, got, row.want, err)
		}
	}
}

func TestMayEnter(t *testing.T) {
	s := newStore(t)
	c := &access.Control{Store: s}
	for _, row := range []struct {
		account, application string
		disabled             bool
		want                 bool
	}{
		{account: "ann", application: "pa", want: true},
		{account: "bob", application: "pa", want: true}, // bare access
		{account: "new", application: "pa", want: true}, // invited: the sign-in activates it
		{account: "nil", application: "pa", want: false},
		{account: "bob", application: "pcc", want: false},
		{account: "nil", application: "wiki", want: true},
		{account: "ann", application: "pa", disabled: true, want: false},
		{account: "ann", application: "wiki", disabled: true, want: false},
	} {
		app, err := s.Application(t.Context(), row.application)
		if err != nil {
			t.Fatal(err)
		}
		acct, err := s.Account(t.Context(), row.account)
		if err != nil {
			t.Fatal(err)
		}
		if row.disabled {
			acct.State = store.AccountDisabled
		}
		got, err := c.MayEnter(t.Context(), acct, app)
		if err != nil || got != row.want {
			t.Errorf("%+v: %v, %v", row, got, err)
		}
	}
	if got, err := c.MayEnter(t.Context(), store.Account{}, store.Application{ID: "wiki", Access: store.AccessEveryone}); err != nil || got {
		t.Errorf("nobody may enter: %v, %v", got, err)
	}
}

// counting counts what is read of assignments.
type counting struct {
	access.Store
	reads int
}

func (c *counting) AssignmentsOf(ctx context.Context, accountID, applicationID string) ([]store.Assignment, error) {
	c.reads++
	return c.Store.AssignmentsOf(ctx, accountID, applicationID)
}

func TestOneRequestReadsAssignmentsOnce(t *testing.T) {
	s := newStore(t)
	counted := &counting{Store: s}
	c := &access.Control{Store: counted}
	ann, err := s.Account(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(ctx context.Context, application string) {
		app, err := s.Application(t.Context(), application)
		if err != nil {
			t.Fatal(err)
		}
		if may, err := c.MayEnter(ctx, ann, app); err != nil || !may {
			t.Errorf("MayEnter %s: %v, %v", application, may, err)
		}
		if claims, err := c.Claims(ctx, ann.ID, application); err != nil || len(claims.Roles) == 0 {
			t.Errorf("Claims of %s: %v, %v", application, claims, err)
		}
	}
	request := access.Once(t.Context())
	for _, row := range []struct {
		rule        string
		ctx         context.Context
		application string
		want        int
	}{
		{"both answers from one read", request, "pa", 1},
		{"another application is read anew", request, "pcc", 1},
		{"so is another request", access.Once(t.Context()), "pa", 1},
		{"outside of one nothing is remembered", t.Context(), "pa", 2},
	} {
		counted.reads = 0
		ask(row.ctx, row.application)
		if counted.reads != row.want {
			t.Errorf("%s: %d reads, want %d", row.rule, counted.reads, row.want)
		}
	}
}
