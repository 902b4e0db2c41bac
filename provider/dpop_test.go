package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"anteroom/internal/seal"
	"anteroom/store"
)

// holder is a client's DPoP key.
type holder struct {
	r   *rig
	alg string
	key crypto.Signer
}

func (r *rig) holder(alg string) holder { return holder{r, alg, partyKeys()[alg]} }

func (r *rig) stranger() holder {
	return holder{r, "ES256", must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(r.t)}
}

func (h holder) jkt() string {
	sum := must((&jose.JSONWebKey{Key: h.key.Public()}).Thumbprint(crypto.SHA256))(h.r.t)
	return base64.RawURLEncoding.EncodeToString(sum)
}

// claims of a good proof; changes replace members, nil removes.
func (h holder) claims(method, path, token string, changes map[string]any) map[string]any {
	claims := map[string]any{"htm": method, "htu": h.r.URL + path, "iat": h.r.now().Unix(), "jti": seal.RandomID()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	for k, v := range changes {
		if claims[k] = v; v == nil {
			delete(claims, k)
		}
	}
	return claims
}

// sign makes a proof with its public key in the header, or with other headers.
func (h holder) sign(claims map[string]any, headers map[jose.HeaderKey]any) string {
	h.r.t.Helper()
	o := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"typ": typeProof, "jwk": jose.JSONWebKey{Key: h.key.Public()}}}
	for k, v := range headers {
		if o.ExtraHeaders[k] = v; v == nil {
			delete(o.ExtraHeaders, k)
		}
	}
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(h.alg), Key: h.key}, o))(h.r.t)
	return must(must(signer.Sign(must(json.Marshal(claims))(h.r.t)))(h.r.t).CompactSerialize())(h.r.t)
}

func (h holder) proof(method, path string, changes map[string]any) string {
	return h.sign(h.claims(method, path, "", changes), nil)
}

// with adds proofs to a request.
func with(who as, proofs ...string) as {
	return func(req *http.Request, form url.Values) {
		who(req, form)
		req.Header["Dpop"] = proofs
	}
}

// bearing is a request with a token that a key holds.
func (h holder) bearing(method, path, token string) as {
	return func(req *http.Request, _ url.Values) {
		req.Header.Set("Authorization", "DPoP "+token)
		req.Header.Set("DPoP", h.sign(h.claims(method, path, token, nil), nil))
	}
}

// RFC 9449 sections 5, 6 and 7: from the code to userinfo, introspection and the
// next token, with every algorithm that is advertised.
func TestTokensThatAKeyHolds(t *testing.T) {
	r := newRig(t)
	for _, alg := range list(t, r.get(PathDiscovery, nil).json["dpop_signing_alg_values_supported"]) {
		h := r.holder(alg)
		res := r.post(PathToken, redemption(r.code(ask("spa", "scope", "openid email"))), with(publicly("spa"), h.proof("POST", PathToken, nil)))
		access, refresh := str(res.json["access_token"]), str(res.json["refresh_token"])
		if res.StatusCode != 200 || res.json["token_type"] != "DPoP" || res.Header.Get("DPoP-Nonce") == "" {
			t.Fatalf("%s: %d %s", alg, res.StatusCode, res.text)
		}
		_, claims := payload(t, access)
		if cnf, _ := claims["cnf"].(map[string]any); cnf["jkt"] != h.jkt() {
			t.Errorf("%s: cnf %v", alg, claims["cnf"])
		}
		if info := r.post(PathUserInfo, nil, h.bearing("POST", PathUserInfo, access)); info.StatusCode != 200 || info.json["sub"] != "ann" {
			t.Errorf("%s: userinfo %d %s", alg, info.StatusCode, info.text)
		}
		for name, who := range map[string]as{
			"as a bearer token": withToken(access),
			"with another key":  r.stranger().bearing("POST", PathUserInfo, access),
			"without a proof":   func(q *http.Request, _ url.Values) { q.Header.Set("Authorization", "DPoP "+access) },
			"for another token": func(q *http.Request, f url.Values) {
				h.bearing("POST", PathUserInfo, "x")(q, f)
				q.Header.Set("Authorization", "DPoP "+access)
			},
			"for another method": h.bearing("GET", PathUserInfo, access),
			"in the form":        func(_ *http.Request, f url.Values) { f.Set("access_token", access) },
		} {
			info := r.post(PathUserInfo, nil, who)
			if info.StatusCode != 401 || !strings.Contains(info.Header.Get("WWW-Authenticate"), `error="invalid_`) {
				t.Errorf("%s, %s: %d %s %v", alg, name, info.StatusCode, info.text, info.Header)
			}
		}
		if again := r.post(PathToken, refreshment(refresh), with(publicly("spa"), r.stranger().proof("POST", PathToken, nil))); again.json["error"] != "invalid_grant" {
			t.Errorf("%s: refreshed by another key: %s", alg, again.text)
		}
		if again := r.post(PathToken, refreshment(refresh), publicly("spa")); again.json["error"] != "invalid_grant" {
			t.Errorf("%s: refreshed without a key: %s", alg, again.text)
		}
		if cut, _, _ := strings.Cut(refresh, boundSign); r.post(PathToken, refreshment(cut), publicly("spa")).StatusCode == 200 {
			t.Errorf("%s: a refresh token that was cut works", alg)
		}
		if again := r.post(PathToken, refreshment(refresh), with(publicly("spa"), h.proof("POST", PathToken, nil))); again.StatusCode != 200 || again.json["token_type"] != "DPoP" {
			t.Errorf("%s: refreshed by its key: %s", alg, again.text)
		}
	}
}

