package provider

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"anteroom/flow"
	"anteroom/internal/audit"
	"anteroom/store"
)

func frontChannelOn(o *Options) { o.FrontChannel = FrontChannelClients }

// newFrontRig lets clients have tokens in the authorization response; hybrid may
// have every kind.
func newFrontRig(t testing.TB, options ...func(*Options)) *rig {
	t.Helper()
	r := newRig(t, append(options, frontChannelOn)...)
	if err := r.db.CreateClient(t.Context(), store.Client{
		ID: "hybrid", ApplicationID: "analytics", TokenEndpointAuthMethod: "client_secret_basic",
		Secrets:       must(r.db.Client(t.Context(), "web"))(t).Secrets,
		RedirectURIs:  []string{callback},
		GrantTypes:    []string{"authorization_code", "implicit", "refresh_token"},
		ResponseTypes: append([]string{"code"}, frontChannelTypes...),
		Scopes:        everyScope, Audiences: []string{"https://api.example"},
	}); err != nil {
		t.Fatal(err)
	}
	return r
}

// fragmentOf returns the parameters of an answer in the fragment.
func (r *rig) fragmentOf(res *reply) url.Values {
	r.t.Helper()
	loc, err := res.Location()
	if err != nil {
		r.t.Fatalf("status %d, no redirect: %s", res.StatusCode, res.text)
	}
	if loc.RawQuery != "" {
		r.t.Errorf("something is in the query: %s", loc)
	}
	return must(url.ParseQuery(loc.EscapedFragment()))(r.t)
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)

// formOf returns the parameters of an answer in a form.
func formOf(res *reply) url.Values {
	got := url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(res.text, -1) {
		got.Add(m[1], html.UnescapeString(m[2]))
	}
	return got
}

// OpenID Connect Core sections 3.2.2.5 and 3.3.2.5: each response type gives
// what it names and nothing else; words in any order.
func TestResponseTypesGiveWhatTheyName(t *testing.T) {
	r := newFrontRig(t)
	for _, asked := range append(slices.Clone(frontChannelTypes), "id_token code", "token id_token", "token code id_token") {
		for mode, read := range map[string]func(*reply) url.Values{"": r.fragmentOf, "fragment": r.fragmentOf, "form_post": formOf} {
			got := read(r.get(PathAuthorize, ask("hybrid", "response_type", asked, "response_mode", mode, "scope", "openid email offline_access")))
			for name, word := range map[string]string{"code": "code", "id_token": "id_token", "access_token": "token", "token_type": "token", "expires_in": "token", "scope": "token"} {
				if want := contains(words(asked), word); want != got.Has(name) {
					t.Errorf("%s %s: %s is there: %v", asked, mode, name, !want)
				}
			}
			if got.Get("state") != "the state" || got.Get("iss") != r.URL || got.Has("error") || got.Has("refresh_token") {
				t.Errorf("%s %s: %v", asked, mode, got)
			}
			if got.Has("access_token") && (got.Get("token_type") != "Bearer" || got.Get("expires_in") != "600") {
				t.Errorf("%s %s: %v", asked, mode, got)
			}
		}
	}
}

