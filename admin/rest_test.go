package admin_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"anteroom/admin"
	"anteroom/internal/audit"
	"anteroom/store"
	"anteroom/store/bolt"
)

func TestOrganisationsFormATree(t *testing.T) {
	r := newRig(t)
	r.do("POST", "/organisations", map[string]any{"id": "vendor", "name": "Vendor"}, nil)
	var made admin.Organisation
	r.do("POST", "/organisations", map[string]any{"name": "Partner", "parent": "vendor"}, &made)
	if made.ID == "" || made.Parent != "vendor" {
		t.Errorf("got %+v", made)
	}
	r.refuse(409, "POST", "/organisations", map[string]any{"id": "vendor", "name": "Again"})
	r.refuse(400, "POST", "/organisations", map[string]any{"name": "", "parent": "nowhere", "id": "../x"})
	p := r.refuse(422, "PATCH", "/organisations/vendor", map[string]any{"parent": made.ID})
	if !strings.Contains(p.Detail, "under itself") {
		t.Errorf("detail %q", p.Detail)
	}
	r.refuse(400, "PATCH", "/organisations/vendor", map[string]any{"parent": "nowhere"})
	r.refuse(404, "PATCH", "/organisations/nowhere", map[string]any{"name": "X"})
	r.do("PATCH", "/organisations/"+made.ID, map[string]any{"parent": "", "name": "On its own"}, &made)
	if made.Parent != "" || made.Name != "On its own" {
		t.Errorf("got %+v", made)
	}
}

func TestApplicationPolicy(t *testing.T) {
	r := newRig(t)
	var got admin.Application
	r.do("POST", "/applications", map[string]any{"id": "pcc"}, &got)
	if !got.RequireMFA || got.Consent != store.ConsentSkip || got.Access != store.AccessAssigned || got.Name != "pcc" {
		t.Errorf("defaults %+v", got)
	}
	r.do("PATCH", "/applications/pcc", map[string]any{
		"name": "Control Center", "challenge_after_enrolment": true, "consent": "once", "access": "everyone",
		"session_max_age": 3600, "launch_url": "http://localhost:8082/", "colour": "#AABBCC",
	}, &got)
	if !got.ChallengeAfterEnrolment || got.SessionMaxAge != 3600 || got.Consent != store.ConsentOnce || !got.RequireMFA {
		t.Errorf("changed %+v", got)
	}
	row, err := r.db.Application(t.Context(), "pcc")
	if err != nil || row.SessionMaxAge != time.Hour || row.Name != "Control Center" {
		t.Errorf("stored %+v, %v", row, err)
	}
	r.refuse(409, "POST", "/applications", map[string]any{"id": "pcc"})
	r.refuse(400, "PATCH", "/applications/pcc", map[string]any{})
	r.refuse(404, "PATCH", "/applications/nothing", map[string]any{"name": "x"})
	r.refuse(404, "DELETE", "/applications/nothing", nil)
	r.refuse(400, "PUT", "/applications/pcc/roles/King", map[string]any{})
	r.refuse(404, "DELETE", "/applications/pcc/roles/king", nil)
}