// RFC 9449 sections 5 and 6.2: a confidential client may change its key, but not
// do without; whoever introspects learns the key.
func TestConfidentialClientsAndIntrospection(t *testing.T) {
	r := newRig(t)
	h := r.holder("ES256")
	res := r.post(PathToken, redemption(r.code(ask("web"))), with(basic("web"), h.proof("POST", PathToken, nil)))
	said := r.post(PathIntrospect, url.Values{"token": {str(res.json["access_token"])}}, basic("web"))
	if cnf, _ := said.json["cnf"].(map[string]any); said.json["token_type"] != "DPoP" || cnf["jkt"] != h.jkt() {
		t.Errorf("introspection %s", said.text)
	}
	refresh := str(res.json["refresh_token"])
	r.wantError(r.post(PathToken, refreshment(refresh), basic("web")), 400, "invalid_grant")
	if again := r.post(PathToken, refreshment(refresh), with(basic("web"), r.stranger().proof("POST", PathToken, nil))); again.StatusCode != 200 {
		t.Errorf("another key: %s", again.text)
	}
	bearer := str(r.tokens("web")["access_token"])
	if info := r.post(PathUserInfo, nil, h.bearing("POST", PathUserInfo, bearer)); info.StatusCode != 401 {
		t.Errorf("a bearer token as one that a key holds (section 7.1): %d", info.StatusCode)
	}
}

// RFC 9449 section 4.3, each check.
func TestProofsThatAreRefused(t *testing.T) {
	r := newRig(t)
	h := r.holder("ES256")
	now := r.now().Unix()
	path := PathToken
	good := h.proof("POST", path, nil)
	secret := jose.JSONWebKey{Key: []byte(strings.Repeat("k", 32))}
	for _, c := range []struct {
		name   string
		proofs []string
		code   string
	}{
		{"good", []string{good}, ""},
		{"the same again (section 11.1)", []string{good}, "invalid_dpop_proof"},
		{"two", []string{h.proof("POST", path, nil), h.proof("POST", path, nil)}, "invalid_dpop_proof"},
		{"empty", []string{""}, "invalid_dpop_proof"},
		{"garbage", []string{"a.b.c"}, "invalid_dpop_proof"},
		{"another type", []string{h.sign(h.claims("POST", path, "", nil), map[jose.HeaderKey]any{"typ": "JWT"})}, "invalid_dpop_proof"},
		{"no key", []string{h.sign(h.claims("POST", path, "", nil), map[jose.HeaderKey]any{"jwk": nil})}, "invalid_dpop_proof"},
		{"a private key", []string{h.sign(h.claims("POST", path, "", nil), map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: h.key}})}, "invalid_dpop_proof"},
		{"a secret", []string{h.sign(h.claims("POST", path, "", nil), map[jose.HeaderKey]any{"jwk": secret})}, "invalid_dpop_proof"},
		{"another key", []string{h.sign(h.claims("POST", path, "", nil), map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: r.stranger().key.Public()}})}, "invalid_dpop_proof"},
		{"another method", []string{h.proof("GET", path, nil)}, "invalid_dpop_proof"},
		{"another endpoint", []string{h.proof("POST", PathUserInfo, nil)}, "invalid_dpop_proof"},
		{"another host", []string{h.proof("POST", path, map[string]any{"htu": "https://other.example/token"})}, "invalid_dpop_proof"},
		{"with a query, which is ignored", []string{h.proof("POST", path, map[string]any{"htu": r.URL + path + "?a=b#c"})}, ""},
		{"without htu", []string{h.proof("POST", path, map[string]any{"htu": nil})}, "invalid_dpop_proof"},
		{"without jti", []string{h.proof("POST", path, map[string]any{"jti": nil})}, "invalid_dpop_proof"},
		{"without iat", []string{h.proof("POST", path, map[string]any{"iat": nil})}, "invalid_dpop_proof"},
		{"10 s ahead", []string{h.proof("POST", path, map[string]any{"iat": now + 10})}, ""},
		{"10 s old", []string{h.proof("POST", path, map[string]any{"iat": now - 10})}, ""},
		{"11 s ahead", []string{h.proof("POST", path, map[string]any{"iat": now + 11})}, "invalid_dpop_proof"},
		{"old", []string{h.proof("POST", path, map[string]any{"iat": now - 71})}, "invalid_dpop_proof"},
		{"a nonce of nobody", []string{h.proof("POST", path, map[string]any{"nonce": "x"})}, "use_dpop_nonce"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := r.post(PathToken, machine, with(basic("web"), c.proofs...))
			if str(res.json["error"]) != c.code || (c.code == "") != (res.StatusCode == 200) {
				t.Errorf("got %d %s, want %q", res.StatusCode, res.text, c.code)
			}
		})
	}
}

