package provider

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"anteroom/internal/seal"
	"anteroom/store"
)

const (
	// assertionType is the client_assertion_type of RFC 7523 section 2.2.
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// maxAssertion bounds how far ahead an assertion expires, and so how long its
	// jti is remembered.
	maxAssertion = time.Hour
	// clockSkew is how far a client's clock may be off (FAPI 2.0 Security Profile
	// section 5.3.2.1: 10 seconds at least, not more than 60).
	clockSkew = 10 * time.Second
)

// Algorithms that clients may sign with. "none" is not among them, and a public
// key is never taken for a secret: each method has its own list.
var (
	clientAlgorithms = []string{"RS256", "PS256", "ES256", "EdDSA"}
	secretAlgorithms = []string{"HS256"}
)

// clientJWT are the claims of a JWT that a client made, as far as its times and
// parties go.
type clientJWT struct {
	Issuer    string          `json:"iss"`
	Subject   string          `json:"sub"`
	Audience  json.RawMessage `json:"aud"`
	ID        string          `json:"jti"`
	ExpiresAt *float64        `json:"exp"` // NumericDate: may have a fraction
	NotBefore *float64        `json:"nbf"`
	IssuedAt  *float64        `json:"iat"`
}

// assertion is a client assertion before its signature is checked.
type assertion struct {
	signed *jose.JSONWebSignature
	claims clientJWT
}

func joseAlgorithms(names ...string) (out []jose.SignatureAlgorithm) {
	for _, n := range names {
		out = append(out, jose.SignatureAlgorithm(n))
	}
	return out
}

// parseClientJWT reads a JWT of a client without believing it.
func parseClientJWT(raw string, algorithms []string, claims any) (*jose.JSONWebSignature, error) {
	if len(raw) > maxToken {
		return nil, fmt.Errorf("a JWT of %d bytes", len(raw))
	}
	signed, err := jose.ParseSignedCompact(raw, joseAlgorithms(algorithms...))
	if err != nil {
		return nil, fmt.Errorf("parse JWT: %w", err)
	}
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), claims); err != nil {
		return nil, fmt.Errorf("claims of JWT: %w", err)
	}
	return signed, nil
}

// readAssertion reads RFC 7521 section 4.2. The client is the one that the
// assertion speaks of: client_id may be left out.
func readAssertion(_ *http.Request, form url.Values) (credential, bool, error) {
	given := credential{kind: byAssertion}
	raw, typ := form.Get("client_assertion"), form.Get("client_assertion_type")
	if raw == "" && typ == "" {
		return given, false, nil
	}
	given.clientID = form.Get("client_id")
	a := &assertion{}
	var err error
	a.signed, err = parseClientJWT(raw, slices.Concat(clientAlgorithms, secretAlgorithms), &a.claims)
	if err == nil && typ != assertionType {
		err = fmt.Errorf("client_assertion_type %q", typ)
	}
	if err != nil {
		return given, true, nil // no method takes it
	}
	given.assertion, given.clientID = a, a.claims.Subject
	return given, true, nil
}

// proveSecretJWT is client_secret_jwt (OpenID Connect Core section 9).
func proveSecretJWT(p *Provider, _ context.Context, c store.Client, given credential) ([]spend, error) {
	a := given.assertion
	if a == nil {
		return nil, errors.New("not an assertion")
	}
	alg := a.signed.Signatures[0].Protected.Algorithm
	if !contains(secretAlgorithms, alg) {
		return nil, fmt.Errorf("alg %s for client_secret_jwt", alg)
	}
	now, right := p.now(), false
	for _, s := range append(slices.Clone(c.Secrets), store.ClientSecret{}) { // the work of one, where there is none
		secret := p.seal.ClientSecret(c.ID, s.CreatedAt)
		_, err := a.signed.Verify([]byte(secret))
		ours := hmac.Equal([]byte(p.seal.Digest(seal.ClientSecret, secret)), []byte(s.Hash))
		if err == nil && ours && (s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt)) {
			right = true
		}
	}
	if !right {
		return nil, errors.New("an assertion that no secret of the client signed")
	}
	return p.admitAssertion(c, given)
}

