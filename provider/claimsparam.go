package provider

import (
	"encoding/json"
	"maps"
	"slices"
)

// standardClaims are the claims that a scope stands for (OpenID Connect Core
// section 5.4).
var standardClaims = map[string][]string{
	"profile": {
		"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile",
		"picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
	},
	"email":   {"email", "email_verified"},
	"phone":   {"phone_number", "phone_number_verified"},
	"address": {"address"},
	"roles":   {"roles", "organizations"},
}

// scopeOfClaim returns the scope whose consent a claim needs, "" for a claim
// that we do not know.
func scopeOfClaim(claim string) string {
	for scope, claims := range standardClaims {
		if slices.Contains(claims, claim) {
			return scope
		}
	}
	return ""
}

// claimsRequest is the claims parameter (OpenID Connect Core section 5.5) as far
// as we know the claims: their names, by where they shall appear.
type claimsRequest struct {
	UserInfo []string `json:"userinfo,omitempty"`
	IDToken  []string `json:"id_token,omitempty"`
}

// claimsAsk is what the claims parameter demands of the sign-in.
type claimsAsk struct {
	essentialACR []string
	voluntaryACR []string
	subject      string // the only account that will do
}

// individualClaim is one member of the claims parameter.
type individualClaim struct {
	Essential bool  `json:"essential"`
	Value     any   `json:"value"`
	Values    []any `json:"values"`
}

func (c *individualClaim) texts() []string {
	if c == nil {
		return nil
	}
	var out []string
	for _, v := range append([]any{c.Value}, c.Values...) {
		if s, ok := v.(string); ok && s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// parseClaims reads the claims parameter. Claims that we do not know are
// ignored; what is not the JSON of section 5.5 is refused.
func parseClaims(raw string) (claimsRequest, claimsAsk, error) {
	var request claimsRequest
	var ask claimsAsk
	if raw == "" {
		return request, ask, nil
	}
	var in struct {
		UserInfo map[string]*individualClaim `json:"userinfo"`
		IDToken  map[string]*individualClaim `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(raw), &in); err != nil || raw[0] != '{' {
		return request, ask, refuse("invalid_request", "The claims parameter is not the JSON object of OpenID Connect Core section 5.5.").because(err)
	}
	request.UserInfo = knownClaims(in.UserInfo)
	request.IDToken = knownClaims(in.IDToken)
	if acr := in.IDToken["acr"]; acr != nil {
		if acr.Essential {
			ask.essentialACR = acr.texts()
		} else {
			ask.voluntaryACR = acr.texts()
		}
	}
	for _, in := range []map[string]*individualClaim{in.IDToken, in.UserInfo} {
		subjects := in["sub"].texts()
		if len(subjects) > 1 || (len(subjects) == 1 && ask.subject != "" && ask.subject != subjects[0]) {
			return request, ask, refuse("invalid_request", "The claims parameter asks for two subjects.")
		}
		if len(subjects) == 1 {
			ask.subject = subjects[0]
		}
	}
	return request, ask, nil
}

func knownClaims(in map[string]*individualClaim) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if scopeOfClaim(name) != "" {
			out = append(out, name)
		}
	}
	return out
}

// within keeps the claims whose scope is among scopes: what is asked claim by
// claim needs the same permission and the same consent.
func (c claimsRequest) within(scopes []string) claimsRequest {
	beyond := func(claim string) bool { return !slices.Contains(scopes, scopeOfClaim(claim)) }
	return claimsRequest{
		UserInfo: slices.DeleteFunc(slices.Clone(c.UserInfo), beyond),
		IDToken:  slices.DeleteFunc(slices.Clone(c.IDToken), beyond),
	}
}

// scopes returns the scopes that the claims stand for, sorted.
func (c claimsRequest) scopes() []string {
	var out []string
	for _, claim := range append(slices.Clone(c.UserInfo), c.IDToken...) {
		if s := scopeOfClaim(claim); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

// encode returns the form in which a grant keeps the request, "" for nothing.
func (c claimsRequest) encode() string {
	if len(c.UserInfo) == 0 && len(c.IDToken) == 0 {
		return ""
	}
	data, err := json.Marshal(c)
	if err != nil {
		panic("provider: claims request does not marshal: " + err.Error()) // strings only
	}
	return string(data)
}

func decodeClaims(stored string) claimsRequest {
	var c claimsRequest
	if stored != "" {
		_ = json.Unmarshal([]byte(stored), &c) // written by encode
	}
	return c
}
