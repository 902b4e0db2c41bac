package provider

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"anteroom/internal/seal"
	"anteroom/store"
)

// readerKeys are private keys that clients read encrypted answers with.
var readerKeys = sync.OnceValue(func() map[string]crypto.Signer {
	r, _ := rsa.GenerateKey(rand.Reader, 2048)
	e, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	return map[string]crypto.Signer{"RSA": r, "ECDH": e}
})

func readerKey(alg string) crypto.Signer {
	kind, _, _ := strings.Cut(alg, "-")
	return readerKeys()[kind]
}

// asJSON is a value as metadata holds it.
func asJSON(t testing.TB, v any) (out any) {
	t.Helper()
	if err := json.Unmarshal(must(json.Marshal(v))(t), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// readerSet is a key set for encryption, with a signing key before it that must
// not be taken.
func readerSet(t testing.TB) any {
	return asJSON(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: partyKeys()["RS256"].Public(), KeyID: "of RS256", Use: "sig"},
		{Key: partyKeys()["ES256"].Public(), KeyID: "unmarked"},
		{Key: readerKeys()["RSA"].Public(), KeyID: "rsa", Use: "enc"},
		{Key: readerKeys()["ECDH"].Public(), KeyID: "ec", Use: "enc"},
	}})
}

// decrypt opens a JWE of exactly these algorithms with a client's key.
func decrypt(t testing.TB, raw, alg, enc string) (header jose.Header, content string) {
	t.Helper()
	sealed, err := jose.ParseEncryptedCompact(raw, []jose.KeyAlgorithm{jose.KeyAlgorithm(alg)}, []jose.ContentEncryption{jose.ContentEncryption(enc)})
	if err != nil {
		t.Fatalf("%s %s: %v: %q", alg, enc, err, raw)
	}
	return sealed.Header, string(must(sealed.Decrypt(readerKey(alg)))(t))
}

// reader registers a client with keys to encrypt to and these
// settings.
func (r *rig) reader(id string, settings map[string]any) {
	r.t.Helper()
	set := map[string]any{"jwks": readerSet(r.t)}
	for name, v := range settings {
		set[name] = v
	}
	r.register(store.Client{
		ID: id, TokenEndpointAuthMethod: "client_secret_basic", Settings: set,
		Secrets: []store.ClientSecret{{Hash: r.seal.Digest(seal.ClientSecret, secret)}},
	})
}

// OpenID Connect Core sections 10.2 and 16.14, Registration section 2: signed,
// then encrypted, to the client's key for encryption.
func TestEncryptedIDTokens(t *testing.T) {
	r := newRig(t)
	for _, alg := range keyManagement {
		for _, enc := range append([]string{""}, contentEncryption...) {
			id, want := "reader "+alg+enc, enc
			settings := map[string]any{encryptedAlg(answerIDToken): alg}
			if enc != "" {
				settings[encryptedEnc(answerIDToken)] = enc
			} else {
				want = "A128CBC-HS256"
			}
			r.reader(id, settings)
			got := r.tokens(id)
			header, inner := decrypt(t, str(got["id_token"]), alg, want)
			if kid := map[bool]string{true: "rsa", false: "ec"}[strings.HasPrefix(alg, "RSA")]; header.KeyID != kid || header.ExtraHeaders["cty"] != "JWT" || header.ExtraHeaders["iss"] != nil {
				t.Errorf("%s: header %+v", id, header)
			}
			hint, err := r.p.openHint(t.Context(), inner)
			if err != nil || hint.Subject != "ann" || hint.Audience[0] != id {
				t.Errorf("%s: inside is %+v, %v", id, hint, err)
			}
			if strings.Contains(str(got["access_token"]), "..") || len(strings.Split(str(got["access_token"]), ".")) != 3 {
				t.Errorf("%s: the access token changed", id)
			}
		}
	}
	// What is inside works as a hint (section 3.1.2.1), and refreshed ones are encrypted as well.
	got := r.tokens("reader RSA-OAEP")
	_, inner := decrypt(t, str(got["id_token"]), "RSA-OAEP", "A128CBC-HS256")
	if answer := r.answerOf(r.get(PathAuthorize, ask("reader RSA-OAEP", "id_token_hint", inner, "prompt", "none"))); answer.Get("code") == "" {
		t.Errorf("as a hint: %v", answer)
	}
	again := r.post(PathToken, refreshment(str(got["refresh_token"])), basic("reader RSA-OAEP"))
	decrypt(t, str(again.json["id_token"]), "RSA-OAEP", "A128CBC-HS256")
}

