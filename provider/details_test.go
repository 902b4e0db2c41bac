package provider

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"anteroom/flow"
	"anteroom/internal/rar"
	"anteroom/store"
)

const (
	payment  = `[{"amount":123.25,"creditor":"Merchant A","type":"payment"}]`
	accounts = `[{"actions":["balance","history"],"locations":["https://api.example"],"type":"accounts"}]`
)

var describedTypes = []store.DetailType{
	{Type: "payment", Title: "Pay", Fields: []store.DetailField{
		{Name: "amount", Title: "Amount", Kind: rar.KindNumber, Required: true}, {Name: "creditor", Title: "To", Kind: rar.KindText},
	}},
	{Type: "accounts", Title: "Look", Fields: []store.DetailField{
		{Name: "actions", Kind: rar.KindList, Values: map[string]string{"balance": "", "history": ""}}, {Name: "locations", Kind: rar.KindList},
	}},
	{Type: "internal", Title: "Nobody's"},
}

// detailsRig has an application with two types, and clients that may ask for them.
func detailsRig(t testing.TB, clients ...string) *rig {
	t.Helper()
	r := deviceRig(t)
	r.types("analytics", describedTypes...)
	for _, id := range append(clients, "web") {
		r.allow(id, "payment", "accounts")
	}
	return r
}

func (r *rig) types(app string, types ...store.DetailType) {
	r.t.Helper()
	_, err := r.db.UpdateApplication(r.t.Context(), app, func(a *store.Application) error { a.DetailTypes = types; return nil })
	r.check(err)
	r.pass(describedFor)
}

func (r *rig) allow(client string, types ...any) {
	r.t.Helper()
	r.check(changeClient(client, func(c *store.Client) { c.Settings = map[string]any{settingDetailTypes: types} })(r))
}

// consents is what the consent page would have kept.
func (r *rig) consents(client, details string) {
	r.t.Helper()
	r.check(r.db.PutConsent(r.t.Context(), store.Consent{AccountID: "ann", ClientID: client, Scopes: []string{"openid"}, Details: details, GrantedAt: r.now()}))
}

// details are those of a token answer, of its access token, and of introspection,
// which say the same.
func (r *rig) details(answer map[string]any, client string) string {
	r.t.Helper()
	token := str(answer["access_token"])
	_, claims := payload(r.t, token)
	told := r.post(PathIntrospect, url.Values{"token": {token}}, basic(client)).json
	texts := []string{jsonOf(r.t, answer[paramDetails]), jsonOf(r.t, claims[paramDetails]), jsonOf(r.t, told[paramDetails])}
	if told["active"] != true || texts[0] != texts[1] || texts[1] != texts[2] {
		r.t.Errorf("answer, token and introspection differ: %q, active %v", texts, told["active"])
	}
	return texts[0]
}

