package provider

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	stdflag "flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"anteroom/store"
)

var update = stdflag.Bool("update", false, "write golden files")

// What is new each time is replaced by a word: times by their distance from the
// rig's clock, in seconds, and what is random by what it is.
var (
	goldenTimes  = []string{"iat", "exp", "nbf", "auth_time", "updated_at", "client_id_issued_at"}
	goldenRandom = map[string]string{
		"kid": "(kid)", "jti": "(id)", "sid": "(session)", "grant_id": "(grant)", "code": "(code)", "at_hash": "(hash)", "c_hash": "(hash)", "s_hash": "(hash)",
		"jkt": "(thumbprint)", "x5t#S256": "(thumbprint)", "epk": "(key)", "client_secret": "(secret)", "registration_access_token": "(token)",
	}
)

func (r *rig) words(name string, v any) any {
	word := goldenRandom[name]
	switch v := v.(type) {
	case map[string]any:
		if word != "" {
			return word
		}
		for name, one := range v {
			v[name] = r.words(name, one)
		}
	case []any:
		for i, one := range v {
			v[i] = r.words("", one)
		}
	case float64:
		if slices.Contains(goldenTimes, name) {
			return strings.TrimSuffix(fmt.Sprintf("now%+d", int64(v)-r.now().Unix()), "+0")
		}
	case string:
		if word != "" {
			return word
		}
		return strings.NewReplacer(r.URL, "https://id.example", r.URL[strings.LastIndex(r.URL, ":"):], "").Replace(v)
	}
	return v
}

// golden compares a JSON value to testdata/golden/NAME.json.
func (r *rig) golden(name string, v any) {
	r.t.Helper()
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(r.words("", asJSON(r.t, v))); err != nil {
		r.t.Fatal(err)
	}
	path := filepath.Join("testdata", "golden", name+".json")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		r.t.Error(err)
	}
	want, is := strings.Split(string(raw), "\n"), strings.Split(got.String(), "\n")
	for i := range max(len(want), len(is)) {
		if i >= len(want) || i >= len(is) || want[i] != is[i] {
			r.t.Errorf("%s, line %d, is not what is made now; look at what changed after: go test ./provider -run Golden -update\ngot %q\nwant %q",
				path, i+1, is[i:min(i+2, len(is))], want[i:min(i+2, len(want))])
			return
		}
	}
}

// goldenJWT compares header and claims of a JWT.
func (r *rig) goldenJWT(name, token string) {
	r.t.Helper()
	header, claims := payload(r.t, token)
	r.golden(name, object{"header": header, "claims": claims})
}

// What the tokens of each way to them say, to the last claim: a change here is
// one that portals and resource servers see.
func TestGoldenTokens(t *testing.T) {
	r := newRig(t)
	r.pass(time.Minute) // since the sign-in
	ok := func(res *reply) map[string]any {
		t.Helper()
		if res.StatusCode != 200 {
			t.Fatalf("%d %s", res.StatusCode, res.text)
		}
		return res.json
	}
	code := r.tokens("web", "scope", "openid profile api.read", "resource", "https://api.example")
	access := str(code["access_token"])
	r.goldenJWT("id-token.code", str(code["id_token"]))
	r.goldenJWT("access-token.code", access)
	r.goldenJWT("id-token.refresh", str(ok(r.post(PathToken, refreshment(str(code["refresh_token"])), basic("web")))["id_token"]))
	r.goldenJWT("id-token.claims", str(r.tokens("third", "scope", "openid", "claims", `{"id_token":{"email":null,"address":null,"roles":null}}`)["id_token"]))
	r.goldenJWT("access-token.third-party", str(r.tokens("third", "scope", "openid roles")["access_token"]))
	r.goldenJWT("access-token.client-credentials", str(ok(r.post(PathToken, url.Values{"grant_type": {"client_credentials"}, "scope": {"api.read"}}, basic("web")))["access_token"]))
	proof := with(publicly("spa"), r.holder("ES256").proof("POST", PathToken, nil))
	r.goldenJWT("access-token.dpop", str(ok(r.post(PathToken, redemption(r.code(ask("spa"))), proof))["access_token"]))
	r.gateway("gateway", ofWeb)
	r.goldenJWT("access-token.exchange", str(ok(r.post(PathToken, exchangeOf(access), basic("gateway")))["access_token"]))

	userinfo := str(r.tokens("third", "scope", "openid profile email phone address roles")["access_token"])
	r.golden("userinfo", ok(r.post(PathUserInfo, nil, withToken(userinfo))))
	r.golden("introspection", ok(r.post(PathIntrospect, url.Values{"token": {access}}, basic("web"))))
	r.goldenJWT("introspection.jwt", r.introspectAs(access, mediaIntrospection, "web").text)
	r.goldenJWT("introspection.jwt.inactive", r.introspectAs("unknown", mediaIntrospection, "web").text)
	r.goldenJWT("jarm.code", r.answerOf(r.get(PathAuthorize, ask("web", "response_mode", "jwt"))).Get("response"))
	r.goldenJWT("jarm.error", r.answerOf(r.get(PathAuthorize, ask("web", "response_mode", "jwt", "scope", "nonsense"))).Get("response"))

	web := must(r.p.client(t.Context(), "web"))(t)
	r.goldenJWT("logout-token", must(r.p.logoutToken(t.Context(), web, store.Notice{AccountID: "ann", SessionID: "s"}))(t))

	r.reader("reader", map[string]any{signedAlg(answerUserInfo): "RS256", encryptedAlg(answerIDToken): "ECDH-ES", settingSubjectType: pairwise, settingSector: "portal.example"})
	got := r.tokens("reader")
	header, inner := decrypt(t, str(got["id_token"]), "ECDH-ES", "A128CBC-HS256")
	r.golden("id-token.encrypted", object{"header": object{"alg": header.Algorithm, "kid": header.KeyID, "more": header.ExtraHeaders}})
	r.goldenJWT("id-token.pairwise", inner)
	req := r.post(PathUserInfo, nil, withToken(str(got["access_token"])))
	r.goldenJWT("userinfo.jwt", req.text)
}

