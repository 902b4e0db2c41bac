package provider

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"anteroom/store"
)

// Answers that a client may want as a JWT. Its metadata begins with these words:
// NAME_signed_response_alg, NAME_encrypted_response_alg and
// NAME_encrypted_response_enc (OpenID Connect Registration section 2, RFC 9701
// section 6, JARM section 3); that of the server is made of them likewise.
const (
	answerIDToken       = "id_token" // and logout tokens
	answerUserInfo      = "userinfo"
	answerIntrospection = "introspection"
	answerAuthorization = "authorization"
)

var signedAnswers = []string{answerIDToken, answerUserInfo, answerIntrospection, answerAuthorization}

// How answers are encrypted (RFC 7518 sections 4 and 5). RSA1_5 is not among
// them (RFC 8725 section 3.2), and nothing that needs a shared secret.
var (
	keyManagement     = []string{"RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"}
	contentEncryption = []string{"A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM"}
)

// defaultEncryption goes with an alg without enc (OpenID Connect Registration
// section 2).
const defaultEncryption = "A128CBC-HS256"

// signedAlg and the others are names of client metadata.
func signedAlg(answer string) string    { return answer + "_signed_response_alg" }
func encryptedAlg(answer string) string { return answer + "_encrypted_response_alg" }
func encryptedEnc(answer string) string { return answer + "_encrypted_response_enc" }

// wantsEncrypted tells whether a client registered anything about encryption of
// an answer: then it never gets one that is not encrypted.
func wantsEncrypted(c store.Client, answer string) bool {
	return c.Settings[encryptedAlg(answer)] != nil || c.Settings[encryptedEnc(answer)] != nil
}

// jweHeader is what the header says besides the algorithms and the key. Libraries
// refuse what they do not know there, so it is little.
type jweHeader map[jose.HeaderKey]any

// nested: what is inside is a signed JWT (RFC 7519 sections 5.2 and 11.2).
var nested = jweHeader{"cty": "JWT"}

// encrypt returns content readable for the client alone, if it is registered so,
// and as it is otherwise. What is signed is signed first.
func (p *Provider) encrypt(ctx context.Context, c store.Client, answer, content string, header jweHeader) (string, error) {
	if !wantsEncrypted(c, answer) {
		return content, nil
	}
	to, enc, err := p.recipient(ctx, c, answer)
	if err != nil {
		return "", err
	}
	encrypter, err := jose.NewEncrypter(enc, to, &jose.EncrypterOptions{ExtraHeaders: header})
	if err != nil {
		return "", cannotEncrypt(c, answer, err)
	}
	sealed, err := encrypter.Encrypt([]byte(content))
	if err != nil {
		return "", cannotEncrypt(c, answer, err) // a key that is none
	}
	return sealed.CompactSerialize()
}

// cannotEncrypt is for the developer of the client: what it is registered with
// does not go together, and nothing is sent in the clear instead.
func cannotEncrypt(c store.Client, answer string, cause error) *refusal {
	return refuse("invalid_request", "This client is registered with %s %s and %s %s, and none of its public keys fits.",
		encryptedAlg(answer), setting(c, encryptedAlg(answer)), encryptedEnc(answer), setting(c, encryptedEnc(answer))).because(cause)
}

// newKey is no kid: a key set is looked at again for it, as for any key that was
// published a moment ago.
const newKey = "(one for encryption)"

// recipient returns how an answer is encrypted, and to which key of the client
// (OpenID Connect Core section 10.2): one that is marked for encryption before
// one that is not marked at all.
func (p *Provider) recipient(ctx context.Context, c store.Client, answer string) (to jose.Recipient, enc jose.ContentEncryption, err error) {
	alg, content := setting(c, encryptedAlg(answer)), setting(c, encryptedEnc(answer))
	if c.Settings[encryptedEnc(answer)] == nil {
		content = defaultEncryption
	}
	if !contains(keyManagement, alg) || !contains(contentEncryption, content) {
		return to, enc, cannotEncrypt(c, answer, fmt.Errorf("alg %q, enc %q", alg, content))
	}
	var key jose.JSONWebKey
	var fits bool
	for _, kid := range []string{"", newKey} {
		keys, err := p.clientKeys(ctx, c, kid)
		if err != nil {
			return to, enc, cannotEncrypt(c, answer, err)
		}
		if key, fits = encryptionKey(keys, alg); fits {
			break
		}
	}
	if !fits {
		return to, enc, cannotEncrypt(c, answer, errors.New("no key fits"))
	}
	return jose.Recipient{Algorithm: jose.KeyAlgorithm(alg), Key: key.Key, KeyID: key.KeyID}, jose.ContentEncryption(content), nil
}

