package provider

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"anteroom/flow"
	"anteroom/store"
)

// RFC 6749 section 4.1.2.1: no redirect to an address that is not known to be
// the client's.
func TestBadClientOrRedirectURIGetsAPageAndNeverARedirect(t *testing.T) {
	r := newRig(t)
	repeated := ask("web")
	repeated.Add("redirect_uri", "https://evil.example/")
	twoClients := ask("web")
	twoClients.Add("client_id", "other")
	for name, c := range map[string]struct {
		query url.Values
		word  string
	}{
		"no client":                   {ask("web", "client_id", ""), "client_id"},
		"unknown client":              {ask("nobody"), "client_id"},
		"disabled client":             {ask("disabled"), "client_id"},
		"a client_id of 2000":         {ask(strings.Repeat("x", 2000)), "client_id"},
		"a client_id that is no text": {ask("a\xff"), "client_id"},
		"two clients":                 {twoClients, "client_id"},
		"other redirect_uri":          {ask("web", "redirect_uri", "https://evil.example/cb"), "redirect_uri"},
		"longer redirect_uri":         {ask("web", "redirect_uri", callback+"/"), "redirect_uri"},
		"with a query":                {ask("web", "redirect_uri", callback+"?a=b"), "redirect_uri"},
		"with a fragment":             {ask("web", "redirect_uri", callback+"#x"), "redirect_uri"},
		"other case":                  {ask("web", "redirect_uri", "https://PORTAL.example/cb"), "redirect_uri"},
		"relative":                    {ask("web", "redirect_uri", "/cb"), "redirect_uri"},
		"no redirect_uri with openid": {ask("web", "redirect_uri", ""), "redirect_uri"},
		"two registered, none sent":   {ask("two", "redirect_uri", "", "scope", "api.read"), "redirect_uri"},
		"redirect_uri twice":          {repeated, "redirect_uri"},
		"redirect_uri not UTF-8":      {ask("web", "redirect_uri", callback+"\xff"), "redirect_uri"},
	} {
		t.Run(name, func(t *testing.T) {
			res := r.get(PathAuthorize, c.query)
			if res.StatusCode != 400 || res.Header.Get("Location") != "" {
				t.Fatalf("got %d, Location %q", res.StatusCode, res.Header.Get("Location"))
			}
			if !strings.Contains(res.text, c.word) || !strings.Contains(res.text, `id="error"`) {
				t.Errorf("the page does not say %s: %s", c.word, res.text)
			}
		})
	}
}

