package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// provider answers like the product, but for what a test changes.
type provider struct {
	*httptest.Server
	key     *ecdsa.PrivateKey
	answers map[string]string // by path
	status  int
}

func newProvider(t *testing.T) (*provider, *Client) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key, answers: map[string]string{}, status: http.StatusOK}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(p.status)
		_, _ = io.WriteString(w, p.answers[r.URL.Path])
	}))
	t.Cleanup(p.Close)
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256"}}})
	if err != nil {
		t.Fatal(err)
	}
	p.answers["/jwks"] = string(keys)
	p.answers[discoveryPath] = fmt.Sprintf(`{"issuer":%q,"token_endpoint":"%[2]s/token","jwks_uri":"%[2]s/jwks","introspection_endpoint":"%[2]s/introspect","userinfo_endpoint":"%[2]s/userinfo"}`, p.URL, p.URL)
	c, err := NewClient(t.Context(), p.URL, "id", "secret")
	if err != nil {
		t.Fatal(err)
	}
	return p, c
}

func (p *provider) token(t *testing.T, key *ecdsa.PrivateKey, iss string, exp time.Time) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(fmt.Sprintf(`{"iss":%q,"sub":"ann","exp":%d}`, iss, exp.Unix())))
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWrongAnswersAreNoSuccess(t *testing.T) {
	p, c := newProvider(t)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	soon := time.Now().Add(time.Minute)
	good := p.token(t, p.key, p.URL, soon)
	credentials := func(ctx context.Context) error {
		_, err := c.clientCredentials(ctx)
		return err
	}
	refresh := func(ctx context.Context) error {
		_, err := c.refresh(ctx, "old")
		return err
	}
	introspect := func(ctx context.Context) error { return c.introspect(ctx, "t", "ann") }
	userInfo := func(ctx context.Context) error { return c.userInfo(ctx, "t", "ann@acme.example") }
	for _, test := range []struct {
		name, path, answer string
		do                 op
		ok                 bool
	}{
		{"discovery", discoveryPath, p.answers[discoveryPath], c.discovery, true},
		{"another document", discoveryPath, `{"issuer":"x"}`, c.discovery, false},
		{"keys", "/jwks", p.answers["/jwks"], c.jwks, true},
		{"no keys", "/jwks", `{"keys":[]}`, c.jwks, false},
		{"a token", "/token", `{"access_token":"` + good + `"}`, credentials, true},
		{"no token", "/token", `{}`, credentials, false},
		{"no JSON", "/token", `<html>`, credentials, false},
		{"a token of another issuer", "/token", `{"access_token":"` + p.token(t, p.key, "x", soon) + `"}`, credentials, false},
		{"an expired token", "/token", `{"access_token":"` + p.token(t, p.key, p.URL, time.Now()) + `"}`, credentials, false},
		{"a token of another key", "/token", `{"access_token":"` + p.token(t, other, p.URL, soon) + `"}`, credentials, false},
		{"a rotation", "/token", `{"access_token":"` + good + `","refresh_token":"new"}`, refresh, true},
		{"no rotation", "/token", `{"access_token":"` + good + `","refresh_token":"old"}`, refresh, false},
		{"active", "/introspect", `{"active":true,"sub":"ann"}`, introspect, true},
		{"not active", "/introspect", `{"active":false,"sub":"ann"}`, introspect, false},
		{"of somebody else", "/introspect", `{"active":true,"sub":"bob"}`, introspect, false},
		{"herself", "/userinfo", `{"email":"ann@acme.example"}`, userInfo, true},
		{"somebody else", "/userinfo", `{"email":"bob@acme.example"}`, userInfo, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := p.answers[test.path]
			defer func() { p.answers[test.path], p.status = before, http.StatusOK }()
			p.answers[test.path] = test.answer
			if err := test.do(t.Context()); (err == nil) != test.ok {
				t.Errorf("got %v, want ok %v", err, test.ok)
			}
			p.status = http.StatusInternalServerError
			if err := test.do(t.Context()); err == nil {
				t.Error("status 500 was a success")
			}
		})
	}
}

func TestLoopCountsWhatWentWrongApart(t *testing.T) {
	var n int
	s := loop(t.Context(), []op{func(context.Context) error {
		n++
		switch {
		case n == 2:
			return errors.New("status 500\nbody")
		case n == 3:
			return fmt.Errorf("sign-in: %w", errRefused)
		case n > 5:
			return errDone
		}
		return nil
	}}, time.Now().Add(time.Minute))
	if s.OK != 3 || len(s.Latencies) != 3 || s.Refused != 1 || s.failed() != 1 || s.Failures["status 500"] != 1 {
		t.Errorf("got %+v, want 3 successes, 1 refusal and 1 failure", s)
	}
}

func TestACodeIsTypedOnce(t *testing.T) {
	lines, people, err := population(2)
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(lines, []byte("\n")); got != 2 {
		t.Errorf("%d lines for 2 people", got)
	}
	now := time.Now().Add(-10 * time.Minute).Truncate(30 * time.Second)
	if _, ok, err := people[0].code(now); !ok || err != nil {
		t.Errorf("the first code: %v, %v", ok, err)
	}
	if _, ok, _ := people[0].code(now.Add(time.Second)); ok {
		t.Error("a code was typed twice")
	}
	if _, ok, _ := people[0].code(now.Add(30 * time.Second)); !ok {
		t.Error("the next code was not typed")
	}
	crowd := newCrowd(people)
	for range 2 {
		if _, _, ok, err := crowd.take(); !ok || err != nil {
			t.Fatalf("nobody in a crowd: %v", err)
		}
	}
	if _, _, ok, _ := crowd.take(); ok {
		t.Error("somebody in an empty crowd")
	}
}

func TestOldCodesAreNotExchanged(t *testing.T) {
	var c Codes
	if _, ok := c.take(); ok {
		t.Error("a code of nobody")
	}
	c.put(Code{Code: "old", At: time.Now().Add(-time.Minute)})
	c.put(Code{Code: "new", At: time.Now()})
	if got, ok := c.take(); !ok || got.Code != "new" {
		t.Errorf("got %q, %v, want the newest", got.Code, ok)
	}
	if got, ok := c.take(); ok {
		t.Errorf("got %q, which has expired", got.Code)
	}
}

func TestEachFigureIsOneLineOfJSON(t *testing.T) {
	r := Report{
		About: About{Version: "v"}, Skipped: []string{"commits: no strace"},
		Figures: []Figure{{What: "memory, idle", Value: 1, Unit: "MB", Limit: 60}}, Commits: []Commits{{Request: "refresh", Seen: 2, Commits: 1, Limit: 1}},
		Costs: []Cost{{What: "sign-in", Ratio: 1.1}}, Loads: []Load{{Scenario: "jwks", Clients: 16, Failed: 1, Failure: "status 500"}},
	}
	var lines, table strings.Builder
	if err := errors.Join(r.lines(&lines), r.print(&table)); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for line := range strings.Lines(lines.String()) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		kinds = append(kinds, fmt.Sprint(row["figure"]))
	}
	if got, want := strings.Join(kinds, " "), "about skipped number commits cost load"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, words := range []string{"Not measured: commits: no strace.", "memory, idle", "refresh", "sign-in", "jwks", "such as: status 500"} {
		if !strings.Contains(table.String(), words) {
			t.Errorf("the table lacks %q:\n%s", words, table.String())
		}
	}
}
