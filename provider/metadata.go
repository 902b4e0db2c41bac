package provider

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"anteroom/internal/notice"
	"anteroom/store"
)

// What a client that registers itself may have. The rest is the operator's to
// give.
var (
	registrableGrants = []string{"authorization_code", "refresh_token"}
	registrableScopes = []string{"openid", "profile", "email", "phone", "address", "offline_access"}
)

// field is client metadata that is kept as it is, once check has nothing
// against it.
type field struct {
	name  string
	check func(p *Provider, v any) string // what is wrong with it, "" if nothing
}

var keptMetadata = []field{
	{"client_uri", (*Provider).checkWebURI}, {"logo_uri", (*Provider).checkWebURI},
	{"policy_uri", (*Provider).checkWebURI}, {"tos_uri", (*Provider).checkWebURI},
	{"initiate_login_uri", (*Provider).checkHTTPS},
	{"jwks_uri", (*Provider).checkFetched}, {"sector_identifier_uri", (*Provider).checkFetched},
	{notice.BackChannelURI, (*Provider).checkLogoutURI}, {notice.FrontChannelURI, (*Provider).checkLogoutURI},
	{"backchannel_logout_session_required", checkBool}, {"frontchannel_logout_session_required", checkBool},
	{"require_pushed_authorization_requests", checkBool},
	{"contacts", checkStrings}, {"jwks", checkKeys},
	{"token_endpoint_auth_signing_alg", checkText}, {"software_id", checkText}, {"software_version", checkText},
}

// applyMetadata sets what a client registers (RFC 7591 section 2, OpenID Connect
// Registration section 2). What it does not know it leaves out, and the answer
// tells so.
func (p *Provider) applyMetadata(ctx context.Context, c *store.Client, in map[string]any) error {
	c.Settings = map[string]any{}
	for _, f := range slices.Concat(keptMetadata, answerMetadata(), p.requestMetadata()) {
		v, sent := in[f.name]
		if !sent {
			continue
		}
		if wrong := f.check(p, v); wrong != "" {
			return badMetadata("%s %s.", f.name, wrong)
		}
		c.Settings[f.name] = v
	}
	for _, step := range []func(*store.Client, map[string]any) error{p.applyKind, p.applyURIs, p.applyGrants, p.applyAuthentication, p.applyJWTs} {
		if err := step(c, in); err != nil {
			return err
		}
	}
	c.Settings[settingSubjectType] = "public"
	if v, sent := in[settingSubjectType]; sent {
		c.Settings[settingSubjectType] = v
	}
	return p.settleSubject(ctx, c)
}

func (p *Provider) applyKind(c *store.Client, in map[string]any) error {
	c.ApplicationType = "web"
	if v, sent := in["application_type"]; sent {
		c.ApplicationType = text1(v)
	}
	if c.ApplicationType != "web" && c.ApplicationType != "native" {
		return badMetadata("application_type is web or native.")
	}
	c.Name = c.ID
	if v, sent := in["client_name"]; sent {
		name := strings.TrimSpace(text1(v))
		if name == "" || len(name) > 100 || strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			return badMetadata("client_name is one line of at most 100 bytes.")
		}
		c.Name = name
	}
	c.IDTokenSignedResponseAlg = text1(in["id_token_signed_response_alg"])
	if alg := c.IDTokenSignedResponseAlg; alg != "" && !contains(signingAlgorithms, alg) {
		return badMetadata("id_token_signed_response_alg %s is not supported.", alg)
	}
	return nil
}

func (p *Provider) applyURIs(c *store.Client, in map[string]any) error {
	for _, list := range []struct {
		name string
		into *[]string
	}{{"redirect_uris", &c.RedirectURIs}, {"post_logout_redirect_uris", &c.PostLogoutRedirectURIs}} {
		v, sent := in[list.name]
		if !sent {
			continue
		}
		uris, ok := stringList(v)
		if !ok || len(uris) > 20 {
			return refuse("invalid_redirect_uri", "%s is a list of at most 20 URIs.", list.name)
		}
		for _, uri := range uris {
			if len(uri) > 2000 {
				return refuse("invalid_redirect_uri", "%s: a URI has more than 2000 characters.", list.name)
			}
			if err := CheckRedirectURI(uri, c.ApplicationType, p.issuer); err != nil {
				return refuse("invalid_redirect_uri", "%s: %s.", list.name, err)
			}
		}
		*list.into = uris
	}
	return nil
}

func (p *Provider) applyGrants(c *store.Client, in map[string]any) error {
	c.GrantTypes, c.ResponseTypes = []string{"authorization_code"}, []string{"code"}
	for _, list := range []struct {
		name string
		into *[]string
		may  []string
	}{{"grant_types", &c.GrantTypes, p.registrable([]string{grantImplicit}, registrableGrants...)}, {"response_types", &c.ResponseTypes, p.registrable(frontChannelTypes, "code")}} {
		v, sent := in[list.name]
		if !sent {
			continue
		}
		values, ok := stringList(v)
		if !ok || len(values) == 0 {
			return badMetadata("%s is a list of texts.", list.name)
		}
		for _, one := range values {
			if !contains(list.may, sortedType(one)) {
				return badMetadata("%s: %s cannot be registered here.", list.name, one)
			}
		}
		*list.into = values
	}
	if wrong := p.wrongTypes(*c); wrong != "" {
		return badMetadata("response_types %s.", wrong)
	}
	if len(c.RedirectURIs) == 0 {
		return refuse("invalid_redirect_uri", "redirect_uris is missing.")
	}
	c.Scopes = slices.DeleteFunc(slices.Clone(registrableScopes), func(s string) bool {
		return s == "offline_access" && !contains(c.GrantTypes, "refresh_token")
	})
	if v, sent := in["scope"]; sent {
		asked := words(text1(v))
		c.Scopes = slices.DeleteFunc(c.Scopes, func(s string) bool { return !contains(asked, s) })
	}
	return nil
}