func TestEverythingElseGoesBackToTheClient(t *testing.T) {
	r := newRig(t)
	repeated := ask("web")
	repeated.Add("nonce", "a")
	repeatedUnknown := ask("web")
	repeatedUnknown["what"] = []string{"a", "b"}
	for name, c := range map[string]struct {
		query url.Values
		code  string
	}{
		"no response_type":         {ask("web", "response_type", ""), "invalid_request"},
		"unknown response_type":    {ask("web", "response_type", "banana"), "unsupported_response_type"},
		"CODE":                     {ask("web", "response_type", "CODE"), "unsupported_response_type"},
		"unknown response_mode":    {ask("web", "response_mode", "smoke"), "invalid_request"},
		"scope not registered":     {ask("web", "scope", "openid api.delete"), "invalid_scope"},
		"scope in another case":    {ask("web", "scope", "OPENID"), "invalid_scope"},
		"no PKCE":                  {ask("web", "code_challenge", "", "code_challenge_method", ""), "invalid_request"},
		"no PKCE, public":          {ask("spa", "code_challenge", "", "code_challenge_method", ""), "invalid_request"},
		"no PKCE and no nonce":     {ask("optional", "code_challenge", "", "code_challenge_method", "", "nonce", ""), "invalid_request"},
		"plain":                    {ask("web", "code_challenge", verifier, "code_challenge_method", "plain"), "invalid_request"},
		"no method":                {ask("web", "code_challenge_method", ""), "invalid_request"},
		"method without challenge": {ask("optional", "code_challenge", ""), "invalid_request"},
		"short challenge":          {ask("web", "code_challenge", "abc"), "invalid_request"},
		"challenge with padding":   {ask("web", "code_challenge", s256(verifier)+"="), "invalid_request"},
		"unknown prompt":           {ask("web", "prompt", "dance"), "invalid_request"},
		"none with another":        {ask("web", "prompt", "none login"), "invalid_request"},
		"max_age of garbage":       {ask("web", "max_age", "soon"), "invalid_request"},
		"negative max_age":         {ask("web", "max_age", "-1"), "invalid_request"},
		"huge max_age":             {ask("web", "max_age", "99999999999999999999"), "invalid_request"},
		"garbage in claims":        {ask("web", "claims", "{"), "invalid_request"},
		"claims that are a list":   {ask("web", "claims", "[]"), "invalid_request"},
		"claims of a wrong type":   {ask("web", "claims", `{"userinfo":{"email":"yes"}}`), "invalid_request"},
		"claims null":              {ask("web", "claims", `null`), "invalid_request"},
		"two subjects":             {ask("web", "claims", `{"id_token":{"sub":{"value":"a"}},"userinfo":{"sub":{"value":"b"}}}`), "invalid_request"},
		"garbage as a hint":        {ask("web", "id_token_hint", "garbage"), "invalid_request"},
		"request object":           {ask("web", "request", "eyJhbGciOiJub25lIn0.e30."), "request_not_supported"},
		"request by reference":     {ask("web", "request_uri", "https://evil.example/r"), "request_uri_not_supported"},
		"registration":             {ask("web", "registration", "{}"), "registration_not_supported"},
		"resource not registered":  {ask("web", "resource", "https://evil.example"), "invalid_target"},
		"a parameter twice":        {repeated, "invalid_request"},
		"an unknown one twice":     {repeatedUnknown, "invalid_request"},
		"not UTF-8":                {ask("web", "login_hint", "\xff"), "invalid_request"},
		"NUL":                      {ask("web", "login_hint", "a\x00"), "invalid_request"},
		"too large":                {ask("web", "login_hint", strings.Repeat("a", 17<<10)), "invalid_request"},
		"client not for codes":     {ask("https://api.example"), "unauthorized_client"},
	} {
		t.Run(name, func(t *testing.T) {
			res := r.get(PathAuthorize, c.query)
			got := r.answerOf(res)
			if got.Get("error") != c.code || got.Get("state") != "the state" || got.Get("iss") != r.URL || got.Get("code") != "" {
				t.Errorf("got %v, want %s with state and iss", got, c.code)
			}
			if got.Get("error_description") == "" {
				t.Error("no description")
			}
			if !strings.HasPrefix(res.Header.Get("Location"), callback+"?") {
				t.Errorf("went to %s", res.Header.Get("Location"))
			}
		})
	}
}

