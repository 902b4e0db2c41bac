package provider

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

func TestTokensAreReadByAnotherLibrary(t *testing.T) {
	t.Parallel()
	edPublic, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, rsaKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t), must(rsa.GenerateKey(rand.Reader, 2048))(t)
	for _, c := range []struct {
		alg             string
		private, public any
	}{
		{"ES256", ecKey, ecKey.Public()}, {"RS256", rsaKey, rsaKey.Public()}, {"PS256", rsaKey, rsaKey.Public()}, {"EdDSA", edPrivate, edPublic},
	} {
		s := must(newJWSSigner(c.private, c.alg, `a "kid" <&>`, typeAccessToken, typeIDToken))(t)
		for _, payload := range []string{`{}`, `{"sub":"ü"}`, `{"long":"` + strings.Repeat("x", 5000) + `"}`} {
			// A signature of ECDSA has a leading zero once in 128 times.
			for range 300 {
				token := must(s.sign(typeAccessToken, []byte(payload)))(t)
				parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(c.alg)})
				if err != nil {
					t.Fatalf("%s: %v", c.alg, err)
				}
				header := parsed.Signatures[0].Header
				if header.KeyID != `a "kid" <&>` || header.ExtraHeaders[jose.HeaderType] != typeAccessToken {
					t.Errorf("%s: the header is %+v", c.alg, header)
				}
				if got, err := parsed.Verify(c.public); err != nil || string(got) != payload {
					t.Fatalf("%s: %v, %.50s", c.alg, err, got)
				}
				if c.alg != "ES256" {
					break
				}
			}
		}
		if _, err := s.sign("other", []byte("{}")); err == nil {
			t.Errorf("%s: signed a type that the key is not for", c.alg)
		}
	}
}

func TestAKeySignsWithItsAlgorithmOnly(t *testing.T) {
	t.Parallel()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, other, rs := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t), must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t), must(rsa.GenerateKey(rand.Reader, 2048))(t)
	for _, c := range []struct {
		alg     string
		private any
	}{
		{"ES256", ed}, {"ES256", rs}, {"ES256", other}, {"ES384", other}, {"RS256", ec}, {"RS256", ed}, {"PS256", ec}, {"EdDSA", ec}, {"EdDSA", rs},
		{"RS512", rs}, {"none", ec}, {"", rs}, {"ES256", nil}, {"ES256", []byte("secret")},
	} {
		if _, err := newJWSSigner(c.private, c.alg, "kid"); err == nil {
			t.Errorf("a key of type %T signs with %q", c.private, c.alg)
		}
	}
}

func TestSignaturesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for name, der := range map[string]string{
		"nothing": "", "no sequence": "\x02\x01\x01", "one number": "\x30\x03\x02\x01\x01", "three numbers": "\x30\x09\x02\x01\x01\x02\x01\x01\x02\x01\x01",
		"something after it": "\x30\x06\x02\x01\x01\x02\x01\x01\x00", "a negative number": "\x30\x06\x02\x01\x01\x02\x01\xff",
		"a long number": "\x30\x26\x02\x21\x01" + strings.Repeat("\x00", 32) + "\x02\x01\x01",
	} {
		if raw, err := rawSignature([]byte(der)); err == nil {
			t.Errorf("%s is read as %x", name, raw)
		}
	}
	raw, err := rawSignature([]byte("\x30\x07\x02\x01\x01\x02\x02\x00\xff"))
	if want := strings.Repeat("\x00", 31) + "\x01" + strings.Repeat("\x00", 31) + "\xff"; err != nil || string(raw) != want {
		t.Errorf("short numbers are read as %x, %v", raw, err)
	}
}