// OpenID Connect Core sections 3.2.2.10 and 3.3.2.11, FAPI 1.0 part 2 section
// 5.1: the ID token says what it came with, in the hash of its algorithm.
func TestFrontChannelIDTokensSayWhatTheyCameWith(t *testing.T) {
	r := newFrontRig(t)
	left := func(alg, text string) string {
		if alg == "EdDSA" {
			sum := sha512.Sum512([]byte(text))
			return base64.RawURLEncoding.EncodeToString(sum[:32])
		}
		sum := sha256.Sum256([]byte(text))
		return base64.RawURLEncoding.EncodeToString(sum[:16])
	}
	for _, alg := range signingAlgorithms {
		r.check(changeClient("hybrid", func(c *store.Client) { c.IDTokenSignedResponseAlg = alg })(r))
		for _, asked := range []string{"id_token", "id_token token", "code id_token", "code id_token token"} {
			got := r.fragmentOf(r.get(PathAuthorize, ask("hybrid", "response_type", asked)))
			header, claims := payload(t, got.Get("id_token"))
			want := map[string]any{"nonce": "the nonce", "aud": "hybrid", "sub": "ann", "iss": r.URL, "s_hash": left(alg, "the state"), "c_hash": nil, "at_hash": nil}
			if got.Has("code") {
				want["c_hash"] = left(alg, got.Get("code"))
			}
			if got.Has("access_token") {
				want["at_hash"] = left(alg, got.Get("access_token"))
			}
			for name, v := range want {
				if claims[name] != v {
					t.Errorf("%s %s: %s is %v, want %v", alg, asked, name, claims[name], v)
				}
			}
			if header["alg"] != alg || claims["auth_time"] == nil {
				t.Errorf("%s %s: %v %v", alg, asked, header, claims)
			}
		}
	}
	got := r.fragmentOf(r.get(PathAuthorize, ask("hybrid", "response_type", "id_token", "state", "")))
	if _, claims := payload(t, got.Get("id_token")); claims["s_hash"] != nil || got.Has("state") {
		t.Errorf("no state was sent: %v %v", got, claims)
	}
}

// OpenID Connect Core section 5.4: an ID token that comes alone carries the
// claims of the scopes; one that comes with a token does not.
func TestAnIDTokenAloneCarriesTheClaims(t *testing.T) {
	r := newFrontRig(t)
	for asked, want := range map[string]any{"id_token": "ann@acme.example", "id_token token": nil, "code id_token": nil} {
		got := r.fragmentOf(r.get(PathAuthorize, ask("hybrid", "response_type", asked, "scope", "openid email")))
		if _, claims := payload(t, got.Get("id_token")); claims["email"] != want {
			t.Errorf("%s: email %v, want %v", asked, claims["email"], want)
		}
	}
}

// OpenID Connect Core section 3.3.3.6: both ID tokens of a hybrid flow are of the
// same person, sign-in and client; the code works once, and its reuse ends the
// tokens of the browser as well.
func TestHybridTokensAreOneFamily(t *testing.T) {
	r := newFrontRig(t)
	front := r.fragmentOf(r.get(PathAuthorize, ask("hybrid", "response_type", "code id_token token")))
	res := r.post(PathToken, redemption(front.Get("code")), basic("hybrid"))
	if res.StatusCode != 200 {
		t.Fatalf("%d %s", res.StatusCode, res.text)
	}
	_, first := payload(t, front.Get("id_token"))
	_, second := payload(t, str(res.json["id_token"]))
	for _, name := range []string{"iss", "sub", "aud", "auth_time", "nonce", "sid", "acr"} {
		if first[name] != second[name] || first[name] == nil {
			t.Errorf("%s: %v in the browser, %v at the token endpoint", name, first[name], second[name])
		}
	}
	access := front.Get("access_token")
	if info := r.get(PathUserInfo, nil); info.StatusCode != 401 {
		t.Errorf("userinfo without a token: %d", info.StatusCode)
	}
	if info := r.post(PathUserInfo, nil, withToken(access)); info.StatusCode != 200 || info.json["sub"] != "ann" {
		t.Errorf("userinfo: %d %s", info.StatusCode, info.text)
	}
	r.wantError(r.post(PathToken, redemption(front.Get("code")), basic("hybrid")), 400, "invalid_grant")
	if r.active(access, "hybrid") {
		t.Error("the code was used twice and the token of the browser lives")
	}
}

