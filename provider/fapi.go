package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"anteroom/store"
)

// The FAPI 2.0 Security Profile as one word: a client whose setting profile is
// fapi2 is held to all of it, whatever else it is registered with.
//
//	requests       pushed only, with redirect_uri and PKCE     section 5.3.2.2
//	the client     private_key_jwt, or a certificate           section 5.3.2.1
//	assertions     for the issuer, as one string               section 5.3.2.1
//	tokens         held by a key or a certificate              section 5.3.2.1
//	refresh tokens not rotated                                 section 5.3.2.1
//	algorithms     PS256, ES256, EdDSA                         section 5.4.1
//
// Codes live 60 seconds at most and answers carry iss for every client.
const profileFAPI2 = "fapi2"

var (
	fapiAlgorithms = []string{"PS256", "ES256", "EdDSA"}
	fapiMethods    = []string{"private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"}
)

// fapiObject is the longest life of a signed request, and how old it may be
// (FAPI 2.0 Message Signing section 5.3.1).
const fapiObject = time.Hour

func fapi(c store.Client) bool { return setting(c, "profile") == profileFAPI2 }

// algorithmsOf are those that a client may sign with.
func algorithmsOf(c store.Client) []string {
	if fapi(c) {
		return fapiAlgorithms
	}
	return clientAlgorithms
}

// signsWith returns the algorithm that a client chose for what we sign, or its
// default.
func signsWith(c store.Client, chosen, normal string) string {
	if !contains(signingAlgorithms, chosen) {
		chosen = normal
	}
	if fapi(c) && !contains(fapiAlgorithms, chosen) {
		return "PS256" // takes the place of RS256
	}
	return chosen
}

// fapiAudience: the issuer, as one string.
func (p *Provider) fapiAudience(raw json.RawMessage) error {
	var aud string
	if err := json.Unmarshal(raw, &aud); err != nil || aud != p.issuer {
		return fmt.Errorf("audience %.200s: FAPI 2.0 wants the issuer as one string", raw)
	}
	return nil
}

// checkFAPI is what the profile asks of a request besides being pushed.
func (a *authorization) checkFAPI() error {
	if fapi(a.client) && a.target.sent == "" {
		return refuse("invalid_request", "FAPI 2.0 wants the redirect_uri in the request.")
	}
	return nil
}

// fapiTimes are those of a signed request.
func fapiTimes(claims clientJWT, now time.Time) error {
	if claims.NotBefore == nil {
		return errors.New("no nbf")
	}
	begin := numericDate(*claims.NotBefore)
	if now.After(begin.Add(fapiObject + clockSkew)) {
		return fmt.Errorf("not before %s, too long ago", begin)
	}
	if claims.expires().After(begin.Add(fapiObject)) {
		return errors.New("good for more than 60 minutes")
	}
	return nil
}

// CheckProfile says what a client lacks for the profile that it is registered
// with, in words for the operator; nothing if it has no profile.
func CheckProfile(c store.Client) []string {
	switch setting(c, "profile") {
	case "":
		return nil
	case profileFAPI2:
	default:
		return []string{"the only profile is fapi2"}
	}
	var lacks []string
	say := func(wrong bool, format string, args ...any) {
		if wrong {
			lacks = append(lacks, fmt.Sprintf(format, args...))
		}
	}
	method := c.TokenEndpointAuthMethod
	say(!contains(fapiMethods, method), "fapi2 needs token_endpoint_auth_method %s", strings.Join(fapiMethods, " or "))
	say(method != "tls_client_auth" && c.Settings["jwks"] == nil && setting(c, "jwks_uri") == "", "fapi2 needs the client's public keys (jwks)")
	for _, alg := range []struct{ name, value string }{
		{"id_token_signed_response_alg", c.IDTokenSignedResponseAlg}, {"access_token_signing_alg", c.AccessTokenSigningAlg},
		{"token_endpoint_auth_signing_alg", setting(c, "token_endpoint_auth_signing_alg")},
		{"request_object_signing_alg", setting(c, "request_object_signing_alg")},
		{signedAlg(answerAuthorization), setting(c, signedAlg(answerAuthorization))},
		{signedAlg(answerUserInfo), setting(c, signedAlg(answerUserInfo))},
		{signedAlg(answerIntrospection), setting(c, signedAlg(answerIntrospection))},
	} {
		say(alg.value != "" && !contains(fapiAlgorithms, alg.value), "fapi2 takes %s for %s", strings.Join(fapiAlgorithms, ", "), alg.name)
	}
	for _, uri := range c.RedirectURIs {
		_, _, loopback := splitLoopback(uri)
		say(strings.HasPrefix(uri, "http:") && !(loopback && c.ApplicationType == "native"), "fapi2 wants https in redirect_uris: %s", uri)
	}
	return lacks
}

// fapiHolder finds who holds the tokens of a client of the profile that sent no
// proof: the certificate that it showed.
func (p *Provider) fapiHolder(r *http.Request) (*confirmation, error) {
	chain := p.certificates(r)
	if len(chain) == 0 {
		return nil, badProof(errors.New("neither a proof nor a certificate"))
	}
	return &confirmation{X5T: thumbprint(chain[0])}, nil
}
