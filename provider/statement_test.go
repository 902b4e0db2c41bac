package provider

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"anteroom/store"
)

// vouched is a rig that believes two issuers: one whose keys it has, one that
// publishes them.
func vouched(t testing.TB, change func(*Registration)) *rig {
	t.Helper()
	set, _ := partySet(t).(map[string]any)
	return newRig(t, func(o *Options) {
		o.KeySource = keySourceFunc(func(_ context.Context, uri, _ string) (json.RawMessage, error) {
			if uri != "https://published.example/jwks" {
				return nil, errors.New("nothing is there")
			}
			return json.Marshal(set)
		})
		o.Register = Registration{Open: true, Issuers: []StatementIssuer{
			{Issuer: "https://vendor.example", JWKS: set}, {Issuer: "https://published.example", JWKSURI: "https://published.example/jwks"},
		}}
		if change != nil {
			change(&o.Register)
		}
	})
}

// statement is what an issuer says about a piece of software; nil removes.
func statement(t testing.TB, alg string, changes object) string {
	t.Helper()
	claims := object{"iss": "https://vendor.example", "software_id": "4NRB1", "client_name": "Vouched", "redirect_uris": []string{"https://vouched.example/cb"}}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return signJWT(t, alg, partyKeys()[alg], "", claims)
}

// RFC 7591 sections 2.3, 3.1.1 and 3.2.1: what a believed issuer says takes the
// place of what the client says, and is told with the statement itself.
func TestSoftwareStatements(t *testing.T) {
	r := vouched(t, nil)
	for _, issuer := range []string{"https://vendor.example", "https://published.example"} {
		for _, alg := range clientAlgorithms {
			s := statement(t, alg, object{
				"iss": issuer, "exp": r.now().Add(time.Minute).Unix(), "aud": r.URL, "jwks_uri": "https://vouched.example/jwks", "client_id": "web", "client_secret": "chosen",
			})
			res := r.send("POST", PathRegister, "", metadataWith(object{"software_statement": s, "client_name": "Mine", "jwks": partySet(t), "scope": "openid email"}))
			c := res.json
			if res.StatusCode != 201 || c["software_statement"] != s || c["client_name"] != "Vouched" || c["software_id"] != "4NRB1" || c["scope"] != "openid email" ||
				c["client_id"] == "web" || c["client_secret"] == "chosen" || c["jwks"] != nil || c["jwks_uri"] != "https://vouched.example/jwks" || c["iss"] != nil {
				t.Fatalf("%s by %s: %d %s", alg, issuer, res.StatusCode, res.text)
			}
			row := must(r.db.Client(t.Context(), str(c["client_id"])))(t)
			if len(row.RedirectURIs) != 1 || row.RedirectURIs[0] != "https://vouched.example/cb" {
				t.Errorf("redirect URIs %v", row.RedirectURIs)
			}
		}
	}
}

// RFC 7591 section 3.2.2.
func TestSoftwareStatementsThatAreRefused(t *testing.T) {
	r := vouched(t, nil)
	good := statement(t, "ES256", nil)
	const invalid, unapproved = "invalid_software_statement", "unapproved_software_statement"
	for name, c := range map[string]struct {
		statement any
		code      string
	}{
		"no JWT":              {"x", invalid},
		"not a text":          {7, invalid},
		"an unsigned one":     {"eyJhbGciOiJub25lIn0." + strings.Split(good, ".")[1] + ".", invalid},
		"another signature":   {good[:len(good)-8] + "AAAAAAAA", invalid},
		"a secret for a key":  {signJWT(t, "HS256", []byte(strings.Repeat("k", 32)), "", object{"iss": "https://vendor.example"}), invalid},
		"large":               {statement(t, "ES256", object{"x": strings.Repeat("x", maxToken)}), invalid},
		"an unknown issuer":   {statement(t, "ES256", object{"iss": "https://other.example"}), unapproved},
		"no issuer":           {statement(t, "ES256", object{"iss": nil}), unapproved},
		"expired":             {statement(t, "ES256", object{"exp": r.now().Add(-time.Minute).Unix()}), invalid},
		"not yet":             {statement(t, "ES256", object{"nbf": r.now().Add(time.Minute).Unix()}), invalid},
		"for somebody else":   {statement(t, "ES256", object{"aud": "https://as.example"}), invalid},
		"metadata of no use":  {statement(t, "ES256", object{"redirect_uris": []string{"javascript:x"}}), "invalid_redirect_uri"},
		"an issuer of a type": {statement(t, "ES256", object{"iss": []string{"https://vendor.example"}}), invalid},
	} {
		r.wantError(r.send("POST", PathRegister, "", metadataWith(object{"software_statement": c.statement})), 400, c.code)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	// Where nobody is believed no statement is, and one is not passed over either.
	r.wantError(newRig(t, open).send("POST", PathRegister, "", metadataWith(object{"software_statement": good})), 400, unapproved)
}

func TestRegistrationMayDemandAStatement(t *testing.T) {
	r := vouched(t, func(r *Registration) { r.NeedsStatement = true })
	r.wantError(r.send("POST", PathRegister, "", metadataWith(nil)), 400, "invalid_software_statement")
	if res := r.send("POST", PathRegister, "", metadataWith(object{"software_statement": statement(t, "ES256", nil)})); res.StatusCode != 201 {
		t.Errorf("with one: %d %s", res.StatusCode, res.text)
	}
}

// RFC 7592 section 2.2: what a statement vouched for is not shed by an update.
func TestAStatementHoldsForUpdates(t *testing.T) {
	r := vouched(t, nil)
	s := statement(t, "ES256", nil)
	c := r.send("POST", PathRegister, "", metadataWith(object{"software_statement": s})).json
	uri, token := str(c["registration_client_uri"]), str(c["registration_access_token"])
	if got := r.send("GET", uri, token, nil).json; got["software_statement"] != s {
		t.Errorf("read: %v", got)
	}
	r.wantError(r.send("PUT", uri, token, metadataWith(object{"client_id": c["client_id"]})), 400, "invalid_software_statement")
	res := r.send("PUT", uri, token, metadataWith(object{"client_id": c["client_id"], "software_statement": s, "client_name": "Mine"}))
	if res.StatusCode != 200 || res.json["client_name"] != "Vouched" || res.json["software_statement"] != s {
		t.Errorf("%d %s", res.StatusCode, res.text)
	}
}

func TestIssuersOfStatementsNeedKeys(t *testing.T) {
	for name, i := range map[string]StatementIssuer{
		"no name": {JWKSURI: "https://a.example/jwks"}, "no keys": {Issuer: "a"}, "both": {Issuer: "a", JWKSURI: "https://a.example/jwks", JWKS: object{"keys": []any{}}},
		"an empty set": {Issuer: "a", JWKS: object{"keys": []any{}}},
	} {
		if i.check() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzSoftwareStatement(f *testing.F) {
	r := vouched(f, nil)
	f.Add(statement(f, "ES256", nil))
	f.Add(statement(f, "EdDSA", object{"iss": []string{"x"}, "exp": "never"}))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, raw string) {
		in := map[string]any{"software_statement": raw}
		if err := r.p.applyStatement(t.Context(), store.Client{}, in); err != nil {
			if code := asRefusal(err).Code; !strings.HasSuffix(code, "_software_statement") {
				t.Errorf("%s for %q", code, raw)
			}
			if len(in) != 1 {
				t.Errorf("a refused statement changed what was asked: %v", in)
			}
		}
	})
}
