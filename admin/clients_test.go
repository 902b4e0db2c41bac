package admin_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"anteroom/admin"
	"anteroom/internal/seal"
	"anteroom/store"
)

func TestRegisteringAPortalShowsItsSecretOnce(t *testing.T) {
	r := newRig(t)
	r.seed()
	var out admin.Registered
	r.do("POST", "/clients", map[string]any{
		"client_id": "analytics-web", "application": "analytics", "redirect_uris": []string{"https://analytics.example/cb"},
	}, &out)
	if len(out.Secret) < 40 || out.TokenEndpointAuthMethod != "client_secret_basic" || out.Settings.Discovery != "https://id.example.com/.well-known/openid-configuration" {
		t.Errorf("got %+v", out)
	}
	if !slices.Equal(out.GrantTypes, []string{"authorization_code", "refresh_token"}) || out.Scope != "openid profile email roles offline_access" || !slices.Equal(out.ResponseTypes, []string{"code"}) {
		t.Errorf("defaults %+v", out.Client)
	}
	row, err := r.db.Client(t.Context(), "analytics-web")
	if err != nil || len(row.Secrets) != 1 || row.Secrets[0].Hash != r.api.Seal.Digest(seal.ClientSecret, out.Secret) {
		t.Errorf("stored %+v, %v: not the keyed hash of the secret", row.Secrets, err)
	}
	_, _, shown := r.send("GET", "/clients/analytics-web", nil)
	if strings.Contains(string(shown), out.Secret) || strings.Contains(string(shown), row.Secrets[0].Hash) {
		t.Errorf("the secret or its hash comes back: %s", shown)
	}
	r.refuse(409, "POST", "/clients", map[string]any{"client_id": "analytics-web", "application": "analytics", "redirect_uris": []string{"https://analytics.example/cb"}})
}

func TestDefaultsFollowTheKindOfClient(t *testing.T) {
	r := newRig(t)
	r.seed()
	var native, machine admin.Registered
	r.do("POST", "/clients", map[string]any{"application": "analytics", "application_type": "native", "redirect_uris": []string{"http://127.0.0.1/cb"}}, &native)
	if native.Secret != "" || native.TokenEndpointAuthMethod != "none" || native.ID == "" {
		t.Errorf("native: %+v", native)
	}
	r.do("POST", "/clients", map[string]any{"application": "analytics", "client_id": "batch"}, &machine)
	if machine.Secret == "" || !slices.Equal(machine.GrantTypes, []string{"client_credentials"}) || machine.Scope != "" || len(machine.ResponseTypes) != 0 {
		t.Errorf("machine: %+v", machine)
	}
}

func TestClientMistakes(t *testing.T) {
	r := newRig(t)
	r.seed()
	ok := map[string]any{"application": "analytics", "redirect_uris": []string{"https://a.example/cb"}}
	for _, tc := range []struct {
		name   string
		change map[string]any
		field  string
	}{
		{"no application", map[string]any{"application": ""}, "application"},
		{"unknown application", map[string]any{"application": "x"}, "application"},
		{"id", map[string]any{"client_id": "a b"}, "client_id"},
		{"http redirect", map[string]any{"redirect_uris": []string{"https://a.example/", "http://a.example/"}}, "redirect_uris[1]"},
		{"redirect twice", map[string]any{"redirect_uris": []string{"https://a.example/", "https://a.example/"}}, "redirect_uris[1]"},
		{"post-logout redirect", map[string]any{"post_logout_redirect_uris": []string{"http://a.example/"}}, "post_logout_redirect_uris[0]"},
		{"no redirect", map[string]any{"redirect_uris": []string{}, "grant_types": []string{"authorization_code"}}, "redirect_uris"},
		{"implicit without a response type", map[string]any{"grant_types": []string{"implicit"}, "redirect_uris": []string{"https://a.example/cb"}}, "response_types"},
		{"no grants", map[string]any{"grant_types": []string{}}, "grant_types"},
		{"refresh alone", map[string]any{"grant_types": []string{"refresh_token"}}, "grant_types"},
		{"public machine", map[string]any{"grant_types": []string{"client_credentials"}, "token_endpoint_auth_method": "none"}, "grant_types"},
		{"openid without people", map[string]any{"grant_types": []string{"client_credentials"}, "scope": "openid"}, "scope"},
		{"scope", map[string]any{"scope": `openid a"b`}, "scope"},
		{"public without PKCE", map[string]any{"token_endpoint_auth_method": "none", "pkce_optional": true}, "pkce_optional"},
		{"unsigned", map[string]any{"id_token_signed_response_alg": "none"}, "id_token_signed_response_alg"},
		{"algorithm", map[string]any{"access_token_signing_alg": "HS256"}, "access_token_signing_alg"},
		{"method", map[string]any{"token_endpoint_auth_method": "tls"}, "token_endpoint_auth_method"},
		{"type", map[string]any{"application_type": "spa"}, "application_type"},
		{"name", map[string]any{"client_name": "a\tb"}, "client_name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := map[string]any{}
			for k, v := range ok {
				in[k] = v
			}
			for k, v := range tc.change {
				in[k] = v
			}
			if got := fieldsOf(r.refuse(400, "POST", "/clients", in)); !slices.Contains(got, tc.field) {
				t.Errorf("fields %v, want %s", got, tc.field)
			}
		})
	}
	rows, _, err := r.db.Clients(t.Context(), "", store.Page{})
	if err != nil || len(rows) != 0 {
		t.Errorf("%d clients were made, %v", len(rows), err)
	}
}

