package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"anteroom/admin"
	"anteroom/config"
	"anteroom/internal/demo"
	"anteroom/store"
)

const (
	partyFarewell    = "http://localhost:9/bye"
	deviceGrant      = "urn:ietf:params:oauth:grant-type:device_code"
	exchangeGrant    = "urn:ietf:params:oauth:grant-type:token-exchange"
	backchannelGrant = "urn:openid:params:grant-type:ciba"
	partyScope       = "openid profile email roles offline_access"
	registrationWord = "an initial access token of the interoperability tests"
)

// registers lets whoever has the word register clients.
func registers(c *config.Config) {
	c.Registration = config.Registration{Mode: config.RegistrationToken, Token: config.Secret(registrationWord)}
}

// wanted is what a client is registered with; what is left out has the defaults
// of a portal.
type wanted struct {
	auth, scope, kind string
	grants            []string
	redirect          []string // nil: partyRedirect; empty: none
	farewell          string   // where it wants people back after they signed out; "": partyFarewell
	keys              bool     // a key of its own, in the program's settings
	reads             bool     // likewise, and it is to read answers with, not to sign
	metadata          map[string]any
}

// client registers a client of PCC, and tells the program about it.
func (d *drama) client(id string, w wanted) {
	d.t.Helper()
	if w.redirect == nil {
		w.redirect = []string{partyRedirect}
	}
	farewell := []string{}
	if len(w.redirect) > 0 {
		farewell = []string{first(w.farewell, partyFarewell)}
	}
	in := admin.RegisterClient{ID: id, Application: demo.PCC, ChangeClient: admin.ChangeClient{
		RedirectURIs: &w.redirect, PostLogoutRedirectURIs: &farewell, TokenEndpointAuthMethod: &w.auth,
	}}
	if w.grants != nil {
		in.GrantTypes = &w.grants
	}
	if w.scope != "" {
		in.Scope = &w.scope
	}
	if w.kind != "" {
		in.ApplicationType = &w.kind
	}
	told := map[string]any{"id": id}
	if w.metadata == nil {
		w.metadata = map[string]any{}
	}
	if w.keys || w.reads {
		alg, use := "ES256", "sig"
		if w.reads {
			alg, use = "ECDH-ES+A128KW", "enc"
		}
		private, public := keyPair(d.t, id, alg, use)
		w.metadata["jwks"] = map[string]any{"keys": []any{public}}
		told["key"] = private
	}
	if len(w.metadata) > 0 {
		in.Metadata = &w.metadata
	}
	var made admin.Registered
	d.p.do(http.MethodPost, "/clients", in, &made)
	if made.Secret != "" {
		told["secret"] = made.Secret
	}
	d.settings["clients"].(map[string]any)[id] = told
}

// keyPair makes a key of the curve P-256, as JWKs.
func keyPair(t *testing.T, id, alg, use string) (private, public map[string]any) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		key  any
		into *map[string]any
	}{{key, &private}, {key.Public(), &public}} {
		raw, err := json.Marshal(jose.JSONWebKey{Key: one.key, KeyID: id + "-key", Algorithm: alg, Use: use})
		if err == nil {
			err = json.Unmarshal(raw, one.into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return private, public
}

// everyKind registers a client for each way that libraries authenticate and ask.
func (d *drama) everyKind() {
	d.t.Helper()
	d.settings["registration"] = registrationWord
	none := []string{}
	d.client("web", wanted{auth: "client_secret_basic", scope: partyScope})
	d.client("key", wanted{auth: "private_key_jwt", scope: partyScope, keys: true})
	d.client("bound", wanted{auth: "client_secret_basic", scope: partyScope, metadata: map[string]any{
		"dpop_bound_access_tokens": true, "dpop_nonce_required": true, "require_pushed_authorization_requests": true,
	}})
	d.client("machine", wanted{auth: "private_key_jwt", scope: "reports.read email", keys: true, redirect: none,
		grants:   []string{"client_credentials", exchangeGrant},
		metadata: map[string]any{"token_exchange": map[string]any{"clients": []string{"web"}}},
	})
	d.client("sealed", wanted{auth: "client_secret_basic", scope: partyScope, reads: true, metadata: map[string]any{
		"id_token_encrypted_response_alg": "ECDH-ES+A128KW",
		"userinfo_signed_response_alg":    "ES256", "userinfo_encrypted_response_alg": "ECDH-ES+A128KW", "userinfo_encrypted_response_enc": "A256GCM",
		"introspection_signed_response_alg": "ES256", "introspection_encrypted_response_alg": "ECDH-ES+A128KW", "introspection_encrypted_response_enc": "A128GCM",
	}})
	d.client("secretly", wanted{auth: "client_secret_jwt", redirect: none})
	d.client("till", wanted{auth: "client_secret_basic", scope: "openid email", redirect: none, grants: []string{backchannelGrant}})
	d.p.do(http.MethodPatch, "/applications/"+demo.PCC, admin.ChangeApplication{DetailTypes: &[]store.DetailType{{
		Type: "payment", Title: "Pay from your account", Fields: []store.DetailField{{Name: "amount", Title: "Amount", Kind: "number", Required: true}},
	}}}, nil)
	d.client("payer", wanted{auth: "client_secret_basic", scope: partyScope, metadata: map[string]any{"authorization_details_types": []string{"payment"}}})
	d.client("tv", wanted{auth: "none", scope: "openid email", kind: "native", redirect: none, grants: []string{deviceGrant}})
}

func TestInteropOpenIDClient(t *testing.T) {
	t.Parallel()
	runtimeOf(t, "node")
	p := start(t, registers)
	d := p.stage(t, "olga@acme.example")
	d.everyKind()
	d.play("node", "openid-client.js", "sign-in", "userinfo", "refresh", "introspection", "revocation", "sign-out",
		"pushed request", "signed request", "pushed and signed request", "signed answer", "encrypted answers", "DPoP",
		"client credentials", "token exchange", "client_secret_jwt", "device grant", "dynamic registration", "CIBA", "authorization details",
		"refused: another nonce", "refused: another issuer", "refused: another verifier")
}

func TestInteropOAuth4WebAPI(t *testing.T) {
	t.Parallel()
	runtimeOf(t, "node")
	p := start(t, registers)
	d := p.stage(t, "otto@acme.example")
	d.everyKind()
	d.play("node", "oauth4webapi.js", "discovery", "sign-in", "userinfo", "refresh", "introspection", "revocation", "JWT access token",
		"private_key_jwt", "pushed request", "signed answer", "DPoP", "DPoP nonce", "client credentials", "device grant", "dynamic registration",
		"refused: metadata of another issuer", "refused: another nonce", "refused: an assertion by another key")
}

func TestInteropAuthlib(t *testing.T) {
	t.Parallel()
	runtimeOf(t, "python")
	p := start(t)
	d := p.stage(t, "paul@acme.example")
	d.everyKind()
	d.play("python", "authlib_party.py", "discovery", "sign-in", "userinfo", "refresh", "introspection", "revocation", "JWT access token", "sign-out",
		"private_key_jwt", "client_secret_jwt", "client credentials", "token exchange", "device grant",
		"refused: another nonce", "refused: another issuer", "refused: a wrong secret")
}
