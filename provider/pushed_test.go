package provider

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"anteroom/flow"
	"anteroom/store"
)

// push sends a request ahead and returns what the browser brings.
func (r *rig) push(v url.Values, who as) url.Values {
	r.t.Helper()
	res := r.post(PathPushed, v, who)
	if res.StatusCode != http.StatusCreated {
		r.t.Fatalf("push: %d %s", res.StatusCode, res.text)
	}
	return url.Values{"client_id": {v.Get("client_id")}, "request_uri": {str(res.json["request_uri"])}}
}

// RFC 9126 section 2.2.
func TestAPushedRequestIsAnsweredWithAReference(t *testing.T) {
	r := newRig(t)
	before := r.db.Commits()
	res := r.post(PathPushed, ask("web"), basic("web"))
	if res.StatusCode != 201 || !strings.HasPrefix(str(res.json["request_uri"]), requestURN) || len(str(res.json["request_uri"])) < len(requestURN)+43 ||
		res.json["expires_in"] != 90.0 || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %s %v", res.StatusCode, res.text, res.Header)
	}
	if got := r.db.Commits() - before; got != 1 {
		t.Errorf("%d commits, want 1", got)
	}
}

// RFC 9126 section 4: the parameters are those that were pushed, whatever the
// browser brings besides.
func TestTheBrowserBringsAReferenceOnly(t *testing.T) {
	r := newRig(t)
	v := r.push(ask("web", "scope", "openid email"), basic("web"))
	v.Set("scope", "openid address")
	v.Set("state", "another")
	v.Set("redirect_uri", "https://evil.example/")
	v.Set("prompt", "nonsense")
	got := r.answerOf(r.get(PathAuthorize, v))
	if got.Get("code") == "" || got.Get("state") != "the state" || got.Get("iss") != r.URL {
		t.Fatalf("got %v", got)
	}
	res := r.post(PathToken, redemption(got.Get("code")), basic("web"))
	if res.json["scope"] != "openid email" {
		t.Errorf("got %s", res.text)
	}
	if strings.Contains(r.hub.last.Params, "evil") || strings.Contains(r.hub.last.Params, "secret") {
		t.Errorf("kept %s", r.hub.last.Params)
	}
}

// PROTOCOL: usable again until the code is issued, and never after.
func TestAReferenceWorksUntilItsCodeIsIssued(t *testing.T) {
	r := newRig(t)
	v := r.push(ask("web"), basic("web"))
	r.hub.refuse = &flow.ProtocolError{Code: "access_denied"}
	for range 2 { // loaded again, or refused: no code was issued
		if got := r.answerOf(r.get(PathAuthorize, v)); got.Get("error") != "access_denied" {
			t.Fatalf("got %v", got)
		}
	}
	r.hub.refuse = nil
	var begun flow.Interaction
	r.hub.pending = func(in flow.Interaction) flow.Interaction { begun = in; return in }
	if got := r.answerOf(r.get(PathAuthorize, v)); got.Get("code") == "" {
		t.Fatalf("got %v", got)
	}
	res := r.get(PathAuthorize, v)
	if res.StatusCode != 400 || res.Header.Get("Location") != "" || !strings.Contains(res.text, "request_uri") {
		t.Errorf("after the code: %d %s", res.StatusCode, res.text)
	}
	// A second tab that began before.
	old := begun
	r.hub.pending = func(in flow.Interaction) flow.Interaction { old.ID = in.ID; return old }
	if got := r.answerOf(r.get(PathAuthorize, ask("web"))); got.Get("error") != "invalid_request_uri" || got.Get("code") != "" {
		t.Errorf("a second tab: %v", got)
	}
}