// OpenID Connect Core sections 3.2.2.5 and 3.3.2.5: in the authorization response
// as well, and nobody signs in if that cannot be done.
func TestEncryptedIDTokensInTheFrontChannel(t *testing.T) {
	r := newFrontRig(t)
	for _, keys := range []any{readerSet(t), nil} {
		r.check(changeClient("hybrid", func(c *store.Client) {
			c.Settings = map[string]any{encryptedAlg(answerIDToken): "RSA-OAEP"}
			if keys != nil {
				c.Settings["jwks"] = keys
			}
		})(r))
		for _, kind := range []string{"id_token", "code id_token token"} {
			r.hub.last.Params = ""
			got := r.fragmentOf(r.get(PathAuthorize, ask("hybrid", "response_type", kind)))
			if keys == nil {
				if got.Get("error") != "invalid_request" || got.Has("id_token") || r.hub.last.Params != "" {
					t.Errorf("%s without a key: %v", kind, got)
				}
				continue
			}
			_, inner := decrypt(t, got.Get("id_token"), "RSA-OAEP", "A128CBC-HS256")
			if hint, err := r.p.openHint(t.Context(), inner); err != nil || hint.Subject != "ann" {
				t.Errorf("%s: %+v %v", kind, hint, err)
			}
		}
	}
}

// A client that publishes itself is no exception: what it says of encryption is
// done, or there is no such client.
func TestPublishedClientsGetEncryptedAnswers(t *testing.T) {
	r, site := publishing(t, nil)
	id := site.says(object{"jwks": readerSet(t), encryptedAlg(answerIDToken): "RSA-OAEP"})
	res := r.post(PathToken, redemption(r.code(ask(id))), publicly(id))
	decrypt(t, str(res.json["id_token"]), "RSA-OAEP", "A128CBC-HS256")
	for _, wrong := range []object{{encryptedAlg(answerIDToken): "RSA-OAEP"}, {"jwks": readerSet(t), encryptedAlg(answerIDToken): "RSA1_5"}} {
		site.says(wrong)
		r.pass(documentMost + documentStale)
		if res := r.get(PathAuthorize, ask(id)); res.StatusCode != 400 || res.Header.Get("Location") != "" {
			t.Errorf("%v: %d", wrong, res.StatusCode)
		}
	}
}

// Whatever a client registers for a key: an answer, or an error of the client's.
func TestKeysThatAnswersAreEncryptedTo(t *testing.T) {
	r := newRig(t)
	public := func(c elliptic.Curve) any { return must(ecdsa.GenerateKey(c, rand.Reader))(t).Public() }
	modulus := partyKeys()["RS256"].Public().(*rsa.PublicKey).N
	for name, c := range map[string]struct {
		alg  string
		key  any
		fits bool
	}{
		"P-256":          {"ECDH-ES", public(elliptic.P256()), true},
		"P-384":          {"ECDH-ES+A128KW", public(elliptic.P384()), true},
		"P-521":          {"ECDH-ES+A256KW", public(elliptic.P521()), true},
		"Ed25519":        {"ECDH-ES", partyKeys()["EdDSA"].Public(), false},
		"RSA":            {"RSA-OAEP", &rsa.PublicKey{N: modulus, E: 65537}, true},
		"RSA 3":          {"RSA-OAEP-256", &rsa.PublicKey{N: modulus, E: 3}, true},
		"RSA 1":          {"RSA-OAEP", &rsa.PublicKey{N: modulus, E: 1}, false},
		"even exponent":  {"RSA-OAEP", &rsa.PublicKey{N: modulus, E: 65536}, false},
		"even modulus":   {"RSA-OAEP", &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537}, false},
		"short modulus":  {"RSA-OAEP", &rsa.PublicKey{N: new(big.Int).Rsh(modulus, 1024), E: 65537}, false},
		"secret":         {"RSA-OAEP", []byte(strings.Repeat("x", 64)), false},
		"EC key for RSA": {"RSA-OAEP", public(elliptic.P256()), false},
	} {
		set := asJSON(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: c.key, Use: "enc"}}})
		client := store.Client{ID: "c", Settings: map[string]any{"jwks": set, encryptedAlg(answerIDToken): c.alg}}
		out, err := r.p.encrypt(t.Context(), client, answerIDToken, "x", nested)
		if c.fits && (err != nil || strings.Count(out, ".") != 4) {
			t.Errorf("%s: %q %v", name, out, err)
		}
		if !c.fits && (out != "" || asRefusal(err).Code != "invalid_request") {
			t.Errorf("%s: %q %v", name, out, err)
		}
	}
}

