package admin_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"anteroom/account"
	"anteroom/admin"
	"anteroom/store"
)

func TestInviteMakesTheAccountAndShowsItsLinkOnce(t *testing.T) {
	r := newRig(t)
	r.seed()
	var out admin.InviteResult
	r.do("POST", "/accounts/invite", map[string]any{"email": "bob@acme.example", "application": "analytics"}, &out)
	if !out.Created || out.Account.State != store.AccountInvited || !strings.HasPrefix(out.Link, "https://id.example.com/activate?token=") {
		t.Errorf("got %+v", out)
	}
	if want := start.Add(7 * 24 * time.Hour); !out.ExpiresAt.Equal(want) {
		t.Errorf("expires %v, want %v", out.ExpiresAt, want)
	}
	link, _ := url.Parse(out.Link)
	_, _, shown := r.send("GET", "/accounts/bob@acme.example", nil)
	if strings.Contains(string(shown), link.Query().Get("token")) {
		t.Error("the link comes back when the account is shown")
	}
	var again admin.InviteResult
	r.do("POST", "/accounts/invite", map[string]any{"email": "bob@acme.example", "application": "analytics"}, &again)
	if again.Created || again.Account.ID != out.Account.ID {
		t.Errorf("a second invitation made a second account: %+v", again)
	}
	var mail admin.List[admin.OutboxMessage]
	r.do("GET", "/mail", nil, &mail)
	if len(mail.Items) != 3 || mail.Items[0].Kind != "invitation" {
		t.Errorf("outbox %+v", mail)
	}
}

func TestInviteRefusals(t *testing.T) {
	r := newRig(t)
	r.seed()
	p := r.refuse(400, "POST", "/accounts/invite", map[string]any{
		"email": "Ann <ann@acme.example>", "user_name": "a\nb", "access": []map[string]any{{"organisation": "acme"}}, "profile": map[string]any{"sub": "x", "name": 7},
	})
	want := []string{"email", "user_name", "application", "access", "profile.name", "profile.sub"}
	if got := fieldsOf(p); !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("fields %v, want %v", got, want)
	}
	p = r.refuse(422, "POST", "/accounts/invite", map[string]any{"email": "x@acme.example", "application": "nothing"})
	if !strings.Contains(p.Detail, `no application "nothing"`) {
		t.Errorf("detail %q", p.Detail)
	}
	p = r.refuse(422, "POST", "/accounts/invite", map[string]any{
		"email": "x@acme.example", "application": "analytics", "access": []map[string]any{{"role": "king"}},
	})
	if !strings.Contains(p.Detail, "king") {
		t.Errorf("detail %q", p.Detail)
	}
	r.refuse(422, "POST", "/accounts/invite", map[string]any{"email": "x@acme.example", "application": "analytics", "password": "password"})
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func TestAnAccountIsFoundByIDNameAndAddress(t *testing.T) {
	r := newRig(t)
	r.seed()
	var byMail, byID, byFold admin.AccountDetail
	r.do("GET", "/accounts/ann@acme.example", nil, &byMail)
	r.do("GET", "/accounts/"+byMail.ID, nil, &byID)
	r.do("GET", "/accounts/ANN@Acme.example", nil, &byFold)
	if byID.ID != byMail.ID || byFold.ID != byMail.ID || byMail.Name != "Ann" {
		t.Errorf("got %s, %s, %s", byMail.ID, byID.ID, byFold.ID)
	}
	if len(byID.Assignments) != 1 || byID.Assignments[0].State != store.AssignmentInvited || len(byID.Invitations) != 1 || byID.Invitations[0].State != "open" {
		t.Errorf("detail %+v", byID)
	}
	r.now = start.Add(8 * 24 * time.Hour)
	r.do("GET", "/accounts/"+byMail.ID, nil, &byID)
	if byID.Invitations[0].State != "expired" {
		t.Errorf("invitation after eight days: %s", byID.Invitations[0].State)
	}
	var found admin.List[admin.Account]
	r.do("GET", "/accounts?name=ann@acme.example", nil, &found)
	if len(found.Items) != 1 {
		t.Errorf("search found %d", len(found.Items))
	}
	r.do("GET", "/accounts?name=nobody", nil, &found)
	if len(found.Items) != 0 {
		t.Errorf("search for nobody found %d", len(found.Items))
	}
	p := r.refuse(404, "GET", "/accounts/nobody", nil)
	if p.Detail != `There is no account "nobody".` {
		t.Errorf("detail %q", p.Detail)
	}
}