// RFC 9396 section 5: what is not described is refused, so the description has to
// be right.
func TestTypesOfAuthorizationDetails(t *testing.T) {
	r := newRig(t)
	r.do("POST", "/applications", map[string]any{"id": "bank"}, nil)
	patch := func(types ...any) map[string]any {
		return map[string]any{"authorization_details_types": append([]any{}, types...)}
	}
	field := func(changes ...any) map[string]any {
		f := map[string]any{"name": "amount.value", "title": "Amount", "kind": "number", "required": true}
		for i := 0; i < len(changes); i += 2 {
			f[changes[i].(string)] = changes[i+1]
		}
		return f
	}
	kind := func(fields ...any) map[string]any {
		return map[string]any{"type": "https://bank.example/payment", "title": "Pay", "consent": "always", "fields": fields}
	}
	var got admin.Application
	r.do("PATCH", "/applications/bank", patch(kind(field(), field("name", "amount.currency", "kind", "text", "values", map[string]any{"EUR": "Euro", "CHF": ""})),
		map[string]any{"type": "look", "title": "Look", "fields": []any{map[string]any{"name": "locations", "kind": "list"}}}), &got)
	row, err := r.db.Application(t.Context(), "bank")
	if err != nil || len(row.DetailTypes) != 2 || len(got.DetailTypes) != 2 || row.DetailTypes[0].Consent != store.ConsentAlways ||
		row.DetailTypes[0].Fields[1].Values["EUR"] != "Euro" || !row.DetailTypes[0].Fields[0].Required {
		t.Fatalf("%+v, %v", row.DetailTypes, err)
	}
	for name, bad := range map[string]any{
		"no type":                        map[string]any{"title": "x"},
		"a type with spaces":             map[string]any{"type": "a b", "title": "x"},
		"no title":                       map[string]any{"type": "a"},
		"an unknown policy":              map[string]any{"type": "a", "title": "x", "consent": "never"},
		"a bad name":                     kind(field("name", "a..b")),
		"too deep":                       kind(field("name", "a.b.c.d")),
		"the type as a field":            kind(field("name", "type", "kind", "text")),
		"no kind":                        kind(field("kind", "")),
		"another kind":                   kind(field("kind", "object")),
		"no field title":                 kind(field("title", "")),
		"a common field as another kind": kind(field("name", "actions", "kind", "text")),
		"a field twice":                  kind(field(), field()),
		"a value with members":           kind(field(), field("name", "amount")),
		"an empty value":                 kind(field("values", map[string]any{"": "x"})),
		"an unknown key":                 kind(field("pattern", ".*")),
		"no object":                      "payment",
	} {
		if p := r.refuse(400, "PATCH", "/applications/bank", patch(bad)); len(p.Errors) == 0 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	r.refuse(400, "PATCH", "/applications/bank", patch(kind(), kind()))
	r.do("PATCH", "/applications/bank", map[string]any{"name": "Bank"}, &got)
	if len(got.DetailTypes) != 2 {
		t.Error("a change of something else took them away")
	}
	r.do("PATCH", "/applications/bank", patch(), nil)
	if row, err = r.db.Application(t.Context(), "bank"); err != nil || len(row.DetailTypes) != 0 {
		t.Errorf("got %+v, %v", row.DetailTypes, err)
	}
}

func TestTermsAreVersionsThatNeverChange(t *testing.T) {
	r := newRig(t)
	r.seed()
	const terms = "/applications/analytics/terms"
	r.refuse(422, "POST", terms+"/withdraw", nil)
	r.refuse(400, "POST", terms, map[string]any{"markdown": " \n"})
	r.refuse(404, "POST", "/applications/nothing/terms", map[string]any{"markdown": "x"})
	var one, two, gone admin.Terms
	r.do("POST", terms, map[string]any{"markdown": "# One\r\n"}, &one)
	r.do("POST", terms, map[string]any{"markdown": "# Two", "title": "Rules"}, &two)
	r.do("POST", terms+"/withdraw", nil, &gone)
	if one.Version != 1 || two.Version != 2 || two.Title != "Rules" || !gone.Withdrawn || gone.Version != 3 {
		t.Errorf("got %+v %+v %+v", one, two, gone)
	}
	var shown admin.Terms
	r.do("GET", terms+"/1", nil, &shown)
	// sha256sum of "# One\n"
	if shown.Markdown != "# One\n" || shown.Hash != "5add2e4a6306bb1bb52c92869f20756aa1c9d514dbb2c9c4d2a94bc8378b0eb5" {
		t.Errorf("version 1: %+v", shown)
	}
	var all admin.List[admin.Terms]
	r.do("GET", terms, nil, &all)
	if len(all.Items) != 3 || all.Items[0].Markdown != "" {
		t.Errorf("list %+v", all)
	}
	r.refuse(404, "GET", terms+"/9", nil)
	if _, err := r.db.CurrentTerms(t.Context(), "analytics"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("withdrawn terms are current: %v", err)
	}
}

func TestKeysAreRotatedByTheOperator(t *testing.T) {
	r := newRig(t)
	var lead time.Duration
	var actor string
	r.api.Keys = &ring{db: r.db, rotate: func(ctx context.Context, d time.Duration) error {
		lead, actor = d, audit.Actor(ctx)
		return r.db.CreateSigningKey(ctx, store.SigningKey{KID: "k1", Algorithm: "ES256", Sealed: []byte("secret part"), PublicJWK: []byte(`{"kid":"k1"}`), CreatedAt: start, ActiveAt: start})
	}}
	var keys admin.List[admin.Key]
	status, _, data := r.send("POST", "/keys/rotate", map[string]any{"lead": 60})
	if status != http.StatusOK || strings.Contains(string(data), "Sealed") || strings.Contains(string(data), "c2VjcmV0IHBhcnQ") {
		t.Fatalf("%d %s", status, data)
	}
	r.do("GET", "/keys", nil, &keys)
	if lead != time.Minute || actor != "operator" || len(keys.Items) != 1 || keys.Items[0].State != "active" {
		t.Errorf("lead %v, actor %s, keys %+v", lead, actor, keys)
	}
	r.refuse(400, "POST", "/keys/rotate", map[string]any{"lead": -5})
	r.api.Keys = &ring{db: r.db, rotate: func(context.Context, time.Duration) error { return store.ErrConsumed }}
	r.refuse(409, "POST", "/keys/rotate", map[string]any{})
}

func TestReadingTheAuditLog(t *testing.T) {
	r := newRig(t)
	r.seed()
	for i := range 30 {
		r.do("POST", "/organisations", map[string]any{"id": "o" + strconv.Itoa(i), "name": "O"}, nil)
	}
	seqs := func(query string) (out []int64) {
		t.Helper()
		var got admin.List[admin.AuditEvent]
		r.do("GET", "/audit"+query, nil, &got)
		for _, e := range got.Items {
			out = append(out, e.Seq)
		}
		return out
	}
	if got := seqs("?last=3"); !slices.Equal(got, []int64{34, 35, 36}) {
		t.Errorf("last 3: %v", got)
	}
	if got := seqs("?last=2&type=account.created"); !slices.Equal(got, []int64{4}) {
		t.Errorf("last of a type: %v", got)
	}
	if got := seqs("?account=ann@acme.example"); !slices.Equal(got, []int64{4, 5, 6}) {
		t.Errorf("of an account: %v", got)
	}
	if got := seqs("?limit=2&after=4"); !slices.Equal(got, []int64{5, 6}) {
		t.Errorf("page: %v", got)
	}
	if got := seqs("?until=2026-01-01T00:00:00Z"); len(got) != 0 {
		t.Errorf("before it all: %v", got)
	}
	if got := fieldsOf(r.refuse(400, "GET", "/audit?type=x&since=yesterday&last=0&limit=3", nil)); !slices.Equal(got, []string{"type", "since", "last", "last"}) {
		t.Errorf("fields %v", got)
	}
	r.refuse(400, "GET", "/audit?after=x", nil)
}

func TestAuditVerify(t *testing.T) {
	r := newRig(t)
	var empty, v admin.Verdict
	r.do("POST", "/audit/verify", map[string]any{}, &empty)
	if !empty.Holds || empty.Entries != 0 {
		t.Errorf("empty log: %+v", empty)
	}
	r.seed()
	r.do("POST", "/audit/verify", map[string]any{}, &v)
	if !v.Holds || v.Entries != 6 || v.LastSeq != 6 || v.LastHash != r.last().Hash {
		t.Errorf("got %+v", v)
	}
	r.do("POST", "/audit/verify", map[string]any{"seq": 6, "hash": v.LastHash}, &v)
	if !v.Holds {
		t.Errorf("the known entry is not recognised: %+v", v.Broken)
	}
	r.do("POST", "/audit/verify", map[string]any{"seq": 6, "hash": "another"}, &v)
	if v.Holds || v.Broken.Seq != 6 {
		t.Errorf("got %+v", v)
	}
	r.refuse(400, "POST", "/audit/verify", map[string]any{"seq": 6})
}

func TestTheMailServersAnswerIsShown(t *testing.T) {
	r := newRig(t)
	r.do("POST", "/mail/test", map[string]any{"to": "ops@example.com"}, nil)
	r.api.Mail = mailer(func(context.Context, string) error { return errors.New("535 authentication failed") })
	if p := r.refuse(502, "POST", "/mail/test", map[string]any{"to": "ops@example.com"}); !strings.Contains(p.Detail, "535") {
		t.Errorf("detail %q", p.Detail)
	}
	r.refuse(400, "POST", "/mail/test", map[string]any{"to": "ops"})
}

func TestABackupIsADatabase(t *testing.T) {
	r := newRig(t)
	r.seed()
	status, header, data := r.send("POST", "/backup", nil)
	if status != http.StatusOK || header.Get("Content-Length") != strconv.Itoa(len(data)) {
		t.Fatalf("%d, length %s of %d", status, header.Get("Content-Length"), len(data))
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.AccountByName(t.Context(), "ann@acme.example"); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(r.api.Scratch, ".backup*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTheSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "admin.sock")
	if _, err := admin.Dial(t.Context(), path); !errors.Is(err, admin.ErrNoSocket) {
		t.Errorf("no socket: %v", err)
	}
	l, err := admin.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != fs.ModeSocket {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	conn, err := admin.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()

	// A crash leaves the file.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	if _, err := admin.Dial(t.Context(), path); !errors.Is(err, admin.ErrNoSocket) {
		t.Errorf("stale socket: %v", err)
	}
	if l, err = admin.Listen(path); err != nil {
		t.Fatalf("stale socket is in the way: %v", err)
	}
	_ = l.Close()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("closing left the socket: %v", err)
	}

	long := filepath.Join(dir, strings.Repeat("long/", 30), "admin.sock")
	if _, err := admin.Listen(long); err == nil || !strings.Contains(err.Error(), "shorter path") {
		t.Errorf("long path: %v", err)
	}
	if _, err := admin.Dial(t.Context(), long); !errors.Is(err, admin.ErrNoSocket) {
		t.Errorf("long path: %v", err)
	}
}

func TestAStolenKeyIsWithdrawn(t *testing.T) {
	r := newRig(t)
	if err := r.db.CreateSigningKey(t.Context(), store.SigningKey{KID: "stolen", Algorithm: "ES256", PublicJWK: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	r.refuse(409, "DELETE", "/keys/signing", nil)
	r.do("DELETE", "/keys/stolen", nil, nil)
	r.refuse(404, "DELETE", "/keys/stolen", nil)
}
