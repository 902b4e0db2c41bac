package provider

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/flow"
	"anteroom/internal/fetch"
	"anteroom/store"
)

// publisher is a site with documents of clients.
type publisher struct {
	*httptest.Server
	mu     sync.Mutex
	answer http.HandlerFunc
	asked  int
}

func (s *publisher) serve(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *publisher) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// says serves a document with changes; nil removes.
func (s *publisher) says(changes object) string {
	id := s.URL + "/client.json"
	doc := object{"client_id": id, "client_name": "Tool", "redirect_uris": []string{callback}, "grant_types": []string{"authorization_code", "refresh_token", "urn:of:others"}}
	maps.Copy(doc, changes)
	maps.DeleteFunc(doc, func(_ string, v any) bool { return v == nil })
	s.serve(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(doc) })
	return id
}

func publishing(t testing.TB, change func(*Documents)) (*rig, *publisher) {
	t.Helper()
	s := &publisher{}
	site, _ := trusted(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		s.answer(w, r)
	}))
	s.Server = site
	r := newRig(t, func(o *Options) {
		o.Documents = Documents{Application: "third", Any: true, Scopes: []string{"openid", "email", "offline_access", "mcp.use"}, Audiences: []string{"https://mcp.example"}}
		o.Documents.Fetch = fetch.New(fetch.Options{Allow: fetch.Loopback(), Roots: site.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, Now: o.Now})
		if change != nil {
			change(&o.Documents)
		}
	})
	// What the hub, which asks nothing in this rig, would have kept.
	if err := r.db.PutConsent(t.Context(), store.Consent{AccountID: "ann", ClientID: s.URL + "/client.json", Scopes: append([]string{"mcp.use"}, everyScope...), GrantedAt: r.now()}); err != nil {
		t.Fatal(err)
	}
	return r, s
}

// Client-id metadata documents, sections 3 to 5: a client that nobody registered
// signs people in, with PKCE and no secret, and leaves no row.
func TestAClientIsWhatItPublishes(t *testing.T) {
	r, site := publishing(t, nil)
	if r.get(PathDiscovery, nil).json["client_id_metadata_document_supported"] != true {
		t.Error("not advertised")
	}
	id := site.says(nil)
	rows, _, _ := r.db.Clients(t.Context(), "", store.Page{Limit: 1000})
	form := redemption(r.code(ask(id, "scope", "openid email offline_access mcp.use", "resource", "https://mcp.example")))
	tokens := r.post(PathToken, form, publicly(id))
	if tokens.StatusCode != 200 || tokens.json["scope"] != "openid email offline_access mcp.use" {
		t.Fatalf("%d %s", tokens.StatusCode, tokens.text)
	}
	_, access := payload(t, str(tokens.json["access_token"]))
	if access["client_id"] != id || access["aud"] != "https://mcp.example" || access["roles"] != nil {
		t.Errorf("access token %v", access)
	}
	again := r.post(PathToken, refreshment(str(tokens.json["refresh_token"])), publicly(id))
	if again.StatusCode != 200 {
		t.Errorf("refresh: %d %s", again.StatusCode, again.text)
	}
	if info := r.post(PathUserInfo, nil, withToken(str(r.tokensOf(id)["access_token"]))); info.StatusCode != 200 || info.json["sub"] != "ann" {
		t.Errorf("userinfo: %d %s", info.StatusCode, info.text)
	}
	after, _, err := r.db.Clients(t.Context(), "", store.Page{Limit: 1000})
	if err != nil || len(after) != len(rows) {
		t.Errorf("%d clients are stored, %d were: %v", len(after), len(rows), err)
	}
	for name, change := range map[string][]string{
		"no PKCE": {"code_challenge", ""}, "a scope that is not for them": {"scope", "openid roles"}, "a resource that is not for them": {"resource", "https://api.example"},
	} {
		if got := r.answerOf(r.get(PathAuthorize, ask(id, change...))); got.Get("error") == "" {
			t.Errorf("%s: %v", name, got)
		}
	}
	if res := r.get(PathAuthorize, ask(id, "redirect_uri", "https://evil.example/cb")); res.StatusCode != 400 || res.Header.Get("Location") != "" {
		t.Errorf("another redirect URI: %d", res.StatusCode)
	}
	// It asks for no document at an address that is no client_id, and not twice.
	before := site.count()
	r.code(ask(id))
	if site.count() != before {
		t.Error("a fresh document was fetched again")
	}
}

// tokensOf is a whole sign-in at a published client.
func (r *rig) tokensOf(id string) map[string]any {
	r.t.Helper()
	return r.post(PathToken, redemption(r.code(ask(id, "scope", "openid offline_access"))), publicly(id)).json
}