func TestChangingAnAccount(t *testing.T) {
	r := newRig(t)
	r.seed()
	r.do("POST", "/accounts/invite", map[string]any{"email": "bob@acme.example", "user_name": "bob", "application": "analytics"}, nil)
	var got admin.AccountDetail
	r.do("PATCH", "/accounts/bob", map[string]any{"email": "robert@acme.example", "organisation": "acme", "profile": map[string]any{"name": "Robert", "zoneinfo": "Europe/Oslo"}}, &got)
	if got.Email != "robert@acme.example" || got.UserName != "bob" || got.Organisation != "acme" || got.Name != "Robert" {
		t.Errorf("got %+v", got.Account)
	}
	got = admin.AccountDetail{} // decoding adds to a map that is there
	r.do("PATCH", "/accounts/bob", map[string]any{"email_verified": true, "profile": map[string]any{"name": ""}}, &got)
	if !got.EmailVerified || got.Profile["name"] != nil || got.Profile["zoneinfo"] != "Europe/Oslo" {
		t.Errorf("got %+v", got.Account)
	}
	r.do("PATCH", "/accounts/bob", map[string]any{"email": "bob2@acme.example"}, &got)
	if got.EmailVerified {
		t.Error("a new address counts as verified")
	}
	if d := r.last().Details["fields"]; d != "email" {
		t.Errorf("audit details %q", d)
	}
	r.refuse(409, "PATCH", "/accounts/bob", map[string]any{"email": "ann@acme.example"})
	r.refuse(409, "PATCH", "/accounts/bob", map[string]any{"user_name": "ANN@acme.example"})
	r.refuse(404, "PATCH", "/accounts/bob", map[string]any{"organisation": "nowhere"})
	r.refuse(400, "PATCH", "/accounts/bob", map[string]any{"profile": map[string]any{"password": "x"}})
	r.refuse(400, "PATCH", "/accounts/bob", map[string]any{})
}

func TestResetNeedsAReason(t *testing.T) {
	r := newRig(t)
	r.seed()
	r.refuse(422, "POST", "/accounts/ann@acme.example/reset-mfa", map[string]any{"reason": " "})
	r.refuse(400, "POST", "/accounts/ann@acme.example/reset-mfa", map[string]any{"why": "x"})
	r.do("POST", "/accounts/ann@acme.example/reset-mfa", map[string]any{"reason": "lost phone, called from her office"}, nil)
	if e := r.last(); e.Details["reason"] != "lost phone, called from her office" {
		t.Errorf("audit %+v", e)
	}
}

func TestDisableAndEnable(t *testing.T) {
	r := newRig(t)
	r.seed()
	var got admin.AccountDetail
	r.do("POST", "/accounts/ann@acme.example/disable", nil, &got)
	if got.State != store.AccountDisabled {
		t.Errorf("state %s", got.State)
	}
	r.do("POST", "/accounts/ann@acme.example/enable", nil, &got)
	if got.State != store.AccountInvited {
		t.Errorf("state %s, want invited: she never had a password", got.State)
	}
}

