package account

import (
	"strings"
	"testing"
	"time"

	"anteroom/store"
)

func TestParseImportLine(t *testing.T) {
	const bcryptHash = "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW"
	full := `{"user_name":"ann","email":"ann@acme.example","email_verified":true,"organisation":"acme",
		"password_hash":"` + bcryptHash + `","totp_secret":"jbsw y3dp ehpk 3pxp","updated_at":1700000000,
		"name":"Ann Smith","given_name":"Ann","family_name":"Smith","middle_name":"M","nickname":"A","profile":"https://a.example",
		"picture":"https://a.example/p","website":"https://a.example","gender":"f","birthdate":"1990-01-02","zoneinfo":"Europe/Berlin",
		"locale":"de","phone_number":"+49 1","phone_number_verified":false,"address":{"locality":"Köln","country":"DE"},
		"assignments":[{"application":"pa","organisation":"acme","role":"viewer"},{"application":"pcc","state":"invited"}]}`
	l, err := parseImportLine([]byte(full))
	if err != nil {
		t.Fatal(err)
	}
	if l.UserName != "ann" || l.Email != "ann@acme.example" || !l.EmailVerified || l.OrganisationID != "acme" ||
		l.PasswordHash != bcryptHash || string(l.TOTPSecret) != "Hello!\xde\xad\xbe\xef" || !l.UpdatedAt.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("read %+v", l)
	}
	if len(l.Profile) != 15 || l.Profile["phone_number_verified"] != false || l.Profile["address"].(map[string]any)["locality"] != "Köln" {
		t.Errorf("profile %v", l.Profile)
	}
	if len(l.Assignments) != 2 || l.Assignments[0].State != store.AssignmentActive || l.Assignments[1].State != store.AssignmentInvited {
		t.Errorf("assignments %+v", l.Assignments)
	}
	if l, err := parseImportLine([]byte(`{"email":"bob@acme.example"}`)); err != nil || l.UserName != "bob@acme.example" {
		t.Errorf("without a user name: %+v, %v", l, err)
	}

	for _, c := range []struct{ line, want string }{
		{``, "not a JSON object"},
		{`[]`, "not a JSON object"},
		{`{"email":"a@b.example"`, "not closed"},
		{`{"email":"a@b.example"} {}`, "something follows"},
		{`{"email":"a@b.example","email":"c@d.example"}`, "twice"},
		{`{"email":}`, "not JSON"},
		{"{\"email\":\"a\xff@b.example\"}", "UTF-8"},
		{`{}`, "missing"},
		{`{"user_name":" ann"}`, "user name"},
		{`{"user_name":"a\u0007b"}`, "cannot be typed"},
		{`{"user_name":"` + strings.Repeat("x", 129) + `"}`, "too long"},
		{`{"email":"Ann <a@b.example>"}`, "e-mail address"},
		{`{"email":"a@b.example\r\nBcc: x@y.example"}`, "e-mail address"},
		{`{"user_name":"ann","email_verified":true}`, "no email"},
		{`{"user_name":"ann","email_verified":"yes"}`, "email_verified: must be true or false"},
		{`{"user_name":"ann","name":7}`, "name: must be a string"},
		{`{"user_name":"ann","name":null}`, "name: must be a string"},
		{`{"user_name":"ann","address":"Köln"}`, "address: must be an object"},
		{`{"user_name":"ann","address":{"planet":"Mars"}}`, "planet"},
		{`{"user_name":"ann","sub":"1"}`, "sub: is no key"},
		{`{"user_name":"ann","password":"hunter2"}`, "password: is no key"},
		{`{"user_name":"ann","password_hash":"hunter2"}`, "password_hash: not an argon2id or bcrypt hash"},
		{`{"user_name":"ann","totp_secret":"1189"}`, "totp_secret: is not base32"},
		{`{"user_name":"ann","totp_secret":"JBSWY3DP"}`, "totp_secret: must have"},
		{`{"user_name":"ann","updated_at":"today"}`, "updated_at"},
		{`{"user_name":"ann","assignments":{"application":"pa"}}`, "assignments"},
		{`{"user_name":"ann","assignments":[{"app":"pa"}]}`, "assignments"},
		{`{"user_name":"ann","assignments":[{"role":"x"}]}`, "application is missing"},
		{`{"user_name":"ann","assignments":[{"application":"pa","state":"maybe"}]}`, "state must be"},
	} {
		_, err := parseImportLine([]byte(c.line))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.line, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error repeats a secret: %v", c.line, err)
		}
	}
}

func FuzzParseImportLine(f *testing.F) {
	f.Add([]byte(`{"user_name":"ann","email":"ann@acme.example","totp_secret":"JBSWY3DPEHPK3PXP","address":{"country":"DE"}}`))
	f.Add([]byte(`{"user_name":"ann","assignments":[{"application":"pa"}],"updated_at":1}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		l, err := parseImportLine(line)
		if err != nil {
			return
		}
		if l.UserName == "" || checkUserName(l.UserName) != nil || (l.Email != "" && checkEmail(l.Email) != nil) {
			t.Errorf("%q gave %+v", line, l)
		}
		if strings.ContainsAny(l.Email, "\r\n\x00") {
			t.Errorf("%q gave the address %q", line, l.Email)
		}
	})
}

func TestRefusedAccessNamesOnlyWhatWasGiven(t *testing.T) {
	for _, c := range []struct {
		one  store.Assignment
		want string
	}{
		{store.Assignment{ApplicationID: "nope"}, `There is no application "nope".`},
		{store.Assignment{ApplicationID: "a", RoleKey: "viewer"}, `There is no role "viewer" in application "a".`},
		{store.Assignment{ApplicationID: "a", OrganisationID: "acme"}, `There is no application "a", or no organisation "acme".`},
		{store.Assignment{ApplicationID: "a", RoleKey: "viewer", OrganisationID: "acme"}, `There is no role "viewer" in application "a", or no organisation "acme".`},
	} {
		if got := noSuchAccess(c.one); got != c.want {
			t.Errorf("%+v: %q, want %q", c.one, got, c.want)
		}
	}
}