// A token of the browser ends with whatever ends every other.
func TestFrontChannelTokensDieWithWhatTheyStandFor(t *testing.T) {
	for name, kill := range map[string]func(r *rig, token string){
		"session": func(r *rig, _ string) { r.check(r.db.EndSession(r.t.Context(), r.hub.auth.SessionID, r.now())) },
		"grants": func(r *rig, _ string) {
			must(r.db.RevokeGrants(r.t.Context(), store.GrantFilter{AccountID: "ann"}, "test", r.now()))(r.t)
		},
		"account": func(r *rig, _ string) {
			r.check(changeAccount("ann", func(a *store.Account) { a.State = store.AccountDisabled })(r))
		},
		"client": func(r *rig, _ string) {
			r.check(changeClient("hybrid", func(c *store.Client) { c.Disabled = true })(r))
		},
		"revoked": func(r *rig, token string) { r.post(PathRevoke, url.Values{"token": {token}}, basic("hybrid")) },
		"expired": func(r *rig, _ string) { r.pass(10 * time.Minute) },
	} {
		r := newFrontRig(t)
		token := r.fragmentOf(r.get(PathAuthorize, ask("hybrid", "response_type", "id_token token"))).Get("access_token")
		if info := r.post(PathUserInfo, nil, withToken(token)); info.StatusCode != 200 {
			t.Fatalf("%s: not good to begin with: %d %s", name, info.StatusCode, info.text)
		}
		kill(r, token)
		if info := r.post(PathUserInfo, nil, withToken(token)); info.StatusCode != 401 {
			t.Errorf("%s: %d %s", name, info.StatusCode, info.text)
		}
	}
}

// Off by default, and then only for whom the operator says.
func TestResponseTypesThatAreRefused(t *testing.T) {
	r := newRig(t)
	for _, asked := range append([]string{"token", "none", "code none", "code code", "id_token  token"}, frontChannelTypes...) {
		res := r.get(PathAuthorize, ask("web", "response_type", asked))
		got := r.answerOf(res)
		if contains(words(asked), "token") || contains(words(asked), "id_token") {
			got = r.fragmentOf(res)
		}
		if got.Get("error") != "unsupported_response_type" || got.Get("state") != "the state" || got.Get("iss") != r.URL {
			t.Errorf("off, %q: %v", asked, got)
		}
	}
	r = newFrontRig(t)
	r.register(store.Client{ID: "half", TokenEndpointAuthMethod: "client_secret_basic"})
	r.check(changeClient("half", func(c *store.Client) {
		c.ResponseTypes, c.GrantTypes = []string{"code", "code id_token"}, []string{"authorization_code"}
	})(r))
	r.register(store.Client{ID: "bank", TokenEndpointAuthMethod: "private_key_jwt", Settings: map[string]any{"profile": "fapi2", "jwks": partySet(t)}})
	itself := func(c *store.Client) {
		c.ResponseTypes, c.GrantTypes = frontChannelTypes, []string{"authorization_code", "implicit"}
	}
	r.check(changeClient("bank", itself)(r))
	r.register(store.Client{ID: "itself", TokenEndpointAuthMethod: "none", Settings: map[string]any{settingManage: "x"}})
	r.check(changeClient("itself", itself)(r))
	r.register(store.Client{ID: "bound", TokenEndpointAuthMethod: "none", Settings: map[string]any{"dpop_bound_access_tokens": true}})
	r.check(changeClient("bound", itself)(r))
	for name, c := range map[string]struct {
		query url.Values
		code  string
	}{
		"a client of codes":                 {ask("web", "response_type", "code id_token"), "unauthorized_client"},
		"without the grant type implicit":   {ask("half", "response_type", "code id_token"), "unauthorized_client"},
		"a client that registered itself":   {ask("itself", "response_type", "id_token"), "unauthorized_client"},
		"tokens that belong to a key":       {ask("bound", "response_type", "id_token token"), "unauthorized_client"},
		"tokens without an ID token":        {ask("hybrid", "response_type", "token"), "unsupported_response_type"},
		"in the query":                      {ask("hybrid", "response_type", "id_token", "response_mode", "query"), "invalid_request"},
		"id_token without a nonce":          {ask("hybrid", "response_type", "id_token", "nonce", ""), "invalid_request"},
		"code id_token without a nonce":     {ask("hybrid", "response_type", "code id_token", "nonce", ""), "invalid_request"},
		"without the scope openid":          {ask("hybrid", "response_type", "id_token token", "scope", "email"), "invalid_request"},
		"code token without PKCE":           {ask("hybrid", "response_type", "code token", "code_challenge", "", "code_challenge_method", ""), "invalid_request"},
		"code id_token with plain PKCE":     {ask("hybrid", "response_type", "code id_token", "code_challenge_method", "plain"), "invalid_request"},
		"id_token token, unregistered word": {ask("hybrid", "response_type", "id_token token", "scope", "openid nope"), "invalid_scope"},
	} {
		got := r.fragmentOf(r.get(PathAuthorize, c.query))
		if got.Get("error") != c.code || got.Get("state") != "the state" || got.Get("iss") != r.URL || got.Has("id_token") || got.Has("access_token") || got.Has("code") {
			t.Errorf("%s: %v, want %s", name, got, c.code)
		}
	}
	for _, asked := range frontChannelTypes {
		res := r.post(PathPushed, ask("bank", "response_type", asked), r.byKey("bank", "PS256"))
		r.wantError(res, 400, "unauthorized_client")
	}
	if bound := r.fragmentOf(r.get(PathAuthorize, ask("bound", "response_type", "code id_token"))); bound.Get("id_token") == "" {
		t.Errorf("an ID token belongs to nobody's key: %v", bound)
	}
	if r.count(audit.TokensIssued) != 0 {
		t.Errorf("events %v", r.events())
	}
}