func TestImportReportsEachLine(t *testing.T) {
	r := newRig(t)
	r.seed()
	var out admin.ImportResult
	r.do("POST", "/accounts/import", strings.Join([]string{
		`{"user_name":"carol","email":"carol@acme.example","name":"Carol","assignments":[{"application":"analytics","role":"viewer","organisation":"acme"}]}`,
		`{"user_name":"ann@acme.example"}`,
		`not json`,
		`{"user_name":"dave","password_hash":"plain"}`,
		`{"user_name":"eve"}`,
	}, "\n"), &out)
	if out.Imported != 2 || out.Refused != 3 || len(out.Lines) != 5 {
		t.Fatalf("got %+v", out)
	}
	for i, wrong := range []bool{false, true, true, true, false} {
		if (out.Lines[i].Problem != "") != wrong || out.Lines[i].Line != i+1 {
			t.Errorf("line %d: %+v", i+1, out.Lines[i])
		}
	}
}

func TestGivingAndTakingAccess(t *testing.T) {
	r := newRig(t)
	r.seed()
	const ann = "/accounts/ann@acme.example"
	p := r.refuse(400, "POST", ann+"/assignments", map[string]any{"application": "analytics", "role": "king", "organisation": "nowhere"})
	if got := fieldsOf(p); !slices.Equal(got, []string{"role", "organisation"}) || !strings.Contains(p.Errors[0].Detail, "it has viewer") {
		t.Errorf("got %+v", p)
	}
	r.refuse(400, "POST", ann+"/assignments", map[string]any{})
	r.refuse(400, "POST", ann+"/assignments", map[string]any{"application": "analytics", "organisation": "acme"})

	var got admin.List[admin.Assignment]
	r.do("POST", ann+"/assignments", map[string]any{"application": "analytics", "role": "viewer"}, &got)
	if len(got.Items) != 2 || got.Items[0].State != store.AssignmentActive || got.Items[0].GrantedBy != account.Operator {
		t.Errorf("got %+v", got)
	}
	var people admin.List[admin.Assignment]
	r.do("GET", "/applications/analytics/assignments", nil, &people)
	if len(people.Items) != 2 {
		t.Errorf("people %+v", people)
	}
	r.do("DELETE", ann+"/assignments?application=analytics&role=viewer", nil, &got)
	if len(got.Items) != 1 || got.Items[0].Organisation != "acme" {
		t.Errorf("left %+v", got)
	}
	r.refuse(422, "DELETE", ann+"/assignments?application=analytics&role=viewer", nil)
	r.refuse(400, "DELETE", ann+"/assignments", nil)
	r.refuse(400, "DELETE", ann+"/assignments?application=analytics&all=true&role=viewer", nil)
}

// Who can no longer enter an application loses what its clients hold, and the
// open links to it, at once; other applications keep theirs.
func TestTakingTheLastAccessEndsGrantsAndInvitations(t *testing.T) {
	r := newRig(t)
	r.seed()
	r.do("POST", "/applications", map[string]any{"id": "pcc"}, nil)
	var ann admin.AccountDetail
	r.do("GET", "/accounts/ann@acme.example", nil, &ann)
	for _, app := range []string{"analytics", "pcc"} {
		if err := r.db.CreateGrant(t.Context(), store.Grant{
			ID: "g-" + app, ClientID: "c", ApplicationID: app, AccountID: ann.ID, CreatedAt: start, ExpiresAt: start.Add(time.Hour),
		}); err != nil {
			t.Fatal(err)
		}
	}
	r.do("DELETE", "/accounts/"+ann.ID+"/assignments?application=analytics&all=true", nil, nil)
	if _, err := r.db.Grant(t.Context(), "g-analytics", start); err == nil {
		t.Error("the grant of the application lives on")
	}
	if _, err := r.db.Grant(t.Context(), "g-pcc", start); err != nil {
		t.Errorf("the grant of another application: %v", err)
	}
	r.do("GET", "/accounts/"+ann.ID, nil, &ann)
	if len(ann.Assignments) != 0 || ann.Invitations[0].State != "revoked" {
		t.Errorf("left %+v", ann)
	}
}
