package provider

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"anteroom/internal/seal"
	"anteroom/store"
)

// partyKeys are private keys of clients, one of each kind, made once.
var partyKeys = sync.OnceValue(func() map[string]crypto.Signer {
	r, _ := rsa.GenerateKey(rand.Reader, 2048)
	e, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, d, _ := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{"RS256": r, "PS256": r, "ES256": e, "EdDSA": d}
})

// partySet is the JWK set of their public parts, as metadata holds it.
func partySet(t testing.TB) any {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: partyKeys()[alg].Public(), KeyID: "of " + alg})
	}
	var out any
	if err := json.Unmarshal(must(json.Marshal(set))(t), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// signJWT signs claims with a key of a client.
func signJWT(t testing.TB, alg string, key any, typ string, claims map[string]any) string {
	t.Helper()
	o := &jose.SignerOptions{}
	if typ != "" {
		o = o.WithType(jose.ContentType(typ))
	}
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, o))(t)
	signed := must(signer.Sign(must(json.Marshal(claims))(t)))(t)
	return must(signed.CompactSerialize())(t)
}

// register adds a client of the first application, with what every client of the
// rig has.
func (r *rig) register(c store.Client) {
	r.t.Helper()
	c.ApplicationID = "analytics"
	if c.GrantTypes == nil {
		c.GrantTypes = []string{"authorization_code", "refresh_token", "client_credentials"}
	}
	if c.RedirectURIs == nil {
		c.RedirectURIs = []string{callback}
	}
	c.ResponseTypes, c.Scopes, c.Audiences = []string{"code"}, everyScope, []string{"https://api.example"}
	if err := r.db.CreateClient(r.t.Context(), c); err != nil {
		r.t.Fatal(err)
	}
}

// assertionClaims are good ones; changes replace members, nil removes.
func (r *rig) assertionClaims(client string, changes map[string]any) map[string]any {
	claims := map[string]any{
		"iss": client, "sub": client, "aud": r.URL, "jti": seal.RandomID(),
		"iat": r.now().Unix(), "exp": r.now().Add(time.Minute).Unix(),
	}
	for k, v := range changes {
		if claims[k] = v; v == nil {
			delete(claims, k)
		}
	}
	return claims
}

func asserted(jwt string) as {
	return func(_ *http.Request, form url.Values) {
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", jwt)
	}
}

// byKey authenticates with private_key_jwt.
func (r *rig) byKey(client, alg string) as {
	return func(req *http.Request, form url.Values) {
		asserted(signJWT(r.t, alg, partyKeys()[alg], "", r.assertionClaims(client, nil)))(req, form)
	}
}

// derivedSecret is what a client of client_secret_jwt is registered with now.
func (r *rig) derivedSecret(client string) []store.ClientSecret {
	hash := r.seal.Digest(seal.ClientSecret, r.seal.ClientSecret(client, r.now()))
	return []store.ClientSecret{{Hash: hash, CreatedAt: r.now()}}
}

// bySecretJWT authenticates with client_secret_jwt and that secret.
func (r *rig) bySecretJWT(client string) as {
	shared := []byte(r.seal.ClientSecret(client, r.now()))
	return asserted(signJWT(r.t, "HS256", shared, "", r.assertionClaims(client, nil)))
}

var machine = url.Values{"grant_type": {"client_credentials"}}