// encryptionKey is the one that recipient returns.
func encryptionKey(keys []jose.JSONWebKey, alg string) (jose.JSONWebKey, bool) {
	for _, use := range []string{"enc", ""} {
		for _, k := range keys {
			if k.Use == use && encryptsWith(k, alg) {
				return k, true
			}
		}
	}
	return jose.JSONWebKey{}, false
}

// encryptsWith tells whether alg may encrypt to a key (RFC 7518 sections 4.3 and
// 4.6).
func encryptsWith(k jose.JSONWebKey, alg string) bool {
	if k.Use == "sig" || (k.Algorithm != "" && k.Algorithm != alg) {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RSA-") && soundRSA(key)
	case *ecdsa.PublicKey: // P-256, P-384 or P-521: no other is read
		return strings.HasPrefix(alg, "ECDH-")
	}
	return false
}

// checkAnswers says what is wrong with how a client wants its answers. What it
// publishes at its jwks_uri may change at any time and is looked at when an
// answer is made.
func checkAnswers(c store.Client, say func(field, format string, args ...any)) {
	keys := registeredKeys(c)
	for _, answer := range signedAnswers {
		for _, one := range []struct {
			name    string
			allowed []string
		}{{signedAlg(answer), signingAlgorithms}, {encryptedAlg(answer), keyManagement}, {encryptedEnc(answer), contentEncryption}} {
			if v, sent := c.Settings[one.name]; sent && !contains(one.allowed, text1(v)) {
				say(one.name, "must be one of %s", strings.Join(one.allowed, ", "))
			}
		}
		alg := setting(c, encryptedAlg(answer))
		_, fits := encryptionKey(keys, alg)
		switch {
		case !wantsEncrypted(c, answer):
		case alg == "":
			say(encryptedAlg(answer), "is missing; %s goes with it", encryptedEnc(answer))
		case !fits && setting(c, "jwks_uri") == "":
			say(encryptedAlg(answer), "needs a public key of the client for %s in its jwks, or a jwks_uri", alg)
		}
	}
}

// answerMetadata is what a client may register about its answers. The algorithm
// of ID tokens has a place of its own.
func answerMetadata() (fields []field) {
	for _, answer := range signedAnswers {
		for _, name := range []string{signedAlg(answer), encryptedAlg(answer), encryptedEnc(answer)} {
			if name != signedAlg(answerIDToken) {
				fields = append(fields, field{name, checkText})
			}
		}
	}
	return fields
}

// applyJWTs checks how a client that registers itself wants its answers and sends
// its requests, and fills the default that the answer tells.
func (p *Provider) applyJWTs(c *store.Client, _ map[string]any) error {
	for _, answer := range signedAnswers {
		if c.Settings[encryptedAlg(answer)] != nil && c.Settings[encryptedEnc(answer)] == nil {
			c.Settings[encryptedEnc(answer)] = defaultEncryption
		}
	}
	var wrong *refusal
	say := func(field, format string, args ...any) {
		if wrong == nil {
			wrong = badMetadata("%s %s.", field, fmt.Sprintf(format, args...))
		}
	}
	checkAnswers(*c, say)
	p.checkRequests(*c, say)
	if wrong != nil {
		return wrong
	}
	return nil
}

// writeJWT answers with a JWT and forbids caching.
func writeJWT(w http.ResponseWriter, mediaType, token string) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(token))
}
