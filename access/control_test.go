package access_test

import (
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
