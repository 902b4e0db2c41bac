package provider

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

const bye = "https://portal.example/bye"

// OpenID Connect RP-Initiated Logout 1.0 sections 2 and 3.
func TestLogoutWithATrustedHintSignsOutAndReturns(t *testing.T) {
	for name, c := range map[string]struct{ query, want string }{
		"and state":     {"post_logout_redirect_uri=" + url.QueryEscape(bye) + "&state=a+b", bye + "?state=a+b"},
		"no state":      {"post_logout_redirect_uri=" + url.QueryEscape(bye), bye},
		"own query":     {"post_logout_redirect_uri=" + url.QueryEscape(bye+"?a=b") + "&state=s", bye + "?a=b&state=s"},
		"client_id too": {"client_id=web&post_logout_redirect_uri=" + url.QueryEscape(bye), bye},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			id := str(r.tokens("web")["id_token"])
			res := r.do(must(http.NewRequestWithContext(t.Context(), "GET", r.URL+PathLogout+"?id_token_hint="+id+"&"+c.query, nil))(t))
			if res.StatusCode != http.StatusFound || res.Header.Get("Location") != c.want {
				t.Errorf("got %d %s, want %s", res.StatusCode, res.Header.Get("Location"), c.want)
			}
			if r.hub.signed {
				t.Error("still signed in")
			}
		})
	}
}

func TestLogoutByAnExpiredHintOfARetiredKey(t *testing.T) {
	r := newRig(t)
	id := str(r.tokens("web")["id_token"])
	if _, err := r.p.keys.Rotate(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	r.pass(11 * time.Hour)
	if err := r.p.keys.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	header, _ := payload(t, id)
	if strings.Contains(r.get(PathJWKS, nil).text, str(header["kid"])) {
		t.Fatal("the key is still published: this test tests nothing")
	}
	res := r.get(PathLogout, url.Values{"id_token_hint": {id}, "post_logout_redirect_uri": {bye}})
	if res.StatusCode != http.StatusFound || r.hub.signed {
		t.Errorf("got %d %s", res.StatusCode, res.text)
	}
}

func TestLogoutWithoutATrustedHintAsksAndNeverRedirects(t *testing.T) {
	r := newRig(t)
	for name, query := range map[string]url.Values{
		"nothing":                     nil,
		"a registered address":        {"client_id": {"web"}, "post_logout_redirect_uri": {bye}, "state": {"s"}},
		"an address without a client": {"post_logout_redirect_uri": {"https://evil.example/"}},
		"confirm in the address":      {"confirm": {"1"}},
	} {
		res := r.get(PathLogout, query)
		if res.StatusCode != 200 || !strings.Contains(res.text, `id="logout-confirm"`) || res.Header.Get("Location") != "" {
			t.Errorf("%s: %d %s", name, res.StatusCode, res.text)
		}
		if !r.hub.signed {
			t.Fatalf("%s: signed out by opening a link", name)
		}
	}
	page := r.get(PathLogout, url.Values{"client_id": {"web"}, "post_logout_redirect_uri": {bye}, "state": {`"><b>`}})
	form := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`).FindAllStringSubmatch(page.text, -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	if form.Get("state") != `"><b>` {
		t.Fatalf("the page posts %v", form)
	}
	res := r.post(PathLogout, form, nil)
	if res.StatusCode != 200 || !strings.Contains(res.text, `id="signed-out"`) || res.Header.Get("Location") != "" || r.hub.signed {
		t.Errorf("confirmed: %d, signed in %v: %s", res.StatusCode, r.hub.signed, res.text)
	}
	if again := r.get(PathLogout, nil); again.StatusCode != 200 || !strings.Contains(again.text, `id="signed-out"`) {
		t.Errorf("nobody is signed in: %d %s", again.StatusCode, again.text)
	}
}

func TestLogoutAsksWhenTheHintIsOfSomebodyElse(t *testing.T) {
	r := newRig(t)
	id := str(r.tokens("web")["id_token"])
	r.signIn("bob")
	res := r.get(PathLogout, url.Values{"id_token_hint": {id}, "post_logout_redirect_uri": {bye}})
	if res.StatusCode != 200 || !strings.Contains(res.text, `id="logout-confirm"`) || !strings.Contains(res.text, "bob") {
		t.Fatalf("got %d %s", res.StatusCode, res.text)
	}
	res = r.post(PathLogout, url.Values{"id_token_hint": {id}, "post_logout_redirect_uri": {bye}, "confirm": {"1"}}, nil)
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != bye || r.hub.signed {
		t.Errorf("confirmed: %d %s", res.StatusCode, res.Header.Get("Location"))
	}
}

