package flow_test

import (
	"errors"
	"net/url"
	"testing"
	"time"

	"anteroom/store"
)

// hold gives the client of the house, which wants to be told of logouts, a grant
// of a session.
func (s *house) hold(t *testing.T, sessionID string) {
	t.Helper()
	ctx := t.Context()
	_, err := s.Store.UpdateClient(ctx, "c", func(c *store.Client) error {
		c.Settings = map[string]any{"backchannel_logout_uri": "https://portal.example/logout"}
		return nil
	})
	err = errors.Join(err, s.Store.CreateGrant(ctx, store.Grant{
		ID: "g-" + sessionID, ClientID: "c", ApplicationID: "pa", AccountID: "ann", SessionID: sessionID,
		CreatedAt: s.Now(), ExpiresAt: s.Now().Add(time.Hour),
	}))
	if err != nil {
		t.Fatal(err)
	}
}

func (s *house) notices(t *testing.T) []store.Notice {
	t.Helper()
	rows, _, err := s.Store.PendingNotices(t.Context(), store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// OpenID Connect Back-Channel Logout section 2: whoever holds something of the
// session is told that it ended, in the commit that ends it.
func TestSigningOutTellsTheClientsOfTheSession(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	b.signIn("ann")
	sid := s.Issued[0].SessionID
	s.hold(t, sid)
	b.get("/out")
	got := s.notices(t)
	if len(got) != 1 || got[0].ClientID != "c" || got[0].AccountID != "ann" || got[0].SessionID != sid || !got[0].NextAttempt.Equal(s.Now()) {
		t.Errorf("notices %+v", got)
	}
	b.get("/out")
	if again := s.notices(t); len(again) != 1 {
		t.Errorf("an ended session was told again: %+v", again)
	}
}

func TestSwitchingTheAccountTellsTheClientsOfTheSession(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	b.signIn("ann")
	sid := s.Issued[0].SessionID
	s.hold(t, sid)
	s.Pass(time.Minute)
	p := b.at(b.get("/authorize?prompt=select_account"), "/login")
	b.at(b.post(&url.URL{Scheme: "http", Host: p.url.Host, Path: "/switch", RawQuery: p.url.RawQuery}), "/login")
	if got := s.notices(t); len(got) != 1 || got[0].SessionID != sid {
		t.Errorf("notices %+v", got)
	}
}

func TestASignInAsSomebodyElseTellsTheClientsOfTheOldSession(t *testing.T) {
	s := newHouse(t)
	b := s.browser(t)
	b.signIn("ann")
	sid := s.Issued[0].SessionID
	s.hold(t, sid)
	s.Pass(time.Minute)
	p := b.at(b.get("/authorize?prompt=login"), "/login")
	p = b.at(b.post(p.url, "username", "ben"), "/mfa/challenge")
	b.at(b.post(p.url, "code", "right"), "/portal")
	if got := s.notices(t); len(got) != 1 || got[0].SessionID != sid || got[0].AccountID != "ann" {
		t.Errorf("notices %+v", got)
	}
}
