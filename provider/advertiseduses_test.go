package provider

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"anteroom/store"
)

// advertisedUses has a function for everything that metadata can advertise: for a
// member, which is called with each of its values, or for one value of a member
// ("member=value"). Who adds a feature adds a line.
var advertisedUses = map[string]func(a *advertised, value string){
	"issuer": func(a *advertised, v string) {
		a.want(a.get(a.path(v)+PathDiscovery, nil).json["issuer"] == v, "not its own issuer")
	},
	"authorization_endpoint": func(a *advertised, v string) {
		a.want(a.answerOf(a.get(a.path(v), ask("web"))).Has("code"), "no code")
	},
	"token_endpoint": func(a *advertised, v string) {
		a.want(a.post(a.path(v), redemption(a.code(ask("web"))), basic("web")).StatusCode == 200, "no tokens")
	},
	"userinfo_endpoint": func(a *advertised, v string) {
		a.want(a.post(a.path(v), nil, withToken(str(a.tokens("web")["access_token"]))).json["sub"] == "ann", "no claims")
	},
	"jwks_uri": func(a *advertised, v string) {
		header, _ := payload(a.t, str(a.tokens("web")["id_token"]))
		a.want(strings.Contains(a.get(a.path(v), nil).text, str(header["kid"])), "lacks the key")
	},
	"introspection_endpoint": func(a *advertised, v string) {
		res := a.post(a.path(v), url.Values{"token": {str(a.tokens("web")["access_token"])}}, basic("web"))
		a.want(res.json["active"] == true, "%s", res.text)
	},
	"revocation_endpoint": func(a *advertised, v string) {
		token := str(a.tokens("web")["access_token"])
		a.want(a.post(a.path(v), url.Values{"token": {token}}, basic("web")).StatusCode == 200 && !a.active(token, "web"), "not revoked")
	},
	"end_session_endpoint": func(a *advertised, v string) {
		res := a.get(a.path(v), url.Values{"id_token_hint": {str(a.tokens("web")["id_token"])}, "post_logout_redirect_uri": {bye}})
		a.want(res.Header.Get("Location") == bye && !a.hub.signed, "%d %s", res.StatusCode, res.text)
	},
	"pushed_authorization_request_endpoint": func(a *advertised, v string) {
		res := a.post(a.path(v), ask("web"), basic("web"))
		a.want(a.answerOf(a.get(PathAuthorize, url.Values{"client_id": {"web"}, "request_uri": {str(res.json["request_uri"])}})).Has("code"), "%s", res.text)
	},
	"registration_endpoint": func(a *advertised, v string) {
		a.want(a.send("POST", v, "", metadataWith(nil)).StatusCode == 201, "not registered")
	},
	"device_authorization_endpoint": func(a *advertised, v string) {
		a.want(a.device() != "", "no device code")
	},
	"backchannel_authentication_endpoint": func(a *advertised, v string) {
		a.callcentre(nil)
		a.want(a.path(v) == PathBackchannel && a.authReqID("bob@acme.example") != "", "not taken")
	},
	"check_session_iframe": func(a *advertised, v string) {
		a.want(strings.Contains(a.get(a.path(v), nil).text, "postMessage") && a.answer("web").Has("session_state"), "no page")
	},
	"mtls_endpoint_aliases": func(a *advertised, v string) {
		var aliases map[string]string
		a.check(json.Unmarshal([]byte(v), &aliases))
		for name, alias := range aliases {
			u, err := url.Parse(alias)
			a.want(err == nil && u.Hostname() == "mtls.id.example" && u.Path == a.path(str(a.doc[name])), "%s is %s", name, alias)
		}
	},

	"scopes_supported": func(a *advertised, v string) {
		a.want(contains(words(str(a.tokens("web", "scope", "openid "+v)["scope"])), v), "not granted")
	},
	"claims_supported": (*advertised).useClaim,
	"claim_types_supported=normal": func(a *advertised, _ string) {
		info := a.post(PathUserInfo, nil, withToken(str(a.tokens("web", "scope", "openid email")["access_token"]))).json
		a.want(info["email"] == "ann@acme.example" && info["_claim_names"] == nil, "%v", info)
	},
	"claims_parameter_supported=true": func(a *advertised, _ string) {
		_, id := payload(a.t, str(a.tokens("web", "claims", `{"id_token":{"email":null}}`)["id_token"]))
		a.want(id["email"] == "ann@acme.example", "%v", id)
	},
	"subject_types_supported": func(a *advertised, v string) {
		res := a.send("POST", PathRegister, "", metadataWith(object{"subject_type": v, "token_endpoint_auth_method": "none"}))
		form := redemption(a.code(ask(str(res.json["client_id"]))))
		_, id := payload(a.t, str(a.token(form, publicly(str(res.json["client_id"]))).json["id_token"]))
		a.want((id["sub"] == "ann") == (v == "public") && str(id["sub"]) != "", "sub %v", id["sub"])
	},
	"acr_values_supported": func(a *advertised, v string) {
		a.code(ask("web", "claims", `{"id_token":{"acr":{"essential":true,"value":"`+v+`"}}}`))
		a.want(contains(a.hub.last.Ask.EssentialACR, v), "%v", a.hub.last.Ask)
	},
	"display_values_supported": func(a *advertised, v string) { a.code(ask("web", "display", v)) },
	"ui_locales_supported": func(a *advertised, v string) {
		a.code(ask("web", "ui_locales", v))
		a.want(contains(a.hub.last.Ask.Locales, v), "%v", a.hub.last.Ask)
	},
	"prompt_values_supported": func(a *advertised, v string) {
		a.code(ask("web", "prompt", v))
		a.want(a.hub.last.Ask.Has(v), "%v", a.hub.last.Ask)
	},

	"response_types_supported=code": func(a *advertised, _ string) { a.want(a.answer("web").Has("code"), "no code") },
	"response_types_supported": func(a *advertised, v string) {
		got := a.fragmentOf(a.get(PathAuthorize, ask(a.front(), "response_type", v)))
		for _, word := range words(v) {
			a.want(got.Has(map[string]string{"code": "code", "id_token": "id_token", "token": "access_token"}[word]), "%s: %v", word, got)
		}
	},
	"response_modes_supported": func(a *advertised, v string) {
		res := a.get(PathAuthorize, ask("web", "response_mode", v))
		got := formOf(res)
		switch {
		case strings.HasPrefix(v, "fragment"):
			got = a.fragmentOf(res)
		case !strings.HasPrefix(v, "form_post"):
			got = a.answerOf(res)
		}
		if strings.HasSuffix(v, "jwt") {
			_, claims := payload(a.t, got.Get("response"))
			got = url.Values{"code": {str(claims["code"])}}
		}
		a.want(got.Get("code") != "", "%v", got)
	},
	"code_challenge_methods_supported=S256": func(a *advertised, v string) {
		code := a.code(ask("web", "code_challenge_method", v))
		wrong := redemption(code)
		wrong.Set("code_verifier", strings.Repeat("x", 50))
		a.wantError(a.post(PathToken, wrong, basic("web")), 400, "invalid_grant")
	},
	"authorization_response_iss_parameter_supported=true": func(a *advertised, _ string) {
		a.want(a.answer("web").Get("iss") == a.URL && a.answer("web", "scope", "nope").Get("iss") == a.URL, "no iss")
	},

	"grant_types_supported=authorization_code": func(a *advertised, _ string) { a.tokens("web") },
	"grant_types_supported=refresh_token": func(a *advertised, _ string) {
		a.token(refreshment(str(a.tokens("web")["refresh_token"])), basic("web"))
	},
	"grant_types_supported=client_credentials": func(a *advertised, _ string) {
		a.token(url.Values{"grant_type": {"client_credentials"}}, basic("web"))
	},
	"grant_types_supported=implicit": func(a *advertised, _ string) {
		a.want(a.fragmentOf(a.get(PathAuthorize, ask(a.front(), "response_type", "id_token"))).Has("id_token"), "no ID token")
	},
	"grant_types_supported=" + grantDevice: func(a *advertised, _ string) {
		code := a.device()
		a.token(url.Values{"grant_type": {grantDevice}, "device_code": {code}}, publicly("tv"))
	},
	"grant_types_supported=" + grantExchange: func(a *advertised, _ string) {
		a.gateway("gateway", ofWeb)
		a.token(exchangeOf(str(a.tokens("web", "scope", "openid api.read")["access_token"])), basic("gateway"))
	},
	"grant_types_supported=" + grantJWTBearer: func(a *advertised, _ string) {
		p := newPartner(a.t)
		id := a.clientWith(map[string]any{settingIssuers: []any{map[string]any{"issuer": partnerIssuer, "jwks": p.jwks(a.t)}}})
		a.check(changeClient(id, func(c *store.Client) { c.GrantTypes = []string{grantJWTBearer} })(a.rig))
		a.token(bearing(p.assert(a.t, a.about(nil))), basic(id))
	},
	"grant_types_supported=" + grantBackchannel: func(a *advertised, _ string) { a.approved() },

	"token_endpoint_auth_methods_supported": func(a *advertised, v string) {
		res := a.post(PathToken, redemption("x"), a.by(v))
		a.want(res.json["error"] == "invalid_grant", "%s", res.text)
	},
	"revocation_endpoint_auth_methods_supported": func(a *advertised, v string) {
		a.want(a.post(PathRevoke, url.Values{"token": {"x"}}, a.by(v)).StatusCode == 200, "refused")
	},
	"introspection_endpoint_auth_methods_supported": func(a *advertised, v string) {
		a.want(a.post(PathIntrospect, url.Values{"token": {"x"}}, a.by(v)).json["active"] == false, "refused")
	},
	"token_endpoint_auth_signing_alg_values_supported": func(a *advertised, v string) {
		res := a.post(PathToken, redemption("x"), a.byAlg(v))
		a.want(res.json["error"] == "invalid_grant", "%s", res.text)
	},
	"revocation_endpoint_auth_signing_alg_values_supported": func(a *advertised, v string) {
		a.want(a.post(PathRevoke, url.Values{"token": {"x"}}, a.byAlg(v)).StatusCode == 200, "refused")
	},
	"introspection_endpoint_auth_signing_alg_values_supported": func(a *advertised, v string) {
		a.want(a.post(PathIntrospect, url.Values{"token": {"x"}}, a.byAlg(v)).json["active"] == false, "refused")
	},

	"request_parameter_supported=true": func(a *advertised, _ string) {
		a.want(a.answerOf(a.get(PathAuthorize, url.Values{"client_id": {"keyed"}, "request": {a.signedRequest("keyed", nil)}})).Has("code"), "no code")
	},
	"request_object_signing_alg_values_supported": func(a *advertised, v string) {
		object := signJWT(a.t, v, partyKeys()[v], "", a.object("keyed", nil))
		a.want(a.answerOf(a.get(PathAuthorize, url.Values{"client_id": {"keyed"}, "request": {object}})).Has("code"), "no code")
	},
	"request_uri_parameter_supported=true": func(a *advertised, _ string) {
		a.mu.Lock()
		a.request = a.signedRequest("keyed", nil)
		a.mu.Unlock()
		a.want(a.answerOf(a.get(PathAuthorize, ask("keyed", "request_uri", a.site+"/request"))).Has("code"), "no code")
	},
	"require_request_uri_registration=true": func(a *advertised, _ string) {
		got := a.answer("keyed", "request_uri", a.site+"/other")
		a.want(got.Get("error") == "invalid_request_uri", "%v", got)
	},
	"authorization_details_types_supported": func(a *advertised, v string) {
		asked := map[string]string{"payment": payment, "accounts": accounts}[v]
		id := a.clientWith(map[string]any{settingDetailTypes: []any{v}})
		got := a.token(redemption(a.code(ask(id, paramDetails, asked))), basic(id))
		a.want(jsonOf(a.t, got.json[paramDetails]) == asked, "%s", got.text)
	},
	"client_id_metadata_document_supported=true": func(a *advertised, _ string) {
		id := a.site + "/client.json"
		a.mu.Lock()
		a.request = jsonOf(a.t, object{"client_id": id, "redirect_uris": []string{callback}})
		a.mu.Unlock()
		a.want(a.answer(id, "scope", "").Has("code"), "no code")
	},
	"require_signed_request_object=false":         func(a *advertised, _ string) { a.want(a.answer("web").Has("code"), "no code") },
	"require_pushed_authorization_requests=false": func(a *advertised, _ string) { a.want(a.answer("web").Has("code"), "no code") },

	"id_token_signing_alg_values_supported": func(a *advertised, v string) {
		id := a.clientWith(nil)
		a.check(changeClient(id, func(c *store.Client) { c.IDTokenSignedResponseAlg = v })(a.rig))
		header, _ := payload(a.t, str(a.tokens(id)["id_token"]))
		a.want(header["alg"] == v, "%v", header)
	},
	"userinfo_signing_alg_values_supported":      signs(answerUserInfo),
	"introspection_signing_alg_values_supported": signs(answerIntrospection),
	"authorization_signing_alg_values_supported": signs(answerAuthorization),

	"id_token_encryption_alg_values_supported":      encrypts(answerIDToken, true),
	"id_token_encryption_enc_values_supported":      encrypts(answerIDToken, false),
	"userinfo_encryption_alg_values_supported":      encrypts(answerUserInfo, true),
	"userinfo_encryption_enc_values_supported":      encrypts(answerUserInfo, false),
	"introspection_encryption_alg_values_supported": encrypts(answerIntrospection, true),
	"introspection_encryption_enc_values_supported": encrypts(answerIntrospection, false),
	"authorization_encryption_alg_values_supported": encrypts(answerAuthorization, true),
	"authorization_encryption_enc_values_supported": encrypts(answerAuthorization, false),

	"dpop_signing_alg_values_supported": func(a *advertised, v string) {
		res := a.token(redemption(a.code(ask("web"))), with(basic("web"), a.holder(v).proof("POST", PathToken, nil)))
		a.want(res.json["token_type"] == "DPoP", "%s", res.text)
	},
	"tls_client_certificate_bound_access_tokens=true": func(a *advertised, _ string) {
		_, claims := payload(a.t, str(a.token(url.Values{"grant_type": {"client_credentials"}}, showing("cert", a.cert)).json["access_token"]))
		a.want(claims["cnf"] != nil, "%v", claims)
	},

	"backchannel_logout_supported=true":          (*advertised).useBackChannelLogout,
	"backchannel_logout_session_supported=true":  (*advertised).useBackChannelLogout,
	"frontchannel_logout_supported=true":         (*advertised).useFrontChannelLogout,
	"frontchannel_logout_session_supported=true": (*advertised).useFrontChannelLogout,

	"backchannel_token_delivery_modes_supported=poll": func(a *advertised, _ string) { a.approved() },
	"backchannel_token_delivery_modes_supported=ping": func(a *advertised, _ string) {
		a.callcentre(map[string]any{settingDelivery: deliveryPing, settingNotify: a.site + "/notify"})
		id := a.authReqID("ann@acme.example", "client_notification_token", "8d67dc78-7faa-4d41-aabd-67707b374255")
		a.decideRequest("approve")
		a.deliver()
		a.want(a.postedTo("/notify") == `{"auth_req_id":"`+id+`"}`, "told %q", a.postedTo("/notify"))
	},
	"backchannel_user_code_parameter_supported=false": func(a *advertised, _ string) {
		a.callcentre(nil)
		res := a.askFor("bob@acme.example", "user_code", "1234")
		a.want(res.StatusCode == 200, "an unknown parameter is refused: %s", res.text)
	},
	"backchannel_authentication_request_signing_alg_values_supported": func(a *advertised, v string) {
		a.callcentre(map[string]any{"jwks": partySet(a.t), settingSignedWith: v})
		object := signJWT(a.t, v, partyKeys()[v], "", a.backchannelObject("callcentre", map[string]any{"jti": "advertised " + v, "login_hint": v + "@acme.example"}))
		res := a.post(PathBackchannel, url.Values{"request": {object}}, basic("callcentre"))
		a.want(res.StatusCode == 200, "%s", res.text)
	},
}

// callcentre is registered anew with these settings.
func (a *advertised) callcentre(settings map[string]any) {
	a.check(changeClient("callcentre", func(c *store.Client) { c.Settings = maps.Clone(settings) })(a.rig))
}

// approved is a whole sign-in over the back channel.
func (a *advertised) approved() {
	a.callcentre(nil)
	id := a.authReqID("ann@acme.example")
	a.wantEnd(a.decideRequest("approve"), "approved")
	if res := a.pollFor(id, "callcentre"); res.StatusCode != http.StatusOK {
		a.t.Errorf("%s", res.text)
	}
}

func (a *advertised) postedTo(path string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.posted[path]
}

// device begins on a device and lets it in; it returns the device code.
func (a *advertised) device() string {
	if _, err := a.db.Client(a.t.Context(), "tv"); err != nil {
		a.rig.register(store.Client{ID: "tv", TokenEndpointAuthMethod: "none", GrantTypes: []string{grantDevice}})
	}
	d := a.post(a.path(str(a.doc["device_authorization_endpoint"])), url.Values{"scope": {"openid"}}, publicly("tv")).json
	a.enter(d["user_code"], "confirm")
	return str(d["device_code"])
}
