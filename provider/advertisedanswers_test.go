package provider

import (
	"net/url"
	"strings"

	"anteroom/store"
)

// useClaim asks for a claim of the person one by one, and finds those of the
// sign-in in the ID token of the hybrid flow.
func (a *advertised) useClaim(claim string) {
	if claim == "sid" || scopeOfClaim(claim) == "" {
		got := a.fragmentOf(a.get(PathAuthorize, ask(a.front(), "response_type", "code id_token token")))
		_, id := payload(a.t, got.Get("id_token"))
		a.want(id[claim] != nil, "%v", id)
		return
	}
	a.check(changeAccount("ann", func(u *store.Account) {
		for _, name := range []string{"name", "family_name", "given_name", "middle_name", "nickname", "profile", "picture", "website", "gender", "birthdate", "zoneinfo", "locale"} {
			u.Profile[name] = "her " + name
		}
	})(a.rig))
	got := a.tokens("web", "claims", `{"userinfo":{"`+claim+`":null}}`)
	info := a.post(PathUserInfo, nil, withToken(str(got["access_token"]))).json
	a.want(info[claim] != nil, "%v", info)
}

// answerOfKind gets an answer that a client may want as a JWT.
func (a *advertised) answerOfKind(answer, client string) string {
	a.t.Helper()
	switch answer {
	case answerIDToken:
		return str(a.tokens(client)["id_token"])
	case answerUserInfo:
		return a.post(PathUserInfo, nil, withToken(str(a.tokens(client)["access_token"]))).text
	case answerIntrospection:
		return a.introspectAs(str(a.tokens(client)["access_token"]), "application/token-introspection+jwt", client).text
	}
	return a.answer(client, "response_mode", "jwt").Get("response")
}

// signs uses a signature of an answer.
func signs(answer string) func(a *advertised, alg string) {
	return func(a *advertised, alg string) {
		header, _ := payload(a.t, a.answerOfKind(answer, a.clientWith(map[string]any{signedAlg(answer): alg})))
		a.want(header["alg"] == alg, "%v", header)
	}
}

// encrypts uses an encryption of an answer: one alg with a common enc, or an enc
// with a common alg.
func encrypts(answer string, isAlg bool) func(a *advertised, value string) {
	return func(a *advertised, value string) {
		alg, enc := value, "A256GCM"
		if !isAlg {
			alg, enc = "RSA-OAEP-256", value
		}
		client := a.clientWith(map[string]any{"jwks": readerSet(a.t), encryptedAlg(answer): alg, encryptedEnc(answer): enc})
		_, content := decrypt(a.t, a.answerOfKind(answer, client), alg, enc)
		a.want(content != "", "nothing inside")
	}
}

func (a *advertised) useBackChannelLogout(string) {
	client := a.clientWith(map[string]any{"backchannel_logout_uri": a.site + "/out", "backchannel_logout_session_required": true})
	hint := str(a.tokens(client)["id_token"])
	_, id := payload(a.t, hint)
	a.get(PathLogout, url.Values{"id_token_hint": {hint}})
	a.deliver()
	posted, err := url.ParseQuery(a.postedTo("/out"))
	a.check(err)
	_, claims := payload(a.t, posted.Get("logout_token"))
	a.want(claims["sid"] == id["sid"] && claims["sid"] != nil && claims["aud"] == client, "%v", claims)
}

func (a *advertised) useFrontChannelLogout(string) {
	client := a.clientWith(map[string]any{"frontchannel_logout_uri": "https://portal.example/out"})
	hint := str(a.tokens(client)["id_token"])
	_, id := payload(a.t, hint)
	got := framesOf(a.get(PathLogout, url.Values{"id_token_hint": {hint}}))
	want := url.Values{"iss": {a.URL}, "sid": {str(id["sid"])}}.Encode()
	a.want(len(got) == 1 && strings.HasSuffix(got[0], want), "frames %q", got)
}
