package provider

import "maps"

// features is metadata with what is not part of every authorization server.
func (p *Provider) features() map[string]any {
	m := p.metadata()
	maps.Copy(m, map[string]any{
		// OpenID Connect Back-Channel Logout section 2.1.
		"backchannel_logout_supported":         true,
		"backchannel_logout_session_supported": true,
		// OpenID Connect Front-Channel Logout section 3.
		"frontchannel_logout_supported":         true,
		"frontchannel_logout_session_supported": true,
	})
	m["device_authorization_endpoint"] = p.issuer + PathDeviceAuthorization // RFC 8628 section 4
	// OpenID CIBA Core section 4.
	m["backchannel_authentication_endpoint"] = p.issuer + PathBackchannel
	m["backchannel_token_delivery_modes_supported"] = deliveryModes
	m["backchannel_authentication_request_signing_alg_values_supported"] = clientAlgorithms
	m["backchannel_user_code_parameter_supported"] = false
	m["subject_types_supported"] = []string{"public", pairwise}
	if p.sessionManagement { // Session Management section 3.3
		m["check_session_iframe"] = p.issuer + PathCheckSession
	}
	if p.registration.On() {
		m["registration_endpoint"] = p.issuer + PathRegister // RFC 8414 section 2
	}
	if p.documents.On() {
		m["client_id_metadata_document_supported"] = true
	}
	return m
}
