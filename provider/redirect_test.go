package provider

import (
	"strings"
	"testing"

	"anteroom/store"
)

// RFC 9700 section 2.1, RFC 8252 section 7.3; FOSITE: https://127.0.0.1/cb
// accepts another scheme, user info, fragments and escapes, and localhost no port.
func TestRedirectURIsMatchToTheLetterButForThePortOfANativeClient(t *testing.T) {
	native := store.Client{ApplicationType: "native", RedirectURIs: []string{
		"http://127.0.0.1/cb", "http://[::1]:9/cb?a=b", "http://localhost/cb", "https://127.0.0.1/tls", "com.example.app:/cb", "http://portal.example/cb",
	}}
	web := native
	web.ApplicationType = "web"
	for uri, want := range map[string]bool{
		"http://127.0.0.1/cb":             true,
		"http://127.0.0.1:1/cb":           true,
		"http://127.0.0.1:65535/cb":       true,
		"http://localhost:8123/cb":        true,
		"http://[::1]:1234/cb?a=b":        true,
		"com.example.app:/cb":             true,
		"https://127.0.0.1/tls":           true,
		"http://127.0.0.1:0/cb":           false,
		"http://127.0.0.1:65536/cb":       false,
		"http://127.0.0.1:/cb":            false,
		"http://127.0.0.1:+1/cb":          false,
		"http://127.0.0.1:1x/cb":          false,
		"http://127.0.0.1:1@evil.test/cb": false,
		"http://u:p@127.0.0.1:1/cb":       false,
		"http://127.0.0.1.evil.test/cb":   false,
		"http://127.0.0.1:1/cb#x":         false,
		"http://127.0.0.1:1/c%62":         false,
		"http://127.0.0.1:1/cb/":          false,
		"http://127.0.0.1:1/cb?x=y":       false,
		"http://127.0.0.1:1":              false,
		"http://127.0.0.1:1\\@evil/cb":    false,
		"https://127.0.0.1:1/cb":          false,
		"HTTP://127.0.0.1:1/cb":           false,
		"http://127.1:1/cb":               false,
		"http://0x7f.0.0.1/cb":            false,
		"http://localhost.:1/cb":          false,
		"http://LOCALHOST:1/cb":           false,
		"https://127.0.0.1:8/tls":         false,
		"http://127.0.0.1:8/tls":          false,
		"http://portal.example:1/cb":      false,
		"com.example.app:1/cb":            false,
		"":                                false,
	} {
		if got := matchRedirect(native, uri); got != want {
			t.Errorf("%q: %v, want %v", uri, got, want)
		}
		exact := strings.Contains(strings.Join(web.RedirectURIs, " ")+" ", uri+" ") && uri != ""
		if got := matchRedirect(web, uri); got != exact {
			t.Errorf("%q for a web client: %v, want %v", uri, got, exact)
		}
	}
}

func TestANativeClientSignsInOnAnyPort(t *testing.T) {
	r := newRig(t)
	const here = "http://127.0.0.1:54321/cb"
	code := r.code(ask("native", "redirect_uri", here))
	form := redemption(code)
	form.Set("redirect_uri", "http://127.0.0.1:54322/cb")
	r.wantError(r.post(PathToken, form, publicly("native")), 400, "invalid_grant")
	form.Set("redirect_uri", here)
	if res := r.post(PathToken, form, publicly("native")); res.StatusCode != 200 {
		t.Errorf("got %d %s", res.StatusCode, res.text)
	}
	if res := r.get(PathAuthorize, ask("native", "redirect_uri", "com.example.app:/cb")); !strings.HasPrefix(res.Header.Get("Location"), "com.example.app:/cb?code=") {
		t.Errorf("a scheme of its own: %d %s", res.StatusCode, res.Header.Get("Location"))
	}
}

