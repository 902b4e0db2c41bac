package admin_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"anteroom/admin"
	"anteroom/internal/audit"
)

func TestNobodyGetsInWithoutAnActor(t *testing.T) {
	r := newRig(t)
	bare := httptest.NewServer(r.api.Handler())
	defer bare.Close()
	for _, route := range admin.Routes() {
		path := strings.NewReplacer("{", "", "}", "").Replace(route.Path)
		req, _ := http.NewRequestWithContext(t.Context(), route.Method, bare.URL+admin.Base+path, strings.NewReader("{}"))
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s %s: %d, want 401", route.Method, route.Path, resp.StatusCode)
		}
	}
}

func TestEveryRouteSaysWhatItIs(t *testing.T) {
	seen := map[string]bool{}
	for _, route := range admin.Routes() {
		name := route.Method + " " + route.Path
		if seen[name] || route.Summary == "" {
			t.Errorf("%s is there twice or has no summary", name)
		}
		seen[name] = true
	}
}

// Everything that names something is asked about a thing that does not exist,
// with an empty body and with rubbish: never a 5xx, always a problem.
func TestGarbageGetsAnAnswerWithWords(t *testing.T) {
	r := newRig(t)
	r.seed()
	before := len(r.events())
	for _, route := range admin.Routes() {
		for _, name := range []string{"nobody", "%00", "%ff", "a%2Fb", strings.Repeat("x", 2000), "%F0%9F%92%A9"} {
			path := route.Path
			for _, part := range []string{"account", "organisation", "application", "client", "role", "version"} {
				path = strings.ReplaceAll(path, "{"+part+"}", name)
			}
			if path == route.Path && name != "nobody" {
				continue
			}
			for _, body := range []any{nil, "", "{", "[]", "null", `{"x":1}`, `{"reason":null}`, "\xff", strings.Repeat("[", 100000)} {
				if route.Path == "/keys/rotate" || route.In == nil && body != nil || route.Path == "/backup" || strings.HasSuffix(route.Path, "import") {
					continue
				}
				status, header, data := r.send(route.Method, path, body)
				if status >= 500 {
					t.Errorf("%s %s %.20q: %d %s", route.Method, path, body, status, data)
				}
				if status != http.StatusOK && header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("%s %s %.20q: %d %s", route.Method, path, body, status, header.Get("Content-Type"))
				}
			}
		}
	}
	if after := len(r.events()); after != before {
		t.Errorf("garbage changed something: %v", r.events()[before:])
	}
	if r.log.Len() > 0 {
		t.Errorf("the log has failures of ours:\n%s", r.log)
	}
}

func TestAllMistakesOfARequestAreReported(t *testing.T) {
	r := newRig(t)
	p := r.refuse(400, "POST", "/applications", `{"id": "A B", "name": 7, "consent": "perhaps", "colour": "red", "policy": {}, "access": null}`)
	// Types first: what cannot be read cannot be checked.
	if got, want := fieldsOf(p), []string{"access", "name", "policy"}; !slices.Equal(got, want) {
		t.Errorf("fields %v, want %v", got, want)
	}
	p = r.refuse(400, "POST", "/applications", `{"id": "A B", "name": "", "consent": "perhaps", "colour": "red", "launch_url": "javascript:alert(1)", "session_max_age": -1}`)
	want := []string{"id", "name", "launch_url", "colour", "consent", "session_max_age"}
	if got := fieldsOf(p); !slices.Equal(got, want) {
		t.Errorf("fields %v, want %v", got, want)
	}
	if p.Detail != "The request has 6 mistakes." {
		t.Errorf("detail %q", p.Detail)
	}
}

