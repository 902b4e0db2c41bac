package account_test

import (
	"testing"
	"time"

	"anteroom/store"
)

// OpenID Connect Back-Channel Logout section 2: ending an account's sessions
// tells their clients, although the grants end in the same commit.
func TestWhateverEndsSessionsTellsTheirClients(t *testing.T) {
	for name, end := range map[string]func(r *rig, id string) error{
		"disable":      func(r *rig, id string) error { return r.Disable(r.ctx(), id, "operator") },
		"end sessions": func(r *rig, id string) error { return r.EndSessions(r.ctx(), id, "operator") },
		"invalidate password": func(r *rig, id string) error {
			_, err := r.InvalidatePassword(r.ctx(), id, "operator", "leaked")
			return err
		},
		"reset second factor": func(r *rig, id string) error { return r.ResetSecondFactor(r.ctx(), id, "operator", "lost") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			acct := r.member("ann@acme.example")
			now := r.clock.Now()
			for _, c := range []store.Client{
				{ID: "told", Settings: map[string]any{"backchannel_logout_uri": "https://told.example/"}},
				{ID: "also", Settings: map[string]any{"backchannel_logout_uri": "https://also.example/"}},
				{ID: "mute"},
			} {
				c.ApplicationID = "pa"
				r.must(r.store.CreateClient(r.ctx(), c))
			}
			for _, s := range []string{"one", "two", "over"} {
				r.must(r.store.CreateSession(r.ctx(), store.Session{ID: s, TokenHash: s, AccountID: acct.ID, ExpiresAt: now.Add(time.Hour)}))
			}
			r.must(r.store.EndSession(r.ctx(), "over", now))
			for id, g := range map[string]store.Grant{
				"a": {ClientID: "told", SessionID: "one"}, "b": {ClientID: "told", SessionID: "one"},
				"c": {ClientID: "also", SessionID: "two"}, "d": {ClientID: "mute", SessionID: "two"},
				"e": {ClientID: "told", SessionID: "over"},
			} {
				g.ID, g.AccountID, g.ApplicationID, g.CreatedAt, g.ExpiresAt = id, acct.ID, "pa", now, now.Add(time.Hour)
				r.must(r.store.CreateGrant(r.ctx(), g))
			}
			r.must(end(r, acct.ID))
			rows, _, err := r.store.PendingNotices(r.ctx(), store.Page{})
			r.must(err)
			got := map[string]int{}
			for _, n := range rows {
				got[n.ClientID+" of "+n.SessionID]++
			}
			if len(rows) != 2 || got["told of one"] != 1 || got["also of two"] != 1 {
				t.Errorf("told %v", got)
			}
		})
	}
}
