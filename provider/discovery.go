package provider

import (
	"maps"
	"net/http"
	"slices"

	"anteroom/flow"
)

// metadata is what the provider can do, taken from the tables that make it do
// it (OpenID Connect Discovery section 3, RFC 8414 section 2).
func (p *Provider) metadata() map[string]any {
	var methods, grants, scopes []string
	for _, m := range p.methods() {
		methods = append(methods, m.name)
	}
	for _, g := range grantTypes {
		grants = append(grants, g.name)
	}
	if p.frontChannelTokens != FrontChannelOff {
		grants = append(grants, grantImplicit)
	}
	claims := []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash"}
	if p.frontChannelTokens != FrontChannelOff {
		claims = append(claims, "c_hash", "s_hash")
	}
	for _, scope := range slices.Sorted(maps.Keys(standardClaims)) {
		scopes = append(scopes, scope)
		claims = append(claims, standardClaims[scope]...)
	}
	secretMethods := slices.DeleteFunc(slices.Clone(methods), func(m string) bool { return m == "none" })
	m := map[string]any{
		"issuer":                                p.issuer,
		"authorization_endpoint":                p.issuer + PathAuthorize,
		"token_endpoint":                        p.issuer + PathToken,
		"pushed_authorization_request_endpoint": p.issuer + PathPushed,
		"userinfo_endpoint":                     p.issuer + PathUserInfo,
		"introspection_endpoint":                p.issuer + PathIntrospect,
		"revocation_endpoint":                   p.issuer + PathRevoke,
		"end_session_endpoint":                  p.issuer + PathLogout,
		"jwks_uri":                              p.issuer + PathJWKS,

		"scopes_supported":                 append([]string{"openid", "offline_access"}, scopes...),
		"response_types_supported":         p.responseTypes(),
		"response_modes_supported":         responseModes,
		"grant_types_supported":            grants,
		"prompt_values_supported":          prompts,
		"acr_values_supported":             []string{flow.ACRPassword, flow.ACRMulti},
		"subject_types_supported":          []string{"public"},
		"claim_types_supported":            []string{"normal"},
		"claims_supported":                 claims,
		"code_challenge_methods_supported": []string{"S256"},
		"display_values_supported":         []string{"page"},
		"ui_locales_supported":             []string{"en"},

		"token_endpoint_auth_methods_supported":                    methods,
		"revocation_endpoint_auth_methods_supported":               methods,
		"token_endpoint_auth_signing_alg_values_supported":         slices.Concat(clientAlgorithms, secretAlgorithms),
		"revocation_endpoint_auth_signing_alg_values_supported":    slices.Concat(clientAlgorithms, secretAlgorithms),
		"introspection_endpoint_auth_signing_alg_values_supported": slices.Concat(clientAlgorithms, secretAlgorithms),
		"introspection_endpoint_auth_methods_supported":            secretMethods,
		"require_pushed_authorization_requests":                    false, // a client may be registered so
		"dpop_signing_alg_values_supported":                        clientAlgorithms,
		"tls_client_certificate_bound_access_tokens":               p.seesCertificates(),
		"claims_parameter_supported":                               true,
		"request_parameter_supported":                              true,
		"request_object_signing_alg_values_supported":              clientAlgorithms,
		"require_signed_request_object":                            false, // a client may be registered so
		"request_uri_parameter_supported":                          p.requestURIs,
		"require_request_uri_registration":                         p.requestURIs,
		"authorization_response_iss_parameter_supported":           true,
	}
	for _, answer := range signedAnswers {
		m[answer+"_signing_alg_values_supported"] = signingAlgorithms
		m[answer+"_encryption_alg_values_supported"] = keyManagement
		m[answer+"_encryption_enc_values_supported"] = contentEncryption
	}
	if aliases := p.aliases(); aliases != nil {
		m["mtls_endpoint_aliases"] = aliases
	}
	return m
}

// Discovery serves what the provider can do, at both well-known paths.
func (p *Provider) Discovery(w http.ResponseWriter, r *http.Request) {
	if cors(w, r, http.MethodGet, http.MethodHead) || !p.only(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	p.discoveryNow(r.Context()).serve(w, r)
}