func TestStrictJSON(t *testing.T) {
	r := newRig(t)
	for body, want := range map[string]string{
		`{"id":"a","id":"b"}`:               "occurs twice",
		`{"id":"a"} {"id":"b"}`:             "not JSON",
		`{"ID":"a"}`:                        "no such key",
		`{"id":"a","name":null}`:            "null has no meaning",
		`{"id":"a","require_mfa":"yes"}`:    "true or false",
		`{"id":"a","session_max_age":1.5}`:  "a whole number",
		`{"id":"a","name":"x\u0000y"}`:      "NUL",
		`"x"`:                               "must be an object",
		`{"id":"a","session_max_age":1e99}`: "a whole number",
	} {
		p := r.refuse(400, "POST", "/applications", body)
		if text, _ := json.Marshal(p); !strings.Contains(string(text), want) {
			t.Errorf("%s: got %s, want %q", body, text, want)
		}
	}
	status, _, _ := r.send("POST", "/applications", strings.Repeat(" ", 2<<20))
	if status != http.StatusRequestEntityTooLarge {
		t.Errorf("large body: %d", status)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "POST", r.url+"/applications", strings.NewReader("id=a"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("a form: %d", resp.StatusCode)
	}
}

func TestUnknownAddressesAndMethods(t *testing.T) {
	r := newRig(t)
	r.refuse(404, "GET", "/nothing", nil)
	r.refuse(404, "GET", "/accounts/nobody/nothing", nil)
	status, header, _ := r.send("PUT", "/accounts", nil)
	if status != 405 || !strings.Contains(header.Get("Allow"), "GET") {
		t.Errorf("PUT /accounts: %d, Allow %q", status, header.Get("Allow"))
	}
	for query, field := range map[string]string{
		"?color=1": "color", "?limit=0": "limit", "?limit=1001": "limit", "?limit=x": "limit", "?limit=1&limit=2": "limit", "?after=%ff": "after", "?after=%00": "after",
	} {
		if got := fieldsOf(r.refuse(400, "GET", "/accounts"+query, nil)); !slices.Equal(got, []string{field}) {
			t.Errorf("%s: %v, want %s", query, got, field)
		}
	}
	r.refuse(400, "GET", "/accounts?%zz", nil)
}

func TestPagingVisitsEverythingOnce(t *testing.T) {
	r := newRig(t)
	want := []string{}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		r.do("POST", "/organisations", map[string]any{"id": id, "name": id}, nil)
		want = append(want, id)
	}
	var got []string
	after := ""
	for range 10 {
		var page admin.List[admin.Organisation]
		r.do("GET", "/organisations?limit=2&after="+after, nil, &page)
		for _, o := range page.Items {
			got = append(got, o.ID)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAStoreThatCannotAnswerIsA503(t *testing.T) {
	r := newRig(t)
	r.seed()
	if err := r.db.Close(); err != nil {
		t.Fatal(err)
	}
	p := r.refuse(503, "POST", "/organisations", map[string]any{"id": "x", "name": "X"})
	if p.Type != "urn:anteroom:problem:unavailable" {
		t.Errorf("type %s", p.Type)
	}
	if !strings.Contains(r.log.String(), p.ID) {
		t.Error("the log lacks the id of the request")
	}
}

func TestEveryChangeHasOneEntryOfTheOperator(t *testing.T) {
	r := newRig(t)
	r.seed()
	want := []string{
		audit.OrganisationCreated, audit.ApplicationRegistered, audit.RoleDefined,
		audit.AccountCreated, audit.AccessGranted, audit.Invited,
	}
	check := func(method, path string, body any, more ...string) {
		t.Helper()
		r.do(method, path, body, nil)
		want = append(want, more...)
		if got := r.events(); !slices.Equal(got, want) {
			t.Fatalf("%s %s: events %v, want %v", method, path, got[min(len(got), len(want)-len(more)):], more)
		}
	}
	const ann = "/accounts/ann@acme.example"
	check("PATCH", "/organisations/acme", map[string]any{"name": "Acme Ltd"}, audit.OrganisationUpdated)
	check("PATCH", "/applications/analytics", map[string]any{"require_mfa": false}, audit.ApplicationUpdated)
	check("POST", "/applications/analytics/terms", map[string]any{"markdown": "# Be nice"}, audit.TermsPublished)
	check("POST", "/applications/analytics/terms/withdraw", nil, audit.TermsPublished)
	check("POST", "/clients", map[string]any{"client_id": "web", "application": "analytics", "redirect_uris": []string{"https://a.example/cb"}}, audit.ClientRegistered)
	check("PATCH", "/clients/web", map[string]any{"client_name": "Web"}, audit.ClientUpdated)
	check("POST", "/clients/web/rotate-secret", map[string]any{}, audit.ClientSecretRotated)
	check("PATCH", ann, map[string]any{"profile": map[string]any{"nickname": "A"}}, audit.AccountUpdated)
	check("POST", ann+"/disable", nil, audit.AccountDisabled)
	check("POST", ann+"/enable", nil, audit.AccountEnabled)
	check("POST", ann+"/end-sessions", nil, audit.SessionsEnded)
	check("POST", ann+"/reset-mfa", map[string]any{"reason": "lost phone"}, audit.SecondFactorReset)
	check("POST", ann+"/assignments", map[string]any{"application": "analytics"}, audit.AccessGranted)
	check("DELETE", ann+"/assignments?application=analytics", nil, audit.AccessRevoked)
	check("DELETE", ann+"/assignments?application=analytics&all=true", nil, audit.AccessRevoked)
	check("POST", "/backup", nil, audit.BackupTaken)
	check("DELETE", "/clients/web", nil, audit.ClientDeleted)
	check("DELETE", "/applications/analytics/roles/viewer", nil, audit.RoleDeleted)
	check("DELETE", "/applications/analytics", nil, audit.ApplicationDeleted)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"email":"a@b.example","access":[{"role":"x","organisation":"y"}],"profile":{"name":"Z"}}`))
	f.Add([]byte(`{"access":[{"role":7}],"profile":{"address":{"locality":null}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var in admin.InviteRequest
		if err := admin.Unmarshal(data, &in); err != nil {
			return
		}
		// What is accepted means the same to the standard library.
		var same admin.InviteRequest
		if err := json.Unmarshal(data, &same); err != nil {
			t.Fatalf("accepted %q, which encoding/json refuses: %v", data, err)
		}
		a, _ := json.Marshal(in)
		b, _ := json.Marshal(same)
		if string(a) != string(b) {
			t.Errorf("%q reads as %s here and as %s there", data, a, b)
		}
	})
}

var update = flag.Bool("update", false, "write golden files")

func TestTheReferenceIsUpToDate(t *testing.T) {
	const path = "../docs/admin-api.md"
	var b strings.Builder
	if err := admin.WriteReference(&b); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != b.String() {
		t.Errorf("%s is out of date (%v); write it with: go test ./admin -update", path, err)
	}
}
