package storetest

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"anteroom/store"
)

var valueTests = []Test{
	{"what is stored comes back whole", storedWhole},
	{"returned and passed values are copies", copies},
	{"nil and empty are the same and come back as nil", nilAndEmpty},
	{"times come back in UTC to the microsecond", times},
	{"garbage names are unknown, not a failure", garbage},
	{"an empty or endless identity is invalid", emptyIdentity},
	{"an update may not change the identity", identityStays},
	{"an update that fails changes nothing", failedUpdate},
}

// filler sets every field of a row to something that is not its zero value, so
// that a forgotten column is found.
type filler struct{ n int }

// zone makes stored times prove that they are kept in UTC.
var zone = time.FixedZone("east", 5*3600+30*60)

func (f *filler) fill(v reflect.Value) {
	f.n++
	if v.Type() == reflect.TypeFor[time.Time]() {
		at := t0.Add(time.Duration(f.n)*time.Hour + 123456789*time.Nanosecond)
		v.Set(reflect.ValueOf(at.In(zone)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d é€𝄞 \"\\<>&", f.n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(f.n) * 1007)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(uint64(f.n % 256))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			f.fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		if v.Type().Elem().Kind() == reflect.String {
			v.SetMapIndex(reflect.ValueOf("key"), reflect.ValueOf(fmt.Sprint(f.n)))
			return
		}
		for key, value := range map[string]any{
			"name": "Ann É", "number": 1.5, "verified": true, "nothing": nil,
			"address": map[string]any{"locality": "Köln", "lines": []any{"a", 2.0, map[string]any{}}},
		} {
			put := reflect.New(v.Type().Elem()).Elem()
			if value != nil {
				put.Set(reflect.ValueOf(value))
			}
			v.SetMapIndex(reflect.ValueOf(key), put)
		}
	default:
		panic("storetest: no filling for " + v.Type().String())
	}
}

func filled[T any](mend func(*T)) T {
	var row T
	new(filler).fill(reflect.ValueOf(&row).Elem())
	mend(&row)
	return row
}

// scribble changes whatever can be reached through a value's slices and maps.
func scribble(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		scribble(v.Elem())
	case reflect.Interface:
		if !v.IsNil() {
			scribble(v.Elem())
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			scribble(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			scribble(v.Index(i))
			if v.Index(i).CanSet() {
				v.Index(i).SetZero()
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			scribble(v.MapIndex(key))
			v.SetMapIndex(key, reflect.Zero(v.Type().Elem()))
		}
	}
}

// noun is a row that is stored and read back.
type noun struct {
	name string
	row  any          // a pointer; its canonical copy is what must come back
	put  func() error // stores row
	get  func() (any, error)
	want func() any // nil: the canonical copy of row
}

func first[T any](rows []T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, fmt.Errorf("%d rows, want 1", len(rows))
	}
	return rows[0], nil
}

func firstOfPage[T any](rows []T, _ string, err error) (any, error) { return first(rows, err) }

func made[T any](name string, row *T, put func() error, get func() (any, error)) noun {
	want := store.Canonical(*row)
	return noun{name: name, row: row, put: put, get: get, want: func() any { return want }}
}

func storedWhole(e *env) {
	e.world()
	for _, n := range append(personNouns(e), protocolNouns(e)...) {
		e.must(n.put())
		got, err := n.get()
		e.wants(n.name, err, nil)
		e.equal(n.name, got, n.want())
	}
}

func copies(e *env) {
	e.world()
	for _, n := range append(personNouns(e), protocolNouns(e)...) {
		e.must(n.put())
		scribble(reflect.ValueOf(n.row)) // what was passed
		before, err := n.get()
		e.must(err)
		e.equal(n.name+" after a change of what was passed", before, n.want())
		scribbled := reflect.New(reflect.TypeOf(before))
		scribbled.Elem().Set(reflect.ValueOf(before))
		scribble(scribbled) // what was returned
		after, err := n.get()
		e.must(err)
		e.equal(n.name+" after a change of what was returned", after, n.want())
	}
	// In a unit, what is passed may change before the commit.
	c := store.Client{ID: "c", ApplicationID: "pcc", Scopes: []string{"openid"}}
	e.must(e.s.Do(e.ctx, func(ctx context.Context) error {
		if err := e.s.CreateClient(ctx, c); err != nil {
			return err
		}
		c.Scopes[0] = "changed"
		return nil
	}))
	got, err := e.s.Client(e.ctx, "c")
	e.must(err)
	e.equal("scopes passed in a unit", got.Scopes, []string{"openid"})
	kept := []string{"kept"}
	_, err = e.s.UpdateClient(e.ctx, "c", func(c *store.Client) error { c.Scopes = kept; return nil })
	e.must(err)
	kept[0] = "changed"
	got, err = e.s.Client(e.ctx, "c")
	e.must(err)
	e.equal("scopes set by an update", got.Scopes, []string{"kept"})
}

func nilAndEmpty(e *env) {
	e.world()
	e.must(e.s.CreateAccount(e.ctx, store.Account{ID: "empty", UserName: "empty", Profile: map[string]any{}}))
	a := value[store.Account](e)(e.s.Account(e.ctx, "empty"))
	e.equal("an empty profile is nil", a.Profile == nil, true)
	e.must(e.s.CreateClient(e.ctx, store.Client{ID: "empty", ApplicationID: "pcc", Scopes: []string{}, Secrets: []store.ClientSecret{}, Settings: map[string]any{}}))
	c := value[store.Client](e)(e.s.Client(e.ctx, "empty"))
	e.equal("an empty client", c, store.Client{ID: "empty", ApplicationID: "pcc"})
	e.must(e.s.AddAuthenticator(e.ctx, store.Authenticator{ID: "empty", AccountID: "ann", Sealed: []byte{}}))
	rows, err := e.s.AuthenticatorsOf(e.ctx, "ann")
	e.must(err)
	e.equal("an empty secret", rows, []store.Authenticator{{ID: "empty", AccountID: "ann"}})

	for name, list := range map[string]func() (any, error){
		"AuthenticatorsOf": func() (any, error) { return e.s.AuthenticatorsOf(e.ctx, "bob") },
		"InvitationsOf":    func() (any, error) { return e.s.InvitationsOf(e.ctx, "bob") },
		"RolesOf":          func() (any, error) { return e.s.RolesOf(e.ctx, "none") },
		"AssignmentsOf":    func() (any, error) { return e.s.AssignmentsOf(e.ctx, "bob", "") },
		"TermsVersions":    func() (any, error) { return e.s.TermsVersions(e.ctx, "pcc") },
		"ConsentsOf":       func() (any, error) { return e.s.ConsentsOf(e.ctx, "bob") },
		"SessionsOf":       func() (any, error) { return e.s.SessionsOf(e.ctx, "bob", t0) },
		"EndSessionsOf":    func() (any, error) { return e.s.EndSessionsOf(e.ctx, "bob", t0) },
		"GrantsOf":         func() (any, error) { return e.s.GrantsOf(e.ctx, store.GrantFilter{AccountID: "bob"}, t0) },
		"RevokeGrants":     func() (any, error) { return e.s.RevokeGrants(e.ctx, store.GrantFilter{AccountID: "bob"}, "", t0) },
		"SigningKeys":      func() (any, error) { return e.s.SigningKeys(e.ctx) },
		"ClaimMail":        func() (any, error) { return e.s.ClaimMail(e.ctx, t0, minute, 5) },
	} {
		rows, err := list()
		e.must(err)
		if !reflect.ValueOf(rows).IsNil() {
			e.Errorf("%s without rows returns %#v, want nil", name, rows)
		}
	}
}

func times(e *env) {
	at := time.Date(2026, 3, 1, 17, 30, 0, 123456789, zone)
	e.must(e.s.CreateAccount(e.ctx, store.Account{ID: "a", UserName: "a", CreatedAt: at}))
	a := value[store.Account](e)(e.s.Account(e.ctx, "a"))
	e.equal("a stored time", a.CreatedAt, time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC))
	e.equal("an unset time is zero", a.UpdatedAt.IsZero() && a.UpdatedAt == time.Time{}, true)
	for _, at := range []time.Time{time.Date(1900, 1, 1, 0, 0, 0, 1000, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)} {
		a, err := e.s.UpdateAccount(e.ctx, "a", func(a *store.Account) error { a.UpdatedAt = at; return nil })
		e.must(err)
		e.equal("a time far away", a.UpdatedAt, at)
	}
}

