package e2e

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/admin"
	"anteroom/internal/audit"
	"anteroom/store/postgres/pgtest"
)

// The checker is checked, too: a history that is not true must not pass.
func TestTheHistoryCheckerNoticesAForgedHistory(t *testing.T) {
	f := startFleet(t)
	people := f.populate(2)
	if wrong := f.load(t.Context(), people[:1], nothing); wrong != nil {
		t.Fatal(wrong)
	}
	done, never := people[0], people[1]
	if losses := checkLife(t, f.op(), done); losses != nil {
		t.Fatalf("a true history does not pass: %q", losses)
	}
	forge := func(from *life, change func(*life)) *life {
		l := newLife(from.person, f.rp, new(atomic.Int64))
		l.browser = from.browser
		for event, n := range from.acked {
			l.acked[event] = n
		}
		change(l)
		return l
	}
	for name, forged := range map[string]*life{
		"an enrolment that never was":          forge(never, func(l *life) { l.did(audit.AuthenticatorAdded) }),
		"an enrolment that nobody heard of":    forge(done, func(l *life) { delete(l.acked, audit.AuthenticatorAdded) }),
		"a session that never was":             forge(never, func(l *life) { l.did(audit.SignedIn, audit.TermsAccepted, audit.ConsentGiven) }),
		"a session that nobody heard of":       forge(done, func(l *life) { delete(l.acked, audit.SignedIn) }),
		"an acceptance that never was":         forge(never, func(l *life) { l.did(audit.TermsAccepted) }),
		"a disablement that never was":         forge(done, func(l *life) { l.did(audit.AccountDisabled) }),
		"a revocation that never was":          forge(done, func(l *life) { l.did(audit.GrantRevoked) }),
		"a code that nobody issued":            forge(done, func(l *life) { l.codes = []*ticket{{code: "x", verifier: "y"}} }),
		"a refresh token that nobody issued":   forge(done, func(l *life) { l.codes = []*ticket{{code: "x", verifier: "y", redeemed: true, refresh: "z"}} }),
		"tokens that say more than was proved": forge(never, func(l *life) { l.codes = []*ticket{{redeemed: true, claims: claims{AMR: []string{"pwd", "otp"}}}} }),
	} {
		if losses := checkLife(t, f.op(), forged); len(losses) == 0 {
			t.Errorf("%s passed", name)
		}
	}
}

// doctored is what may become of a store behind everybody's back: facts that are lost,
// and facts that are there twice. $A is an account that lived a whole life.
var doctored = []struct {
	name string
	end  fate
	sql  string
}{
	{"an enrolment is lost", stays, `DELETE FROM authenticators WHERE account_id = $A; DELETE FROM recovery_codes WHERE account_id = $A`},
	{"an enrolment is there twice", stays, `INSERT INTO authenticators SELECT id || '2', account_id, kind, label, sealed, created_at, last_used_at FROM authenticators WHERE account_id = $A`},
	{"a recovery code is lost", stays, `DELETE FROM recovery_codes WHERE hash IN (SELECT hash FROM recovery_codes WHERE account_id = $A LIMIT 1)`},
	{"a used step is forgotten", stays, `UPDATE totp_steps SET step = 1 WHERE account_id = $A`},
	{"an acceptance is lost", stays, `DELETE FROM terms_acceptances WHERE account_id = $A`},
	{"a consent is lost", stays, `DELETE FROM consents WHERE account_id = $A`},
	{"a session is lost", stays, `DELETE FROM sessions WHERE account_id = $A`},
	{"a session says less than was proved", stays, `UPDATE sessions SET amr = '{pwd}', acr = 'urn:anteroom:acr:pwd' WHERE account_id = $A`},
	{"a session was proved at another time", stays, `UPDATE sessions SET auth_time = auth_time - interval '1 minute' WHERE account_id = $A`},
	{"a code is unused again", stays, `UPDATE codes SET used_at = NULL WHERE grant_id IN (SELECT id FROM grants WHERE account_id = $A)`},
	{"a family has two live leaves", stays, `UPDATE refresh_tokens SET used_at = NULL WHERE grant_id IN (SELECT id FROM grants WHERE account_id = $A)`},
	{"a family is dead", stays, `UPDATE grants SET revoked_at = now() WHERE account_id = $A`},
	{"an entry is lost", stays, `DELETE FROM audit_log WHERE type = 'grant.code_redeemed' AND account_id = $A`},
	{"an entry is there twice", stays, `INSERT INTO audit_log SELECT seq + 100000, at, type, actor, account_id, application_id, client_id, session_id, address, details, prev_hash, hash
		FROM audit_log WHERE type = 'terms.accepted' AND account_id = $A`},
	{"an entry claims what did not happen", stays, `UPDATE audit_log SET type = 'recovery_code.used' WHERE seq = (SELECT min(seq) FROM audit_log WHERE account_id = $A)`},
	{"a revocation is lost", revoked, `UPDATE grants SET revoked_at = NULL, revoked_reason = '' WHERE account_id = $A`},
	{"a disablement is lost", disabled, `UPDATE accounts SET state = 'active' WHERE id = $A`},
}

func TestTheHistoryCheckerNoticesADoctoredStore(t *testing.T) {
	t.Parallel()
	// Once its time is over, a used code is refused for that, whatever the store
	// says: begin where all of the test is within the time of the codes.
	const step, early = 30 * time.Second, 8 * time.Second
	if into := time.Since(time.Now().Truncate(step)); into > early {
		time.Sleep(step - into)
	}
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	f := startFleet(t, dsn)
	people := f.populate(len(doctored) + int(fates))
	for i, d := range doctored {
		people[i].end = d.end
	}
	for i := range fates {
		people[len(doctored)+int(i)].end = i
	}
	if wrong := f.load(t.Context(), people, nothing); wrong != nil {
		t.Fatal(wrong)
	}
	if fault := checkChain(t, f.op()); fault != "" {
		t.Errorf("a sound store: %s", fault)
	}
	if faults := f.rows(); faults != nil {
		t.Errorf("a sound store: %q", faults)
	}
	for i, d := range doctored {
		var acct admin.AccountDetail
		if err := f.op().Do(t.Context(), http.MethodGet, "/accounts/"+people[i].email, nil, &acct); err != nil {
			t.Fatal(err)
		}
		server.Exec(t, pgtest.Name(dsn), strings.Split(strings.ReplaceAll(d.sql, "$A", "'"+acct.ID+"'"), ";")...)
	}
	for i, l := range people {
		losses := checkLife(t, f.op(), l)
		switch {
		case i >= len(doctored) && losses != nil:
			t.Errorf("a true history does not pass: %q", losses)
		case i < len(doctored) && losses == nil:
			t.Errorf("%q passed", doctored[i].name)
		case i < len(doctored):
			t.Logf("%s: %s", doctored[i].name, losses[0])
		}
	}
	if checkChain(t, f.op()) == "" {
		t.Error("a chain with entries changed, lost and twice passed")
	}
	server.Exec(t, pgtest.Name(dsn), "UPDATE refresh_tokens SET used_at = NULL")
	if f.rows() == nil {
		t.Error("families with two live leaves passed")
	}
}