// OpenID Connect Core section 9, RFC 7523 section 3.
func TestPrivateKeyJWT(t *testing.T) {
	r := newRig(t)
	r.register(store.Client{ID: "keyed", TokenEndpointAuthMethod: "private_key_jwt", Settings: map[string]any{"jwks": partySet(t)}})
	r.register(store.Client{ID: "pinned", TokenEndpointAuthMethod: "private_key_jwt", Settings: map[string]any{"jwks": partySet(t), "token_endpoint_auth_signing_alg": "ES256"}})
	r.register(store.Client{ID: "keyless", TokenEndpointAuthMethod: "private_key_jwt"})
	for _, alg := range clientAlgorithms {
		if res := r.post(PathToken, machine, r.byKey("keyed", alg)); res.StatusCode != 200 {
			t.Errorf("%s: %d %s", alg, res.StatusCode, res.text)
		}
	}
	stranger := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	secretOfPublic := must(json.Marshal(partySet(t)))(t)
	changed := func(changes map[string]any) string {
		return signJWT(t, "ES256", partyKeys()["ES256"], "", r.assertionClaims("keyed", changes))
	}
	now := r.now().Unix()
	good := changed(nil)
	for _, c := range []struct {
		name   string
		who    as
		status int
		code   string
	}{
		{"as it should be", asserted(good), 200, ""},
		{"the same again", asserted(good), 401, "invalid_client"},
		{"the token endpoint as audience", asserted(changed(map[string]any{"aud": r.URL + PathToken})), 200, ""},
		{"a list of our names", asserted(changed(map[string]any{"aud": []string{r.URL, r.URL + PathToken}})), 200, ""},
		{"another server in the audience", asserted(changed(map[string]any{"aud": []string{r.URL, "https://other.example"}})), 401, "invalid_client"},
		{"for another server", asserted(changed(map[string]any{"aud": "https://other.example"})), 401, "invalid_client"},
		{"for nobody", asserted(changed(map[string]any{"aud": nil})), 401, "invalid_client"},
		{"by another client", asserted(changed(map[string]any{"iss": "web"})), 401, "invalid_client"},
		{"about another client", asserted(changed(map[string]any{"sub": "pinned"})), 401, "invalid_client"},
		{"expired", asserted(changed(map[string]any{"exp": now - 11})), 401, "invalid_client"},
		{"expired, by a clock 9 s off", asserted(changed(map[string]any{"exp": now - 9})), 200, ""},
		{"never expires", asserted(changed(map[string]any{"exp": nil})), 401, "invalid_client"},
		{"expires next week", asserted(changed(map[string]any{"exp": now + 7*86400})), 401, "invalid_client"},
		{"not yet", asserted(changed(map[string]any{"nbf": now + 60})), 401, "invalid_client"},
		{"issued in the future", asserted(changed(map[string]any{"iat": now + 60})), 401, "invalid_client"},
		{"issued 10 s in the future", asserted(changed(map[string]any{"iat": now + 10, "nbf": now + 10})), 200, ""},
		{"without jti", asserted(changed(map[string]any{"jti": nil})), 401, "invalid_client"},
		{"by a stranger's key", asserted(signJWT(t, "ES256", stranger, "", r.assertionClaims("keyed", nil))), 401, "invalid_client"},
		{"the public keys as a secret", asserted(signJWT(t, "HS256", secretOfPublic, "", r.assertionClaims("keyed", nil))), 401, "invalid_client"},
		{"unsigned", asserted("eyJhbGciOiJub25lIn0.e30."), 401, "invalid_client"},
		{"garbage", asserted("a.b.c"), 401, "invalid_client"},
		{"another algorithm than registered", r.byKey("pinned", "PS256"), 401, "invalid_client"},
		{"the registered algorithm", r.byKey("pinned", "ES256"), 200, ""},
		{"a client without keys", r.byKey("keyless", "ES256"), 401, "invalid_client"},
		{"an unknown client", r.byKey("nobody", "RS256"), 401, "invalid_client"},
		{"a client of another method", r.byKey("web", "ES256"), 401, "invalid_client"},
		{"no assertion", publicly("keyed"), 401, "invalid_client"},
		{"another client_id", func(q *http.Request, f url.Values) { r.byKey("keyed", "ES256")(q, f); f.Set("client_id", "web") }, 400, "invalid_request"},
		{"a secret, too", func(q *http.Request, f url.Values) { r.byKey("keyed", "ES256")(q, f); basic("web")(q, f) }, 400, "invalid_request"},
		{"another type", func(q *http.Request, f url.Values) {
			r.byKey("keyed", "ES256")(q, f)
			f.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
		}, 401, "invalid_client"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := r.post(PathToken, machine, c.who)
			if res.StatusCode != c.status || str(res.json["error"]) != c.code {
				t.Errorf("got %d %s, want %d %s", res.StatusCode, res.text, c.status, c.code)
			}
		})
	}
}

// RFC 7523 section 3: the jti is the client's own, and a refused request uses it
// up as well.
func TestAssertionsWorkOnceWhateverBecomesOfTheRequest(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{"a", "b"} {
		r.register(store.Client{ID: id, TokenEndpointAuthMethod: "private_key_jwt", Settings: map[string]any{"jwks": partySet(t)}})
	}
	sign := func(client string) as {
		return asserted(signJWT(t, "ES256", partyKeys()["ES256"], "", r.assertionClaims(client, map[string]any{"jti": "the same"})))
	}
	a := sign("a")
	r.wantError(r.post(PathToken, redemption("unknown"), a), 400, "invalid_grant")
	r.wantError(r.post(PathToken, machine, a), 401, "invalid_client")
	if res := r.post(PathToken, machine, sign("b")); res.StatusCode != 200 {
		t.Errorf("the jti of another client: %s", res.text)
	}
	for _, path := range []string{PathIntrospect, PathRevoke} {
		who := r.byKey("a", "ES256")
		var jwt string
		keep := func(q *http.Request, f url.Values) { who(q, f); jwt = f.Get("client_assertion") }
		if res := r.post(path, url.Values{"token": {"x"}}, keep); res.StatusCode != 200 {
			t.Errorf("%s: %s", path, res.text)
		}
		r.wantError(r.post(path, url.Values{"token": {"x"}}, asserted(jwt)), 401, "invalid_client")
	}
}