func (p *Provider) applyAuthentication(c *store.Client, in map[string]any) error {
	c.TokenEndpointAuthMethod = "client_secret_basic"
	if v, sent := in["token_endpoint_auth_method"]; sent {
		c.TokenEndpointAuthMethod = text1(v)
	}
	known := slices.ContainsFunc(p.methods(), func(m clientMethod) bool {
		return m.name == c.TokenEndpointAuthMethod && !strings.Contains(m.name, "tls_client_auth")
	})
	_, keys := in["jwks"]
	_, uri := in["jwks_uri"]
	switch {
	case !known:
		return badMetadata("token_endpoint_auth_method %s cannot be registered here.", c.TokenEndpointAuthMethod)
	case keys && uri:
		return badMetadata("jwks and jwks_uri are not used together (RFC 7591 section 2).")
	case c.TokenEndpointAuthMethod == "private_key_jwt" && cannotSign(*c) != "":
		return badMetadata("jwks %s; private_key_jwt needs jwks or jwks_uri.", cannotSign(*c))
	}
	return nil
}

// registered is the client information response (RFC 7591 section 3.2.1).
func (p *Provider) registered(c store.Client, secret string, known bool) map[string]any {
	out := map[string]any{
		"client_id": c.ID, "client_id_issued_at": c.CreatedAt.Unix(), "client_name": c.Name,
		"redirect_uris": notNil(c.RedirectURIs), "grant_types": c.GrantTypes, "response_types": c.ResponseTypes,
		"scope": strings.Join(c.Scopes, " "), "application_type": c.ApplicationType,
		"token_endpoint_auth_method":   c.TokenEndpointAuthMethod,
		"id_token_signed_response_alg": idTokenAlgorithm(c),
		"registration_client_uri":      p.issuer + PathRegister + "?" + url.Values{"client_id": {c.ID}}.Encode(),
	}
	if len(c.PostLogoutRedirectURIs) > 0 {
		out["post_logout_redirect_uris"] = c.PostLogoutRedirectURIs
	}
	for name, v := range c.Settings {
		if name != settingManage && name != settingSector && name != store.SettingTokensEnded {
			out[name] = v
		}
	}
	if known {
		secret = p.secretOf(c)
	}
	if secret != "" {
		out["client_secret"], out["client_secret_expires_at"] = secret, 0
	}
	return out
}

func stringList(v any) ([]string, bool) {
	raw, ok := v.([]any)
	var out []string
	for _, one := range raw {
		s, isText := one.(string)
		ok = ok && isText && s != ""
		out = append(out, s)
	}
	return out, ok
}

// checkWebURI: a link or an image that people see.
func (p *Provider) checkWebURI(v any) string {
	uri := text1(v)
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" || u.User != nil || len(uri) > 2000 || strings.ContainsAny(uri, " \"<>\\") {
		return "is not a web address"
	}
	if u.Scheme == "https" || (u.Scheme == "http" && strings.HasPrefix(p.issuer, "http://")) {
		return ""
	}
	return "is not an https URL"
}

// checkHTTPS: OpenID Connect Core section 4 has no exception.
func (p *Provider) checkHTTPS(v any) string {
	if wrong := p.checkWebURI(v); wrong != "" || !strings.HasPrefix(text1(v), "https://") {
		return "is not an https URL"
	}
	return ""
}

// checkFetched: an address that we fetch.
func (p *Provider) checkFetched(v any) string {
	if p.fetch.CheckURL(text1(v)) != nil {
		return "is not an https URL"
	}
	return ""
}

// checkLogoutURI: no fragment (Back-Channel Logout section 2.2, Front-Channel
// Logout section 2).
func (p *Provider) checkLogoutURI(v any) string {
	if wrong := p.checkWebURI(v); wrong != "" {
		return wrong
	}
	if strings.Contains(text1(v), "#") {
		return "has a fragment"
	}
	return ""
}

func checkBool(_ *Provider, v any) string {
	if _, ok := v.(bool); !ok {
		return "is true or false"
	}
	return ""
}

func checkText(_ *Provider, v any) string {
	if s := text1(v); s == "" || len(s) > 200 {
		return "is a short text"
	}
	return ""
}

func checkStrings(_ *Provider, v any) string {
	if list, ok := stringList(v); !ok || len(list) > 20 {
		return "is a list of at most 20 texts"
	}
	return ""
}

// checkKeys: public keys only; a private one that was sent here is burnt.
func checkKeys(_ *Provider, v any) string {
	raw, err := json.Marshal(v)
	if err == nil {
		err = CheckKeySet(raw)
	}
	if err != nil {
		return "is not good: " + err.Error() // words of our own
	}
	return ""
}
