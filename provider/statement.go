package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"anteroom/store"
)

// settingStatement keeps the statement that a client was registered with: it is
// told again (RFC 7591 section 3.2.1).
const settingStatement = "software_statement"

// StatementIssuer is somebody whose software statements (RFC 7591 section 2.3) the
// operator believes. It has keys, or publishes them.
type StatementIssuer struct {
	Issuer  string
	JWKS    map[string]any // a JWK set
	JWKSURI string
}

// check returns what is wrong with it.
func (i StatementIssuer) check() error {
	if i.Issuer == "" || (i.JWKS == nil) == (i.JWKSURI == "") {
		return fmt.Errorf("issuer %q of software statements: it needs a name and either jwks or jwks_uri", i.Issuer)
	}
	if i.JWKS == nil {
		return nil
	}
	raw, err := json.Marshal(i.JWKS)
	if err == nil {
		err = CheckKeySet(raw)
	}
	if err != nil {
		return fmt.Errorf("issuer %q of software statements: %w", i.Issuer, err)
	}
	return nil
}

// keysOf returns the issuer as somebody who signs, ok false if it is not believed.
func (r Registration) keysOf(issuer string) (store.Client, bool) {
	i := slices.IndexFunc(r.Issuers, func(i StatementIssuer) bool { return i.Issuer == issuer })
	if i < 0 {
		return store.Client{}, false
	}
	keys := map[string]any{"jwks_uri": r.Issuers[i].JWKSURI}
	if r.Issuers[i].JWKS != nil {
		keys["jwks"] = r.Issuers[i].JWKS
	}
	return store.Client{ID: issuer, Settings: keys}, true
}

func badStatement(cause error) *refusal {
	return refuse("invalid_software_statement", "The software_statement cannot be used: its form, signature, times or audience.").because(cause)
}

// jwtClaims are those about a JWT itself; all others of a statement are metadata.
var jwtClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}

// applyStatement checks the software statement of a registration and lets what it
// says take the place of what the client says (RFC 7591 section 3.1.1). before is
// the client that changes: what a statement vouched for is not shed by leaving it
// out.
func (p *Provider) applyStatement(ctx context.Context, before store.Client, in map[string]any) error {
	sent, ok := in[settingStatement]
	if !ok {
		if p.registration.NeedsStatement || before.Settings[settingStatement] != nil {
			return refuse("invalid_software_statement", "Send a software_statement of an issuer that is trusted here.")
		}
		return nil
	}
	raw, _ := sent.(string)
	var claims clientJWT
	signed, err := parseClientJWT(raw, clientAlgorithms, &claims)
	if err != nil {
		return badStatement(err)
	}
	issuer, ok := p.registration.keysOf(claims.Issuer)
	if !ok {
		return refuse("unapproved_software_statement", "Software statements of this issuer are not taken here.").
			because(fmt.Errorf("issuer %q", claims.Issuer))
	}
	if err := p.verifyByClient(ctx, issuer, signed); errors.Is(err, store.ErrUnavailable) {
		return err
	} else if err != nil {
		return badStatement(err)
	}
	if err := p.checkStatement(claims); err != nil {
		return badStatement(err)
	}
	var says map[string]any
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &says); err != nil {
		return badStatement(err)
	}
	if says["jwks"] != nil || says["jwks_uri"] != nil { // one kind of keys takes the place of the other
		delete(in, "jwks")
		delete(in, "jwks_uri")
	}
	for name, v := range says {
		if !contains(jwtClaims, name) && name != settingStatement && name != "client_id" && name != "client_secret" && v != nil {
			in[name] = v
		}
	}
	return nil
}

// checkStatement: a statement need not end, nor say whom it is for; what it says
// holds.
func (p *Provider) checkStatement(claims clientJWT) error {
	now := p.now()
	switch {
	case claims.ExpiresAt != nil && !now.Before(claims.expires().Add(clockSkew)):
		return fmt.Errorf("expired at %s", claims.expires())
	case claims.NotBefore != nil && numericDate(*claims.NotBefore).After(now.Add(clockSkew)):
		return fmt.Errorf("not before %s", numericDate(*claims.NotBefore))
	case claims.Audience == nil:
		return nil
	}
	var all audience
	if err := json.Unmarshal(claims.Audience, &all); err != nil || !(contains(all, p.issuer) || contains(all, p.issuer+PathRegister)) {
		return fmt.Errorf("audience %.200s", claims.Audience)
	}
	return nil
}