func TestLogoutRequestsThatLieGetAPage(t *testing.T) {
	r := newRig(t)
	got := r.tokens("web")
	id := str(got["id_token"])
	for name, c := range map[string]struct {
		query url.Values
		word  string
	}{
		"garbage":                {url.Values{"id_token_hint": {"garbage"}, "post_logout_redirect_uri": {bye}}, "id_token_hint"},
		"altered":                {url.Values{"id_token_hint": {id[:len(id)-6] + "AAAAAA"}, "post_logout_redirect_uri": {bye}}, "id_token_hint"},
		"foreign":                {url.Values{"id_token_hint": {str(newRig(t).tokens("web")["id_token"])}}, "id_token_hint"},
		"an access token":        {url.Values{"id_token_hint": {str(got["access_token"])}}, "id_token_hint"},
		"another client's hint":  {url.Values{"id_token_hint": {id}, "client_id": {"other"}}, "client_id"},
		"unknown client":         {url.Values{"client_id": {"nobody"}}, "client_id"},
		"disabled client":        {url.Values{"client_id": {"disabled"}}, "client_id"},
		"address not registered": {url.Values{"id_token_hint": {id}, "post_logout_redirect_uri": {bye + "/"}}, "post_logout_redirect_uri"},
		"a redirect_uri":         {url.Values{"client_id": {"web"}, "post_logout_redirect_uri": {callback}}, "post_logout_redirect_uri"},
		"twice":                  {url.Values{"state": {"a", "b"}}, "cannot be read"},
		"not UTF-8":              {url.Values{"state": {"\xff"}}, "cannot be read"},
	} {
		res := r.get(PathLogout, c.query)
		if res.StatusCode != 400 || res.Header.Get("Location") != "" || !strings.Contains(res.text, c.word) || !strings.Contains(res.text, `id="error"`) {
			t.Errorf("%s: %d %s", name, res.StatusCode, res.text)
		}
		if !strings.Contains(res.text, `href="`+PathLogout+`"`) {
			t.Errorf("%s: no way to sign out from here", name)
		}
	}
	if !r.hub.signed {
		t.Error("signed out by a lie")
	}
}

// Cookies are SameSite=Lax: a form of another site comes without them.
func TestLogoutByAFormOfThePortal(t *testing.T) {
	r := newRig(t)
	id := str(r.tokens("web")["id_token"])
	form := url.Values{"id_token_hint": {id}, "post_logout_redirect_uri": {bye}, "state": {"s"}}
	res := r.post(PathLogout, form, nil)
	loc := res.Header.Get("Location")
	if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(loc, PathLogout+"?") || !r.hub.signed {
		t.Fatalf("got %d %s", res.StatusCode, loc)
	}
	if res := r.do(must(http.NewRequestWithContext(t.Context(), "GET", r.URL+loc, nil))(t)); res.Header.Get("Location") != bye+"?state=s" {
		t.Errorf("then %d %s", res.StatusCode, res.Header.Get("Location"))
	}
}

func TestAForeignFormCannotConfirm(t *testing.T) {
	r := newRig(t)
	foreign := func(req *http.Request, _ url.Values) { req.Header.Set("Sec-Fetch-Site", "cross-site") }
	res := r.post(PathLogout, url.Values{"confirm": {"1"}}, foreign)
	if res.StatusCode != http.StatusSeeOther || strings.Contains(res.Header.Get("Location"), "confirm") || !r.hub.signed {
		t.Errorf("got %d %s, signed in %v", res.StatusCode, res.Header.Get("Location"), r.hub.signed)
	}
	req := must(http.NewRequestWithContext(t.Context(), "PUT", r.URL+PathLogout, nil))(t)
	if res := r.do(req); res.StatusCode != 405 {
		t.Errorf("PUT: %d", res.StatusCode)
	}
}
