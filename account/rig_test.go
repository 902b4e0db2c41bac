package account_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/account"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/templates"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// outbox keeps what it is given in the audit log's own commit: a mail of a unit
// that failed is not counted, because the test looks only after success.
type outbox struct {
	mu   sync.Mutex
	sent []sentMail
	fail error
}

type sentMail struct {
	to   string
	mail templates.Mail
}

func (o *outbox) Enqueue(_ context.Context, to string, m templates.Mail) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil {
		return o.fail
	}
	o.sent = append(o.sent, sentMail{to, m})
	return nil
}

func (o *outbox) take() []sentMail {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.sent
	o.sent = nil
	return all
}

type rig struct {
	*testing.T
	*account.Accounts
	store *bolt.Store
	clock *clock
	mail  *outbox
	keys  *seal.Keyring
}

var hasher = account.NewHasher(2)

func newRig(t *testing.T) *rig {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "anteroom.db"), bolt.Options{})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	keys, err := seal.New([]byte(strings.Repeat("k", seal.KeySize)))
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	box := &outbox{}
	r := &rig{T: t, store: s, clock: c, mail: box, keys: keys, Accounts: &account.Accounts{
		Store: s, Seal: keys, Outbox: box, Hasher: hasher, Issuer: "https://id.example",
		Throttle: &account.Throttle{Failures: s, Now: c.Now}, Now: c.Now, Floor: time.Millisecond,
		Log: slog.New(slog.DiscardHandler),
	}}
	r.application("pa", true)
	return r
}

func (r *rig) ctx() context.Context { return web.WithAddress(r.T.Context(), "192.0.2.1") }

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) application(id string, mfa bool) {
	r.Helper()
	r.must(r.store.CreateApplication(r.ctx(), store.Application{
		ID: id, Name: "Partner Analytics", RequireMFA: mfa, Access: store.AccessAssigned,
		Consent: store.ConsentSkip, CreatedAt: r.clock.Now(),
	}))
}

const rightPassword = "tangerine quarry flute"

// member makes an active account with rightPassword.
func (r *rig) member(email string) store.Account {
	r.Helper()
	hash, err := hasher.Hash(r.ctx(), rightPassword)
	r.must(err)
	acct := store.Account{
		ID: seal.RandomID(), UserName: email, Email: email, State: store.AccountActive,
		PasswordHash: hash, CreatedAt: r.clock.Now(),
	}
	r.must(r.store.CreateAccount(r.ctx(), acct))
	return acct
}

func (r *rig) account(id string) store.Account {
	r.Helper()
	acct, err := r.store.Account(r.ctx(), id)
	r.must(err)
	return acct
}

// events lists the types of the audit log.
func (r *rig) events(accountID string) []string {
	r.Helper()
	rows, _, err := r.store.AuditEvents(r.ctx(), store.AuditFilter{AccountID: accountID}, store.Page{Limit: 1000})
	r.must(err)
	var types []string
	for _, e := range rows {
		types = append(types, e.Type)
	}
	return types
}

func tokenOf(t testing.TB, link string) string {
	t.Helper()
	_, token, ok := strings.Cut(link, "?token=")
	if !ok {
		t.Fatalf("link %q has no token", link)
	}
	return token
}

func (r *rig) invite(email string) (account.Invited, string) {
	r.Helper()
	out, err := r.Invite(r.ctx(), account.Invite{Email: email, ApplicationID: "pa", By: account.Operator})
	r.must(err)
	return out, tokenOf(r.T, out.Link)
}

func nobodyKnown(string) bool { return false }

func contains(s, part string) bool { return strings.Contains(s, part) }