// The jti is in the commit of the tokens, and of parallel requests with
// one assertion one wins.
func TestAnAssertionIsUsedUpInTheCommitOfItsTokens(t *testing.T) {
	r := newRig(t)
	r.register(store.Client{ID: "keyed", TokenEndpointAuthMethod: "private_key_jwt", Settings: map[string]any{"jwks": partySet(t)}})
	code := r.code(ask("keyed"))
	before := r.db.Commits()
	if res := r.post(PathToken, redemption(code), r.byKey("keyed", "ES256")); res.StatusCode != 200 {
		t.Fatal(res.text)
	}
	if got := r.db.Commits() - before; got != 1 {
		t.Errorf("%d commits, want 1", got)
	}
	jwt := signJWT(t, "ES256", partyKeys()["ES256"], "", r.assertionClaims("keyed", nil))
	codes := make([]string, 8)
	for i := range codes {
		codes[i] = r.code(ask("keyed"))
	}
	var won, lost int
	var mu sync.Mutex
	var wait sync.WaitGroup
	for _, code := range codes {
		wait.Go(func() {
			res := r.post(PathToken, redemption(code), asserted(jwt))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case res.StatusCode == 200:
				won++
			case res.json["error"] == "invalid_client":
				lost++
			default:
				t.Errorf("got %d %s", res.StatusCode, res.text)
			}
		})
	}
	wait.Wait()
	if won != 1 || lost != len(codes)-1 {
		t.Errorf("%d won, %d lost", won, lost)
	}
	if n := r.count("code.reused"); n != 0 {
		t.Errorf("%d codes were taken for reused", n)
	}
}

// OpenID Connect Core section 9, client_secret_jwt.
func TestClientSecretJWT(t *testing.T) {
	r := newRig(t)
	made := r.now().Add(-time.Hour)
	shared := r.seal.ClientSecret("hmac", made)
	r.register(store.Client{ID: "hmac", TokenEndpointAuthMethod: "client_secret_jwt", Secrets: []store.ClientSecret{
		{Hash: r.seal.Digest(seal.ClientSecret, "random"), CreatedAt: made.Add(time.Minute)},
		{Hash: r.seal.Digest(seal.ClientSecret, shared), CreatedAt: made},
	}})
	r.register(store.Client{ID: "over", TokenEndpointAuthMethod: "client_secret_jwt", Secrets: []store.ClientSecret{
		{Hash: r.seal.Digest(seal.ClientSecret, r.seal.ClientSecret("over", made)), CreatedAt: made, ExpiresAt: made},
	}})
	sign := func(client, key string) as {
		return asserted(signJWT(t, "HS256", []byte(key), "", r.assertionClaims(client, nil)))
	}
	if res := r.post(PathToken, machine, sign("hmac", shared)); res.StatusCode != 200 {
		t.Errorf("got %d %s", res.StatusCode, res.text)
	}
	for name, who := range map[string]as{
		"another secret":               sign("hmac", strings.Repeat("x", 43)),
		"one that only its hash is of": sign("hmac", r.seal.ClientSecret("hmac", made.Add(time.Minute))),
		"an expired secret":            sign("over", r.seal.ClientSecret("over", made)),
		"the secret itself":            func(_ *http.Request, f url.Values) { f.Set("client_id", "hmac"); f.Set("client_secret", shared) },
		"a key":                        r.byKey("hmac", "ES256"),
		"nobody":                       sign("nobody", shared),
	} {
		t.Run(name, func(t *testing.T) { r.wantError(r.post(PathToken, machine, who), 401, "invalid_client") })
	}
}

