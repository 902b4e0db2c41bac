package provider

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"anteroom/store"
)

func list(t *testing.T, v any) []string {
	t.Helper()
	var out []string
	raw, ok := v.([]any)
	if !ok {
		t.Fatalf("not a list: %v", v)
	}
	for _, s := range raw {
		out = append(out, str(s))
	}
	return out
}

// What is advertised works, and what works is advertised: each list is used
// against the running endpoints, one direction and the other.
func TestDiscoverySaysExactlyWhatIsOn(t *testing.T) {
	r := newRig(t)
	doc := r.get(PathDiscovery, nil).json
	if doc["issuer"] != r.URL {
		t.Errorf("issuer %v", doc["issuer"])
	}
	t.Run("endpoints", func(t *testing.T) {
		for name, v := range doc {
			if !strings.HasSuffix(name, "_endpoint") && name != "jwks_uri" {
				continue
			}
			path := strings.TrimPrefix(str(v), r.URL)
			if res := r.get(path, nil); res.StatusCode == 404 {
				t.Errorf("%s %v is not there", name, v)
			}
		}
	})
	t.Run("grant types", func(t *testing.T) {
		on := list(t, doc["grant_types_supported"])
		for _, g := range []string{"authorization_code", "refresh_token", "client_credentials", "password", "implicit", "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:openid:params:grant-type:ciba"} {
			res := r.post(PathToken, url.Values{"grant_type": {g}}, basic("web"))
			if refused := res.json["error"] == "unsupported_grant_type"; refused == slices.Contains(on, g) {
				t.Errorf("%s: advertised %v, answer %s", g, slices.Contains(on, g), res.text)
			}
		}
	})
	try := func(list []string, candidates []string, name, param string, refused ...string) {
		t.Helper()
		for _, c := range candidates {
			res := r.get(PathAuthorize, ask("web", param, c))
			text := res.Header.Get("Location") + res.text
			bad := slices.ContainsFunc(refused, func(code string) bool { return strings.Contains(text, "error="+code) })
			if bad == slices.Contains(list, c) {
				t.Errorf("%s %q: advertised %v, answer %s", name, c, slices.Contains(list, c), text)
			}
		}
	}
	try(list(t, doc["response_types_supported"]), []string{"code", "token", "id_token", "code id_token", "none"}, "response type", "response_type", "unsupported_response_type")
	try(list(t, doc["response_modes_supported"]), []string{"query", "fragment", "form_post", "jwt", "query.jwt", "web_message"}, "response mode", "response_mode", "invalid_request")
	try(list(t, doc["prompt_values_supported"]), []string{"none", "login", "consent", "select_account", "create"}, "prompt", "prompt", "invalid_request")
	try(list(t, doc["code_challenge_methods_supported"]), []string{"S256", "plain", "S512"}, "PKCE", "code_challenge_method", "invalid_request")
	t.Run("client authentication", func(t *testing.T) {
		r.register(store.Client{ID: "keyed", TokenEndpointAuthMethod: "private_key_jwt", Settings: map[string]any{"jwks": partySet(t)}})
		r.register(store.Client{ID: "hmac", TokenEndpointAuthMethod: "client_secret_jwt", Secrets: r.derivedSecret("hmac")})
		on := list(t, doc["token_endpoint_auth_methods_supported"])
		for method, who := range map[string]as{"client_secret_basic": basic("web"), "client_secret_post": posted("post"), "none": publicly("spa"), "private_key_jwt": r.byKey("keyed", "ES256"), "client_secret_jwt": r.bySecretJWT("hmac")} {
			res := r.post(PathToken, redemption("x"), who)
			if (res.json["error"] == "invalid_client") == slices.Contains(on, method) {
				t.Errorf("%s: %s", method, res.text)
			}
		}
		if len(on) != 5 { // without certificates, which TestClientCertificates turns on
			t.Errorf("%v: a method without a test", on)
		}
		if slices.Contains(list(t, doc["introspection_endpoint_auth_methods_supported"]), "none") {
			t.Error("introspection for public clients")
		}
	})
	t.Run("signing algorithms", func(t *testing.T) {
		jwks := r.get(PathJWKS, nil).text
		for _, alg := range list(t, doc["id_token_signing_alg_values_supported"]) {
			if err := changeClient("es256", func(c *store.Client) { c.IDTokenSignedResponseAlg = alg })(r); err != nil {
				t.Fatal(err)
			}
			header, _ := payload(t, str(r.tokens("es256")["id_token"]))
			if header["alg"] != alg || !strings.Contains(jwks, str(header["kid"])) {
				t.Errorf("%s: header %v", alg, header)
			}
		}
	})
	t.Run("claims", func(t *testing.T) {
		on := list(t, doc["claims_supported"])
		got := r.tokens("web", "scope", "openid profile email phone address roles")
		_, id := payload(t, str(got["id_token"]))
		info := r.post(PathUserInfo, nil, withToken(str(got["access_token"]))).json
		for _, claims := range []map[string]any{id, info} {
			for name := range claims {
				if !slices.Contains(on, name) {
					t.Errorf("claim %s is not advertised", name)
				}
			}
		}
	})
	for name, param := range map[string]string{"request_uri_parameter_supported": "request_uri"} {
		got := r.answerOf(r.get(PathAuthorize, ask("web", param, "x")))
		if doc[name] != false || got.Get("error") != param+"_not_supported" {
			t.Errorf("%s %v: %v", name, doc[name], got)
		}
	}
	for _, alg := range list(t, doc["request_object_signing_alg_values_supported"]) {
		object := signJWT(t, alg, partyKeys()[alg], "", r.object("keyed", nil))
		if got := r.answerOf(r.get(PathAuthorize, url.Values{"client_id": {"keyed"}, "request": {object}})); got.Get("code") == "" {
			t.Errorf("request object signed with %s: %v", alg, got)
		}
	}
	if doc["request_parameter_supported"] != true || doc["require_signed_request_object"] != false || doc["require_pushed_authorization_requests"] != false {
		t.Error("request objects")
	}
	if got := r.answerOf(r.get(PathAuthorize, ask("web"))); doc["authorization_response_iss_parameter_supported"] != true || got.Get("iss") != r.URL {
		t.Errorf("iss %v", got)
	}
}