func garbage(e *env) {
	e.world()
	e.must(e.s.PutAssignment(e.ctx, store.Assignment{AccountID: "ann", ApplicationID: "pcc", State: store.AssignmentInvited}))
	for _, name := range []string{"", "\x00", "ann\x00", "ann\x00pcc", "\xff\xfe", "a\xc3", strings.Repeat("x", 1<<20), "'; drop table accounts; --", "%", "\u202eann"} {
		for verb, err := range lookups(e, name) {
			e.wants(fmt.Sprintf("%s(%.20q)", verb, name), err, store.ErrNotFound)
		}
		rows, err := e.s.AssignmentsOf(e.ctx, name, "")
		e.wants(fmt.Sprintf("AssignmentsOf(%.20q)", name), err, nil)
		e.equal(fmt.Sprintf("AssignmentsOf(%.20q)", name), len(rows), 0)
		if name != "" {
			f, err := e.s.RecordFailure(e.ctx, name, t0, minute)
			e.wants(fmt.Sprintf("RecordFailure(%.20q)", name), err, nil)
			again, err := e.s.Failure(e.ctx, name, t0)
			e.wants(fmt.Sprintf("Failure(%.20q)", name), err, nil)
			e.equal(fmt.Sprintf("Failure(%.20q)", name), again, f)
			e.wants(fmt.Sprintf("UseOnce(%.20q)", name), e.s.UseOnce(e.ctx, "jti", name, t0, in(minute)), nil)
			e.wants(fmt.Sprintf("UseOnce(%.20q) again", name), e.s.UseOnce(e.ctx, "jti", name, t0, in(minute)), store.ErrConsumed)
		}
	}
	e.must(e.s.CreateAccount(e.ctx, store.Account{ID: "x", UserName: "x", Profile: map[string]any{"name": "a\x00b\xff", "list": []any{"\x00"}}}))
	a := value[store.Account](e)(e.s.Account(e.ctx, "x"))
	e.equal("repaired text", a.Profile, map[string]any{"name": "a\uFFFDb\uFFFD", "list": []any{"\uFFFD"}})
}