func jsonOf(t testing.TB, v any) string {
	t.Helper()
	if v == nil {
		return ""
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// RFC 9396 sections 3, 7, 9.1 and 9.2.
func TestAuthorizationDetailsReachTheTokenByEveryWayOfAsking(t *testing.T) {
	for name, send := range map[string]func(r *rig) url.Values{
		"parameter": func(*rig) url.Values { return ask("web", paramDetails, payment) },
		"pushed":    func(r *rig) url.Values { return r.push(ask("web", paramDetails, payment), basic("web")) },
		"request object": func(r *rig) url.Values {
			r.check(changeClient("web", func(c *store.Client) { c.Settings["jwks"] = partySet(t) })(r))
			claims := map[string]any{"iss": "web", "aud": r.URL, "exp": r.now().Add(time.Minute).Unix()}
			for name, v := range ask("web") {
				claims[name] = v[0]
			}
			claims[paramDetails] = json.RawMessage(payment)
			return url.Values{"client_id": {"web"}, "request": {signJWT(t, "ES256", partyKeys()["ES256"], "", claims)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := detailsRig(t)
			code := r.code(send(r))
			if !r.hub.last.Ask.Details {
				t.Error("the hub is not told to ask")
			}
			res := r.post(PathToken, redemption(code), basic("web"))
			if got := r.details(res.json, "web"); res.StatusCode != 200 || got != payment {
				t.Errorf("got %s: %s", got, res.text)
			}
			refresh := str(res.json["refresh_token"])
			if told := r.post(PathIntrospect, url.Values{"token": {refresh}}, basic("web")).json; jsonOf(t, told[paramDetails]) != payment {
				t.Errorf("the refresh token: %v", told)
			}
			r.consents("web", payment)
			if res = r.post(PathToken, refreshment(refresh), basic("web")); r.details(res.json, "web") != payment {
				t.Errorf("refreshed: %s", res.text)
			}
		})
	}
	r := newRig(t)
	if r.tokens("web")[paramDetails] != nil {
		t.Error("details that nobody asked for")
	}
}

// RFC 9396 section 7: also of a token that comes in the authorization response.
func TestAFrontChannelTokenCarriesItsDetails(t *testing.T) {
	r := newFrontRig(t)
	r.types("analytics", describedTypes...)
	r.allow("hybrid", "payment")
	got := r.fragmentOf(r.get(PathAuthorize, ask("hybrid", "response_type", "code token", paramDetails, payment)))
	_, claims := payload(t, got.Get("access_token"))
	if got.Get(paramDetails) != payment || jsonOf(t, claims[paramDetails]) != payment {
		t.Errorf("got %v, token %v", got, claims)
	}
	res := r.post(PathToken, redemption(got.Get("code")), basic("hybrid"))
	if jsonOf(t, res.json[paramDetails]) != payment {
		t.Errorf("with the code: %s", res.text)
	}
}

// RFC 9396 section 5: refused, on the channel of the request.
func TestAuthorizationDetailsThatAreRefused(t *testing.T) {
	r := detailsRig(t, "tv")
	for name, raw := range map[string]string{
		"no JSON":                 `{`,
		"no array":                `{"type":"payment","amount":1}`,
		"no type":                 `[{"amount":1}]`,
		"an unknown type":         `[{"type":"transfer","amount":1}]`,
		"a type of other clients": `[{"type":"internal"}]`,
		"an unknown field":        `[{"type":"payment","amount":1,"note":"x"}]`,
		"a wrong kind":            `[{"type":"payment","amount":"1"}]`,
		"a wrong value":           `[{"type":"accounts","actions":["delete"]}]`,
		"a missing field":         `[{"type":"payment"}]`,
		"a foreign location":      `[{"type":"accounts","locations":["https://evil.example"]}]`,
		"too large":               `[{"type":"payment","amount":1,"creditor":"` + strings.Repeat("x", rar.MaxSize) + `"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			const code = "invalid_authorization_details"
			if got := r.answerOf(r.get(PathAuthorize, ask("web", paramDetails, raw))); got.Get("error") != code || got.Get("state") != "the state" || got.Get("code") != "" {
				t.Errorf("authorize: %v", got)
			}
			r.wantError(r.post(PathPushed, ask("web", paramDetails, raw), basic("web")), 400, code)
			r.wantError(r.post(PathToken, url.Values{"grant_type": {"client_credentials"}, paramDetails: {raw}}, basic("web")), 400, code)
			r.wantError(r.post(PathDeviceAuthorization, url.Values{paramDetails: {raw}}, publicly("tv")), 400, code)
			tokens := redemption(r.code(ask("web", paramDetails, payment)))
			tokens.Set(paramDetails, raw)
			r.wantError(r.post(PathToken, tokens, basic("web")), 400, code)
		})
	}
	if got := r.answerOf(r.get(PathAuthorize, ask("other", paramDetails, payment))); got.Get("error") != "invalid_authorization_details" {
		t.Errorf("a client that is allowed no types: %v", got)
	}
	twice := ask("web")
	twice[paramDetails] = []string{payment, payment}
	if got := r.answerOf(r.get(PathAuthorize, twice)); got.Get("error") != "invalid_request" {
		t.Errorf("sent twice: %v", got)
	}
}

// RFC 9396 section 6.1: at the token endpoint a client may ask for less.
func TestATokenRequestMayNarrowAuthorizationDetails(t *testing.T) {
	r := detailsRig(t)
	both := `[{"actions":["balance","history"],"locations":["https://api.example"],"type":"accounts"},{"amount":123.25,"creditor":"Merchant A","type":"payment"}]`
	less := `[{"actions":["balance"],"locations":["https://api.example"],"type":"accounts"}]`
	form := redemption(r.code(ask("web", paramDetails, both)))
	form.Set(paramDetails, less)
	res := r.post(PathToken, form, basic("web"))
	if got := r.details(res.json, "web"); got != less {
		t.Fatalf("narrowed: %s of %s", got, res.text)
	}
	r.consents("web", both)
	refresh := func(changes ...string) *reply {
		form := refreshment(str(res.json["refresh_token"]))
		for i := 0; i < len(changes); i += 2 {
			form.Set(changes[i], changes[i+1])
		}
		answer := r.post(PathToken, form, basic("web"))
		if answer.StatusCode == 200 {
			res = answer
		}
		return answer
	}
	if got := r.details(refresh().json, "web"); got != both {
		t.Errorf("the grant keeps all of it: %s", got)
	}
	if got := r.details(refresh(paramDetails, payment).json, "web"); got != payment {
		t.Errorf("one of two: %s", got)
	}
	for _, more := range []string{
		`[{"amount":124,"creditor":"Merchant A","type":"payment"}]`, `[{"amount":123.25,"type":"payment"}]`,
		`[{"actions":["balance"],"type":"accounts"}]`, `[{"type":"internal"}]`,
	} {
		r.wantError(refresh(paramDetails, more), 400, "invalid_authorization_details")
	}
	// What the client is not allowed any more, and what nobody describes any more.
	r.allow("web", "payment")
	if got := r.details(refresh().json, "web"); got != payment {
		t.Errorf("a type that was taken from the client: %s", got)
	}
	r.types("analytics")
	if got := r.details(refresh().json, "web"); got != "" {
		t.Errorf("types that are gone: %s", got)
	}
}

// RFC 9396 section 9.1 with RFC 8707: a token says what its resource server needs.
func TestDetailsFollowTheResourceOfTheToken(t *testing.T) {
	r := detailsRig(t)
	everywhere := ask("web", paramDetails, `[{"locations":["https://api.example"],"type":"accounts"},{"locations":["https://b.example"],"type":"accounts"},{"amount":1,"type":"payment"}]`)
	everywhere["resource"] = []string{"https://api.example", "https://b.example"}
	form := redemption(r.code(everywhere))
	form.Set("resource", "https://b.example")
	res := r.post(PathToken, form, basic("web"))
	if got := jsonOf(t, res.json[paramDetails]); got != `[{"locations":["https://b.example"],"type":"accounts"},{"amount":1,"type":"payment"}]` {
		t.Errorf("got %s", got)
	}
	form = url.Values{"grant_type": {"client_credentials"}, "resource": {"https://b.example"}, paramDetails: {accounts}}
	r.wantError(r.post(PathToken, form, basic("web")), 400, "invalid_authorization_details")
	form.Set("resource", "https://api.example")
	res = r.post(PathToken, form, basic("web"))
	if got := jsonOf(t, res.json[paramDetails]); got != accounts {
		t.Errorf("a client's own: %s", res.text)
	}
	told := r.post(PathIntrospect, url.Values{"token": {str(res.json["access_token"])}}, basic("https://api.example"))
	if jsonOf(t, told.json[paramDetails]) != accounts {
		t.Errorf("its resource server: %s", told.text)
	}
}

// RFC 8693 section 2.1 with RFC 9396 section 6: an exchange never says more.
func TestAnExchangeDoesNotWidenDetails(t *testing.T) {
	r := detailsRig(t)
	r.gateway("gateway", ofWeb)
	allow := func(types ...any) {
		r.check(changeClient("gateway", func(c *store.Client) { c.Settings[settingDetailTypes] = types })(r))
	}
	form := redemption(r.code(ask("web", "scope", "openid api.read", paramDetails, `[{"actions":["balance","history"],"type":"accounts"},{"amount":1,"type":"payment"}]`)))
	token := str(r.post(PathToken, form, basic("web")).json["access_token"])
	for _, c := range []struct{ allowed, asked, want string }{
		{"", "", ""},
		{"accounts", "", `[{"actions":["balance","history"],"type":"accounts"}]`},
		{"accounts", `[{"actions":["balance"],"type":"accounts"}]`, `[{"actions":["balance"],"type":"accounts"}]`},
		{"accounts", `[{"amount":1,"type":"payment"}]`, "refused"},
		{"payment", `[{"amount":2,"type":"payment"}]`, "refused"},
	} {
		allow(c.allowed)
		res := r.post(PathToken, exchangeOf(token, paramDetails, c.asked), basic("gateway"))
		if c.want == "refused" {
			r.wantError(res, 400, "invalid_authorization_details")
		} else if got := r.details(res.json, "gateway"); res.StatusCode != 200 || got != c.want {
			t.Errorf("%+v: got %s, %s", c, got, res.text)
		}
	}
}

// RFC 9396 section 2 with RFC 8628 section 3.1: asked for when the device starts,
// shown to its person.
func TestADeviceAsksForDetailsWhenItStarts(t *testing.T) {
	r := detailsRig(t, "tv")
	res := r.post(PathDeviceAuthorization, url.Values{"scope": {"openid"}, paramDetails: {payment}}, publicly("tv"))
	d := res.json
	var shown string
	r.hub.begun = func(in flow.Interaction) {
		details, err := r.p.Details(t.Context(), in)
		if err != nil || !in.Ask.Details {
			t.Errorf("%v, asked %v", err, in.Ask.Details)
		}
		shown = details.String()
	}
	if res := r.enter(d["user_code"], "confirm"); !strings.Contains(res.Header.Get("Location"), "approved") || shown != payment {
		t.Fatalf("%d %v, shown %s", res.StatusCode, res.Header, shown)
	}
	got := r.poll(d["device_code"], "tv")
	if _, claims := payload(t, str(got.json["access_token"])); jsonOf(t, got.json[paramDetails]) != payment || jsonOf(t, claims[paramDetails]) != payment {
		t.Errorf("got %s", got.text)
	}
}

// What was consented to is needed as long as it is used, also where scopes are
// not asked for.
func TestARefreshNeedsTheConsentToItsDetails(t *testing.T) {
	r := detailsRig(t)
	tokens := r.tokens("web", paramDetails, payment)
	r.wantError(r.post(PathToken, refreshment(str(tokens["refresh_token"])), basic("web")), 400, "invalid_grant")
	r.types("analytics", store.DetailType{Type: "payment", Consent: store.ConsentSkip, Fields: []store.DetailField{{Name: "amount", Kind: "number"}}})
	tokens = r.tokens("web", paramDetails, `[{"type":"payment","amount":1}]`)
	if res := r.post(PathToken, refreshment(str(tokens["refresh_token"])), basic("web")); res.StatusCode != 200 {
		t.Errorf("a type that nobody is asked for: %s", res.text)
	}
}

// Details of 8 KiB work from the request to the resource server; what nobody
// describes any more when the code is issued is refused.
func TestLargeDetailsAndTypesThatGoMeanwhile(t *testing.T) {
	r := detailsRig(t)
	large := `[{"amount":1,"creditor":"` + strings.Repeat("é", 4050) + `","type":"payment"}]`
	for name, v := range map[string]url.Values{"plain": ask("web", paramDetails, large), "pushed": r.push(ask("web", paramDetails, large), basic("web"))} {
		res := r.post(PathToken, redemption(r.code(v)), basic("web"))
		if got := r.details(res.json, "web"); got != large {
			t.Errorf("%s: %d bytes of %d", name, len(got), len(large))
		}
		if res := r.post(PathUserInfo, nil, withToken(str(res.json["access_token"]))); res.StatusCode != 200 {
			t.Errorf("%s: userinfo with such a token: %d %s", name, res.StatusCode, res.text)
		}
	}
	r.hub.pending = func(in flow.Interaction) flow.Interaction { r.types("analytics"); return in }
	if got := r.answerOf(r.get(PathAuthorize, ask("web", paramDetails, payment))); got.Get("error") != "invalid_authorization_details" || got.Get("code") != "" {
		t.Errorf("got %v", got)
	}
}

// RFC 7523 brings nobody who could be asked.
func TestAnAssertionBringsNoDetails(t *testing.T) {
	r := detailsRig(t)
	r.check(changeClient("web", func(c *store.Client) { c.GrantTypes = append(c.GrantTypes, grantJWTBearer) })(r))
	r.wantError(r.post(PathToken, url.Values{"grant_type": {grantJWTBearer}, "assertion": {"x"}, paramDetails: {payment}}, basic("web")), 400, "invalid_authorization_details")
}

// RFC 9396 section 10: what is described now, within a second; nothing, if there
// is nothing.
func TestDiscoverySaysWhichDetailsThereAre(t *testing.T) {
	r := newRig(t)
	if v, there := r.get(PathDiscovery, nil).json[settingDetailTypes+"_supported"]; there {
		t.Errorf("without types: %v", v)
	}
	r.types("analytics", store.DetailType{Type: "payment"}, store.DetailType{Type: "accounts"})
	r.types("third", store.DetailType{Type: "payment"})
	r.pass(describedFor)
	before := r.db.Commits()
	for _, path := range []string{PathDiscovery, PathOAuthServer} {
		if got := list(t, r.get(path, nil).json[settingDetailTypes+"_supported"]); !slices.Equal(got, []string{"accounts", "payment"}) {
			t.Errorf("%s: got %v", path, got)
		}
	}
	if r.db.Commits() != before {
		t.Error("discovery writes")
	}
	// What is advertised can be asked for, by whom it is allowed to; nothing else can.
	r.allow("web", "accounts", "payment", "internal")
	for _, name := range []string{"accounts", "payment", "internal"} {
		got := r.answerOf(r.get(PathAuthorize, ask("web", paramDetails, `[{"type":"`+name+`"}]`)))
		if advertised := name != "internal"; advertised != (got.Get("code") != "") {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// While somebody waits for a store that does not answer, everybody else gets what
// was known; afterwards the change is seen.
func TestDiscoveryWaitsForNoStore(t *testing.T) {
	d := &described{document: document{body: []byte("old")}}
	now := time.Now()
	if _, _, mine := d.look(now); !mine {
		t.Fatal("nobody looks")
	}
	for range 3 {
		if got, _, mine := d.look(now.Add(time.Hour)); mine || string(got.body) != "old" {
			t.Errorf("a second one waits as well: %s %v", got.body, mine)
		}
	}
	d.looked(now, nil, document{body: []byte("new")})
	if got, _, mine := d.look(now.Add(describedFor / 2)); mine || string(got.body) != "new" {
		t.Errorf("after it: %s %v", got.body, mine)
	}
	if _, _, mine := d.look(now.Add(describedFor)); !mine {
		t.Error("nobody looks again")
	}
}
