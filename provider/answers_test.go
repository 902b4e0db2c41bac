package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"anteroom/store"
)

// OpenID Connect Core section 5.3.2: signed, encrypted, or both, by GET and POST.
func TestUserInfoAsAJWT(t *testing.T) {
	r := newRig(t)
	r.reader("signed", map[string]any{signedAlg(answerUserInfo): "ES256"})
	r.reader("sealed", map[string]any{encryptedAlg(answerUserInfo): "ECDH-ES"})
	r.reader("nested", map[string]any{signedAlg(answerUserInfo): "PS256", encryptedAlg(answerUserInfo): "RSA-OAEP-256", encryptedEnc(answerUserInfo): "A256GCM"})
	fetch := func(method, token string) string {
		t.Helper()
		req := must(http.NewRequestWithContext(t.Context(), method, r.URL+PathUserInfo, nil))(t)
		req.Header.Set("Authorization", "Bearer "+token)
		res := r.do(req)
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/jwt" || res.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v %s", res.StatusCode, res.Header, res.text)
		}
		return res.text
	}
	check := func(client string, claims map[string]any) {
		t.Helper()
		if claims["iss"] != r.URL || claims["aud"] != client || claims["sub"] != "ann" || claims["email"] != "ann@acme.example" || claims["exp"] != nil {
			t.Errorf("%s: %v", client, claims)
		}
	}
	verified := func(client, alg, token string) {
		t.Helper()
		var claims map[string]any
		if err := r.p.keys.open(t.Context(), token, typeIDToken, false, &claims); err != nil {
			t.Fatal(err)
		}
		check(client, claims)
		if header, _ := payload(t, token); header["alg"] != alg {
			t.Errorf("%s: %v", client, header)
		}
		if _, err := r.p.openHint(t.Context(), token); !errors.Is(err, errToken) {
			t.Errorf("%s: passes for an ID token: %v", client, err)
		}
	}
	for _, method := range []string{"GET", "POST"} {
		verified("signed", "ES256", fetch(method, str(r.tokens("signed", "scope", "openid email")["access_token"])))

		header, plain := decrypt(t, fetch(method, str(r.tokens("sealed", "scope", "openid email")["access_token"])), "ECDH-ES", "A128CBC-HS256")
		var claims map[string]any
		if err := json.Unmarshal([]byte(plain), &claims); err != nil || header.ExtraHeaders["cty"] != nil {
			t.Errorf("%v %s", header, plain)
		}
		check("sealed", claims)

		header, token := decrypt(t, fetch(method, str(r.tokens("nested", "scope", "openid email")["access_token"])), "RSA-OAEP-256", "A256GCM")
		if header.ExtraHeaders["cty"] != "JWT" {
			t.Errorf("%v", header)
		}
		verified("nested", "PS256", token)
	}
	// Errors stay what they are (RFC 6750 section 3.1).
	if res := r.post(PathUserInfo, nil, withToken("x")); res.StatusCode != 401 || res.json["error"] != "invalid_token" {
		t.Errorf("%d %s", res.StatusCode, res.text)
	}
}

// introspectAs asks about a token with an Accept header.
func (r *rig) introspectAs(token, accept, who string) *reply {
	r.t.Helper()
	return r.post(PathIntrospect, url.Values{"token": {token}}, func(req *http.Request, form url.Values) {
		basic(who)(req, form)
		req.Header.Set("Accept", accept)
	})
}

// RFC 9701 sections 4 and 5.
func TestIntrospectionAsAJWT(t *testing.T) {
	r := newRig(t)
	r.reader("rs", map[string]any{signedAlg(answerIntrospection): "EdDSA", encryptedAlg(answerIntrospection): "ECDH-ES+A256KW", encryptedEnc(answerIntrospection): "A256CBC-HS512"})
	if err := changeClient("web", func(c *store.Client) { c.Audiences = append(c.Audiences, "rs") })(r); err != nil {
		t.Fatal(err)
	}
	token := str(r.tokens("web", "resource", "rs")["access_token"])
	open := func(who, raw, alg string) map[string]any {
		t.Helper()
		var claims map[string]any
		if err := r.p.keys.open(t.Context(), raw, typeIntrospection, false, &claims); err != nil {
			t.Fatal(err)
		}
		if header, _ := payload(t, raw); header["alg"] != alg || header["typ"] != "token-introspection+jwt" {
			t.Errorf("header %v", header)
		}
		// What is beside the one claim could make it an access token (section 5).
		if len(claims) != 4 || claims["iss"] != r.URL || claims["aud"] != who || claims["iat"] != float64(r.now().Unix()) {
			t.Errorf("claims %v", claims)
		}
		inside, _ := claims["token_introspection"].(map[string]any)
		return inside
	}
	for accept, jwt := range map[string]bool{
		"": false, "*/*": false, "application/json": false, "application/*": false, "application/jwt": false, mediaIntrospection + ";q=0": false,
		mediaIntrospection: true, "text/html, Application/Token-Introspection+JWT; q=0.9": true,
	} {
		res := r.introspectAs(token, accept, "web")
		if got := res.Header.Get("Content-Type"); res.StatusCode != 200 || (got == mediaIntrospection) != jwt || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %d %s", accept, res.StatusCode, got)
		}
		if !jwt {
			continue
		}
		plain := r.introspectAs(token, "application/json", "web")
		if inside := open("web", res.text, "RS256"); fmt.Sprint(inside) != fmt.Sprint(plain.json) || inside["active"] != true || inside["sub"] != "ann" {
			t.Errorf("inside %v, as JSON %v", inside, plain.json)
		}
	}
	header, inner := decrypt(t, r.introspectAs(token, mediaIntrospection, "rs").text, "ECDH-ES+A256KW", "A256CBC-HS512")
	if inside := open("rs", inner, "EdDSA"); header.ExtraHeaders["cty"] != "JWT" || inside["active"] != true {
		t.Errorf("header %v, inside %v", header, inside)
	}
	// Who may not know learns what the JSON would say, and no more (section 5).
	for _, who := range []string{"other", "https://api.example"} {
		if inside := open(who, r.introspectAs(token, mediaIntrospection, who).text, "RS256"); len(inside) != 1 || inside["active"] != false {
			t.Errorf("%s learns %v", who, inside)
		}
	}
	r.wantError(r.introspectAs(token, mediaIntrospection, "nobody"), 401, "invalid_client")
	// FAPI 2.0 Message Signing section 5.5: no RS256.
	bank := store.Client{ID: "bank", Settings: map[string]any{"profile": "fapi2", signedAlg(answerIntrospection): "RS256"}}
	open("bank", must(r.p.introspectionJWT(t.Context(), bank, introspection{}))(t), "PS256")
	// It is no access token.
	if res := r.post(PathUserInfo, nil, withToken(r.introspectAs(token, mediaIntrospection, "web").text)); res.StatusCode != 401 {
		t.Errorf("passes for an access token: %d", res.StatusCode)
	}
}

