package provider

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"anteroom/internal/seal"
	"anteroom/store"
)

func TestClientAuthentication(t *testing.T) {
	r := newRig(t)
	header := func(value string) as {
		return func(req *http.Request, _ url.Values) { req.Header.Set("Authorization", value) }
	}
	both := func(a, b as) as {
		return func(req *http.Request, form url.Values) { a(req, form); b(req, form) }
	}
	wrong := func(id string) as {
		return func(req *http.Request, _ url.Values) { req.SetBasicAuth(id, "wrong") }
	}
	for name, c := range map[string]struct {
		who    as
		status int
		code   string
	}{
		"basic":                            {basic("web"), 200, ""},
		"basic, and client_id in the body": {both(basic("web"), publicly("web")), 200, ""},
		"post":                             {posted("post"), 200, ""},
		"basic, wrong secret":              {wrong("web"), 401, "invalid_client"},
		"unknown client":                   {basic("nobody"), 401, "invalid_client"},
		"disabled client":                  {basic("disabled"), 401, "invalid_client"},
		"post by a client of basic":        {posted("web"), 401, "invalid_client"},
		"basic by a client of post":        {basic("post"), 401, "invalid_client"},
		"a confidential client without":    {publicly("web"), 401, "invalid_client"},
		"a public client with a secret":    {posted("spa"), 401, "invalid_client"},
		"nothing":                          {nil, 401, "invalid_client"},
		"two methods":                      {both(basic("web"), posted("web")), 400, "invalid_request"},
		"an assertion":                     {func(_ *http.Request, f url.Values) { f.Set("client_assertion", "a.b.c"); f.Set("client_id", "spa") }, 401, "invalid_client"},
		"an assertion and a secret":        {both(basic("web"), func(_ *http.Request, f url.Values) { f.Set("client_assertion_type", "x") }), 400, "invalid_request"},
		"two clients":                      {both(basic("web"), publicly("other")), 400, "invalid_request"},
		"not base64":                       {header("Basic ###"), 401, "invalid_client"},
		"no colon":                         {header("Basic d2Vi"), 401, "invalid_client"},
		"another scheme":                   {header("Bearer x"), 401, "invalid_client"},
		"NUL in the name":                  {basic("we\x00b"), 401, "invalid_client"},
		"a name longer than any":           {basic(strings.Repeat("x", 4000)), 401, "invalid_client"},
		"a bad escape":                     {func(req *http.Request, _ url.Values) { req.SetBasicAuth("%zz", secret) }, 401, "invalid_client"},
		"an empty secret":                  {func(req *http.Request, _ url.Values) { req.SetBasicAuth("web", "") }, 401, "invalid_client"},
		"a lower-case scheme": {both(basic("web"), func(req *http.Request, _ url.Values) {
			req.Header.Set("Authorization", strings.Replace(req.Header.Get("Authorization"), "Basic", "basic", 1))
		}), 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			form := url.Values{"grant_type": {"client_credentials"}}
			res := r.post(PathToken, form, c.who)
			if res.StatusCode != c.status || str(res.json["error"]) != c.code {
				t.Errorf("got %d %s, want %d %s", res.StatusCode, res.text, c.status, c.code)
			}
			if challenge := res.Header.Get("WWW-Authenticate"); (c.status == 401) != strings.HasPrefix(challenge, `Basic realm="`) {
				t.Errorf("WWW-Authenticate %q", challenge)
			} else if c.status == 401 && !strings.Contains(challenge, `, error="`+c.code+`"`) { // libraries read the header first
				t.Errorf("WWW-Authenticate %q does not say %s", challenge, c.code)
			}
		})
	}
}