// RFC 9449 section 8 and 9: a nonce is asked for, handed out, taken for a while,
// and not for ever.
func TestProofsWithNonce(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{"web", "other"} {
		if err := changeClient(id, func(c *store.Client) {
			c.Settings = map[string]any{"dpop_bound_access_tokens": true, "dpop_nonce_required": id == "web"}
		})(r); err != nil {
			t.Fatal(err)
		}
	}
	h := r.holder("ES256")
	r.wantError(r.post(PathToken, machine, basic("web")), 400, "invalid_dpop_proof") // section 5.2
	r.wantError(r.post(PathToken, machine, basic("other")), 400, "invalid_dpop_proof")
	asked := r.post(PathToken, machine, with(basic("web"), h.proof("POST", PathToken, nil)))
	r.wantError(asked, 400, "use_dpop_nonce")
	nonce := asked.Header.Get("DPoP-Nonce")
	try := func() *reply {
		return r.post(PathToken, machine, with(basic("web"), h.proof("POST", PathToken, map[string]any{"nonce": nonce})))
	}
	if res := try(); res.StatusCode != 200 {
		t.Errorf("with the nonce: %s", res.text)
	}
	r.pass(nonceLife)
	if res := try(); res.StatusCode != 200 || res.Header.Get("DPoP-Nonce") == nonce {
		t.Errorf("the one before: %s", res.text)
	}
	r.pass(nonceLife)
	r.wantError(try(), 400, "use_dpop_nonce")
	access := str(r.post(PathToken, redemption(r.code(ask("web"))), with(basic("web"), h.proof("POST", PathToken, map[string]any{"nonce": r.p.nonce(0)}))).json["access_token"])
	res := r.get(PathUserInfo, nil)
	if res.StatusCode != 401 {
		t.Error("without a token")
	}
	res = r.post(PathUserInfo, nil, h.bearing("POST", PathUserInfo, access))
	if res.StatusCode != 401 || !strings.Contains(res.Header.Get("WWW-Authenticate"), `DPoP algs=`) || !strings.Contains(res.Header.Get("WWW-Authenticate"), "use_dpop_nonce") || res.Header.Get("DPoP-Nonce") == "" {
		t.Errorf("userinfo: %d %v", res.StatusCode, res.Header)
	}
}

// RFC 9449 section 10: a code belongs to the key that it was asked for.
func TestCodesThatAKeyHolds(t *testing.T) {
	r := newRig(t)
	h := r.holder("ES256")
	pushed := func() string {
		return r.code(r.push(ask("web"), with(basic("web"), h.proof("POST", PathPushed, nil))))
	}
	for name, code := range map[string]func() string{
		"dpop_jkt":                     func() string { return r.code(ask("web", "dpop_jkt", h.jkt())) },
		"a proof with the push":        pushed,
		"dpop_jkt in a pushed request": func() string { return r.code(r.push(ask("web", "dpop_jkt", h.jkt()), basic("web"))) },
	} {
		for _, who := range []as{basic("web"), with(basic("web"), r.stranger().proof("POST", PathToken, nil))} {
			r.wantError(r.post(PathToken, redemption(code()), who), 400, "invalid_grant")
		}
		if res := r.post(PathToken, redemption(code()), with(basic("web"), h.proof("POST", PathToken, nil))); res.StatusCode != 200 {
			t.Errorf("%s: %s", name, res.text)
		}
	}
	r.wantError(r.post(PathPushed, ask("web", "dpop_jkt", r.stranger().jkt()), with(basic("web"), h.proof("POST", PathPushed, nil))), 400, "invalid_dpop_proof")
	r.wantError(r.post(PathPushed, ask("web", "dpop_jkt", "short"), basic("web")), 400, "invalid_request")
	used := h.proof("POST", PathPushed, nil)
	r.push(ask("web"), with(basic("web"), used))
	r.wantError(r.post(PathPushed, ask("web"), with(basic("web"), used)), 400, "invalid_dpop_proof")
}