// JARM section 2.3.1: a signed answer in the query is in every log as well.
func TestSignedAnswersWithTokens(t *testing.T) {
	r := newFrontRig(t)
	for mode, read := range map[string]func(*reply) url.Values{"jwt": r.fragmentOf, "fragment.jwt": r.fragmentOf, "form_post.jwt": formOf} {
		got := read(r.get(PathAuthorize, ask("hybrid", "response_type", "code id_token token", "response_mode", mode)))
		_, claims := payload(t, got.Get("response"))
		if len(got) != 1 || str(claims["code"]) == "" || str(claims["id_token"]) == "" || str(claims["access_token"]) == "" {
			t.Errorf("%s: %v %v", mode, got, claims)
		}
	}
	got := r.fragmentOf(r.get(PathAuthorize, ask("hybrid", "response_type", "id_token", "response_mode", "query.jwt")))
	if _, claims := payload(t, got.Get("response")); claims["error"] != "invalid_request" || claims["id_token"] != nil {
		t.Errorf("query.jwt: %v", claims)
	}
}

// One commit: the grant and what the log says about it, with the interaction.
func TestFrontChannelTokensAreOneCommit(t *testing.T) {
	r := newFrontRig(t)
	r.store.writes.Store(true)
	res := r.get(PathAuthorize, ask("hybrid", "response_type", "code id_token token"))
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Location") != "" {
		t.Errorf("the store failed, and %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	r.store.writes.Store(false)
	r.fragmentOf(r.get(PathAuthorize, ask("hybrid", "response_type", "id_token token")))
	r.fragmentOf(r.get(PathAuthorize, ask("hybrid", "response_type", "code id_token")))
	if r.count(audit.TokensIssued) != 1 || r.count(audit.CodeIssued) != 1 {
		t.Errorf("events %v", r.events())
	}
}

// What is encrypted for a client is so in the browser, too, and is refused before
// anybody signs in if it cannot be.
func TestFrontChannelIDTokensAreEncrypted(t *testing.T) {
	r := newFrontRig(t)
	r.check(changeClient("hybrid", func(c *store.Client) {
		c.Settings = map[string]any{encryptedAlg(answerIDToken): "RSA-OAEP"}
	})(r))
	got := r.fragmentOf(r.get(PathAuthorize, ask("hybrid", "response_type", "id_token")))
	if got.Get("error") != "invalid_request" || got.Has("id_token") || r.hub.last.ClientID != "" {
		t.Errorf("without a key: %v", got)
	}
	r.check(changeClient("hybrid", func(c *store.Client) {
		c.Settings = map[string]any{encryptedAlg(answerIDToken): "RSA-OAEP", "jwks": readerSet(t)}
	})(r))
	got = r.fragmentOf(r.get(PathAuthorize, ask("hybrid", "response_type", "id_token")))
	if strings.Count(got.Get("id_token"), ".") != 4 {
		t.Errorf("got %v", got)
	}
}

// Discovery and registration say what is on.
func TestResponseTypesAreAdvertisedAndRegisteredAsTheServerLets(t *testing.T) {
	asked := metadataWith(object{"response_types": []string{"id_token code"}, "grant_types": []string{"authorization_code", "implicit"}})
	for mode, c := range map[FrontChannel]struct{ advertised, registrable bool }{
		FrontChannelOff: {}, FrontChannelClients: {advertised: true}, FrontChannelRegister: {advertised: true, registrable: true},
	} {
		r := newRig(t, open, func(o *Options) { o.FrontChannel = mode })
		doc := r.get(PathDiscovery, nil).json
		types := list(t, doc["response_types_supported"])
		if contains(types, "code id_token token") != c.advertised || contains(list(t, doc["grant_types_supported"]), "implicit") != c.advertised || !contains(types, "code") {
			t.Errorf("%d: %v", mode, types)
		}
		res := r.send("POST", PathRegister, "", asked)
		if !c.registrable {
			r.wantError(res, 400, "invalid_client_metadata")
			continue
		}
		r.hub.scopes = func(s []string) []string { return s }
		got := r.fragmentOf(r.get(PathAuthorize, ask(str(res.json["client_id"]), "response_type", "code id_token")))
		if res.StatusCode != 201 || !got.Has("id_token") {
			t.Errorf("registered %d %s, then %v", res.StatusCode, res.text, got)
		}
		for name, m := range map[string]object{
			"without implicit":      {"response_types": []string{"code id_token"}},
			"implicit without type": {"grant_types": []string{"authorization_code", "implicit"}},
			"token":                 {"response_types": []string{"token"}, "grant_types": []string{"implicit"}},
		} {
			if res := r.send("POST", PathRegister, "", metadataWith(m)); res.json["error"] != "invalid_client_metadata" {
				t.Errorf("%s: %d %s", name, res.StatusCode, res.text)
			}
		}
	}
	off := newRig(t)
	c := store.Client{TokenEndpointAuthMethod: "none", ResponseTypes: []string{"id_token"}, GrantTypes: []string{"implicit"}}
	if off.p.CheckClient(c)["response_types"] == "" {
		t.Error("off, and the operator is not told")
	}
	on := newFrontRig(t)
	if what := on.p.CheckClient(c)["response_types"]; what != "" {
		t.Errorf("on, and the operator is told %q", what)
	}
	c.Settings = map[string]any{"profile": "fapi2"}
	if on.p.CheckClient(c)["response_types"] == "" {
		t.Error("fapi2, and the operator is not told")
	}
}

// What the hub says instead of tokens goes where tokens would.
func TestRefusalsOfTheHubStayOutOfTheQuery(t *testing.T) {
	r := newFrontRig(t)
	r.hub.refuse = &flow.ProtocolError{Code: "login_required"}
	if got := r.fragmentOf(r.get(PathAuthorize, ask("hybrid", "response_type", "id_token", "prompt", "none"))); got.Get("error") != "login_required" || got.Get("iss") != r.URL {
		t.Errorf("got %v", got)
	}
}