func TestStateThatCannotBeReadIsNotReturned(t *testing.T) {
	r := newRig(t)
	for name, state := range map[string][]string{"twice": {"a", "b"}, "not UTF-8": {"\xff"}} {
		q := ask("web")
		q["state"] = state
		got := r.answerOf(r.get(PathAuthorize, q))
		if got.Get("error") != "invalid_request" || got.Has("state") {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestToleratedParametersReachTheHub(t *testing.T) {
	r := newRig(t)
	r.code(ask("web", "display", "popup", "ui_locales", "fr-CA fr en", "claims_locales", "de", "login_hint", " ann ",
		"acr_values", "urn:anteroom:acr:mfa urn:anteroom:acr:pwd", "prompt", "login consent", "max_age", "0", "what", "ever",
		"scope", "openid openid  profile",
		"claims", `{"userinfo":{"email":{"essential":true},"favourite":null},"id_token":{"acr":{"essential":true,"values":["urn:anteroom:acr:mfa"]},"auth_time":{"essential":true}}}`))
	got := r.hub.last.Ask
	if got.MaxAge == nil || *got.MaxAge != 0 {
		t.Errorf("max_age %v, want 0", got.MaxAge)
	}
	for name, c := range map[string]struct{ got, want string }{
		"prompt":     {strings.Join(got.Prompt, " "), "login consent"},
		"locales":    {strings.Join(got.Locales, " "), "fr-CA fr en"},
		"login_hint": {got.LoginHint, "ann"},
		"acr_values": {strings.Join(got.ACRValues, " "), flow.ACRMulti + " " + flow.ACRPassword},
		"essential":  {strings.Join(got.EssentialACR, " "), flow.ACRMulti},
		"scopes":     {strings.Join(got.Scopes, " "), "openid profile email"},
	} {
		if c.got != c.want {
			t.Errorf("%s = %q, want %q", name, c.got, c.want)
		}
	}
}

func TestParametersThatAreKeptHoldNoSecret(t *testing.T) {
	r := newRig(t)
	id := str(r.tokens("web")["id_token"])
	r.code(ask("web", "id_token_hint", id, "client_secret", secret, "client_assertion", "x"))
	kept := must(url.ParseQuery(r.hub.last.Params))(t)
	for _, name := range []string{"id_token_hint", "client_secret", "client_assertion"} {
		if kept.Has(name) {
			t.Errorf("%s is kept", name)
		}
	}
	if r.hub.last.Ask.HintSubject != "ann" {
		t.Errorf("hint subject %q", r.hub.last.Ask.HintSubject)
	}
}

func TestLargeClaimsWork(t *testing.T) {
	r := newRig(t)
	large := `{"userinfo":{"` + strings.Repeat("x", 8<<10) + `":null,"email":null}}`
	r.code(ask("web", "claims", large))
}

func TestResponseModes(t *testing.T) {
	r := newRig(t)
	query := r.get(PathAuthorize, ask("web", "response_mode", "query"))
	if got := r.answerOf(query); got.Get("code") == "" || got.Get("state") != "the state" || got.Get("iss") != r.URL {
		t.Errorf("query: %v", got)
	}
	fragment := r.get(PathAuthorize, ask("web", "response_mode", "fragment"))
	loc := must(fragment.Location())(t)
	if got := must(url.ParseQuery(loc.Fragment))(t); got.Get("code") == "" || got.Get("iss") != r.URL || loc.RawQuery != "" {
		t.Errorf("fragment: %s", loc)
	}
	for _, res := range []*reply{query, fragment} {
		if res.StatusCode != http.StatusFound || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
	}
	implicit := must(r.get(PathAuthorize, ask("web", "response_type", "id_token token")).Location())(t)
	if !strings.Contains(implicit.Fragment, "unsupported_response_type") || implicit.RawQuery != "" {
		t.Errorf("an error of the implicit flow: %s", implicit)
	}
}

// OAuth 2.0 Form Post Response Mode; FOSITE: the page has inline script.
func TestFormPostWorksWithAndWithoutScript(t *testing.T) {
	r := newRig(t)
	res := r.get(PathAuthorize, ask("web", "response_mode", "form_post", "state", `"><script>alert(1)</script>`))
	policy := res.Header.Get("Content-Security-Policy")
	_, rest, _ := strings.Cut(policy, "script-src 'nonce-")
	nonce, _, _ := strings.Cut(rest, "'")
	if res.StatusCode != 200 || nonce == "" || !strings.Contains(res.text, `<script nonce="`+nonce+`">`) || strings.Contains(policy, "unsafe") {
		t.Fatalf("%d, policy %q: %s", res.StatusCode, policy, res.text)
	}
	for _, want := range []string{`<form method="post" action="` + callback + `"`, `name="code"`, `name="iss" value="` + r.URL + `"`, `name="state" value="&#34;&gt;&lt;script&gt;`, `<button type="submit"`} {
		if !strings.Contains(res.text, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(res.text, "onload=") || strings.Contains(res.text, "<script>") {
		t.Error("inline script without a nonce")
	}
	if failed := r.get(PathAuthorize, ask("web", "response_mode", "form_post", "scope", "nope")); !strings.Contains(failed.text, `value="invalid_scope"`) {
		t.Errorf("an error: %s", failed.text)
	}
	second := r.get(PathAuthorize, ask("web", "response_mode", "form_post"))
	if strings.Contains(second.Header.Get("Content-Security-Policy"), nonce) {
		t.Error("the nonce comes twice")
	}
}

// RFC 9700 section 4.12.
func TestAuthorizeTakesAPostAndAnswersWith303(t *testing.T) {
	r := newRig(t)
	res := r.post(PathAuthorize, ask("web"), nil)
	if res.StatusCode != http.StatusSeeOther || r.answerOf(res).Get("code") == "" {
		t.Errorf("got %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	req := must(http.NewRequestWithContext(t.Context(), "POST", r.URL+PathAuthorize, strings.NewReader("{}")))(t)
	req.Header.Set("Content-Type", "application/json")
	if res := r.do(req); res.StatusCode != 400 || !strings.Contains(res.text, `id="error"`) {
		t.Errorf("JSON: %d", res.StatusCode)
	}
	req = must(http.NewRequestWithContext(t.Context(), "DELETE", r.URL+PathAuthorize, nil))(t)
	if res := r.do(req); res.StatusCode != 405 {
		t.Errorf("DELETE: %d", res.StatusCode)
	}
	if res := r.do(must(http.NewRequestWithContext(t.Context(), "GET", r.URL+PathAuthorize+"?client_id=%zz", nil))(t)); res.StatusCode != 400 {
		t.Errorf("a bad escape: %d", res.StatusCode)
	}
}

func TestRegisteredQueriesStayAsTheyAre(t *testing.T) {
	r := newRig(t)
	res := r.get(PathAuthorize, ask("two", "redirect_uri", callback+"?x=1"))
	if loc := res.Header.Get("Location"); !strings.HasPrefix(loc, callback+"?x=1&code=") {
		t.Errorf("went to %s", loc)
	}
}

func TestTheHubsRefusalReachesTheClient(t *testing.T) {
	r := newRig(t)
	r.hub.refuse = &flow.ProtocolError{Code: "login_required", Description: `no "session"` + "\n"}
	got := r.answerOf(r.get(PathAuthorize, ask("web", "prompt", "none")))
	if got.Get("error") != "login_required" || got.Get("state") != "the state" || got.Get("iss") != r.URL || got.Get("error_description") != "no 'session'?" {
		t.Errorf("got %v", got)
	}
}

// The parameters are checked again when the code is issued, minutes later.
func TestIssueChecksEverythingAgain(t *testing.T) {
	for name, c := range map[string]struct {
		change func(r *rig) error
		code   string // error at the client; empty: a page
	}{
		"redirect URI removed": {changeClient("web", func(c *store.Client) { c.RedirectURIs = []string{"https://x.example/"} }), ""},
		"client disabled":      {changeClient("web", func(c *store.Client) { c.Disabled = true }), ""},
		"scope removed":        {changeClient("web", func(c *store.Client) { c.Scopes = []string{"email"} }), "invalid_scope"},
		"account disabled":     {changeAccount("ann", func(a *store.Account) { a.State = store.AccountDisabled }), "access_denied"},
		"access taken away":    {changeAccount("ann", func(a *store.Account) { a.Profile["nickname"] = "barred" }), "access_denied"},
		"account unknown":      {func(r *rig) error { r.hub.auth.AccountID = "ghost"; return nil }, "access_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.hub.pending = func(in flow.Interaction) flow.Interaction {
				if err := c.change(r); err != nil {
					t.Error(err)
				}
				return in
			}
			res := r.get(PathAuthorize, ask("web"))
			if c.code == "" {
				if res.StatusCode != 400 || res.Header.Get("Location") != "" {
					t.Errorf("got %d %s", res.StatusCode, res.Header.Get("Location"))
				}
				return
			}
			if got := r.answerOf(res); got.Get("error") != c.code || got.Get("code") != "" {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestIssueRefusesAnotherAccountThanTheHintNames(t *testing.T) {
	r := newRig(t)
	id := str(r.tokens("web")["id_token"])
	r.signIn("bob")
	if got := r.answerOf(r.get(PathAuthorize, ask("web", "id_token_hint", id))); got.Get("error") != "login_required" {
		t.Errorf("got %v", got)
	}
}

func TestHintsOfRetiredKeysAndExpiredOnesAreUnderstoodForeignOnesNot(t *testing.T) {
	r := newRig(t)
	id := str(r.tokens("web")["id_token"])
	if _, err := r.p.keys.Rotate(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	r.pass(24 * time.Hour)
	if err := r.p.keys.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.signIn("ann")
	r.code(ask("web", "prompt", "none", "id_token_hint", id))
	if r.hub.last.Ask.HintSubject != "ann" {
		t.Errorf("subject %q", r.hub.last.Ask.HintSubject)
	}
	altered := id[:len(id)-6] + "AAAAAA"
	foreign := str(newRig(t).tokens("web")["id_token"])
	for name, c := range map[string]struct{ client, hint string }{
		"altered": {"web", altered}, "of another issuer": {"web", foreign}, "of another client": {"other", id},
		"an access token": {"web", str(r.tokens("web")["access_token"])},
	} {
		if got := r.answerOf(r.get(PathAuthorize, ask(c.client, "id_token_hint", c.hint))); got.Get("error") != "invalid_request" {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Initiating User Registration via OpenID Connect 1.0 sections 4 and 4.2: a prompt
// that is not advertised is refused, and the client learns why.
func TestNobodyRegistersThemselvesByPromptCreate(t *testing.T) {
	r := newRig(t)
	if got := list(t, r.get(PathDiscovery, nil).json["prompt_values_supported"]); slices.Contains(got, "create") || !slices.Contains(got, "login") {
		t.Errorf("advertised %v", got)
	}
	for _, prompt := range []string{"create", "create login", "login create", "create none"} {
		got := r.answerOf(r.get(PathAuthorize, ask("web", "prompt", prompt)))
		if got.Get("error") != "invalid_request" || !strings.Contains(got.Get("error_description"), "invitation") || got.Get("state") != "the state" || got.Get("code") != "" {
			t.Errorf("%s: %v", prompt, got)
		}
		r.wantError(r.post(PathPushed, ask("web", "prompt", prompt), basic("web")), 400, "invalid_request")
	}
}