// Of a pushed request the browser carries a reference, however large the request
// is; everything that is needed later is read again from the store.
func TestAPushedRequestStaysInTheStore(t *testing.T) {
	r := newRig(t)
	large := `{"id_token":{"` + strings.Repeat("x", 12<<10) + `":null}}`
	v := r.push(ask("web", "claims", large), basic("web"))
	if got := r.answerOf(r.get(PathAuthorize, v)); got.Get("code") == "" || got.Get("state") != "the state" {
		t.Fatalf("got %v", got)
	}
	if n := len(r.hub.last.Params); n > 200 {
		t.Errorf("the browser carries %d bytes: %s", n, r.hub.last.Params)
	}
	// Refused late, after the reference expired and even after it was used: the
	// client is told, with its state.
	v = r.push(ask("web", "response_mode", "fragment"), basic("web"))
	r.hub.refuse = &flow.ProtocolError{Code: "access_denied"}
	r.hub.pending = func(in flow.Interaction) flow.Interaction {
		r.pass(time.Hour)
		return in
	}
	loc, err := r.get(PathAuthorize, v).Location()
	if err != nil || !strings.Contains(loc.Fragment, "error=access_denied") || !strings.Contains(loc.Fragment, "the+state") {
		t.Errorf("refused late: %v, %v", loc, err)
	}
}

// A reference is worth something to its client only, and nothing when the request
// is gone.
func TestAReferenceToARequestThatIsGoneOrAnothersIsAPage(t *testing.T) {
	for name, change := range map[string]func(r *rig, in *flow.Interaction){
		"gone": func(r *rig, in *flow.Interaction) { in.Params = "client_id=web&request_uri=nothing" },
		"another client's": func(r *rig, in *flow.Interaction) {
			in.ClientID, in.Params = "two", strings.Replace(in.Params, "client_id=web", "client_id=two", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			v := r.push(ask("web"), basic("web"))
			r.hub.pending = func(in flow.Interaction) flow.Interaction { change(r, &in); return in }
			res := r.get(PathAuthorize, v)
			if res.StatusCode != 400 || res.Header.Get("Location") != "" || !strings.Contains(res.text, "request_uri") {
				t.Errorf("got %d %v %s", res.StatusCode, res.Header, res.text)
			}
		})
	}
}

// RFC 9126 section 2.2: short-lived; but whoever began in time may take longer.
func TestAReferenceExpires(t *testing.T) {
	r := newRig(t)
	v := r.push(ask("web"), basic("web"))
	r.hub.pending = func(in flow.Interaction) flow.Interaction { r.pass(10 * time.Minute); return in }
	if got := r.answerOf(r.get(PathAuthorize, v)); got.Get("code") == "" {
		t.Errorf("begun in time: %v", got)
	}
	r.hub.pending = nil
	v = r.push(ask("web"), basic("web"))
	r.pass(pushedLife)
	if res := r.get(PathAuthorize, v); res.StatusCode != 400 || res.Header.Get("Location") != "" {
		t.Errorf("expired: %d %v", res.StatusCode, res.Header)
	}
}

