package admin

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"anteroom/store"
)

// metadataKind is the JSON type of further client metadata.
type metadataKind int

const (
	textValue metadataKind = iota
	boolValue
	keySetValue
	webValue // an https URL; http will do where our own is
	objectValue
	listValue
)

// metadata is what a client may be registered with besides the keys that have a
// place of their own: names of RFC 7591, 8705, 9101, 9126, 9449 and 9701, of JARM
// and of OpenID Connect Registration, Logout and CIBA, and some of ours (profile,
// dpop_nonce_required, token_exchange, jwt_bearer_issuers).
var metadata = map[string]metadataKind{
	"jwks": keySetValue, "jwks_uri": webValue,
	"profile":                         textValue,
	"token_endpoint_auth_signing_alg": textValue, "request_object_signing_alg": textValue,
	"authorization_signed_response_alg": textValue, "authorization_encrypted_response_alg": textValue, "authorization_encrypted_response_enc": textValue,
	"id_token_encrypted_response_alg": textValue, "id_token_encrypted_response_enc": textValue,
	"userinfo_signed_response_alg": textValue, "userinfo_encrypted_response_alg": textValue, "userinfo_encrypted_response_enc": textValue,
	"introspection_signed_response_alg": textValue, "introspection_encrypted_response_alg": textValue, "introspection_encrypted_response_enc": textValue,
	"tls_client_auth_subject_dn": textValue, "tls_client_auth_san_dns": textValue, "tls_client_auth_san_uri": textValue,
	"tls_client_auth_san_ip": textValue, "tls_client_auth_san_email": textValue,
	"tls_client_certificate_bound_access_tokens": boolValue, "dpop_bound_access_tokens": boolValue, "dpop_nonce_required": boolValue,
	"backchannel_logout_uri": webValue, "frontchannel_logout_uri": webValue, "policy_uri": webValue, "tos_uri": webValue,
	"request_uris": listValue,
	"subject_type": textValue, "sector_identifier_uri": webValue, "initiate_login_uri": webValue,
	"token_exchange": objectValue, "jwt_bearer_issuers": listValue, detailTypesKey: listValue,
	"backchannel_token_delivery_mode": textValue, "backchannel_client_notification_endpoint": webValue,
	"backchannel_authentication_request_signing_alg": textValue,
	"require_pushed_authorization_requests":          boolValue, "require_signed_request_object": boolValue,
}

// MetadataKeys are the names of further client metadata, sorted.
func MetadataKeys() []string { return slices.Sorted(maps.Keys(metadata)) }

// applyMetadata sets what is sent; an empty text, false, an empty object and an
// empty list clear. It may run twice: it copies.
func applyMetadata(c *store.Client, in map[string]any) {
	settings := maps.Clone(c.Settings)
	if settings == nil {
		settings = map[string]any{}
	}
	for name, value := range in {
		clear := false
		switch v := value.(type) {
		case string:
			clear = v == ""
		case bool:
			clear = !v
		case map[string]any:
			clear = len(v) == 0
		case []any:
			clear = len(v) == 0
		}
		if clear {
			delete(settings, name)
			continue
		}
		settings[name] = value
	}
	c.Settings = settings
}

// viewMetadata leaves out what is not the operator's to set.
func viewMetadata(c store.Client) map[string]any {
	out := map[string]any{}
	for name := range metadata {
		if v, ok := c.Settings[name]; ok {
			out[name] = v
		}
	}
	return out
}

// checkMetadata finds what is no metadata, or of the wrong type.
func (a *API) checkMetadata(in map[string]any, found *mistakes) {
	for _, name := range slices.Sorted(maps.Keys(in)) {
		field := "metadata." + name
		kind, known := metadata[name]
		text, isText := in[name].(string)
		_, isBool := in[name].(bool)
		_, isSet := in[name].(map[string]any)
		_, isList := in[name].([]any)
		switch {
		case !known:
			found.add(field, "there is no such metadata; known are %s", strings.Join(MetadataKeys(), ", "))
		case kind == boolValue && !isBool:
			found.add(field, "must be true or false")
		case kind == objectValue && !isSet:
			found.add(field, "must be an object")
		case kind == listValue && !isList:
			found.add(field, "must be a list")
		case kind == keySetValue && !isSet:
			found.add(field, "must be a JWK set")
		case (kind == textValue || kind == webValue) && !isText:
			found.add(field, "must be a string")
		case kind == webValue && text != "" && !a.isWeb(text):
			found.add(field, "must be an https URL")
		case isText && text != "":
			found.line(field, text, 1, 1000)
		case (isSet || isList) && tooLarge(in[name]):
			found.add(field, "has more than 64 KiB")
		}
	}
}

// isWeb: a service on this machine, for development, has its portals there, too.
func (a *API) isWeb(raw string) bool {
	u, err := url.Parse(raw)
	plain := err == nil && u.Scheme == "http" && strings.HasPrefix(a.Issuer, "http://")
	return err == nil && (u.Scheme == "https" || plain) && u.Host != "" && u.User == nil && u.Fragment == ""
}

func tooLarge(v any) bool {
	raw, err := json.Marshal(v)
	return err != nil || len(raw) > 64<<10
}