// store.MetaRestored: what was used before a backup was put back is forgotten.
func TestAssertionsOfBeforeARestoreAreRefused(t *testing.T) {
	r := newRig(t)
	r.register(store.Client{ID: "keyed", TokenEndpointAuthMethod: "private_key_jwt", Settings: map[string]any{"jwks": partySet(t)}})
	old := signJWT(t, "ES256", partyKeys()["ES256"], "", r.assertionClaims("keyed", nil))
	silent := signJWT(t, "ES256", partyKeys()["ES256"], "", r.assertionClaims("keyed", map[string]any{"iat": nil, "exp": r.now().Add(30 * time.Minute).Unix()}))
	r.pass(5 * time.Second)
	r.p.restored = r.now()
	for _, jwt := range []string{old, silent} {
		r.wantError(r.post(PathToken, machine, asserted(jwt)), 401, "invalid_client")
	}
	if res := r.post(PathToken, machine, r.byKey("keyed", "ES256")); res.StatusCode != 200 {
		t.Errorf("a new one: %s", res.text)
	}
	if err := r.db.SetMeta(t.Context(), store.MetaRestored, r.now().Format(time.RFC3339Nano)); err != nil {
		t.Fatal(err)
	}
	if at, err := restoredAt(r.db); err != nil || !at.Equal(r.now()) {
		t.Errorf("restored at %v: %v", at, err)
	}
}

// keySourceFunc is a KeySource.
type keySourceFunc func(ctx context.Context, uri, kid string) (json.RawMessage, error)

func (f keySourceFunc) KeySet(ctx context.Context, uri, kid string) (json.RawMessage, error) {
	return f(ctx, uri, kid)
}

// RFC 7591 section 2, jwks_uri: the source is asked for the kid of the JWT.
func TestKeysThatAClientPublishes(t *testing.T) {
	var asked []string
	fail := error(nil)
	r := newRig(t, func(o *Options) {
		o.KeySource = keySourceFunc(func(_ context.Context, uri, kid string) (json.RawMessage, error) {
			asked = append(asked, uri+" "+kid)
			return must(json.Marshal(partySet(t)))(t), fail
		})
	})
	r.register(store.Client{ID: "keyed", TokenEndpointAuthMethod: "private_key_jwt", Settings: map[string]any{"jwks_uri": "https://portal.example/jwks"}})
	jwt := signJWT(t, "ES256", jose.JSONWebKey{Key: partyKeys()["ES256"], KeyID: "of ES256"}, "", r.assertionClaims("keyed", nil))
	if res := r.post(PathToken, machine, asserted(jwt)); res.StatusCode != 200 || len(asked) != 1 || asked[0] != "https://portal.example/jwks of ES256" {
		t.Errorf("got %s, asked %v", res.text, asked)
	}
	fail = context.DeadlineExceeded
	r.wantError(r.post(PathToken, machine, r.byKey("keyed", "ES256")), 401, "invalid_client")
}

func TestKeySetsThatMayBeRegistered(t *testing.T) {
	small := must(rsa.GenerateKey(rand.Reader, 1024))(t)
	set := func(keys ...any) []byte {
		var s jose.JSONWebKeySet
		for _, k := range keys {
			s.Keys = append(s.Keys, jose.JSONWebKey{Key: k})
		}
		return must(json.Marshal(s))(t)
	}
	for name, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"good":      {must(json.Marshal(partySet(t)))(t), ""},
		"no JSON":   {[]byte("{"), "looks like"},
		"empty":     {[]byte(`{"keys":[]}`), "looks like"},
		"not a key": {[]byte(`{"keys":[{"kty":"EC"}]}`), "cannot be read"},
		"a secret":  {set([]byte("0123456789012345678901234567890123456789")), "public keys only"},
		"private":   {set(partyKeys()["ES256"]), "public keys only"},
		"too small": {set(&small.PublicKey), "2048"},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckKeySet(c.raw)
			if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// Whatever is sent as an assertion: a 4xx in the protocol's form.
func FuzzClientAssertion(f *testing.F) {
	r := newRig(f)
	r.register(store.Client{ID: "keyed", TokenEndpointAuthMethod: "private_key_jwt", Settings: map[string]any{"jwks": partySet(f)}})
	for _, seed := range []string{
		signJWT(f, "ES256", partyKeys()["ES256"], "", r.assertionClaims("nobody", nil)),
		signJWT(f, "ES256", partyKeys()["ES256"], "", map[string]any{"sub": "keyed", "iss": "keyed", "exp": 1e300, "aud": 7}),
		"eyJhbGciOiJub25lIn0.e30.", "a.b.c", "", `{"payload":""}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, jwt string) {
		body := url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {assertionType}, "client_assertion": {jwt}}.Encode()
		req := httptest.NewRequest(http.MethodPost, PathToken, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		r.p.Token(w, req)
		if w.Code < 400 || w.Code > 499 {
			t.Fatalf("got %d %s", w.Code, w.Body)
		}
	})
}
