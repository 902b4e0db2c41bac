package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"anteroom/account"
	"anteroom/admin"
	"anteroom/internal/seal"
	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/templates"
)

// ring is a ring of keys made of functions.
type ring struct {
	rotate func(ctx context.Context, lead time.Duration) error
	db     store.SigningKeys
}

func (r *ring) List(ctx context.Context) ([]store.SigningKey, error) { return r.db.SigningKeys(ctx) }
func (r *ring) State(store.SigningKey, []store.SigningKey) string    { return "active" }
func (r *ring) Rotate(ctx context.Context, lead time.Duration) ([]store.SigningKey, error) {
	return nil, r.rotate(ctx, lead)
}

type mailer func(ctx context.Context, to string) error

func (m mailer) Test(ctx context.Context, to string) error { return m(ctx, to) }

func (r *ring) Withdraw(ctx context.Context, kid string) error {
	if kid == "signing" {
		return store.ErrInvalid
	}
	return r.db.DeleteSigningKey(ctx, kid)
}

// outbox writes messages unsealed, so that the listing has something to show.
type outbox struct{ db store.Outbox }

func (o outbox) Enqueue(ctx context.Context, to string, _ templates.Mail) error {
	return o.db.EnqueueMail(ctx, store.OutboxMessage{ID: seal.RandomID(), Kind: "invitation", To: to, CreatedAt: start, Delivery: store.Delivery{NextAttempt: start}})
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var hasher = account.NewHasher(2)

// rig is the interface over a real store, served over real HTTP.
type rig struct {
	*testing.T
	api *admin.API
	db  *bolt.Store
	url string
	log *bytes.Buffer
	now time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, log: &bytes.Buffer{}, now: start}
	dir := t.TempDir()
	clock := func() time.Time { return r.now }
	db, err := bolt.Open(filepath.Join(dir, "anteroom.db"), bolt.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	keys, err := seal.New(bytes.Repeat([]byte{1}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	r.db = db
	r.api = &admin.API{
		Store: db, Seal: keys, Backup: db, Scratch: dir, Issuer: "https://id.example.com", Now: clock,
		Log: slog.New(slog.NewTextHandler(r.log, nil)),
		Accounts: &account.Accounts{
			Store: db, Seal: keys, Outbox: outbox{db}, Hasher: hasher, Issuer: "https://id.example.com", Now: clock,
			Throttle: &account.Throttle{Failures: db, Now: clock},
		},
		Keys: &ring{db: db, rotate: func(context.Context, time.Duration) error { return nil }},
		Mail: mailer(func(context.Context, string) error { return nil }),
		CheckRedirectURI: func(uri, kind, _ string) error {
			if !strings.HasPrefix(uri, "https://") && kind == "web" {
				return errors.New("a redirect URI of a web client uses https")
			}
			return nil
		},
	}
	server := httptest.NewServer(admin.AsOperator(r.api.Handler()))
	t.Cleanup(server.Close)
	r.url = server.URL + admin.Base
	return r
}

// send makes a request with a body (text as it is, anything else as JSON).
func (r *rig) send(method, path string, body any) (int, http.Header, []byte) {
	r.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			r.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(r.Context(), method, r.url+path, reader)
	if err != nil {
		r.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatal(err)
	}
	return resp.StatusCode, resp.Header, data
}

// do makes a request that must work, and reads the answer into out (nil: not).
func (r *rig) do(method, path string, body, out any) {
	r.Helper()
	status, header, data := r.send(method, path, body)
	if status != http.StatusOK {
		r.Fatalf("%s %s: %d %s", method, path, status, data)
	}
	if got := header.Get("Cache-Control"); got != "no-store" {
		r.Errorf("%s %s: Cache-Control %q", method, path, got)
	}
	if out != nil {
		if err := json.Unmarshal(data, out); err != nil {
			r.Fatalf("%s %s: %v in %s", method, path, err, data)
		}
	}
}

// refuse makes a request that must be refused with status, as a Problem.
func (r *rig) refuse(status int, method, path string, body any) admin.Problem {
	r.Helper()
	got, header, data := r.send(method, path, body)
	var p admin.Problem
	if err := json.Unmarshal(data, &p); err != nil || header.Get("Content-Type") != "application/problem+json" {
		r.Fatalf("%s %s: not a problem: %d %s", method, path, got, data)
	}
	if got != status || p.Status != status || p.Detail == "" || p.Title == "" || !strings.HasPrefix(p.Type, "urn:anteroom:problem:") {
		r.Errorf("%s %s: got %d %s, want %d", method, path, got, data, status)
	}
	return p
}

// events returns the types of the audit log, oldest first, and checks that all
// are the operator's.
func (r *rig) events() []string {
	r.Helper()
	rows, _, err := r.db.AuditEvents(r.Context(), store.AuditFilter{}, store.Page{Limit: 1000})
	if err != nil {
		r.Fatal(err)
	}
	var types []string
	for _, e := range rows {
		types = append(types, e.Type)
		if e.Actor != account.Operator {
			r.Errorf("the actor of %s is %q", e.Type, e.Actor)
		}
	}
	return types
}

// last returns the newest audit event.
func (r *rig) last() store.AuditEvent {
	r.Helper()
	rows, _, err := r.db.AuditEvents(r.Context(), store.AuditFilter{}, store.Page{Limit: 1000})
	if err != nil || len(rows) == 0 {
		r.Fatalf("no audit events (%v)", err)
	}
	return rows[len(rows)-1]
}

// seed makes an organisation, an application with a role, and an account.
func (r *rig) seed() {
	r.Helper()
	r.do("POST", "/organisations", map[string]any{"id": "acme", "name": "Acme"}, nil)
	r.do("POST", "/applications", map[string]any{"id": "analytics", "name": "Partner Analytics"}, nil)
	r.do("PUT", "/applications/analytics/roles/viewer", map[string]any{"name": "Viewer"}, nil)
	r.do("POST", "/accounts/invite", map[string]any{
		"email": "ann@acme.example", "application": "analytics", "organisation": "acme",
		"access":  []map[string]any{{"role": "viewer", "organisation": "acme"}},
		"profile": map[string]any{"name": "Ann"},
	}, nil)
}

func fieldsOf(p admin.Problem) []string {
	var names []string
	for _, m := range p.Errors {
		names = append(names, m.Field)
	}
	return names
}
