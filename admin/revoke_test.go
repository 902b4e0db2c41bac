package admin_test

import (
	"strings"
	"testing"
	"time"

	"anteroom/admin"
	"anteroom/internal/audit"
	"anteroom/store"
)

// seedGrants gives ann a session with two grants, and one of another browser.
func (r *rig) seedGrants() (account string) {
	r.Helper()
	r.seed()
	var ann admin.AccountDetail
	r.do("GET", "/accounts/ann@acme.example", nil, &ann)
	for _, c := range []store.Client{
		{ID: "tool", ApplicationID: "analytics", Name: "Tool", ApplicationType: "web", TokenEndpointAuthMethod: "client_secret_basic", Settings: map[string]any{"backchannel_logout_uri": "https://tool.example/out"}},
		{ID: "quiet", ApplicationID: "analytics"},
	} {
		r.must(r.db.CreateClient(r.Context(), c))
	}
	for _, id := range []string{"s1", "s2"} {
		r.must(r.db.CreateSession(r.Context(), store.Session{ID: id, TokenHash: id, AccountID: ann.ID, CreatedAt: r.now, ExpiresAt: r.now.Add(time.Hour)}))
	}
	for _, g := range [][3]string{{"g1", "tool", "s1"}, {"g2", "quiet", "s1"}, {"g3", "tool", "s2"}} {
		r.must(r.db.CreateGrant(r.Context(), store.Grant{ID: g[0], ClientID: g[1], ApplicationID: "analytics", AccountID: ann.ID, SessionID: g[2],
			Scopes: []string{"openid", "email"}, CreatedAt: r.now, ExpiresAt: r.now.Add(time.Hour)}))
	}
	return ann.ID
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) grants(query string) (ids []string) {
	r.Helper()
	var out admin.List[admin.Grant]
	r.do("GET", "/grants?"+query, nil, &out)
	for _, g := range out.Items {
		ids = append(ids, g.ID)
	}
	return sorted(ids)
}

func (r *rig) entry(kind string) store.AuditEvent {
	r.Helper()
	rows, _, err := r.db.AuditEvents(r.Context(), store.AuditFilter{Type: kind}, store.Page{})
	r.must(err)
	if len(rows) == 0 {
		r.Fatalf("no entry %s", kind)
	}
	return rows[len(rows)-1]
}

func (r *rig) told() (clients string) {
	r.Helper()
	rows, _, err := r.db.PendingNotices(r.Context(), store.Page{})
	r.must(err)
	for _, n := range rows {
		clients += n.ClientID + " " + n.SessionID + ";"
	}
	return clients
}

func TestGrantsAreListedAndEnded(t *testing.T) {
	r := newRig(t)
	account := r.seedGrants()
	for query, want := range map[string]string{
		"account=ann@acme.example": "g1 g2 g3", "account=" + account + "&client=tool": "g1 g3", "session=s1": "g1 g2", "session=nobody": "",
	} {
		if got := strings.Join(r.grants(query), " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	r.refuse(400, "GET", "/grants", nil)
	r.refuse(400, "GET", "/grants?client=tool", nil)
	r.refuse(404, "GET", "/grants?account=nobody", nil)

	r.do("POST", "/grants/g1/revoke", map[string]any{"reason": "wrong tool"}, nil)
	if got := strings.Join(r.grants("account="+account), " "); got != "g2 g3" {
		t.Errorf("left %q", got)
	}
	if e := r.entry(audit.GrantRevoked); e.Details["grant"] != "g1" || e.Details["reason"] != "wrong tool" || e.Actor != "operator" || e.AccountID != account || e.ClientID != "tool" {
		t.Errorf("entry %+v", e)
	}
	r.refuse(404, "POST", "/grants/g1/revoke", map[string]any{}) // nothing is left to end, and nothing is claimed
	r.refuse(404, "POST", "/grants/nobody/revoke", map[string]any{})
	r.refuse(400, "POST", "/grants/g2/revoke", map[string]any{"reason": "two\nlines"})
	if r.told() != "" {
		t.Errorf("told %s: no session ended", r.told())
	}
}

func TestASessionIsEndedWithWhatWasGotInIt(t *testing.T) {
	r := newRig(t)
	account := r.seedGrants()
	r.do("POST", "/sessions/s1/end", map[string]any{"reason": "stolen laptop"}, nil)
	if got := strings.Join(r.grants("account="+account), " "); got != "g3" {
		t.Errorf("left %q", got)
	}
	if r.told() != "tool s1;" {
		t.Errorf("told %q", r.told())
	}
	if e := r.entry(audit.SessionRevoked); e.SessionID != "s1" || e.AccountID != account || e.Details["grants"] != "2" || e.Details["reason"] != "stolen laptop" {
		t.Errorf("entry %+v", e)
	}
	r.refuse(404, "POST", "/sessions/s1/end", map[string]any{})
	r.refuse(404, "POST", "/sessions/nobody/end", map[string]any{})
	if _, err := r.db.Session(r.Context(), "s2", r.now); err != nil {
		t.Errorf("the other session: %v", err)
	}
	// What outlived its session ends with this, too.
	r.must(r.db.EndSession(r.Context(), "s2", r.now))
	r.do("POST", "/sessions/s2/end", map[string]any{}, nil)
	if got := r.grants("account=" + account); len(got) != 0 || r.told() != "tool s1;" {
		t.Errorf("left %q, told %q", got, r.told())
	}
}

func TestAClientLosesEverythingThatItHolds(t *testing.T) {
	r := newRig(t)
	account := r.seedGrants()
	r.do("POST", "/clients/tool/revoke", map[string]any{"reason": "its database leaked"}, nil)
	if got := strings.Join(r.grants("account="+account), " "); got != "g2" {
		t.Errorf("left %q", got)
	}
	c, err := r.db.Client(r.Context(), "tool")
	r.must(err)
	if !c.TokensEnded().Equal(r.now) || c.Disabled {
		t.Errorf("client %+v", c)
	}
	if _, _, shown := r.send("GET", "/clients/tool", nil); strings.Contains(string(shown), store.SettingTokensEnded) {
		t.Errorf("shown as metadata: %s", shown)
	}
	if e := r.entry(audit.ClientRevoked); e.ClientID != "tool" || e.Details["grants"] != "2" || e.Details["reason"] != "its database leaked" {
		t.Errorf("entry %+v", e)
	}
	r.do("PATCH", "/clients/tool", map[string]any{"metadata": map[string]any{"policy_uri": "https://tool.example/p"}, "redirect_uris": []string{"https://tool.example/cb"}, "grant_types": []string{"authorization_code"}}, nil)
	if c, _ = r.db.Client(r.Context(), "tool"); c.TokensEnded().IsZero() {
		t.Error("a change of metadata brought the tokens back")
	}
	r.refuse(404, "POST", "/clients/nobody/revoke", map[string]any{})
}
