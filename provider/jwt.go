package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// maxToken bounds, in bytes, what is looked at as a JWT.
const maxToken = 16 << 10

// errToken: not a JWT of ours, or not of the kind that was expected. What it
// wraps is for the log.
var errToken = errors.New("not a token of this issuer")

// audience is the claim aud: one string or several (RFC 7519 section 4.1.3).
type audience []string

func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// accessClaims are the claims of an access token (RFC 9068 section 2.2). GrantID
// is ours: it leads to what the token stands for.
type accessClaims struct {
	Issuer        string         `json:"iss"`
	Subject       string         `json:"sub"`
	Audience      audience       `json:"aud"`
	ClientID      string         `json:"client_id"`
	Scope         string         `json:"scope,omitempty"`
	ID            string         `json:"jti"`
	IssuedAt      int64          `json:"iat"`
	ExpiresAt     int64          `json:"exp"`
	AuthTime      int64          `json:"auth_time,omitempty"`
	ACR           string         `json:"acr,omitempty"`
	AMR           []string       `json:"amr,omitempty"`
	SessionID     string         `json:"sid,omitempty"`
	GrantID       string         `json:"grant_id,omitempty"`
	Actor         *actor         `json:"act,omitempty"`   // RFC 8693 section 4.1
	Roles         []string       `json:"roles,omitempty"` // no empty list: RFC 7643 section 2.5
	Organizations []Organization `json:"organizations,omitempty"`
	Confirmation  *confirmation  `json:"cnf,omitempty"` // who may use it; nil: whoever has it

	Details json.RawMessage `json:"authorization_details,omitempty"` // RFC 9396 section 9.1
}

// idClaims are the claims of an ID token that we read again in a hint.
type idClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	SessionID string   `json:"sid"`
	ExpiresAt int64    `json:"exp"`
}

// open verifies a JWT that we signed, of the given type, and decodes its claims.
// A key that was retired is good enough only if retired says so. Returns
// errToken for everything that is not ours, altered, or of another type.
func (k *Keys) open(ctx context.Context, raw, typ string, retired bool, claims any) error {
	if len(raw) > maxToken {
		return fmt.Errorf("%d bytes: %w", len(raw), errToken)
	}
	algorithms := make([]jose.SignatureAlgorithm, len(signingAlgorithms))
	for i, alg := range signingAlgorithms {
		algorithms[i] = jose.SignatureAlgorithm(alg)
	}
	signed, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil {
		return fmt.Errorf("parse: %w (%w)", errToken, err)
	}
	header := signed.Signatures[0].Protected
	if got, _ := header.ExtraHeaders[jose.HeaderType].(string); !strings.EqualFold(got, typ) {
		return fmt.Errorf("typ %q: %w", got, errToken)
	}
	key, err := k.find(ctx, header.KeyID)
	if err != nil {
		return err
	}
	switch {
	case key == nil || key.row.Algorithm != header.Algorithm:
		return fmt.Errorf("kid %q, alg %q: %w", header.KeyID, header.Algorithm, errToken)
	case !retired && k.retired(key.row.KID):
		return fmt.Errorf("kid %q is retired: %w", header.KeyID, errToken)
	}
	payload, err := signed.Verify(key.public)
	if err != nil {
		return fmt.Errorf("verify: %w (%w)", errToken, err)
	}
	if err := json.Unmarshal(payload, claims); err != nil {
		return fmt.Errorf("claims: %w (%w)", errToken, err)
	}
	return nil
}

// retired looks at the rows, which a rotation changes, not at the opened key.
func (k *Keys) retired(kid string) bool {
	now := k.now()
	for _, row := range k.current.Load().rows {
		if row.KID == kid {
			return !row.RetiredAt.IsZero() && !now.Before(row.RetiredAt)
		}
	}
	return true
}

// openAccessToken returns the claims of an access token of ours that has not
// expired. Whether it still stands for anything is another question (live).
func (p *Provider) openAccessToken(ctx context.Context, raw string) (accessClaims, error) {
	var c accessClaims
	if err := p.keys.open(ctx, raw, typeAccessToken, false, &c); err != nil {
		return c, err
	}
	if c.Issuer != p.issuer || !p.now().Before(time.Unix(c.ExpiresAt, 0)) {
		return c, fmt.Errorf("iss %q, exp %d: %w", c.Issuer, c.ExpiresAt, errToken)
	}
	return c, nil
}

// openHint returns the claims of an ID token of ours, expired or not, signed by
// a current or a retired key (OpenID Connect Core section 3.1.2.1,
// id_token_hint; RP-Initiated Logout section 2).
func (p *Provider) openHint(ctx context.Context, raw string) (idClaims, error) {
	var c idClaims
	if err := p.keys.open(ctx, raw, typeIDToken, true, &c); err != nil {
		return c, err
	}
	if c.Issuer != p.issuer || c.Subject == "" || len(c.Audience) == 0 || c.ExpiresAt == 0 { // signed userinfo has no exp
		return c, fmt.Errorf("iss %q, exp %d: %w", c.Issuer, c.ExpiresAt, errToken)
	}
	return c, nil
}

// applyHint takes the subject of id_token_hint into the request. The hint must
// be for this client: another client's would tell whose browser this is.
func (p *Provider) applyHint(ctx context.Context, a *authorization) error {
	raw := a.params.Get("id_token_hint")
	if raw == "" {
		return nil
	}
	hint, err := p.openHint(ctx, raw)
	if err != nil && !errors.Is(err, errToken) {
		return err
	}
	if err != nil || !contains(hint.Audience, a.client.ID) {
		return refuse("invalid_request", "The id_token_hint is not an ID token that this server issued to this client.").because(err)
	}
	if a.ask.HintSubject != "" && a.ask.HintSubject != hint.Subject {
		return refuse("login_required", "The claims parameter and id_token_hint name different accounts.")
	}
	a.ask.HintSubject = hint.Subject
	return nil
}
