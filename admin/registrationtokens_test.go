package admin_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"anteroom/admin"
	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/store"
)

// RFC 7591 section 1.2: a token is shown once, kept as a keyed hash, listed, and
// revoked; each in the audit log.
func TestTokensThatRegisterClients(t *testing.T) {
	r := newRig(t)
	var made admin.CreatedRegistrationToken
	r.do("POST", "/registration-tokens", map[string]any{"name": "build server", "uses": 2, "life": 3600}, &made)
	if made.Token == "" || made.State != "open" || made.Uses != 2 || !made.ExpiresAt.Equal(start.Add(time.Hour)) || made.Endpoint != "https://id.example.com/register" {
		t.Errorf("made %+v", made)
	}
	if e := r.last(); e.Type != audit.InitialTokenCreated || e.Details["name"] != "build server" || strings.Contains(strings.Join([]string{e.Details["token"], e.Details["until"]}, " "), made.Token) {
		t.Errorf("audit %+v", e)
	}
	hash := r.api.Seal.Digest(seal.RegistrationToken, made.Token)
	states := func() (all []string) {
		t.Helper()
		var out admin.List[admin.RegistrationToken]
		r.do("GET", "/registration-tokens", nil, &out)
		for _, one := range out.Items {
			all = append(all, one.Name+" "+one.State)
		}
		slices.Sort(all)
		if raw, err := json.Marshal(out); err != nil || strings.Contains(string(raw), made.Token) || strings.Contains(string(raw), hash) {
			t.Errorf("the listing shows a token or its hash: %s", raw)
		}
		return all
	}
	for range 2 {
		if _, err := r.db.UseRegistrationToken(t.Context(), hash, start); err != nil {
			t.Fatal(err)
		}
	}
	var other admin.CreatedRegistrationToken
	r.do("POST", "/registration-tokens", map[string]any{"name": "ann"}, &other)
	r.do("POST", "/registration-tokens", map[string]any{"name": "ben", "life": 60}, nil)
	r.do("DELETE", "/registration-tokens/"+other.ID, nil, nil)
	if e := r.last(); e.Type != audit.InitialTokenRevoked || e.Details["token"] != other.ID {
		t.Errorf("audit %+v", e)
	}
	if _, err := r.db.UseRegistrationToken(t.Context(), r.api.Seal.Digest(seal.RegistrationToken, other.Token), start); err == nil {
		t.Error("a revoked token registers")
	}
	r.now = start.Add(time.Minute)
	if got, want := states(), []string{"ann revoked", "ben expired", "build server used"}; !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	r.refuse(404, "DELETE", "/registration-tokens/nobody", nil)
	for field, in := range map[string]map[string]any{
		"name": {"uses": 1}, "uses": {"name": "x", "uses": 1001}, "life": {"name": "x", "life": 59},
	} {
		if got := fieldsOf(r.refuse(400, "POST", "/registration-tokens", in)); !slices.Equal(got, []string{field}) {
			t.Errorf("mistakes %v, want %s", got, field)
		}
	}
	if rows, _, _ := r.db.AuditEvents(t.Context(), store.AuditFilter{Type: audit.InitialTokenCreated}, store.Page{}); len(rows) != 3 {
		t.Errorf("%d entries, want 3", len(rows))
	}
}
