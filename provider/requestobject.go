package provider

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"anteroom/store"
)

// requestAlg is the client metadata of OpenID Connect Registration section 2.
const requestAlg = "request_object_signing_alg"

// maxRequestObject is how far ahead a request object may expire.
const maxRequestObject = 24 * time.Hour

func badObject(cause error) *refusal {
	return refuse("invalid_request_object", "The request object is not one that this client signed for this server now (RFC 9101).").because(cause)
}

// unwrap replaces a request object by what it says. Parameters beside it count
// for nothing (RFC 9101 section 6.3), but for the client_id that says whose it is.
// With an error come the parameters as they were sent: they tell where the error
// goes, if they are right.
func (p *Provider) unwrap(ctx context.Context, in params) (params, error) {
	raw, reference := in.Get("request"), in.Get("request_uri")
	if raw != "" && reference != "" {
		return in, refuse("invalid_request", "Send request or request_uri, not both.")
	}
	if raw == "" && (reference == "" || !p.requestURIs) {
		return in, nil
	}
	c, err := p.client(ctx, in.Get("client_id"))
	if errors.Is(err, store.ErrNotFound) {
		return in, nil // nobody's: the page for unknown clients
	}
	if err != nil {
		return in, err
	}
	if !takesUnsigned(c) && c.Settings["jwks"] == nil && setting(c, "jwks_uri") == "" {
		name := "request"
		if reference != "" {
			name = "request_uri"
		}
		return in, refuse(name+"_not_supported", signedOnly)
	}
	if reference != "" {
		if raw, err = p.fetchObject(ctx, c, reference); err != nil {
			return in, err
		}
	}
	var values url.Values
	signed := !unsigned(raw)
	switch {
	case signed:
		_, values, err = p.openObject(ctx, c, raw, setting(c, requestAlg))
	case takesUnsigned(c):
		values, err = p.openUnsigned(c, raw)
	default:
		return in, refuse("request_not_supported", signedOnly)
	}
	if errors.Is(err, store.ErrUnavailable) {
		return in, err
	}
	if err != nil {
		return in, badObject(err)
	}
	return params{Values: values, pushing: in.pushing, signed: signed}, nil
}

const signedOnly = "Only signed request objects are taken, of clients that registered their keys."

// requestUnsigned is the request_object_signing_alg of a client that is let send
// request objects that nobody signed (OpenID Connect Core section 6.1). They prove
// nothing: whoever builds the sign-in link may write them. Only the operator can
// give it.
const requestUnsigned = "none"

func takesUnsigned(c store.Client) bool {
	return setting(c, requestAlg) == requestUnsigned && !fapi(c)
}