func emptyIdentity(e *env) {
	e.world()
	s, ctx := e.s, e.ctx
	for _, id := range []string{"", strings.Repeat("x", store.MaxIdentity+1)} {
		for verb, err := range map[string]error{
			"CreateAccount":            s.CreateAccount(ctx, store.Account{ID: id, UserName: "new"}),
			"CreateAccount, user name": s.CreateAccount(ctx, store.Account{ID: "new", UserName: id}),
			"AddAuthenticator":         s.AddAuthenticator(ctx, store.Authenticator{ID: id, AccountID: "ann"}),
			"AddAuthenticator, whose":  s.AddAuthenticator(ctx, store.Authenticator{ID: "new", AccountID: id}),
			"AdvanceTOTP":              s.AdvanceTOTP(ctx, id, 1),
			"ReplaceRecoveryCodes":     s.ReplaceRecoveryCodes(ctx, "ann", []string{"a", id}, t0),
			"CreateInvitation":         s.CreateInvitation(ctx, store.Invitation{ID: id, TokenHash: "h", AccountID: "ann", ApplicationID: "pcc"}),
			"CreateInvitation, hash":   s.CreateInvitation(ctx, store.Invitation{ID: "i", TokenHash: id, AccountID: "ann", ApplicationID: "pcc"}),
			"CreateReset":              s.CreateReset(ctx, store.Reset{ID: id, TokenHash: "h", AccountID: "ann"}),
			"CreateReset, hash":        s.CreateReset(ctx, store.Reset{ID: "r", TokenHash: id, AccountID: "ann"}),
			"CreateApplication":        s.CreateApplication(ctx, store.Application{ID: id}),
			"CreateClient":             s.CreateClient(ctx, store.Client{ID: id, ApplicationID: "pcc"}),
			"CreateOrganisation":       s.CreateOrganisation(ctx, store.Organisation{ID: id}),
			"PutRole":                  s.PutRole(ctx, store.Role{ApplicationID: "pcc", Key: id}),
			"PutConsent":               s.PutConsent(ctx, store.Consent{AccountID: "ann", ClientID: id}),
			"CreateSession":            s.CreateSession(ctx, store.Session{ID: id, TokenHash: "h", AccountID: "ann"}),
			"CreateSession, hash":      s.CreateSession(ctx, store.Session{ID: "s", TokenHash: id, AccountID: "ann"}),
			"IssueCode":                s.IssueCode(ctx, store.Grant{ID: id}, store.Code{Hash: "h", GrantID: id}),
			"IssueCode, hash":          s.IssueCode(ctx, store.Grant{ID: "g"}, store.Code{Hash: id, GrantID: "g"}),
			"CreateGrant":              s.CreateGrant(ctx, store.Grant{ID: id}),
			"CreateRefreshToken":       s.CreateRefreshToken(ctx, store.RefreshToken{Hash: id, GrantID: "g"}),
			"RevokeAccessToken":        s.RevokeAccessToken(ctx, id, in(minute)),
			"CreateSigningKey":         s.CreateSigningKey(ctx, store.SigningKey{KID: id}),
			"UseOnce, space":           s.UseOnce(ctx, id, "key", t0, in(minute)),
			"EnqueueMail":              s.EnqueueMail(ctx, store.OutboxMessage{ID: id}),
			"EnqueueNotice":            s.EnqueueNotice(ctx, store.Notice{ID: id}),
			"CreateBackchannel":        s.CreateBackchannel(ctx, store.Backchannel{Hash: id, AccountID: "ann"}, 9),
			"CreateBackchannel, who":   s.CreateBackchannel(ctx, store.Backchannel{Hash: "b", AccountID: id}, 9),
			"CreateRegistrationToken":  s.CreateRegistrationToken(ctx, store.RegistrationToken{ID: id, Hash: "r"}),
			"CreateRegistration, hash": s.CreateRegistrationToken(ctx, store.RegistrationToken{ID: "r", Hash: id}),
			"CreateDevice":             s.CreateDevice(ctx, store.Device{Hash: id, UserCodeHash: "u"}),
			"CreateDevice, user code":  s.CreateDevice(ctx, store.Device{Hash: "d", UserCodeHash: id}),
			"SetMeta":                  s.SetMeta(ctx, id, "v"),
		} {
			e.wants(fmt.Sprintf("%s with an identity of %d bytes", verb, len(id)), err, store.ErrInvalid)
		}
	}
	_, err := s.RecordFailure(ctx, "", t0, minute)
	e.wants("RecordFailure without a key", err, store.ErrInvalid)
	e.wants("UseOnce without a key", s.UseOnce(ctx, "jti", "", t0, in(minute)), store.ErrInvalid)
}