// Nothing that a client wants encrypted is ever sent in the clear: an error that
// its developer understands comes instead, and the code still works afterwards.
func TestNothingIsSentInTheClearInstead(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.KeySource = keySourceFunc(func(context.Context, string, string) (json.RawMessage, error) {
			return nil, errors.New("connection refused by 10.0.0.7")
		})
	})
	alg := map[string]any{encryptedAlg(answerIDToken): "RSA-OAEP"}
	for name, settings := range map[string]map[string]any{
		"no keys":           {},
		"keys to sign with": {"jwks": asJSON(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: partyKeys()["RS256"].Public(), Use: "sig"}}})},
		"keys of another":   {"jwks": asJSON(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: partyKeys()["RS256"].Public(), Algorithm: "RSA-OAEP-256"}}})},
		"keys of a kind":    {"jwks": asJSON(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: partyKeys()["ES256"].Public()}}})},
		"keys out of reach": {"jwks_uri": "https://portal.example/jwks"},
		"an unknown alg":    {"jwks": readerSet(t), encryptedAlg(answerIDToken): "RSA1_5"},
		"an unknown enc":    {"jwks": readerSet(t), encryptedEnc(answerIDToken): "A192GCM"},
		"a number":          {"jwks": readerSet(t), encryptedAlg(answerIDToken): 7.0},
		"enc alone":         {"jwks": readerSet(t), encryptedAlg(answerIDToken): nil, encryptedEnc(answerIDToken): "A128GCM"},
	} {
		t.Run(name, func(t *testing.T) {
			r.t = t
			set := map[string]any{}
			for _, m := range []map[string]any{alg, settings} {
				for k, v := range m {
					if set[k] = v; v == nil {
						delete(set, k)
					}
				}
			}
			for _, answer := range signedAnswers[1:] {
				for _, of := range []func(string) string{encryptedAlg, encryptedEnc} {
					if v, ok := set[of(answerIDToken)]; ok {
						set[of(answer)] = v
					}
				}
			}
			id := "reader of " + name
			r.register(store.Client{ID: id, TokenEndpointAuthMethod: "client_secret_basic", Settings: set, Secrets: []store.ClientSecret{{Hash: r.seal.Digest(seal.ClientSecret, secret)}}})
			code := r.code(ask(id))
			res := r.post(PathToken, redemption(code), basic(id))
			r.wantError(res, 400, "invalid_request")
			if strings.Contains(res.text, "10.0.0.7") || strings.Contains(res.text, "eyJ") {
				t.Errorf("says too much: %s", res.text)
			}
			if err := changeClient(id, func(c *store.Client) { c.Settings = map[string]any{"jwks": readerSet(t)} })(r); err != nil {
				t.Fatal(err)
			}
			got := r.post(PathToken, redemption(code), basic(id))
			if got.StatusCode != 200 {
				t.Fatalf("the code was burnt: %s", got.text)
			}
			if err := changeClient(id, func(c *store.Client) { c.Settings = set })(r); err != nil {
				t.Fatal(err)
			}
			access := str(got.json["access_token"])
			r.wantError(r.post(PathUserInfo, nil, withToken(access)), 400, "invalid_request")
			r.wantError(r.introspectAs(access, mediaIntrospection, id), 400, "invalid_request")
			r.wantError(r.post(PathPushed, ask(id, "response_mode", "jwt"), basic(id)), 400, "invalid_request")
			before := r.hub.last
			for _, more := range []string{"openid", "nonsense"} {
				if res := r.get(PathAuthorize, ask(id, "response_mode", "jwt", "scope", more)); res.StatusCode != 400 || res.Header.Get("Location") != "" || !strings.Contains(res.text, `id="error"`) {
					t.Errorf("authorize: %d %v", res.StatusCode, res.Header)
				}
			}
			if r.hub.last.Params != before.Params {
				t.Error("somebody had to sign in for nothing")
			}
		})
	}
}