// proveKeyJWT is private_key_jwt (OpenID Connect Core section 9).
func proveKeyJWT(p *Provider, ctx context.Context, c store.Client, given credential) ([]spend, error) {
	a := given.assertion
	if a == nil {
		return nil, errors.New("not an assertion")
	}
	alg := a.signed.Signatures[0].Protected.Algorithm
	if !contains(clientAlgorithms, alg) {
		return nil, fmt.Errorf("alg %s for private_key_jwt", alg)
	}
	if err := p.verifyByClient(ctx, c, a.signed); err != nil {
		return nil, err
	}
	return p.admitAssertion(c, given)
}

// admitAssertion checks what a verified assertion says (RFC 7523 section 3): the
// client speaks of itself, to us, now, and once.
func (p *Provider) admitAssertion(c store.Client, given credential) ([]spend, error) {
	claims, now := given.assertion.claims, p.now()
	alg := given.assertion.signed.Signatures[0].Protected.Algorithm
	registered := setting(c, "token_endpoint_auth_signing_alg")
	if (registered != "" && registered != alg) || (fapi(c) && !contains(fapiAlgorithms, alg)) {
		return nil, fmt.Errorf("alg %s, registered is %q", alg, registered)
	}
	if claims.Issuer != c.ID || claims.Subject != c.ID {
		return nil, fmt.Errorf("assertion of %q about %q", claims.Issuer, claims.Subject)
	}
	if err := p.checkAudience(c, claims.Audience, given.request.URL.Path); err != nil {
		return nil, err
	}
	if err := claims.checkTimes(now, maxAssertion); err != nil {
		return nil, err
	}
	if claims.ID == "" {
		return nil, errors.New("an assertion without jti")
	}
	if now.Before(p.restored.Add(maxAssertion)) && !claims.issuedSince(p.restored) {
		return nil, errors.New("an assertion of before the restore, which may have been used")
	}
	return []spend{{
		space: "client assertion", key: c.ID + " " + claims.ID, until: claims.expires().Add(clockSkew),
		replayed: errClient(errors.New("an assertion that was used before")),
	}}, nil
}

// checkAudience: an assertion is for us alone. The issuer is what the audience
// should be; the token endpoint, and the endpoint that is called, are what older
// clients send (RFC 7523 section 3, RFC 9126 section 2). An audience with a
// stranger in it could be used there, or come from there.
func (p *Provider) checkAudience(c store.Client, raw json.RawMessage, path string) error {
	if fapi(c) {
		return p.fapiAudience(raw)
	}
	var all audience
	if err := json.Unmarshal(raw, &all); err != nil || len(all) == 0 {
		return errors.New("no audience")
	}
	for _, aud := range all {
		if aud != p.issuer && aud != p.issuer+PathToken && aud != p.issuer+path {
			return fmt.Errorf("audience %q", aud)
		}
	}
	return nil
}

func numericDate(n float64) time.Time {
	const far = 1 << 40
	return time.UnixMicro(int64(min(max(n, -far), far) * 1e6)).UTC()
}

func (c clientJWT) expires() time.Time { return numericDate(*c.ExpiresAt) }

// checkTimes refuses what has expired, is not good yet, or would be good for
// longer than most.
func (c clientJWT) checkTimes(now time.Time, most time.Duration) error {
	switch {
	case c.ExpiresAt == nil:
		return errors.New("no exp")
	case !now.Before(c.expires().Add(clockSkew)):
		return fmt.Errorf("expired at %s", c.expires())
	case c.expires().After(now.Add(most + clockSkew)):
		return fmt.Errorf("expires at %s, too far ahead", c.expires())
	case c.NotBefore != nil && numericDate(*c.NotBefore).After(now.Add(clockSkew)):
		return fmt.Errorf("not before %s", numericDate(*c.NotBefore))
	case c.IssuedAt != nil && numericDate(*c.IssuedAt).After(now.Add(clockSkew)):
		return fmt.Errorf("issued at %s", numericDate(*c.IssuedAt))
	}
	return nil
}

// issuedSince tells whether a JWT says that it is younger than t.
func (c clientJWT) issuedSince(t time.Time) bool {
	return c.IssuedAt != nil && !numericDate(*c.IssuedAt).Before(t)
}
