package provider

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/store"
)

const fixedToken = "the-initial-access-token-of-the-test"

// initialToken makes one as the operator does.
func (r *rig) initialToken(id string, uses int) (token string) {
	r.t.Helper()
	token = "token of " + id
	err := r.db.CreateRegistrationToken(r.t.Context(), store.RegistrationToken{
		ID: id, Hash: r.seal.Digest(seal.RegistrationToken, token), Uses: uses, CreatedAt: r.now(), ExpiresAt: r.now().Add(time.Hour),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

// RFC 7591 sections 1.2 and 3.1: with a token of the configuration, or one that
// the operator made, and with no other.
func TestInitialAccessToken(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Register = Registration{Tokens: true, Token: fixedToken} })
	live, twice, ended := r.initialToken("live", 1), r.initialToken("twice", 2), r.initialToken("ended", 9)
	must(r.db.RevokeRegistrationToken(t.Context(), "ended", r.now()))(t)
	register := func(token string, want int) {
		t.Helper()
		res := r.send("POST", PathRegister, token, metadataWith(nil))
		if res.StatusCode != want || (want == 401 && !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer")) {
			t.Errorf("%q: %d %s, want %d", token, res.StatusCode, res.text, want)
		}
	}
	for _, bad := range []string{"", "wrong", ended, "live", r.seal.Digest(seal.RegistrationToken, live)} {
		register(bad, 401)
	}
	register(fixedToken, 201)
	register(fixedToken, 201)
	// What registers nothing uses nothing up.
	r.wantError(r.send("POST", PathRegister, live, metadataWith(object{"redirect_uris": nil})), 400, "invalid_redirect_uri")
	register(live, 201)
	register(live, 401)
	register(twice, 201)
	r.pass(time.Hour)
	register(twice, 401)
	register(fixedToken, 201)
	var by []string
	rows, _, err := r.db.AuditEvents(t.Context(), store.AuditFilter{Type: audit.ClientRegistered}, store.Page{})
	for _, e := range rows {
		by = append(by, e.Details["token"])
	}
	if got := strings.Join(by, " "); err != nil || got != "registration.token registration.token live twice registration.token" {
		t.Errorf("the audit log says %q, %v", got, err)
	}
}

// Where registration is open a token is not needed, but one that is shown is good.
func TestOpenRegistrationStillLooksAtATokenThatIsShown(t *testing.T) {
	r := newRig(t, open)
	for token, want := range map[string]int{"": 201, "wrong": 401} {
		if res := r.send("POST", PathRegister, token, metadataWith(nil)); res.StatusCode != want {
			t.Errorf("%q: %d", token, res.StatusCode)
		}
	}
}

// Of 32 registrations at once no more win than the token has uses, and the losers
// leave nothing behind.
func TestAnInitialAccessTokenIsUsedAtomically(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Register = Registration{Tokens: true} })
	token := r.initialToken("few", 3)
	var won, lost atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			switch res := r.send("POST", PathRegister, token, metadataWith(object{"client_name": "Race"})); res.StatusCode {
			case 201:
				won.Add(1)
			case 401:
				lost.Add(1)
			default:
				t.Errorf("%d %s", res.StatusCode, res.text)
			}
		})
	}
	wg.Wait()
	made := 0
	rows, _, err := r.db.Clients(t.Context(), "", store.Page{Limit: 1000})
	for _, c := range rows {
		if c.Name == "Race" {
			made++
		}
	}
	if won.Load() != 3 || lost.Load() != 29 || made != 3 || r.count(audit.ClientRegistered) != 3 || err != nil {
		t.Errorf("%d won, %d lost, %d clients, %d entries: %v", won.Load(), lost.Load(), made, r.count(audit.ClientRegistered), err)
	}
}
