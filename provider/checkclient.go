package provider

import (
	"encoding/json"
	"fmt"
	"strings"

	"anteroom/store"
)

// CheckClient says what is wrong with how a client is to prove itself and sign,
// by metadata and in words for whoever registers it; nothing if it is good.
func (p *Provider) CheckClient(c store.Client) map[string]string {
	wrong := map[string]string{}
	say := func(field, format string, args ...any) {
		if wrong[field] == "" {
			wrong[field] = fmt.Sprintf(format, args...)
		}
	}
	var on []string
	for _, m := range p.methods() {
		on = append(on, m.name)
	}
	method := c.TokenEndpointAuthMethod
	if !contains(on, method) {
		say("token_endpoint_auth_method", "%s is not on; those that are: %s", method, strings.Join(on, ", "))
	}
	set, uri := c.Settings["jwks"], setting(c, "jwks_uri")
	if set != nil {
		raw, err := json.Marshal(set)
		if err == nil {
			err = CheckKeySet(raw)
		}
		if err != nil {
			say("jwks", "%s", err)
		}
	}
	switch {
	case set != nil && uri != "":
		say("jwks_uri", "jwks and jwks_uri are not used together (RFC 7591 section 2)")
	case uri != "" && p.keySource == nil:
		say("jwks_uri", "keys are not fetched; register them as jwks")
	case set == nil && uri == "" && method == "self_signed_tls_client_auth",
		cannotSign(c) != "" && method == "private_key_jwt":
		say("jwks", "%s; %s needs the client's public keys", cannotSign(c), method)
	}
	if names := certificateNames(c); method == "tls_client_auth" && len(names) != 1 {
		say("tls_client_auth_subject_dn", "tls_client_auth needs exactly one of tls_client_auth_subject_dn, tls_client_auth_san_dns, tls_client_auth_san_uri, tls_client_auth_san_ip, tls_client_auth_san_email; %d are there", len(names))
	}
	if bindsCertificate(c) && !p.seesCertificates() {
		say("tls_client_certificate_bound_access_tokens", "client certificates are not on")
	}
	if v := c.Settings[settingDetailTypes]; v != nil && checkStrings(p, v) != "" {
		say(settingDetailTypes, "%s", checkStrings(p, v))
	}
	checkAnswers(c, say)
	p.checkRequests(c, say)
	allowed := clientAlgorithms
	if method == "client_secret_jwt" {
		allowed = secretAlgorithms
	}
	if alg := setting(c, "token_endpoint_auth_signing_alg"); alg != "" && !contains(allowed, alg) {
		say("token_endpoint_auth_signing_alg", "must be one of %s", strings.Join(allowed, ", "))
	}
	if what := p.wrongTypes(c); what != "" {
		say("response_types", "%s", what)
	}
	p.checkBackchannel(c, say)
	if lacks := CheckProfile(c); len(lacks) > 0 {
		say("profile", "%s", strings.Join(lacks, "; "))
	}
	return wrong
}

// checkBackchannel is OpenID CIBA Core section 4.
func (p *Provider) checkBackchannel(c store.Client, say func(field, format string, args ...any)) {
	mode, uri := setting(c, settingDelivery), setting(c, settingNotify)
	if mode != "" && !contains(deliveryModes, mode) {
		say(settingDelivery, "must be one of %s", strings.Join(deliveryModes, ", "))
	}
	switch {
	case uri != "" && p.fetch.CheckURL(uri) != nil:
		say(settingNotify, "is not an https URL")
	case uri == "" && mode == deliveryPing:
		say(settingNotify, "is missing; %s needs it", deliveryPing)
	}
	alg := setting(c, settingSignedWith)
	if alg != "" && !contains(algorithmsOf(c), alg) {
		say(settingSignedWith, "must be one of %s", strings.Join(algorithmsOf(c), ", "))
	}
	if alg != "" && c.Settings["jwks"] == nil && setting(c, "jwks_uri") == "" {
		say("jwks", "is missing; signed requests need the client's public keys")
	}
	if contains(c.GrantTypes, grantBackchannel) && public(c) {
		say("token_endpoint_auth_method", "%s needs a client that can prove itself", grantBackchannel)
	}
}