func TestPublicDocumentsAreCacheableAndSaySo(t *testing.T) {
	r := newRig(t)
	if a, b := r.get(PathDiscovery, nil).text, r.get(PathOAuthServer, nil).text; a != b {
		t.Error("the two well-known documents differ")
	}
	for _, path := range []string{PathDiscovery, PathOAuthServer, PathJWKS} {
		res := r.get(path, nil)
		etag := res.Header.Get("ETag")
		if res.StatusCode != 200 || etag == "" || res.Header.Get("Cache-Control") != "public, max-age=300" || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
		}
		req := must(http.NewRequestWithContext(t.Context(), "GET", r.URL+path, nil))(t)
		req.Header.Set("If-None-Match", etag)
		if again := r.do(req); again.StatusCode != http.StatusNotModified || again.text != "" {
			t.Errorf("%s with its ETag: %d", path, again.StatusCode)
		}
		if head := r.do(must(http.NewRequestWithContext(t.Context(), "HEAD", r.URL+path, nil))(t)); head.StatusCode != 200 || head.text != "" {
			t.Errorf("HEAD %s: %d", path, head.StatusCode)
		}
		if post := r.post(path, nil, nil); post.StatusCode != 405 || post.Header.Get("Allow") == "" {
			t.Errorf("POST %s: %d", path, post.StatusCode)
		}
	}
}

func TestScriptsOfOtherSitesMayCallWhatTakesNoCookies(t *testing.T) {
	r := newRig(t)
	for path, want := range map[string]bool{
		PathToken: true, PathUserInfo: true, PathRevoke: true, PathJWKS: true, PathDiscovery: true, PathOAuthServer: true,
		PathAuthorize: false, PathLogout: false, PathIntrospect: false,
	} {
		req := must(http.NewRequestWithContext(t.Context(), "OPTIONS", r.URL+path, nil))(t)
		req.Header.Set("Origin", "https://spa.example")
		req.Header.Set("Access-Control-Request-Method", "POST")
		res := r.do(req)
		if got := res.Header.Get("Access-Control-Allow-Origin") == "*"; got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
		if want && (res.StatusCode != 204 || !strings.Contains(res.Header.Get("Access-Control-Allow-Headers"), "Authorization")) {
			t.Errorf("preflight of %s: %d %v", path, res.StatusCode, res.Header)
		}
		if res.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s allows credentials", path)
		}
	}
	if res := r.post(PathToken, nil, nil); res.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("an error that scripts cannot read")
	}
}