// RFC 9126 sections 2.1, 2.3 and 4.
func TestPushedRequestsThatAreRefused(t *testing.T) {
	r := newRig(t)
	if err := changeClient("other", func(c *store.Client) { c.Settings = map[string]any{"require_pushed_authorization_requests": true} })(r); err != nil {
		t.Fatal(err)
	}
	with := func(name, value string) url.Values { return ask("web", name, value) }
	for name, c := range map[string]struct {
		form   url.Values
		who    as
		status int
		code   string
	}{
		"no authentication":        {ask("web"), nil, 401, "invalid_client"},
		"a wrong secret":           {ask("post", "client_secret", "wrong"), nil, 401, "invalid_client"},
		"a public client":          {ask("spa"), publicly("spa"), 400, "unauthorized_client"},
		"for another client":       {ask("other"), basic("web"), 400, "invalid_request"},
		"request_uri inside":       {with("request_uri", requestURN+"x"), basic("web"), 400, "invalid_request"},
		"a redirect URI of others": {with("redirect_uri", "https://evil.example/"), basic("web"), 400, "invalid_request"},
		"no redirect URI":          {with("redirect_uri", ""), basic("web"), 400, "invalid_request"},
		"an unknown scope":         {with("scope", "openid nope"), basic("web"), 400, "invalid_scope"},
		"no PKCE":                  {ask("web", "code_challenge", "", "code_challenge_method", ""), basic("web"), 400, "invalid_request"},
		"another response type":    {with("response_type", "token"), basic("web"), 400, "unsupported_response_type"},
		"a foreign hint":           {with("id_token_hint", "a.b.c"), basic("web"), 400, "invalid_request"},
		"a parameter twice":        {url.Values{"scope": {"openid", "email"}}, basic("web"), 400, "invalid_request"},
		"more than is carried":     {with("claims", `{"x":"`+strings.Repeat("x", maxParams)+`"}`), basic("web"), 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			res := r.post(PathPushed, c.form, c.who)
			if res.StatusCode != c.status || res.json["error"] != c.code {
				t.Errorf("got %d %s, want %d %s", res.StatusCode, res.text, c.status, c.code)
			}
		})
	}
	if res := r.get(PathPushed, nil); res.StatusCode != 405 {
		t.Errorf("GET: %d", res.StatusCode)
	}
	foreign := r.push(ask("web"), basic("web"))
	foreign.Set("client_id", "two")
	for name, v := range map[string]url.Values{
		"of another client": foreign,
		"unknown":           {"client_id": {"web"}, "request_uri": {requestURN + "unknown"}},
	} {
		if res := r.get(PathAuthorize, v); res.StatusCode != 400 || res.Header.Get("Location") != "" {
			t.Errorf("%s: %d %v", name, res.StatusCode, res.Header)
		}
	}
	if got := r.answerOf(r.get(PathAuthorize, ask("other"))); got.Get("error") != "invalid_request" {
		t.Errorf("a client that must push: %v", got)
	}
	if got := r.answerOf(r.get(PathAuthorize, r.push(ask("other"), basic("other")))); got.Get("code") == "" {
		t.Errorf("and does: %v", got)
	}
}

// FOSITE: the stored form holds no credential, and nothing readable.
func TestNoSecretIsKeptWithAPushedRequest(t *testing.T) {
	r := newRig(t)
	r.register(store.Client{ID: "keyed", TokenEndpointAuthMethod: "private_key_jwt", Settings: map[string]any{"jwks": partySet(t)}})
	for client, who := range map[string]as{"post": posted("post"), "keyed": r.byKey("keyed", "ES256")} {
		form := ask(client, "id_token_hint", "")
		res := r.post(PathPushed, form, who)
		reference := strings.TrimPrefix(str(res.json["request_uri"]), requestURN)
		row, err := r.db.PushedRequest(t.Context(), r.seal.Digest(digestPushed, reference), r.now())
		if err != nil {
			t.Fatal(err)
		}
		plain := string(must(r.seal.Open(sealPushed, row.Hash, row.Sealed))(t))
		for _, secret := range []string{"client_secret", "client_assertion", "anteroom"} {
			if strings.Contains(plain, secret) {
				t.Errorf("%s: kept %s", client, plain)
			}
		}
		if strings.Contains(string(row.Sealed), "portal.example") {
			t.Error("readable")
		}
	}
	// An assertion is used up by a push, and by a refused one.
	jwt := signJWT(t, "ES256", partyKeys()["ES256"], "", r.assertionClaims("keyed", nil))
	r.wantError(r.post(PathPushed, ask("keyed", "scope", "nope"), asserted(jwt)), 400, "invalid_scope")
	r.wantError(r.post(PathPushed, ask("keyed"), asserted(jwt)), 401, "invalid_client")
	jwt = signJWT(t, "ES256", partyKeys()["ES256"], "", r.assertionClaims("keyed", map[string]any{"aud": r.URL + PathPushed}))
	if res := r.post(PathPushed, ask("keyed"), asserted(jwt)); res.StatusCode != 201 {
		t.Errorf("the endpoint as audience: %s", res.text)
	}
	r.wantError(r.post(PathPushed, ask("keyed"), asserted(jwt)), 401, "invalid_client")
}

// A store that fails is 503, and nobody gets a reference to nothing.
func TestPushingWhenTheStoreFails(t *testing.T) {
	r := newRig(t)
	r.store.writes.Store(true)
	if res := r.post(PathPushed, ask("web"), basic("web")); res.StatusCode != 503 {
		t.Errorf("got %d %s", res.StatusCode, res.text)
	}
}