// JARM section 2.2: first signed, then encrypted; errors, too.
func TestEncryptedAnswers(t *testing.T) {
	r := newRig(t)
	r.reader("reader", map[string]any{signedAlg(answerAuthorization): "ES256", encryptedAlg(answerAuthorization): "RSA-OAEP"})
	for scope, want := range map[string]string{"openid": "code", "nonsense": "error"} {
		got := r.answerOf(r.get(PathAuthorize, ask("reader", "response_mode", "jwt", "scope", scope)))
		header, inner := decrypt(t, got.Get("response"), "RSA-OAEP", "A128CBC-HS256")
		var claims map[string]any
		if err := r.p.keys.open(t.Context(), inner, typeIDToken, false, &claims); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || header.ExtraHeaders["cty"] != "JWT" || claims["aud"] != "reader" || claims["state"] != "the state" || str(claims[want]) == "" {
			t.Errorf("%s: %v %v", scope, header, claims)
		}
	}
	// The client decides by response_mode, as for signatures (section 2.3).
	if got := r.answerOf(r.get(PathAuthorize, ask("reader"))); got.Get("code") == "" {
		t.Errorf("without: %v", got)
	}
}

// OpenID Connect Registration section 2, RFC 9701 section 6, JARM section 3.
func TestEncryptionIsRegistered(t *testing.T) {
	r := newRig(t, open)
	for _, answer := range signedAnswers {
		keys := object{"jwks": readerSet(t), encryptedAlg(answer): "RSA-OAEP"}
		res := r.send("POST", PathRegister, "", metadataWith(keys))
		if res.StatusCode != 201 || res.json[encryptedAlg(answer)] != "RSA-OAEP" || res.json[encryptedEnc(answer)] != "A128CBC-HS256" {
			t.Errorf("%s: %d %s", answer, res.StatusCode, res.text)
		}
		for name, change := range map[string]object{
			"no keys":    {encryptedAlg(answer): "RSA-OAEP"},
			"no fit":     {"jwks": partySet(t), encryptedAlg(answer): "dir"},
			"unknown":    {"jwks": readerSet(t), encryptedAlg(answer): "RSA1_5"},
			"a list":     {"jwks": readerSet(t), encryptedAlg(answer): []string{"RSA-OAEP"}},
			"enc":        {"jwks": readerSet(t), encryptedAlg(answer): "RSA-OAEP", encryptedEnc(answer): "A192GCM"},
			"enc alone":  {"jwks": readerSet(t), encryptedEnc(answer): "A128GCM"},
			"signatures": {signedAlg(answer): "none"},
		} {
			res := r.send("POST", PathRegister, "", metadataWith(change))
			r.wantError(res, 400, "invalid_client_metadata")
			if !strings.Contains(str(res.json["error_description"]), answer) {
				t.Errorf("%s %s: %s", answer, name, res.text)
			}
		}
	}
}

// OpenID Connect Discovery section 3, RFC 9701 section 7, JARM section 4: what is
// advertised of answers can be registered, and nothing else.
func TestDiscoverySaysHowAnswersAreSignedAndEncrypted(t *testing.T) {
	r := newRig(t, open)
	doc := r.get(PathDiscovery, nil).json
	for _, answer := range signedAnswers {
		for _, c := range []struct {
			supported, metadata string
			candidates          []string
		}{
			{"_signing_alg_values_supported", signedAlg(answer), []string{"RS256", "ES256", "PS256", "EdDSA", "RS384", "ES512", "HS256", "none"}},
			{"_encryption_alg_values_supported", encryptedAlg(answer), []string{"RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW", "ECDH-ES+A192KW", "RSA1_5", "dir", "A256KW", "PBES2-HS256+A128KW"}},
			{"_encryption_enc_values_supported", encryptedEnc(answer), []string{"A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM", "A192GCM", "A192CBC-HS384", "XC20P"}},
		} {
			on := list(t, doc[answer+c.supported])
			for _, one := range c.candidates {
				in := metadataWith(object{"jwks": readerSet(t), encryptedAlg(answer): "RSA-OAEP"})
				in[c.metadata] = one
				if res := r.send("POST", PathRegister, "", in); (res.StatusCode == 201) != slices.Contains(on, one) {
					t.Errorf("%s %s: advertised %v, answer %s", c.metadata, one, on, res.text)
				}
			}
			for _, one := range on {
				if !slices.Contains(c.candidates, one) {
					t.Errorf("%s: %s is advertised without a test", c.metadata, one)
				}
			}
		}
	}
}