// Portals of a developer are where the service is: on this machine, without TLS.
func TestPlainLogoutAddressesWhereTheIssuerIsPlain(t *testing.T) {
	r := newRig(t)
	r.seed()
	in := map[string]any{"application": "analytics", "grant_types": []string{"client_credentials"}, "metadata": map[string]any{
		"backchannel_logout_uri": "http://localhost:8081/out", "frontchannel_logout_uri": "http://localhost:8081/frame",
	}}
	if status, _, body := r.send("POST", "/clients", in); status != 400 {
		t.Errorf("under https: %d %s", status, body)
	}
	r.api.Issuer = "http://localhost:8080"
	if status, _, body := r.send("POST", "/clients", in); status != 200 {
		t.Errorf("under http: %d %s", status, body)
	}
}

func TestRotatingASecretKeepsTheOldOneForAWhile(t *testing.T) {
	r := newRig(t)
	r.seed()
	var first, second, third admin.Registered
	r.do("POST", "/clients", map[string]any{"client_id": "web", "application": "analytics", "redirect_uris": []string{"https://a.example/cb"}}, &first)
	r.do("POST", "/clients/web/rotate-secret", map[string]any{"keep_old": 3600}, &second)
	if second.Secret == first.Secret || len(second.Secrets) != 2 || !second.Secrets[0].ExpiresAt.Equal(start.Add(time.Hour)) || !second.Secrets[1].ExpiresAt.IsZero() {
		t.Errorf("got %+v", second)
	}
	r.do("POST", "/clients/web/rotate-secret", map[string]any{"keep_old": 0}, &third)
	if len(third.Secrets) != 1 {
		t.Errorf("%d secrets are valid, want the new one", len(third.Secrets))
	}
	for range 4 {
		r.do("POST", "/clients/web/rotate-secret", map[string]any{"keep_old": 3600}, nil)
	}
	r.refuse(409, "POST", "/clients/web/rotate-secret", map[string]any{"keep_old": 3600})
	r.refuse(400, "POST", "/clients/web/rotate-secret", map[string]any{"keep_old": -1})
	r.refuse(404, "POST", "/clients/nothing/rotate-secret", map[string]any{})
	r.do("POST", "/clients", map[string]any{"client_id": "app", "application": "analytics", "application_type": "native", "redirect_uris": []string{"com.example.app:/cb"}}, nil)
	r.refuse(422, "POST", "/clients/app/rotate-secret", map[string]any{})
}

func TestChangingAClientIsCheckedAsAWhole(t *testing.T) {
	r := newRig(t)
	r.seed()
	r.do("POST", "/clients", map[string]any{"client_id": "web", "application": "analytics", "redirect_uris": []string{"https://a.example/cb"}}, nil)
	if got := fieldsOf(r.refuse(400, "PATCH", "/clients/web", map[string]any{"redirect_uris": []string{}})); !slices.Contains(got, "redirect_uris") {
		t.Errorf("fields %v", got)
	}
	var out admin.Registered
	r.do("PATCH", "/clients/web", map[string]any{"token_endpoint_auth_method": "none"}, &out)
	if len(out.Secrets) != 0 || out.Secret != "" {
		t.Errorf("a public client has secrets: %+v", out)
	}
	r.do("PATCH", "/clients/web", map[string]any{"token_endpoint_auth_method": "client_secret_post"}, &out)
	if len(out.Secrets) != 1 || out.Secret == "" {
		t.Errorf("a client that became confidential got no secret: %+v", out)
	}
}