// RFC 8705 sections 3 and 3.1, and 4 for public clients.
func TestTokensThatACertificateHolds(t *testing.T) {
	a := newAuthority(t)
	r := newCertRig(t, a)
	cert, other := a.issue(nil), a.issue(nil)
	shows := func(who as, c ...string) as {
		return func(q *http.Request, f url.Values) { who(q, f); q.Header[certHeader] = c }
	}
	header := func(raw []byte) string { return ":" + base64.StdEncoding.EncodeToString(raw) + ":" }
	for _, id := range []string{"web", "spa"} {
		if err := changeClient(id, func(c *store.Client) {
			c.Settings = map[string]any{"tls_client_certificate_bound_access_tokens": true}
		})(r); err != nil {
			t.Fatal(err)
		}
		r.wantError(r.post(PathToken, redemption(r.code(ask(id))), credentialsOf(id)), 400, "invalid_request")
		res := r.post(PathToken, redemption(r.code(ask(id))), shows(credentialsOf(id), header(cert.Raw)))
		access, refresh := str(res.json["access_token"]), str(res.json["refresh_token"])
		_, claims := payload(t, access)
		if cnf, _ := claims["cnf"].(map[string]any); res.json["token_type"] != "Bearer" || cnf["x5t#S256"] != thumbprint(cert) {
			t.Errorf("%s: %s, cnf %v", id, res.text, claims["cnf"])
		}
		for name, c := range map[string]struct {
			who  as
			want int
		}{
			"its certificate": {shows(withToken(access), header(cert.Raw)), 200},
			"another":         {shows(withToken(access), header(other.Raw)), 401},
			"none":            {withToken(access), 401},
		} {
			if got := r.post(PathUserInfo, nil, c.who); got.StatusCode != c.want {
				t.Errorf("%s, %s: %d %s", id, name, got.StatusCode, got.text)
			}
		}
		again := r.post(PathToken, refreshment(refresh), shows(credentialsOf(id), header(other.Raw)))
		if want := map[string]int{"web": 200, "spa": 400}[id]; again.StatusCode != want {
			t.Errorf("%s: refreshed with another certificate: %d %s", id, again.StatusCode, again.text)
		}
	}
	// A proof for the endpoint of another host name (RFC 8705 section 5).
	alias := strings.Replace(r.URL, "127.0.0.1", "mtls.example", 1) + PathToken
	h := r.holder("ES256")
	r.wantError(r.post(PathToken, machine, with(shows(basic("web"), header(cert.Raw)), h.proof("POST", PathToken, map[string]any{"htu": alias}))), 400, "invalid_dpop_proof")
	r.p.mutualTLS.Host = "mtls.example"
	if res := r.post(PathToken, machine, with(shows(basic("web"), header(cert.Raw)), h.proof("POST", PathToken, map[string]any{"htu": alias}))); res.json["token_type"] != "DPoP" {
		t.Errorf("by the alias: %s", res.text)
	}
	if doc := r.get(PathDiscovery, nil).json; doc["tls_client_certificate_bound_access_tokens"] != true {
		t.Error("not advertised")
	}
	if doc := newRig(t).get(PathDiscovery, nil).json; doc["tls_client_certificate_bound_access_tokens"] != false {
		t.Error("advertised without certificates")
	}
}

// RFC 9449 section 4.3: htu is compared as URIs are, and nothing is forgiven.
func TestSameURI(t *testing.T) {
	for _, c := range []struct {
		a    string
		want bool
	}{
		{"https://id.example/token", true}, {"HTTPS://ID.example:443/token", true}, {"https://id.example/token?x", true},
		{"https://id.example/token/", false}, {"https://id.example:444/token", false}, {"http://id.example/token", false},
		{"https://id.example@evil/token", false}, {"https://u@id.example/token", false}, {"https://id.example/%74oken", false}, {"/token", false}, {"", false},
	} {
		if got := sameURI(c.a, "https://id.example/token"); got != c.want {
			t.Errorf("%q: %v", c.a, got)
		}
	}
}

// Whatever a proof says: an error or a thumbprint, and no panic.
func FuzzProof(f *testing.F) {
	r := newRig(f)
	f.Add(r.holder("ES256").proof("POST", PathToken, nil))
	f.Add("a.b.c")
	f.Add("eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7fX0.e30.")
	req := &http.Request{Method: "POST", URL: &url.URL{Path: PathToken}}
	f.Fuzz(func(t *testing.T, raw string) {
		req.Header = http.Header{"Dpop": {raw}}
		jkt, values, err := r.p.readProof(req, store.Client{}, "")
		if (err == nil) != (len(jkt) == 43 && len(values) == 1 && values[0].until.After(r.now().Add(-time.Hour))) {
			t.Fatalf("%q %v %v", jkt, values, err)
		}
	})
}
