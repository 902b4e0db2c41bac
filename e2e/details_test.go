package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"anteroom/internal/demo"
)

// pay is a payment whose reference fills it up to n bytes of what no compression
// makes smaller.
func pay(amount string, n int) string {
	start := `[{"amount":` + amount + `,"creditor":"Merchant A","reference":"`
	return start + noise(n-len(start)-len(`","type":"payment"}]`)) + `","type":"payment"}]`
}

func noise(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(oauth2.GenerateVerifier())
	}
	return b.String()[:n]
}

// push sends a request ahead and returns what the browser opens.
func (c *party) push(t *testing.T, verifier string, more ...oauth2.AuthCodeOption) string {
	t.Helper()
	whole, err := url.Parse(c.AuthCodeURL("state-of-"+verifier[:8], append([]oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier)}, more...)...))
	if err != nil {
		t.Fatal(err)
	}
	issuer := strings.TrimSuffix(c.Endpoint.AuthURL, "/authorize")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, issuer+"/par", strings.NewReader(whole.RawQuery))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.ClientSecret))
	res, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		RequestURI string `json:"request_uri"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("push: %d, %v", res.StatusCode, err)
	}
	return c.Endpoint.AuthURL + "?" + fields("client_id", c.ClientID, "request_uri", answer.RequestURI).Encode()
}

// The largest payment that there can be, in a portal whose scopes nobody is asked
// for: shown, allowed, in the token; sent with the browser and ahead of it.
func TestAPaymentIsShownAllowedAndInTheToken(t *testing.T) {
	t.Parallel()
	p := start(t)
	ann, rp, ctx := p.known("ann@acme.example"), p.party(demo.PCC), t.Context()
	p.do("PATCH", "/applications/"+demo.PCC, map[string]any{"authorization_details_types": []any{map[string]any{
		"type": "payment", "title": "Pay from your account", "fields": []any{
			map[string]any{"name": "amount", "title": "Amount", "kind": "number", "required": true},
			map[string]any{"name": "creditor", "title": "To whom", "kind": "text"},
			map[string]any{"name": "reference", "title": "For", "kind": "text"},
		},
	}}}, nil)
	p.do("PATCH", "/clients/"+rp.ClientID, map[string]any{"metadata": map[string]any{"authorization_details_types": []any{"payment"}}}, nil)

	v := NewVisitor()
	v.Stay(partyRedirect)
	for i, ahead := range []bool{false, true} {
		verifier, want := oauth2.GenerateVerifier(), pay(fmt.Sprintf("%d.25", i+7), 8<<10)
		details := oauth2.SetAuthURLParam("authorization_details", want)
		var err error
		if ahead {
			err = v.Open(ctx, rp.push(t, verifier, details))
		} else {
			err = rp.begin(ctx, v, verifier, details)
		}
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 { // later there is a session
			if err := v.Press(ctx, "login-submit", fields("username", ann.email, "password", ann.password)); err != nil {
				t.Fatal(err)
			}
			if err := v.Press(ctx, "challenge-submit", fields("code", p.nextCode(ann.secret))); err != nil {
				t.Fatal(err)
			}
		}
		for _, part := range []string{"Pay from your account", fmt.Sprintf("%d.25", i+7), "To whom", "Merchant A"} {
			if v.URL().Path != "/consent" || !strings.Contains(v.Source(), part) {
				t.Fatalf("ahead %v: no %q at %s", ahead, part, v.URL())
			}
		}
		if err := v.Press(ctx, "consent-allow", nil); err != nil {
			t.Fatal(err)
		}
		code, failure, err := rp.answer(v)
		if err != nil || failure != "" {
			t.Fatalf("ahead %v: %q, %v", ahead, failure, err)
		}
		tokens, err := rp.redeem(ctx, code, verifier)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(tokens.Extra("authorization_details"))
		if err != nil || string(got) != want {
			t.Errorf("ahead %v: %d bytes of %d, %v", ahead, len(got), len(want), err)
		}
		if fresh, err := rp.refresh(ctx, tokens.RefreshToken); err != nil || len(fresh.AccessToken) < 8<<10 {
			t.Errorf("ahead %v: refreshed: %v", ahead, err)
		}
		// Exactly the same once more: nothing to ask.
		if err := rp.begin(ctx, v, oauth2.GenerateVerifier(), details); err != nil {
			t.Fatal(err)
		}
		if code, failure, err := rp.answer(v); code == "" || failure != "" || err != nil {
			t.Errorf("ahead %v: the same again: %q, %v at %s", ahead, failure, err, v.URL())
		}
	}
}