func TestDisablingOrDeletingAClientEndsItsGrants(t *testing.T) {
	for _, how := range []string{"disable", "delete", "delete application"} {
		t.Run(how, func(t *testing.T) {
			r := newRig(t)
			r.seed()
			r.do("POST", "/clients", map[string]any{"client_id": "web", "application": "analytics", "redirect_uris": []string{"https://a.example/cb"}}, nil)
			grant := store.Grant{ID: "g", ClientID: "web", ApplicationID: "analytics", AccountID: "a", CreatedAt: start, ExpiresAt: start.Add(time.Hour)}
			if err := r.db.CreateGrant(t.Context(), grant); err != nil {
				t.Fatal(err)
			}
			switch how {
			case "disable":
				r.do("PATCH", "/clients/web", map[string]any{"disabled": true}, nil)
			case "delete":
				r.do("DELETE", "/clients/web", nil, nil)
				r.refuse(404, "GET", "/clients/web", nil)
			default:
				r.do("DELETE", "/applications/analytics", nil, nil)
				r.refuse(404, "GET", "/clients/web", nil)
			}
			if _, err := r.db.Grant(t.Context(), "g", start); err == nil {
				t.Error("the grant lives on")
			}
		})
	}
}

// RFC 8628, 8693 and 7523: grants that need the operator's word on whose tokens.
func TestGrantsBeyondTheCode(t *testing.T) {
	const (
		device   = "urn:ietf:params:oauth:grant-type:device_code"
		exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
		bearer   = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	)
	r := newRig(t)
	r.seed()
	with := func(id string, more map[string]any) map[string]any {
		in := map[string]any{"client_id": id, "application": "analytics"}
		for name, v := range more {
			in[name] = v
		}
		return in
	}
	for i, in := range []map[string]any{
		{"grant_types": []string{device, "refresh_token"}, "scope": "openid", "token_endpoint_auth_method": "none"},
		{"grant_types": []string{exchange}, "metadata": map[string]any{"token_exchange": map[string]any{"clients": []any{"a"}}}},
		{"grant_types": []string{bearer}, "metadata": map[string]any{"jwt_bearer_issuers": []any{map[string]any{"issuer": "https://p.example"}}}},
		{"grant_types": []string{"client_credentials"}, "metadata": map[string]any{"backchannel_logout_uri": "https://a.example/out", "tos_uri": "https://a.example/terms"}},
	} {
		var out admin.Registered
		r.do("POST", "/clients", with(fmt.Sprint("c", i), in), &out)
		if meta, _ := in["metadata"].(map[string]any); len(out.Metadata) != len(meta) {
			t.Errorf("registered %+v", out)
		}
	}
	for want, in := range map[string]map[string]any{
		"metadata.token_exchange":         {"grant_types": []string{exchange}},
		"metadata.jwt_bearer_issuers":     {"grant_types": []string{bearer}},
		"grant_types":                     {"grant_types": []string{exchange}, "token_endpoint_auth_method": "none", "metadata": map[string]any{"token_exchange": map[string]any{"clients": []any{}}}},
		"metadata.backchannel_logout_uri": {"grant_types": []string{"client_credentials"}, "metadata": map[string]any{"backchannel_logout_uri": "http://a.example/out"}},
	} {
		if got := fieldsOf(r.refuse(400, "POST", "/clients", with("bad", in))); !slices.Equal(got, []string{want}) {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	for name, value := range map[string]any{"token_exchange": []any{}, "jwt_bearer_issuers": map[string]any{}} {
		got := fieldsOf(r.refuse(400, "PATCH", "/clients/c3", map[string]any{"metadata": map[string]any{name: value}}))
		if !slices.Equal(got, []string{"metadata." + name}) {
			t.Errorf("%s of the wrong type: %v", name, got)
		}
	}
	var cleared admin.Registered
	r.do("PATCH", "/clients/c3", map[string]any{"metadata": map[string]any{"tos_uri": "", "jwt_bearer_issuers": []any{}}}, &cleared)
	if len(cleared.Metadata) != 1 || cleared.Metadata["backchannel_logout_uri"] == nil {
		t.Errorf("cleared %+v", cleared.Metadata)
	}
}

// RFC 7591 section 2: what a client proves itself and signs with is metadata, by
// its registered name.
func TestFurtherMetadata(t *testing.T) {
	r := newRig(t)
	r.seed()
	r.api.CheckClient = func(c store.Client) map[string]string {
		if c.Settings["profile"] == "fapi1" {
			return map[string]string{"profile": "the only profile is fapi2", "token_endpoint_auth_method": "is not on"}
		}
		return nil
	}
	keys := map[string]any{"keys": []any{map[string]any{"kty": "EC", "crv": "P-256", "x": "a", "y": "b"}}}
	in := map[string]any{
		"client_id": "bank", "application": "analytics", "redirect_uris": []string{"https://a.example/cb"}, "token_endpoint_auth_method": "private_key_jwt",
		"metadata": map[string]any{"jwks": keys, "profile": "fapi2", "require_signed_request_object": true},
	}
	var out admin.Registered
	r.do("POST", "/clients", in, &out)
	if out.Secret != "" || len(out.Secrets) != 0 || out.Metadata["profile"] != "fapi2" || out.Metadata["require_signed_request_object"] != true || out.Metadata["jwks"] == nil {
		t.Errorf("registered %+v", out)
	}
	row, err := r.db.UpdateClient(t.Context(), "bank", func(c *store.Client) error { c.Settings["ours"] = "hidden"; return nil })
	if err != nil || row.Settings["profile"] != "fapi2" {
		t.Fatalf("stored %+v, %v", row.Settings, err)
	}
	var changed admin.Registered
	r.do("PATCH", "/clients/bank", map[string]any{"metadata": map[string]any{"profile": "", "require_signed_request_object": false, "dpop_bound_access_tokens": true}}, &changed)
	if len(changed.Metadata) != 2 || changed.Metadata["dpop_bound_access_tokens"] != true || changed.Metadata["jwks"] == nil {
		t.Errorf("changed %+v", changed.Metadata)
	}
	if row, _ := r.db.Client(t.Context(), "bank"); row.Settings["ours"] != "hidden" {
		t.Errorf("what is not metadata was lost: %v", row.Settings)
	}
	for name, value := range map[string]any{
		"unknown": "x", "profile": true, "jwks": "x", "dpop_bound_access_tokens": "yes", "jwks_uri": "http://a.example/", "ours": "x",
	} {
		want := "metadata." + name
		got := fieldsOf(r.refuse(400, "PATCH", "/clients/bank", map[string]any{"metadata": map[string]any{name: value}}))
		if !slices.Equal(got, []string{want}) {
			t.Errorf("fields %v, want %s", got, want)
		}
	}
	if got := fieldsOf(r.refuse(400, "PATCH", "/clients/bank", map[string]any{"metadata": map[string]any{"profile": "fapi1"}})); !slices.Equal(got, []string{"metadata.profile", "token_endpoint_auth_method"}) {
		t.Errorf("the provider's own rules: fields %v", got)
	}
}

// The secret of client_secret_jwt must be known again: one that was random cannot
// be used, and is replaced when a client changes to that method.
func TestSecretsThatSignAreDerived(t *testing.T) {
	r := newRig(t)
	r.seed()
	derived := func(secret string) bool {
		t.Helper()
		row, err := r.db.Client(t.Context(), "web")
		if err != nil || len(row.Secrets) != 1 || row.Secrets[0].Hash != r.api.Seal.Digest(seal.ClientSecret, secret) {
			t.Fatalf("stored %+v, %v", row.Secrets, err)
		}
		return secret == r.api.Seal.ClientSecret("web", row.Secrets[0].CreatedAt)
	}
	var first, second, third, fourth admin.Registered
	r.do("POST", "/clients", map[string]any{"client_id": "web", "application": "analytics", "redirect_uris": []string{"https://a.example/cb"}}, &first)
	if derived(first.Secret) {
		t.Error("a secret of client_secret_basic is derived")
	}
	r.do("PATCH", "/clients/web", map[string]any{"token_endpoint_auth_method": "client_secret_jwt"}, &second)
	if !derived(second.Secret) {
		t.Error("a secret of client_secret_jwt is random")
	}
	r.do("PATCH", "/clients/web", map[string]any{"client_name": "New"}, &third)
	if third.Secret != "" || !derived(second.Secret) {
		t.Error("replaced without need")
	}
	r.do("PATCH", "/clients/web", map[string]any{"token_endpoint_auth_method": "tls_client_auth"}, &fourth)
	if fourth.Secret != "" || len(fourth.Secrets) != 0 {
		t.Errorf("a secret for a client that has no use for it: %+v", fourth)
	}
	r.refuse(422, "POST", "/clients/web/rotate-secret", map[string]any{})
}

// OpenID Connect Core section 8: whom subjects are made for is decided before
// anything is written, and holds for the row that was looked at.
func TestWhomSubjectsAreMadeFor(t *testing.T) {
	r := newRig(t)
	r.seed()
	during := func() {}
	r.api.SettleSubject = func(ctx context.Context, before, c *store.Client) map[string]string {
		during()
		if before != nil && before.Settings["subject_type"] != c.Settings["subject_type"] {
			return map[string]string{"subject_type": "everybody would become a stranger"}
		}
		c.Settings["sector_identifier"] = strings.Join(c.RedirectURIs, " ")
		return nil
	}
	sector := func() any {
		t.Helper()
		c, err := r.db.Client(t.Context(), "pair")
		if err != nil {
			t.Fatal(err)
		}
		return c.Settings["sector_identifier"]
	}
	var out admin.Registered
	r.do("POST", "/clients", map[string]any{
		"client_id": "pair", "application": "analytics", "redirect_uris": []string{"https://a.example/1"},
		"metadata": map[string]any{"subject_type": "pairwise", "initiate_login_uri": "https://a.example/start"},
	}, &out)
	if out.Metadata["subject_type"] != "pairwise" || out.Metadata["sector_identifier"] != nil || sector() != "https://a.example/1" {
		t.Errorf("made %+v for %v", out.Metadata, sector())
	}
	r.do("PATCH", "/clients/pair", map[string]any{"redirect_uris": []string{"https://a.example/2"}}, &out)
	if sector() != "https://a.example/2" {
		t.Errorf("made for %v", sector())
	}
	for _, kind := range []string{"public", ""} {
		got := fieldsOf(r.refuse(400, "PATCH", "/clients/pair", map[string]any{"metadata": map[string]any{"subject_type": kind}}))
		if !slices.Equal(got, []string{"metadata.subject_type"}) {
			t.Errorf("%q: mistakes %v", kind, got)
		}
	}
	r.refuse(400, "PATCH", "/clients/pair", map[string]any{"metadata": map[string]any{"initiate_login_uri": "http://a.example/start"}})
	// Somebody else changes the client while its sector is fetched.
	during = func() {
		during = func() {}
		r.now = r.now.Add(time.Second)
		r.do("PATCH", "/clients/pair", map[string]any{"redirect_uris": []string{"https://b.example/"}}, nil)
	}
	r.refuse(409, "PATCH", "/clients/pair", map[string]any{"redirect_uris": []string{"https://a.example/3"}})
	if sector() != "https://b.example/" {
		t.Errorf("made for %v", sector())
	}
}

// What clients lack for what they are registered as, and which doors are theirs.
func TestClientsThatLackSomething(t *testing.T) {
	r := newRig(t)
	r.seed()
	r.api.CheckClient = func(c store.Client) map[string]string {
		if c.Settings["profile"] == "fapi2" && c.ID != "good" {
			return map[string]string{"profile": "fapi2 needs keys", "jwks": "is missing"}
		}
		return nil
	}
	for _, c := range []store.Client{
		{ID: "good", Settings: map[string]any{"profile": "fapi2"}}, {ID: "bad", Settings: map[string]any{"profile": "fapi2"}},
		{ID: "open", PKCEOptional: true, GrantTypes: []string{"implicit"}, Settings: map[string]any{
			"authorization_details_types": []any{"quiet", "once", "nowhere"},
			"token_exchange":              map[string]any{"impersonation": true}, "jwt_bearer_issuers": []any{}, "request_object_signing_alg": "none",
		}},
	} {
		c.ApplicationID = "analytics"
		if err := r.db.CreateClient(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.db.UpdateApplication(t.Context(), "analytics", func(a *store.Application) error {
		a.DetailTypes = []store.DetailType{{Type: "quiet", Consent: store.ConsentSkip}, {Type: "once"}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var out admin.List[admin.ClientCheck]
	r.do("GET", "/client-checks", nil, &out)
	got := map[string]admin.ClientCheck{}
	for _, one := range out.Items {
		got[one.ID] = one
	}
	if good, bad := got["good"], got["bad"]; len(good.Lacks) != 0 || good.Profile != "fapi2" || !slices.Equal(bad.Lacks, []string{"jwks: is missing", "profile: fapi2 needs keys"}) {
		t.Errorf("good %+v, bad %+v", good, bad)
	}
	if open := got["open"]; len(open.Doors) != 7 || !strings.Contains(open.Doors[6], "quiet is granted") ||
		!slices.Equal(open.Lacks, []string{"authorization_details_types: the application does not describe nowhere"}) || len(got["good"].Doors) != 0 {
		t.Errorf("open %+v", open)
	}
}