func TestUnknownWrongAndDisabledAnswerAlike(t *testing.T) {
	r := newRig(t)
	form := url.Values{"grant_type": {"client_credentials"}}
	want := r.post(PathToken, form, basic("nobody")).text
	for _, who := range []as{basic("disabled"), posted("web"), func(req *http.Request, _ url.Values) { req.SetBasicAuth("web", "wrong") }} {
		if got := r.post(PathToken, form, who).text; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestSecretsRotateWithOverlap(t *testing.T) {
	r := newRig(t)
	err := changeClient("web", func(c *store.Client) {
		c.Secrets[0].ExpiresAt = r.now().Add(time.Hour)
		c.Secrets = append(c.Secrets, store.ClientSecret{Hash: r.seal.Digest(seal.ClientSecret, "the new one")})
	})(r)
	if err != nil {
		t.Fatal(err)
	}
	fresh := func(req *http.Request, _ url.Values) { req.SetBasicAuth("web", url.QueryEscape("the new one")) }
	form := url.Values{"grant_type": {"client_credentials"}}
	try := func(old, renewed int) {
		t.Helper()
		if got := r.post(PathToken, form, basic("web")).StatusCode; got != old {
			t.Errorf("old secret: %d, want %d", got, old)
		}
		if got := r.post(PathToken, form, fresh).StatusCode; got != renewed {
			t.Errorf("new secret: %d, want %d", got, renewed)
		}
	}
	try(200, 200)
	r.pass(time.Hour)
	try(401, 200)
}

func TestTokenRequestsThatAreNotForms(t *testing.T) {
	r := newRig(t)
	send := func(method, kind, body string) *reply {
		req := must(http.NewRequestWithContext(t.Context(), method, r.URL+PathToken, strings.NewReader(body)))(t)
		if kind != "" {
			req.Header.Set("Content-Type", kind)
		}
		basic("web")(req, nil)
		return r.do(req)
	}
	const form = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		res    *reply
		status int
		code   string
	}{
		"GET":                  {send("GET", "", ""), 405, "invalid_request"},
		"PUT":                  {send("PUT", form, "grant_type=client_credentials"), 405, "invalid_request"},
		"JSON":                 {send("POST", "application/json", `{"grant_type":"client_credentials"}`), 400, "invalid_request"},
		"no type":              {send("POST", "", "grant_type=client_credentials"), 400, "invalid_request"},
		"bad type":             {send("POST", ";;;", "x"), 400, "invalid_request"},
		"empty":                {send("POST", form, ""), 400, "invalid_request"},
		"bad escape":           {send("POST", form, "grant_type=%zz"), 400, "invalid_request"},
		"semicolon":            {send("POST", form, "grant_type=a;b=c"), 400, "invalid_request"},
		"not UTF-8":            {send("POST", form, "grant_type=client_credentials&scope=%ff"), 400, "invalid_request"},
		"NUL":                  {send("POST", form, "grant_type=client_credentials&scope=%00"), 400, "invalid_request"},
		"a parameter twice":    {send("POST", form, "grant_type=client_credentials&grant_type=client_credentials"), 400, "invalid_request"},
		"an unknown one":       {send("POST", form, "grant_type=client_credentials&what=ever"), 200, ""},
		"an unknown one twice": {send("POST", form, "grant_type=client_credentials&what=a&what=b"), 400, "invalid_request"},
		"unknown grant":        {send("POST", form, "grant_type=password&username=a&password=b"), 400, "unsupported_grant_type"},
		"no grant":             {send("POST", form, "scope=a"), 400, "invalid_request"},
		"two grants":           {send("POST", form, "grant_type=client_credentials+refresh_token"), 400, "unsupported_grant_type"},
		"too large":            {send("POST", form, "grant_type=client_credentials&scope="+strings.Repeat("a", 70<<10)), 413, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.res.StatusCode != c.status || str(c.res.json["error"]) != c.code {
				t.Errorf("got %d %s, want %d %s", c.res.StatusCode, c.res.text, c.status, c.code)
			}
			if c.code != "" && str(c.res.json["error_description"]) == "" {
				t.Error("no description")
			}
		})
	}
}