func TestPublishedClientsProveThemselvesWithKeys(t *testing.T) {
	r, site := publishing(t, nil)
	id := site.says(object{"token_endpoint_auth_method": "private_key_jwt", "jwks": partySet(t)})
	code := r.code(ask(id))
	r.wantError(r.post(PathToken, redemption(code), publicly(id)), 401, "invalid_client")
	form := redemption(code)
	form.Set("client_assertion_type", assertionType)
	form.Set("client_assertion", signJWT(t, "ES256", partyKeys()["ES256"], "", r.assertionClaims(id, nil)))
	if res := r.post(PathToken, form, nil); res.StatusCode != 200 {
		t.Errorf("%d %s", res.StatusCode, res.text)
	}
	// Keys at an address of their own, fetched as the document is.
	site.says(object{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": site.URL + "/jwks"})
	document := site.answer
	site.serve(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/jwks" {
			_ = json.NewEncoder(w).Encode(partySet(t))
			return
		}
		document(w, r)
	})
	r.pass(documentMost)
	form = redemption(r.code(ask(id)))
	form.Set("client_assertion_type", assertionType)
	form.Set("client_assertion", signJWT(t, "EdDSA", partyKeys()["EdDSA"], "", r.assertionClaims(id, nil)))
	if res := r.post(PathToken, form, nil); res.StatusCode != 200 {
		t.Errorf("keys at an address: %d %s", res.StatusCode, res.text)
	}
}

// RFC 8252 section 7.3: tools on people's machines listen at whatever port is free.
func TestPublishedClientsListenAtAnyPort(t *testing.T) {
	r, site := publishing(t, nil)
	id := site.says(object{"redirect_uris": []string{"http://127.0.0.1/cb", "http://localhost/cb"}})
	if to := must(r.get(PathAuthorize, ask(id, "redirect_uri", "http://localhost:49152/cb")).Location())(t); to.Host != "localhost:49152" || to.Query().Get("code") == "" {
		t.Errorf("the answer goes to %s", to)
	}
	id = site.says(object{"redirect_uris": []string{"http://127.0.0.1/cb"}, "application_type": "web"})
	r.pass(2 * documentMost)
	if res := r.get(PathAuthorize, ask(id, "redirect_uri", "http://127.0.0.1:49152/cb")); res.StatusCode != 400 {
		t.Errorf("a web client at another port: %d", res.StatusCode)
	}
}

func TestDocumentsThatAreRefused(t *testing.T) {
	r, site := publishing(t, nil)
	for name, change := range map[string]object{
		"another client_id":         {"client_id": site.URL + "/other.json"},
		"no client_id":              {"client_id": nil},
		"a client_id of a type":     {"client_id": []string{site.URL + "/client.json"}},
		"a secret":                  {"client_secret": "x"},
		"the end of a secret":       {"client_secret_expires_at": 0},
		"a method with a secret":    {"token_endpoint_auth_method": "client_secret_basic"},
		"a certificate":             {"token_endpoint_auth_method": "tls_client_auth"},
		"keys that are missing":     {"token_endpoint_auth_method": "private_key_jwt"},
		"no redirect URI":           {"redirect_uris": nil},
		"a script":                  {"redirect_uris": []string{"javascript:alert(1)"}},
		"plain http":                {"redirect_uris": []string{"http://portal.example/cb"}},
		"no code":                   {"grant_types": []string{"implicit"}},
		"tokens in the front":       {"response_types": []string{"token"}},
		"a name of two lines":       {"client_name": "a\nb"},
		"more than it may be large": {"contacts": []string{strings.Repeat("x", maxDocument)}},
	} {
		r.pass(2 * documentMost)
		if res := r.get(PathAuthorize, ask(site.says(change))); res.StatusCode != 400 || res.Header.Get("Location") != "" {
			t.Errorf("%s: %d to %s", name, res.StatusCode, res.Header.Get("Location"))
		}
	}
	id := site.URL + "/client.json"
	for name, answer := range map[string]http.HandlerFunc{
		"no JSON":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"a list":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") },
		"null":       func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "null") },
		"gone":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/else", 302) },
	} {
		r.pass(2 * documentMost)
		site.serve(answer)
		if res := r.get(PathAuthorize, ask(id)); res.StatusCode != 400 {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
}

// Nothing is fetched for what is no client_id, for hosts that nobody let publish,
// or while the application is missing or asks no consent.
func TestWhoMayPublishClients(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Documents)
		works  bool
	}{
		"off":                       {func(d *Documents) { *d = Documents{} }, false},
		"no hosts":                  {func(d *Documents) { d.Any = false }, false},
		"another host":              {func(d *Documents) { d.Any, d.Hosts = false, []string{"tool.example"} }, false},
		"this host":                 {func(d *Documents) { d.Any, d.Hosts = false, []string{"tool.example", "127.0.0.1"} }, true},
		"no application":            {func(d *Documents) { d.Application = "nobody" }, false},
		"an application that skips": {func(d *Documents) { d.Application = "analytics" }, false},
	} {
		r, site := publishing(t, c.change)
		res := r.get(PathAuthorize, ask(site.says(nil)))
		if works := res.StatusCode == 302; works != c.works || (site.count() > 0) != c.works {
			t.Errorf("%s: %d, asked %d times", name, res.StatusCode, site.count())
		}
		if on := r.get(PathDiscovery, nil).json["client_id_metadata_document_supported"] == true; on != r.p.documents.On() {
			t.Errorf("%s: advertised %v", name, on)
		}
	}
	// Addresses inside are refused whatever name leads to them (CWE-918).
	r, site := publishing(t, func(d *Documents) { d.Fetch = nil })
	if res := r.get(PathAuthorize, ask(site.says(nil))); res.StatusCode != 400 || site.count() != 0 {
		t.Errorf("an address inside: %d, asked %d times", res.StatusCode, site.count())
	}
}