// openUnsigned returns the parameters of a request object that nobody signed.
// What it says of itself need not be there, and is not wrong if it is.
func (p *Provider) openUnsigned(c store.Client, raw string) (url.Values, error) {
	parts := strings.Split(raw, ".")
	if len(raw) > maxToken || len(parts) != 3 || parts[2] != "" {
		return nil, fmt.Errorf("%d bytes in %d parts", len(raw), len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	soon := float64(p.now().Add(time.Minute).Unix())
	claims := clientJWT{Issuer: c.ID, Audience: json.RawMessage(strconv.Quote(p.issuer)), ExpiresAt: &soon}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	if err := p.checkObject(c, claims); err != nil {
		return nil, err
	}
	return objectParams(c, payload)
}

// unsigned tells whether a JWT says that nobody signed it.
func unsigned(raw string) bool {
	first, _, _ := strings.Cut(raw, ".")
	var header struct {
		Algorithm string `json:"alg"`
	}
	decoded, err := base64.RawURLEncoding.DecodeString(first)
	return err == nil && json.Unmarshal(decoded, &header) == nil && strings.EqualFold(header.Algorithm, "none")
}

// openObject verifies a request object, signed with the registered algorithm or,
// for "", any that is good enough, and returns its parameters.
func (p *Provider) openObject(ctx context.Context, c store.Client, raw, registered string) (claims clientJWT, values url.Values, err error) {
	signed, err := parseClientJWT(raw, algorithmsOf(c), &claims)
	if err != nil {
		return claims, nil, err
	}
	header := signed.Signatures[0].Protected
	if registered != "" && registered != header.Algorithm {
		return claims, nil, fmt.Errorf("alg %s, registered is %s", header.Algorithm, registered)
	}
	// RFC 9101 section 10.8; JWT is what OpenID Connect clients write.
	if typ, _ := header.ExtraHeaders["typ"].(string); typ != "" && !strings.EqualFold(typ, "JWT") && !strings.EqualFold(typ, "oauth-authz-req+jwt") {
		return claims, nil, fmt.Errorf("typ %q", typ)
	}
	if err := p.verifyByClient(ctx, c, signed); err != nil {
		return claims, nil, err
	}
	if err := p.checkObject(c, claims); err != nil {
		return claims, nil, err
	}
	values, err = objectParams(c, signed.UnsafePayloadWithoutVerification())
	return claims, values, err
}

// checkObject: from this client, to us, now (RFC 9101 section 4).
func (p *Provider) checkObject(c store.Client, claims clientJWT) error {
	var all audience
	if err := json.Unmarshal(claims.Audience, &all); err != nil || !contains(all, p.issuer) {
		return fmt.Errorf("audience %q", all)
	}
	if claims.Issuer != c.ID {
		return fmt.Errorf("issuer %q", claims.Issuer)
	}
	if claims.Subject == c.ID {
		return errors.New("a client assertion, not a request (RFC 9101 section 10.8)")
	}
	if err := claims.checkTimes(p.now(), maxRequestObject); err != nil || !fapi(c) {
		return err
	}
	return fapiTimes(claims, p.now())
}

// aboutJWT are the claims of a request object that are no parameters.
var aboutJWT = []string{"iss", "aud", "exp", "nbf", "iat", "jti", "sub"}

// objectParams returns the parameters of a verified request object, as a form
// would have them.
func objectParams(c store.Client, payload []byte) (url.Values, error) {
	members := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	if err := decoder.Decode(&members); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	out := url.Values{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if contains(aboutJWT, name) {
			continue
		}
		if name == "request" || name == "request_uri" {
			return nil, fmt.Errorf("%s inside (RFC 9101 section 4)", name)
		}
		values, err := memberTexts(name, members[name])
		if err != nil {
			return nil, err
		}
		if unreadable(name) || slices.ContainsFunc(values, unreadable) {
			return nil, fmt.Errorf("member %q is not text", name)
		}
		out[name] = values
	}
	if id, sent := out["client_id"]; sent && !slices.Equal(id, []string{c.ID}) {
		return nil, fmt.Errorf("client_id %q", id)
	}
	out.Set("client_id", c.ID)
	return out, nil
}

// memberTexts writes a JSON value as a parameter.
func memberTexts(name string, v any) ([]string, error) {
	switch v := v.(type) {
	case string:
		return []string{v}, nil
	case json.Number:
		return []string{v.String()}, nil
	case map[string]any: // claims
		text, err := json.Marshal(v)
		return []string{string(text)}, err
	case []any:
		if name == paramDetails { // RFC 9396 section 3: an array, not text
			text, err := json.Marshal(v)
			return []string{string(text)}, err
		}
		var out []string
		for _, one := range v {
			s, ok := one.(string)
			if !ok {
				return nil, fmt.Errorf("member %q is a list of other things than texts", name)
			}
			out = append(out, s)
		}
		if !slices.Contains(repeatable, name) {
			return nil, fmt.Errorf("member %q is a list", name)
		}
		return out, nil
	}
	return nil, fmt.Errorf("member %q is no parameter", name)
}

// checkSigned holds clients to signing if they are registered so (RFC 9101
// section 10.5).
func (a *authorization) checkSigned() error {
	if flag(a.client, "require_signed_request_object") && !a.signed {
		return refuse("invalid_request", "This client is registered to sign its authorization requests (RFC 9101).")
	}
	return nil
}
