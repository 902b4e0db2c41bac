package account_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"anteroom/account"
	"anteroom/internal/audit"
	"anteroom/store"

	"golang.org/x/crypto/bcrypt"
)

func (r *rig) importLines(text string) ([]account.ImportReport, account.ImportSummary) {
	r.Helper()
	var reports []account.ImportReport
	sum, err := r.Import(r.ctx(), strings.NewReader(text), account.Operator, func(l account.ImportReport) { reports = append(reports, l) })
	r.must(err)
	return reports, sum
}

func TestImportMovesPeopleInWithTheirFactors(t *testing.T) {
	r := newRig(t)
	r.must(r.store.CreateOrganisation(r.ctx(), store.Organisation{ID: "acme", Name: "Acme"}))
	r.must(r.store.PutRole(r.ctx(), store.Role{ApplicationID: "pa", Key: "viewer"}))
	hash, err := bcrypt.GenerateFromPassword([]byte("old system's own"), 8)
	r.must(err)
	reports, sum := r.importLines("\ufeff" + `{"user_name":"ann","email":"ann@acme.example","email_verified":true,"organisation":"acme","password_hash":"` + string(hash) +
		`","totp_secret":"JBSWY3DPEHPK3PXP","name":"Ann","address":{"country":"DE"},"assignments":[{"application":"pa","organisation":"acme","role":"viewer"}]}` + "\r\n")
	if sum.Imported != 1 || sum.Refused != 0 || reports[0].Problem != "" {
		t.Fatalf("%+v, %+v", sum, reports)
	}
	acct, err := r.CheckPassword(r.ctx(), "ann@acme.example", "old system's own", "192.0.2.1", nobodyKnown)
	r.must(err)
	if acct.ID != reports[0].AccountID || acct.State != store.AccountActive || !acct.EmailVerified || acct.OrganisationID != "acme" || acct.Profile["address"].(map[string]any)["country"] != "DE" {
		t.Errorf("account %+v", acct)
	}
	if !hasher.Weak(acct.PasswordHash) {
		t.Error("a bcrypt hash would never be replaced")
	}
	bound, err := r.store.AuthenticatorsOf(r.ctx(), acct.ID)
	r.must(err)
	secret, err := account.OpenTOTP(r.keys, acct.ID, bound[0].Sealed)
	if err != nil || len(bound) != 1 || bound[0].Kind != "totp" || string(secret) != "Hello!\xde\xad\xbe\xef" {
		t.Errorf("authenticators %+v, secret %q, %v", bound, secret, err)
	}
	held, err := r.store.AssignmentsOf(r.ctx(), acct.ID, "")
	r.must(err)
	if len(held) != 1 || held[0].State != store.AssignmentActive || held[0].ActivatedAt.IsZero() {
		t.Errorf("access %+v", held)
	}
	if got := strings.Join(r.events(acct.ID), " "); got != strings.Join([]string{audit.AccountImported, audit.AccessGranted, audit.AuthenticatorAdded}, " ") {
		t.Errorf("audit %s", got)
	}
}

func TestAWrongLineStopsNothingElse(t *testing.T) {
	r := newRig(t)
	before := r.member("taken@acme.example")
	lines := []string{
		`{"email":"one@acme.example"}`,
		``,
		`not json`,
		`{"email":"taken@acme.example","name":"Thief"}`,
		`{"user_name":"x` + strings.Repeat("x", 300<<10) + `"}`,
		`{"email":"role@acme.example","assignments":[{"application":"pa","role":"ghost"}]}`,
		`{"email":"org@acme.example","organisation":"nowhere"}`,
		`{"user_name":"taken@acme.example","email":"new@acme.example"}`,
		`{"email":"ONE@acme.example"}`,
		`{"email":"last@acme.example"}`, // no line end
	}
	reports, sum := r.importLines(strings.Join(lines, "\n"))
	if sum.Imported != 2 || sum.Refused != 7 || len(reports) != 9 {
		t.Errorf("%+v", sum)
	}
	problems := map[int]string{1: "", 3: "not a JSON object", 4: "exists already", 5: "too long", 6: "no role", 7: "no organisation", 8: "exists already", 9: "exists already", 10: ""}
	for _, l := range reports {
		want, ok := problems[l.Line]
		if !ok || (want == "") != (l.Problem == "") || !strings.Contains(l.Problem, want) {
			t.Errorf("line %d: %q, want %q", l.Line, l.Problem, want)
		}
	}
	for _, gone := range []string{"role@acme.example", "org@acme.example", "new@acme.example"} {
		if _, err := r.store.AccountByName(r.ctx(), gone); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s was half imported: %v", gone, err)
		}
	}
	if after := r.account(before.ID); after.Profile["name"] != nil || after.PasswordHash != before.PasswordHash {
		t.Errorf("an account was overwritten: %+v", after)
	}
	if len(r.mail.take()) != 0 {
		t.Error("an import sent mail")
	}
}

// fullStore cannot write.
type fullStore struct{ account.Store }

func (fullStore) Do(context.Context, func(context.Context) error) error {
	return store.ErrUnavailable
}

func TestAnImportStopsWhenTheStoreCannotWrite(t *testing.T) {
	r := newRig(t)
	r.Accounts.Store = fullStore{r.store}
	sum, err := r.Import(r.ctx(), strings.NewReader("{\"email\":\"a@acme.example\"}\n{\"email\":\"b@acme.example\"}\n"), account.Operator, func(account.ImportReport) {})
	if !errors.Is(err, store.ErrUnavailable) || sum.Imported+sum.Refused != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
	_, err = r.Import(r.ctx(), io.MultiReader(strings.NewReader("\n"), brokenReader{}), account.Operator, func(account.ImportReport) {})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that breaks off: %v", err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