// The same, of grants that have a rig of their own.
func TestGoldenTokensOfOtherGrants(t *testing.T) {
	r := deviceRig(t)
	d := r.startDevice("openid email")
	r.enter(d["user_code"], "confirm")
	res := r.poll(d["device_code"], "tv")
	r.goldenJWT("id-token.device", str(res.json["id_token"]))
	r.goldenJWT("access-token.device", str(res.json["access_token"]))

	r, p := bearerRig(t)
	res = r.post(PathToken, bearing(p.assert(t, r.about(nil))), basic("sync"))
	r.goldenJWT("access-token.jwt-bearer", str(res.json["access_token"]))

	r = backchannelRig(t)
	id := r.authReqID("ann@acme.example")
	r.decideRequest("approve")
	res = r.pollFor(id, "callcentre")
	r.goldenJWT("id-token.back-channel", str(res.json["id_token"]))
	r.goldenJWT("access-token.back-channel", str(res.json["access_token"]))

	r = detailsRig(t)
	detailed := r.tokens("web", paramDetails, payment)
	r.goldenJWT("access-token.details", str(detailed["access_token"]))
	r.golden("introspection.details", r.post(PathIntrospect, url.Values{"token": {str(detailed["access_token"])}}, basic("web")).json)

	r = newFrontRig(t)
	for name, kind := range map[string]string{"implicit": "id_token", "implicit-token": "id_token token", "hybrid": "code id_token", "hybrid-token": "code id_token token"} {
		got := r.fragmentOf(r.get(PathAuthorize, ask("hybrid", "response_type", kind, "scope", "openid email")))
		r.goldenJWT("id-token."+name, got.Get("id_token"))
		if got.Has("access_token") {
			r.goldenJWT("access-token."+name, got.Get("access_token"))
		}
	}

	a := newAuthority(t)
	r = newCertRig(t, a)
	r.register(store.Client{ID: "bound", TokenEndpointAuthMethod: "tls_client_auth", Settings: map[string]any{
		"tls_client_auth_san_dns": "portal.example", "tls_client_certificate_bound_access_tokens": true,
	}})
	res = r.post(PathToken, machine, showing("bound", a.issue(nil)))
	r.goldenJWT("access-token.certificate", str(res.json["access_token"]))
}

// everything turns on whatever is off by default.
func everything(o *Options) {
	open(o)
	o.RequestURIs, o.FrontChannel, o.SessionManagement = true, FrontChannelRegister, true
	o.Documents = Documents{Application: "third", Any: true}
	o.MutualTLS = &MutualTLS{Roots: x509.NewCertPool(), Host: "mtls.id.example"}
}

// OpenID Connect Discovery section 3, RFC 8414 section 2, RFC 7591 section 3.2.1.
func TestGoldenMetadata(t *testing.T) {
	for name, options := range map[string][]func(*Options){"default": nil, "everything": {everything}} {
		r := newRig(t, options...)
		for _, path := range []string{PathDiscovery, PathOAuthServer} {
			r.golden("metadata."+name, r.get(path, nil).json)
		}
	}
	r := newRig(t, everything)
	for name, more := range map[string]object{
		"default": {},
		"everything": {
			"client_uri": "https://tool.example/", "logo_uri": "https://tool.example/logo.png", "jwks_uri": "https://tool.example/jwks", "contacts": []string{"a@tool.example"},
			"post_logout_redirect_uris": []string{"https://tool.example/bye"}, "subject_type": pairwise, requestURIs: []string{"https://tool.example/r"}, requestAlg: "ES256",
			"backchannel_logout_uri": "https://tool.example/out", "token_endpoint_auth_method": "private_key_jwt", "id_token_signed_response_alg": "EdDSA",
			encryptedAlg(answerIDToken): "RSA-OAEP", signedAlg(answerUserInfo): "ES256", signedAlg(answerIntrospection): "PS256", encryptedAlg(answerAuthorization): "ECDH-ES", "unknown": true,
		},
	} {
		res := r.send("POST", PathRegister, "", metadataWith(more))
		if res.StatusCode != 201 {
			t.Fatal(res.text)
		}
		id := str(res.json["client_id"])
		res.json["client_id"], res.json["registration_client_uri"] = "(client)", strings.Replace(str(res.json["registration_client_uri"]), id, "(client)", 1)
		r.golden("registration."+name, res.json)
	}
}