// Back-Channel Logout section 2.4: as ID tokens.
func TestLogoutTokensAreEncryptedAsIDTokens(t *testing.T) {
	r := newRig(t)
	r.reader("reader", map[string]any{encryptedAlg(answerIDToken): "ECDH-ES+A128KW", encryptedEnc(answerIDToken): "A128GCM"})
	c := must(r.p.client(t.Context(), "reader"))(t)
	token := must(r.p.logoutToken(t.Context(), c, store.Notice{AccountID: "ann", SessionID: "s"}))(t)
	header, inner := decrypt(t, token, "ECDH-ES+A128KW", "A128GCM")
	var claims logoutClaims
	if err := r.p.keys.open(t.Context(), inner, typeLogoutToken, false, &claims); err != nil || claims.Subject != "ann" || header.ExtraHeaders["iss"] != r.URL {
		t.Errorf("%v %+v %v", header, claims, err)
	}
}

// OpenID Connect Core section 10.2: keys that a client publishes are used, and a
// new one at once when the old is gone.
func TestAnswersAreEncryptedToPublishedKeys(t *testing.T) {
	set, old := readerSet(t), any(nil)
	r := newRig(t, func(o *Options) {
		o.KeySource = keySourceFunc(func(_ context.Context, _, kid string) (json.RawMessage, error) {
			if kid == "" && old != nil {
				return json.Marshal(old)
			}
			return json.Marshal(set)
		})
	})
	r.register(store.Client{ID: "published", TokenEndpointAuthMethod: "none", Settings: map[string]any{"jwks_uri": "https://portal.example/jwks", encryptedAlg(answerIDToken): "ECDH-ES"}})
	who := publicly("published")
	got := r.post(PathToken, redemption(r.code(ask("published"))), who)
	header, _ := decrypt(t, str(got.json["id_token"]), "ECDH-ES", "A128CBC-HS256")
	if header.KeyID != "ec" {
		t.Errorf("to %q", header.KeyID)
	}
	set = partySet(t)
	got = r.post(PathToken, redemption(r.code(ask("published"))), who)
	sealed := must(jose.ParseEncryptedCompact(str(got.json["id_token"]), []jose.KeyAlgorithm{"ECDH-ES"}, []jose.ContentEncryption{"A128CBC-HS256"}))(t)
	if sealed.Header.KeyID != "of ES256" {
		t.Errorf("after a rotation to %q", sealed.Header.KeyID)
	}
	// The first key for encryption, not known here yet.
	old, set = object{"keys": []any{}}, readerSet(t)
	got = r.post(PathToken, redemption(r.code(ask("published"))), who)
	decrypt(t, str(got.json["id_token"]), "ECDH-ES", "A128CBC-HS256")
}

// Clients that did not ask do not pay, and nobody pays with a commit.
func TestEncryptionWritesNothing(t *testing.T) {
	r := newRig(t)
	r.reader("reader", map[string]any{
		encryptedAlg(answerIDToken): "ECDH-ES", encryptedAlg(answerUserInfo): "ECDH-ES", encryptedAlg(answerIntrospection): "ECDH-ES", encryptedAlg(answerAuthorization): "ECDH-ES",
	})
	code := r.code(ask("reader"))
	before := r.db.Commits()
	got := r.post(PathToken, redemption(code), basic("reader"))
	if n := r.db.Commits() - before; n != 1 || got.StatusCode != 200 {
		t.Errorf("%d commits for a code, %s", n, got.text)
	}
	before = r.db.Commits()
	r.post(PathUserInfo, nil, withToken(str(got.json["access_token"])))
	r.introspectAs(str(got.json["access_token"]), mediaIntrospection, "reader")
	if n := r.db.Commits() - before; n != 0 {
		t.Errorf("%d commits", n)
	}
	// A client that wants nothing encrypted is answered without a look at its keys.
	p := &Provider{}
	if out, err := p.encrypt(t.Context(), store.Client{}, answerIDToken, "x", nested); out != "x" || err != nil {
		t.Errorf("%q %v", out, err)
	}
}
