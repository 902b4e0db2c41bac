package provider

import (
	"testing"

	"anteroom/store"
)

// RFC 7591 section 2, RFC 8705 section 2.1.2, RFC 9101 section 10.5.
func TestCheckClient(t *testing.T) {
	plain, certified := newRig(t), newCertRig(t, newAuthority(t))
	fetching := newRig(t, func(o *Options) { o.RequestURIs = true })
	keys := partySet(t)
	for _, c := range []struct {
		name   string
		r      *rig
		method string
		set    map[string]any
		field  string // "": nothing is wrong
	}{
		{"a secret", plain, "client_secret_basic", nil, ""},
		{"keys", plain, "private_key_jwt", map[string]any{"jwks": keys}, ""},
		{"no keys", plain, "private_key_jwt", nil, "jwks"},
		{"keys of no use for signatures", plain, "private_key_jwt", map[string]any{"jwks": object{"keys": []any{readerSet(t).(object)["keys"].([]any)[3]}}}, "jwks"},
		{"keys of no use for signed requests", plain, "client_secret_basic", map[string]any{"require_signed_request_object": true, "jwks": object{"keys": []any{readerSet(t).(object)["keys"].([]any)[3]}}}, "jwks"},
		{"bad keys", plain, "private_key_jwt", map[string]any{"jwks": map[string]any{"keys": []any{}}}, "jwks"},
		{"keys twice", plain, "private_key_jwt", map[string]any{"jwks": keys, "jwks_uri": "https://a.example/"}, "jwks_uri"},
		{"keys that nobody fetches", plain, "private_key_jwt", map[string]any{"jwks_uri": "https://a.example/"}, "jwks_uri"},
		{"certificates that are not on", plain, "tls_client_auth", map[string]any{"tls_client_auth_san_dns": "a.example"}, "token_endpoint_auth_method"},
		{"bound to certificates that are not on", plain, "client_secret_basic", map[string]any{"tls_client_certificate_bound_access_tokens": true}, "tls_client_certificate_bound_access_tokens"},
		{"a certificate", certified, "tls_client_auth", map[string]any{"tls_client_auth_san_dns": "a.example", "tls_client_certificate_bound_access_tokens": true}, ""},
		{"a certificate without a name", certified, "tls_client_auth", nil, "tls_client_auth_subject_dn"},
		{"with two", certified, "tls_client_auth", map[string]any{"tls_client_auth_san_dns": "a.example", "tls_client_auth_san_ip": "192.0.2.1"}, "tls_client_auth_subject_dn"},
		{"self-signed without keys", certified, "self_signed_tls_client_auth", nil, "jwks"},
		{"signed requests without keys", plain, "client_secret_basic", map[string]any{"require_signed_request_object": true}, "jwks"},
		{"an algorithm for requests", plain, "client_secret_basic", map[string]any{"request_object_signing_alg": "HS256"}, "request_object_signing_alg"},
		{"unsigned requests", plain, "client_secret_basic", map[string]any{"request_object_signing_alg": "none"}, ""},
		{"unsigned requests that must be signed", plain, "client_secret_basic", map[string]any{"jwks": keys, "request_object_signing_alg": "none", "require_signed_request_object": true}, "request_object_signing_alg"},
		{"requests by reference that are off", plain, "client_secret_basic", map[string]any{"request_uris": []any{"https://a.example/r"}}, "request_uris"},
		{"requests by reference", fetching, "client_secret_basic", map[string]any{"request_uris": []any{"https://a.example/r", "https://a.example/r#x"}}, ""},
		{"requests that are files", fetching, "client_secret_basic", map[string]any{"request_uris": []any{"file:///etc/passwd"}}, "request_uris"},
		{"requests in a text", fetching, "client_secret_basic", map[string]any{"request_uris": "https://a.example/r"}, "request_uris"},
		{"an algorithm for answers", plain, "client_secret_basic", map[string]any{"authorization_signed_response_alg": "HS256"}, "authorization_signed_response_alg"},
		{"an algorithm of keys for a secret", plain, "client_secret_jwt", map[string]any{"token_endpoint_auth_signing_alg": "ES256"}, "token_endpoint_auth_signing_alg"},
		{"an algorithm for a secret", plain, "client_secret_jwt", map[string]any{"token_endpoint_auth_signing_alg": "HS256"}, ""},
		{"encryption", plain, "client_secret_basic", map[string]any{"jwks": readerSet(t), "id_token_encrypted_response_alg": "RSA-OAEP", "userinfo_encrypted_response_alg": "ECDH-ES", "userinfo_encrypted_response_enc": "A256GCM"}, ""},
		{"encryption with RSA to EC keys", plain, "client_secret_basic", map[string]any{"jwks": object{"keys": []any{readerSet(t).(object)["keys"].([]any)[3]}}, "id_token_encrypted_response_alg": "RSA-OAEP"}, "id_token_encrypted_response_alg"},
		{"encryption without keys", plain, "client_secret_basic", map[string]any{"introspection_encrypted_response_alg": "RSA-OAEP"}, "introspection_encrypted_response_alg"},
		{"encryption without alg", plain, "client_secret_basic", map[string]any{"jwks": readerSet(t), "authorization_encrypted_response_enc": "A256GCM"}, "authorization_encrypted_response_alg"},
		{"weak encryption", plain, "client_secret_basic", map[string]any{"jwks": readerSet(t), "id_token_encrypted_response_alg": "RSA1_5"}, "id_token_encrypted_response_alg"},
		{"userinfo that is not signed", plain, "client_secret_basic", map[string]any{"userinfo_signed_response_alg": "none"}, "userinfo_signed_response_alg"},
		{"a profile", plain, "client_secret_basic", map[string]any{"profile": "fapi2", "jwks": keys}, "profile"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.r.p.CheckClient(store.Client{TokenEndpointAuthMethod: c.method, Settings: c.set})
			if (c.field == "") != (len(got) == 0) || (c.field != "" && got[c.field] == "") {
				t.Errorf("got %v, want %q", got, c.field)
			}
		})
	}
}