func identityStays(e *env) {
	e.world()
	s, ctx := e.s, e.ctx
	e.must(s.CreateSigningKey(ctx, store.SigningKey{KID: "k"}))
	e.must(s.CreateSession(ctx, store.Session{ID: "s", TokenHash: "h", AccountID: "ann", ExpiresAt: in(minute)}))
	_, err := s.UpdateAccount(ctx, "ann", func(a *store.Account) error { a.ID = "eve"; return nil })
	e.wants("UpdateAccount", err, store.ErrInvalid)
	_, err = s.UpdateApplication(ctx, "pcc", func(a *store.Application) error { a.ID = "x"; return nil })
	e.wants("UpdateApplication", err, store.ErrInvalid)
	_, err = s.UpdateClient(ctx, "pcc-web", func(c *store.Client) error { c.ID = "x"; return nil })
	e.wants("UpdateClient", err, store.ErrInvalid)
	_, err = s.UpdateOrganisation(ctx, "vendor", func(o *store.Organisation) error { o.ID = "x"; return nil })
	e.wants("UpdateOrganisation", err, store.ErrInvalid)
	_, err = s.RenewSession(ctx, "s", t0, func(s *store.Session) error { s.ID = "x"; return nil })
	e.wants("RenewSession", err, store.ErrInvalid)
	e.wants("UpdateSigningKey", s.UpdateSigningKey(ctx, "k", func(k *store.SigningKey) error { k.KID = "x"; return nil }), store.ErrInvalid)
	_, err = s.Account(ctx, "ann")
	e.wants("the account after that", err, nil)
}

func failedUpdate(e *env) {
	e.world()
	s, ctx := e.s, e.ctx
	mine := fmt.Errorf("mine")
	_, err := s.UpdateAccount(ctx, "ann", func(a *store.Account) error { a.UserName = "eve"; return mine })
	e.wants("the error of the function", err, mine)
	_, err = s.UpdateAccount(ctx, "ann", func(a *store.Account) error { a.UserName = "BOB"; a.PasswordHash = "x"; return nil })
	e.wants("a taken name", err, store.ErrExists)
	_, err = s.UpdateAccount(ctx, "ann", func(a *store.Account) error { a.UserName = ""; return nil })
	e.wants("no name", err, store.ErrInvalid)
	_, err = s.UpdateClient(ctx, "pcc-web", func(c *store.Client) error { c.ApplicationID = "none"; return nil })
	e.wants("an unknown application", err, store.ErrInvalid)
	a := value[store.Account](e)(s.Account(ctx, "ann"))
	e.equal("the account", a, store.Account{ID: "ann", UserName: "ann", Email: "ann@example.org", State: store.AccountActive})
	c := value[store.Client](e)(s.Client(ctx, "pcc-web"))
	e.equal("the client", c, store.Client{ID: "pcc-web", ApplicationID: "pcc"})
}
