package provider

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"anteroom/flow"
	"anteroom/store"
)

// FrontChannel says who may have tokens in the authorization response, where the
// browser, its history and every script of the portal can read them (RFC 9700
// section 2.1.2 advises against it).
type FrontChannel int

const (
	FrontChannelOff      FrontChannel = iota // nobody
	FrontChannelClients                      // clients that the operator registered so
	FrontChannelRegister                     // and those that registered themselves so
)

// grantImplicit is what a client is registered with besides a response type with
// tokens (OpenID Connect Registration section 2). The token endpoint does not
// know it.
const grantImplicit = "implicit"

// frontChannelTypes are the response types with tokens (OAuth 2.0 Multiple
// Response Types sections 3 and 5, OpenID Connect Core sections 3.2 and 3.3),
// their words in order. Tokens without an ID token are not among them: nothing
// would tell a client that an access token was made for it.
var frontChannelTypes = []string{"id_token", "id_token token", "code id_token", "code token", "code id_token token"}

// responseTypes are those that are on; discovery says the same.
func (p *Provider) responseTypes() []string {
	if p.frontChannelTokens == FrontChannelOff {
		return []string{"code"}
	}
	return append([]string{"code"}, frontChannelTypes...)
}

// sortedType returns a response type with its words in order: which order a
// client prefers has no meaning (RFC 6749 section 3.1.1).
func sortedType(sent string) string {
	all := strings.Split(sent, " ")
	slices.Sort(all)
	return strings.Join(all, " ")
}

// asks tells whether the response type has a word: code, id_token or token.
func (a *authorization) asks(word string) bool {
	return contains(words(a.Get("response_type")), word)
}

// grantsOf are the grant types that go with a response type (OpenID Connect
// Registration section 2, response_types).
func grantsOf(responseType string) []string {
	var out []string
	all := words(responseType)
	if contains(all, "code") {
		out = append(out, "authorization_code")
	}
	if contains(all, "id_token") || contains(all, "token") {
		out = append(out, grantImplicit)
	}
	return out
}

// registeredFor tells whether a client may use a response type that is on.
func (p *Provider) registeredFor(c store.Client, responseType string) bool {
	byItself := c.Settings[settingManage] != nil
	if responseType != "code" && (fapi(c) || byItself && p.frontChannelTokens != FrontChannelRegister) {
		return false
	}
	for _, grant := range grantsOf(responseType) {
		if !contains(c.GrantTypes, grant) {
			return false
		}
	}
	return slices.ContainsFunc(c.ResponseTypes, func(t string) bool { return sortedType(t) == responseType })
}

// registrable are the values of a list of metadata that a client may register
// itself with.
func (p *Provider) registrable(front []string, always ...string) []string {
	if p.frontChannelTokens != FrontChannelRegister {
		return always
	}
	return append(slices.Clone(always), front...)
}

// wrongTypes says what is wrong with the response types of a client, in words
// for whoever registers it; "" if nothing is.
func (p *Provider) wrongTypes(c store.Client) string {
	var needed []string
	for _, t := range c.ResponseTypes {
		if !contains(p.responseTypes(), sortedType(t)) {
			return t + " is not on"
		}
		if t != "code" && fapi(c) {
			return t + " is not for clients of fapi2"
		}
		needed = append(needed, grantsOf(t)...)
	}
	for _, grant := range []string{"authorization_code", grantImplicit} {
		switch has := contains(c.GrantTypes, grant); {
		case has && !contains(needed, grant):
			return "lacks one for the grant type " + grant
		case !has && contains(needed, grant):
			return "needs the grant type " + grant
		}
	}
	return ""
}

func (p *Provider) checkResponse(a *authorization) error {
	asked := sortedType(a.Get("response_type"))
	switch {
	case asked == "":
		return refuse("invalid_request", "The parameter response_type is missing.")
	case !contains(p.responseTypes(), asked):
		return refuse("unsupported_response_type", "The response_type %s is not supported; use code.", asked)
	case !p.registeredFor(a.client, asked):
		return refuse("unauthorized_client", "This client is not registered for response_type %s.", asked)
	}
	if m := a.Get("response_mode"); m != "" && !contains(responseModes, m) {
		return refuse("invalid_request", "The response_mode %s is not supported.", m)
	}
	if asked == "code" {
		return nil
	}
	return a.checkFrontChannel()
}

// checkFrontChannel is what response types with tokens ask besides.
func (a *authorization) checkFrontChannel() error {
	switch {
	// Multiple Response Types sections 3 and 5, JARM section 2.3.1: queries are
	// in logs and sent on as referrers.
	case strings.HasPrefix(a.Get("response_mode"), "query"):
		return refuse("invalid_request", "Tokens are not sent in a query; use response_mode fragment or form_post.")
	case a.asks("id_token") && !contains(words(a.Get("scope")), "openid"):
		return refuse("invalid_request", "The response_type id_token needs the scope openid.")
	// OpenID Connect Core sections 3.2.2.1 and 3.3.2.11: it alone ties the ID
	// token to the browser that asked.
	case a.asks("id_token") && a.Get("nonce") == "":
		return refuse("invalid_request", "The response_type id_token needs a nonce.")
	// The browser has neither the key nor the certificate to show.
	case a.asks("token") && (flag(a.client, "dpop_bound_access_tokens") || bindsCertificate(a.client)):
		return refuse("unauthorized_client", "The access tokens of this client belong to its key, and those of response_type token to nobody.")
	}
	return nil
}

// answerFront is the answer of a response type with tokens. They are made after
// the commit of the grant that they belong to: they end with it like every other.
func (p *Provider) answerFront(a *authorization, x *exchange, values url.Values) flow.Answer {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := p.frontTokens(r.Context(), a, x, values); err != nil {
			p.unanswered(w, r, err)
			return
		}
		p.answer(a.target, values)(w, r)
	}
}

// frontTokens adds the tokens of the authorization response (OpenID Connect Core
// sections 3.2.2.5 and 3.3.2.5).
func (p *Provider) frontTokens(ctx context.Context, a *authorization, x *exchange, values url.Values) error {
	alg := idTokenAlgorithm(x.client)
	hashes := map[string]string{}
	if code := values.Get("code"); code != "" {
		hashes["c_hash"] = halfHash(alg, code) // section 3.3.2.11
	}
	if a.target.state != "" {
		hashes["s_hash"] = halfHash(alg, a.target.state) // FAPI 1.0 part 2 section 5.1
	}
	if a.asks("token") {
		if err := p.makeAccessToken(ctx, x); err != nil {
			return fmt.Errorf("make access token: %w", err)
		}
		values.Set("access_token", x.token)
		values.Set("token_type", "Bearer")
		values.Set("expires_in", strconv.FormatInt(x.access.ExpiresAt-x.access.IssuedAt, 10))
		values.Set("scope", x.access.Scope)
		if x.access.Details != nil {
			values.Set(paramDetails, string(x.access.Details)) // RFC 9396 section 7
		}
		hashes["at_hash"] = halfHash(alg, x.token) // sections 3.2.2.10 and 3.3.2.11
	}
	if !a.asks("id_token") {
		return nil
	}
	x.alone = !a.asks("token") && !a.asks("code")
	token, err := p.makeIDToken(ctx, x, hashes)
	if err != nil {
		return fmt.Errorf("make ID token: %w", err)
	}
	values.Set("id_token", token)
	return nil
}