func TestWhatMayBeRegistered(t *testing.T) {
	const https, http = "https://id.example", "http://localhost:8080"
	for _, c := range []struct {
		uri, kind, issuer string
		ok                bool
	}{
		{"https://portal.example/cb", "web", https, true},
		{"https://portal.example/cb?x=1", "", https, true},
		{"http://localhost:8081/cb", "web", https, true},
		{"http://127.0.0.1/cb", "native", https, true},
		{"http://app.localhost/cb", "web", https, true},
		{"http://portal.example/cb", "web", https, false},
		{"http://portal.example/cb", "web", http, true},
		{"com.example.app:/cb", "native", https, true},
		{"com.example.app:/cb", "web", https, false},
		{"myapp:/cb", "native", https, false},
		{"com.example.app:cb", "native", https, false},
		{"javascript:alert(1)", "native", https, false},
		{"javascript:alert(1)//", "web", http, false},
		{"data:text/html,x", "native", https, false},
		{"https://portal.example/cb#x", "web", https, false},
		{"https://portal.example/cb#", "web", https, false},
		{"https://u:p@portal.example/cb", "web", https, false},
		{"https:///cb", "web", https, false},
		{"https:/cb", "web", https, false},
		{"/cb", "web", https, false},
		{"//portal.example/cb", "web", https, false},
		{"https://portal.example/c b", "web", https, false},
		{"https://portal.example/cb\r\nSet-Cookie: x", "web", https, false},
		{"https://portal.example\\@evil.example/", "web", https, false},
		{"https://pörtal.example/cb", "web", https, false},
		{"", "web", https, false},
	} {
		if err := CheckRedirectURI(c.uri, c.kind, c.issuer); (err == nil) != c.ok {
			t.Errorf("%q for %q under %s: %v, want ok=%v", c.uri, c.kind, c.issuer, err, c.ok)
		}
	}
}

// What slipped into the database by another way is not followed either.
func TestUnsafeRegisteredAddressesAreNotFollowed(t *testing.T) {
	r := newRig(t)
	for _, uri := range []string{"javascript:alert(1)", "https://portal.example/cb#x", "data:text/html,x"} {
		if err := changeClient("web", func(c *store.Client) { c.RedirectURIs = []string{uri} })(r); err != nil {
			t.Fatal(err)
		}
		for _, mode := range []string{"query", "form_post"} {
			res := r.get(PathAuthorize, ask("web", "redirect_uri", uri, "response_mode", mode))
			if res.StatusCode != 400 || !strings.Contains(res.text, "redirect_uri") {
				t.Errorf("%s: %d %s", uri, res.StatusCode, res.Header.Get("Location"))
			}
		}
	}
}

// RFC 8252 sections 7.3 and 8.3: a native client listens at whatever port is free.
// The code goes to that port, and is redeemed for that address alone.
func TestNativeClientsListenAtAnyPort(t *testing.T) {
	r := newRig(t)
	registered := []string{"http://127.0.0.1/cb", "http://[::1]/cb", "http://localhost/cb"}
	if err := changeClient("native", func(c *store.Client) { c.RedirectURIs = registered })(r); err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{
		"http://127.0.0.1:51234/cb", "http://[::1]:51234/cb", "http://localhost:51234/cb", "http://localhost/cb",
	} {
		res := r.get(PathAuthorize, ask("native", "redirect_uri", uri))
		to := must(res.Location())(t)
		code := to.Query().Get("code")
		to.RawQuery = ""
		if to.String() != uri || code == "" {
			t.Errorf("%s: the code goes to %s", uri, res.Header.Get("Location"))
		}
		form := redemption(code)
		form.Set("redirect_uri", strings.Replace(uri, "/cb", ":1/cb", 1))
		if strings.Contains(uri, ":51234") {
			form.Set("redirect_uri", strings.Replace(uri, "51234", "51235", 1))
		}
		r.wantError(r.post(PathToken, form, publicly("native")), 400, "invalid_grant")
		form = redemption(r.code(ask("native", "redirect_uri", uri)))
		form.Set("redirect_uri", uri)
		if got := r.post(PathToken, form, publicly("native")); got.StatusCode != 200 {
			t.Errorf("%s: %d %s", uri, got.StatusCode, got.text)
		}
	}
	for _, uri := range []string{
		"http://127.0.0.2:51234/cb", "https://127.0.0.1:51234/cb", "http://localhost:51234/other", "http://localhost.evil.example:51234/cb",
		"http://localhost:51234@evil.example/cb", "http://127.0.0.1:51234/cb?x", "http://0.0.0.0:51234/cb",
	} {
		if res := r.get(PathAuthorize, ask("native", "redirect_uri", uri)); res.StatusCode != 400 || res.Header.Get("Location") != "" {
			t.Errorf("%s: %d to %s", uri, res.StatusCode, res.Header.Get("Location"))
		}
	}
	// Others are held to what they registered.
	if err := changeClient("native", func(c *store.Client) { c.ApplicationType = "web" })(r); err != nil {
		t.Fatal(err)
	}
	if res := r.get(PathAuthorize, ask("native", "redirect_uri", "http://127.0.0.1:51234/cb")); res.StatusCode != 400 {
		t.Errorf("a web client at another port: %d", res.StatusCode)
	}
}