// What holds when a document changes, or is there no more.
func TestADocumentThatChangesOrGoesAway(t *testing.T) {
	r, site := publishing(t, nil)
	id := site.says(nil)
	tokens := r.tokensOf(id)
	refresh := func() *reply { return r.post(PathToken, refreshment(str(tokens["refresh_token"])), publicly(id)) }
	// The new content holds once the old one is no longer fresh.
	site.says(object{"redirect_uris": []string{"https://new.example/cb"}})
	if res := r.get(PathAuthorize, ask(id)); res.StatusCode != 302 {
		t.Errorf("fresh still: %d", res.StatusCode)
	}
	r.pass(documentMost)
	if res := r.get(PathAuthorize, ask(id)); res.StatusCode != 400 {
		t.Errorf("an address that was taken back: %d", res.StatusCode)
	}
	if res := refresh(); res.StatusCode != 200 {
		t.Errorf("refresh after a change: %d %s", res.StatusCode, res.text)
	} else {
		tokens = res.json
	}
	// A server that does not answer may be back soon.
	site.serve(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	r.pass(documentStale - time.Second)
	if res := refresh(); res.StatusCode != 200 {
		t.Errorf("while the server does not answer: %d %s", res.StatusCode, res.text)
	} else {
		tokens = res.json
	}
	r.pass(time.Minute)
	r.wantError(refresh(), 401, "invalid_client")
	// One that says no means it.
	site.says(nil)
	r.pass(time.Minute)
	tokens = r.tokensOf(id)
	site.serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) })
	r.pass(documentMost)
	r.wantError(refresh(), 401, "invalid_client")
	if res := r.post(PathUserInfo, nil, withToken(str(tokens["access_token"]))); res.StatusCode != 401 {
		t.Errorf("userinfo: %d", res.StatusCode)
	}
}

// RFC 9111 section 5.2.2, within bounds of ours.
func TestDocumentsAreCachedAsTheySay(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"max-age=600": 10 * time.Minute, "no-store": documentLeast, "max-age=0": documentLeast, "max-age=999999999": documentMost, "": 5 * time.Minute, "max-age=x": 5 * time.Minute,
	} {
		r, site := publishing(t, nil)
		id := site.says(nil)
		serve := site.answer
		site.serve(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Cache-Control", header); serve(w, r) })
		r.code(ask(id))
		r.pass(want - time.Second)
		r.code(ask(id))
		if site.count() != 1 {
			t.Errorf("%q: asked %d times within %s", header, site.count(), want)
		}
		r.pass(time.Second)
		r.code(ask(id))
		if site.count() != 2 {
			t.Errorf("%q: asked %d times after %s", header, site.count(), want)
		}
	}
}

func TestAddressesThatAreClients(t *testing.T) {
	for id, good := range map[string]bool{
		"https://tool.example/client": true, "https://tool.example:8443/a/b.json": true, "https://tool.example/": false, "https://tool.example": false,
		"http://tool.example/client": false, "https://u@tool.example/client": false, "https://tool.example/client#x": false, "https://tool.example/client?x": false,
		"https://tool.example/client?": false, "https://tool.example/a/../client": false, "https://tool.example/./client": false, "https://Tool.example/client": false,
		"https://tool.example/cl%69ent": false, "https://tool.example/c lient": false, "https:///client": false, "https://tool.example\\@evil.example/c": false,
		"https://töol.example/client": false, "https://tool.example/%2e%2e/client": false, "HTTPS://tool.example/client": false,
	} {
		if got := CheckDocumentURL(id) == nil; got != good {
			t.Errorf("%s: %v", id, got)
		}
	}
}

func FuzzDocument(f *testing.F) {
	r := newRig(f, func(o *Options) { o.Documents = Documents{Application: "third", Any: true, Scopes: []string{"openid"}} })
	const id = "https://tool.example/client"
	f.Add(`{"client_id": "` + id + `", "redirect_uris": ["http://127.0.0.1/cb"]}`)
	f.Add(`{"client_id": "` + id + `", "redirect_uris": [1], "grant_types": {}, "jwks": {"keys": [{}]}, "scope": 7}`)
	f.Fuzz(func(t *testing.T, body string) {
		c, err := r.p.parseDocument(t.Context(), id, []byte(body))
		if err != nil {
			return
		}
		method := c.TokenEndpointAuthMethod
		if c.ID != id || len(c.Secrets) != 0 || (method != "none" && method != "private_key_jwt") || c.Settings[flow.SettingDocumentHost] != "tool.example" || c.PKCEOptional {
			t.Errorf("%s became %+v", body, c)
		}
		for _, uri := range c.RedirectURIs {
			if err := CheckRedirectURI(uri, c.ApplicationType, r.URL); err != nil {
				t.Errorf("%s: %v", uri, err)
			}
		}
	})
}
