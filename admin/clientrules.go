package admin

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"anteroom/store"
)

// What a client may be registered with. docs/portal.md explains each.
var (
	grantTypes  = []string{"authorization_code", "refresh_token", "client_credentials", grantDevice, grantBackchannel, grantExchange, grantJWTBearer, grantImplicit}
	authMethods = []string{
		"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth", authNone,
	}
	signingAlgs   = []string{"RS256", "ES256", "PS256", "EdDSA"}
	defaultScopes = []string{"openid", "profile", "email", "roles", "offline_access"}
)

// Grants that have URIs for names (RFC 8628, OpenID CIBA Core, RFC 8693 and 7523).
const (
	grantDevice      = "urn:ietf:params:oauth:grant-type:device_code"
	grantBackchannel = "urn:openid:params:grant-type:ciba"
	grantExchange    = "urn:ietf:params:oauth:grant-type:token-exchange"
	grantJWTBearer   = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// grantImplicit goes with response types that have tokens. The provider says
// whether they are on.
const grantImplicit = "implicit"

const authNone = "none" // a public client: PKCE instead of a secret

var (
	clientID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	// A scope-token of RFC 6749 section 3.3.
	scopeToken = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]{1,128}$`)
)

func (m *mistakes) clientID(field, value string) {
	if !clientID.MatchString(value) {
		m.add(field, "must be 1 to 128 letters, digits, dots, dashes or underscores, beginning with a letter or digit")
	}
}

// fields returns the keys that change.
func (in ChangeClient) fields() (fields []string) {
	for key, present := range map[string]bool{
		"client_name": in.Name != nil, "redirect_uris": in.RedirectURIs != nil,
		"post_logout_redirect_uris": in.PostLogoutRedirectURIs != nil, "grant_types": in.GrantTypes != nil,
		"response_types": in.ResponseTypes != nil,
		"scope":          in.Scope != nil, "audiences": in.Audiences != nil,
		"token_endpoint_auth_method": in.TokenEndpointAuthMethod != nil, "application_type": in.ApplicationType != nil,
		"id_token_signed_response_alg": in.IDTokenSignedResponseAlg != nil,
		"access_token_signing_alg":     in.AccessTokenSigningAlg != nil,
		"metadata":                     in.Metadata != nil,
		"pkce_optional":                in.PKCEOptional != nil, "disabled": in.Disabled != nil,
	} {
		if present {
			fields = append(fields, key)
		}
	}
	slices.Sort(fields)
	return fields
}

// apply may run twice on different rows: it copies.
func (in ChangeClient) apply(c *store.Client) {
	set(&c.Name, in.Name)
	setList(&c.RedirectURIs, in.RedirectURIs)
	setList(&c.PostLogoutRedirectURIs, in.PostLogoutRedirectURIs)
	setList(&c.GrantTypes, in.GrantTypes)
	setList(&c.Audiences, in.Audiences)
	if in.Scope != nil {
		c.Scopes = strings.Fields(*in.Scope)
	}
	set(&c.TokenEndpointAuthMethod, in.TokenEndpointAuthMethod)
	set(&c.ApplicationType, in.ApplicationType)
	set(&c.IDTokenSignedResponseAlg, in.IDTokenSignedResponseAlg)
	set(&c.AccessTokenSigningAlg, in.AccessTokenSigningAlg)
	set(&c.PKCEOptional, in.PKCEOptional)
	if in.Metadata != nil {
		applyMetadata(c, *in.Metadata)
	}
	set(&c.Disabled, in.Disabled)
	switch {
	case in.ResponseTypes != nil:
		setList(&c.ResponseTypes, in.ResponseTypes)
	case in.GrantTypes != nil || len(c.ResponseTypes) == 0:
		c.ResponseTypes = defaultResponseTypes(*c)
	}
}

// defaultResponseTypes go with the grant types if none were chosen.
func defaultResponseTypes(c store.Client) []string {
	if slices.Contains(c.GrantTypes, "authorization_code") {
		return []string{"code"}
	}
	return nil
}

func setList(field *[]string, value *[]string) {
	if value != nil {
		*field = slices.Clone(*value)
	}
}

// fillDefaults completes a new client: a portal if it has somewhere to return
// to, else a program that acts for itself.
func fillDefaults(c *store.Client, in ChangeClient) {
	if in.Name == nil {
		c.Name = c.ID
	}
	if in.ApplicationType == nil {
		c.ApplicationType = "web"
	}
	if in.GrantTypes == nil {
		c.GrantTypes = []string{"client_credentials"}
		if len(c.RedirectURIs) > 0 {
			c.GrantTypes = []string{"authorization_code", "refresh_token"}
		}
	}
	if in.ResponseTypes == nil {
		c.ResponseTypes = defaultResponseTypes(*c)
	}
	if in.TokenEndpointAuthMethod == nil {
		c.TokenEndpointAuthMethod = "client_secret_basic"
		if c.ApplicationType == "native" {
			c.TokenEndpointAuthMethod = authNone
		}
	}
	if in.Scope == nil && slices.Contains(c.GrantTypes, "authorization_code") {
		c.Scopes = slices.Clone(defaultScopes)
		if !slices.Contains(c.GrantTypes, "refresh_token") {
			c.Scopes = slices.DeleteFunc(c.Scopes, func(s string) bool { return s == "offline_access" })
		}
	}
}

// checkClient finds what is wrong with a client as a whole.
func (a *API) checkClient(c store.Client, found *mistakes) {
	found.line("client_name", c.Name, 1, 100)
	found.oneOf("application_type", c.ApplicationType, "web", "native")
	found.oneOf("token_endpoint_auth_method", c.TokenEndpointAuthMethod, authMethods...)
	if c.IDTokenSignedResponseAlg != "" {
		found.oneOf("id_token_signed_response_alg", c.IDTokenSignedResponseAlg, signingAlgs...)
	}
	if c.AccessTokenSigningAlg != "" {
		found.oneOf("access_token_signing_alg", c.AccessTokenSigningAlg, signingAlgs...)
	}
	for i, g := range c.GrantTypes {
		found.oneOf(fmt.Sprintf("grant_types[%d]", i), g, grantTypes...)
	}
	if a.CheckClient != nil {
		wrong := a.CheckClient(c)
		for _, field := range slices.Sorted(maps.Keys(wrong)) {
			text := wrong[field]
			if _, ok := metadata[field]; ok {
				field = "metadata." + field
			}
			found.add(field, "%s", text)
		}
	}
	a.checkRedirects(c, found)
	checkGrants(c, found)
	for _, s := range c.Scopes {
		if !scopeToken.MatchString(s) {
			found.add("scope", "%q is not a scope: printable ASCII without spaces, quotes and backslashes", s)
		}
	}
	for i, aud := range c.Audiences {
		found.line(fmt.Sprintf("audiences[%d]", i), aud, 1, 500)
	}
}

func (a *API) checkRedirects(c store.Client, found *mistakes) {
	for _, one := range []struct {
		key  string
		uris []string
	}{{"redirect_uris", c.RedirectURIs}, {"post_logout_redirect_uris", c.PostLogoutRedirectURIs}} {
		key, uris := one.key, one.uris
		if len(uris) > 100 {
			found.add(key, "has more than 100 items")
			continue
		}
		for i, uri := range uris {
			field := fmt.Sprintf("%s[%d]", key, i)
			if len(uri) > 2000 {
				found.add(field, "is longer than 2000 characters")
			} else if err := a.CheckRedirectURI(uri, c.ApplicationType, a.Issuer); err != nil {
				found.add(field, "%s", err) // words of our own
			}
			if slices.Contains(uris[:i], uri) {
				found.add(field, "is there twice")
			}
		}
	}
}

// checkGrants finds grants that do not go with the rest.
func checkGrants(c store.Client, found *mistakes) {
	code := slices.Contains(c.GrantTypes, "authorization_code")
	returns := code || slices.Contains(c.GrantTypes, grantImplicit)
	elsewhere := slices.Contains(c.GrantTypes, grantDevice) || slices.Contains(c.GrantTypes, grantBackchannel)
	people := returns || elsewhere
	public := c.TokenEndpointAuthMethod == authNone
	if len(c.GrantTypes) == 0 {
		found.add("grant_types", "is empty: the client could do nothing")
	}
	if returns && len(c.ResponseTypes) == 0 {
		found.add("response_types", "is missing; implicit goes with one that has tokens, such as code id_token")
	}
	if returns && len(c.RedirectURIs) == 0 {
		found.add("redirect_uris", "is missing; say where people return to after the sign-in")
	}
	if slices.Contains(c.GrantTypes, "refresh_token") && !code && !elsewhere {
		found.add("grant_types", "refresh_token goes with authorization_code, the device grant or the CIBA grant only")
	}
	for _, one := range [][2]string{{grantExchange, "token_exchange"}, {grantJWTBearer, "jwt_bearer_issuers"}} {
		grant, setting := one[0], one[1]
		switch {
		case !slices.Contains(c.GrantTypes, grant):
		case public:
			found.add("grant_types", "%s needs a client that can prove itself, and a public client cannot", grant)
		case c.Settings[setting] == nil:
			found.add("metadata."+setting, "is missing; it says whose tokens and assertions the client may use with %s", grant)
		}
	}
	if slices.Contains(c.GrantTypes, "client_credentials") && public {
		found.add("grant_types", "client_credentials needs a secret, and a public client has none")
	}
	if slices.Contains(c.Scopes, "openid") && !people {
		found.add("scope", "openid is about people signing in, which needs authorization_code, the device grant or the CIBA grant")
	}
	if c.PKCEOptional && public {
		found.add("pkce_optional", "a public client without PKCE would be open to everyone who sees its codes")
	}
}
