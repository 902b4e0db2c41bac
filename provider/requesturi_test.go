package provider

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/internal/fetch"
	"anteroom/store"
)

// shelf is where clients leave their requests.
type shelf struct {
	*httptest.Server
	now   atomic.Value // string: what is there
	asked atomic.Int32
}

func (s *shelf) put(object string) string {
	s.now.Store(object)
	sum := sha256.Sum256([]byte(object))
	return "#" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// newShelfRig is a provider that fetches requests, and a client that signs its own.
func newShelfRig(t testing.TB, options ...func(*Options)) (*rig, *shelf) {
	t.Helper()
	s := &shelf{}
	var r *rig
	site, fetcher := trusted(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		switch r.URL.Path {
		case "/request":
			_, _ = w.Write([]byte(s.now.Load().(string)))
		case "/large":
			_, _ = w.Write(make([]byte, 1<<20))
		case "/moved":
			http.Redirect(w, r, "/request", http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}), func(o *fetch.Options) { o.Now = func() time.Time { return r.now() } })
	s.Server = site
	r = newRig(t, append([]func(*Options){func(o *Options) { o.RequestURIs, o.Fetch = true, fetcher }}, options...)...)
	uris := []any{s.URL + "/request", s.URL + "/query?x=1", s.URL + "/large", s.URL + "/moved", s.URL + "/missing", "https://10.0.0.1/r", "https://localhost:1/r"}
	r.register(store.Client{ID: "keyed", TokenEndpointAuthMethod: "private_key_jwt", Settings: map[string]any{"jwks": partySet(t), requestURIs: uris}})
	return r, s
}

func (r *rig) signedRequest(client string, changes map[string]any) string {
	return signJWT(r.t, "ES256", partyKeys()["ES256"], "oauth-authz-req+jwt", r.object(client, changes))
}

func byReference(client, uri string) url.Values {
	return url.Values{"client_id": {client}, "request_uri": {uri}}
}

// RFC 9101 sections 5.2 and 6.3, OpenID Connect Core section 6.2.
func TestRequestsByReference(t *testing.T) {
	r, s := newShelfRig(t)
	s.put(r.signedRequest("keyed", map[string]any{"scope": "openid email"}) + "\n")
	v := byReference("keyed", s.URL+"/request")
	maps.Copy(v, url.Values{"scope": {"openid address"}, "state": {"outside"}})
	got := r.answerOf(r.get(PathAuthorize, v))
	if got.Get("code") == "" || got.Get("state") != "the state" || strings.Contains(r.hub.last.Params, "address") {
		t.Fatalf("got %v", got)
	}
	if res := r.post(PathToken, redemption(got.Get("code")), r.byKey("keyed", "ES256")); res.json["scope"] != "openid email" {
		t.Errorf("got %s", res.text)
	}
	// The second check asks nobody: it happens while the code is written.
	if n := s.asked.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	if got := r.answerOf(r.post(PathAuthorize, byReference("keyed", s.URL+"/request"), nil)); got.Get("code") == "" {
		t.Errorf("by POST: %v", got)
	}
	// References to pushed requests (RFC 9126) are told from addresses.
	asked := s.asked.Load()
	if got := r.answerOf(r.get(PathAuthorize, r.push(ask("keyed"), r.byKey("keyed", "ES256")))); got.Get("code") == "" || s.asked.Load() != asked {
		t.Errorf("pushed: %v", got)
	}
}

// OpenID Connect Core section 6.2: a digest in the fragment says which content is
// meant; the fragment is not of the address.
func TestRequestsWithADigest(t *testing.T) {
	r, s := newShelfRig(t)
	try := func(name, fragment, want string, fetched int32) {
		t.Helper()
		before := s.asked.Load()
		got := r.answerOf(r.get(PathAuthorize, plus(ask("keyed"), byReference("keyed", s.URL+"/request"+fragment))))
		if n := s.asked.Load() - before; got.Get("error") != want || (want == "") == (got.Get("code") == "") || n != fetched {
			t.Errorf("%s: %v, fetched %d times; want %q, %d", name, got, n, want, fetched)
		}
	}
	first := s.put(r.signedRequest("keyed", nil))
	try("fetched", first, "", 1)
	try("known by its digest", first, "", 0)
	second := s.put(r.signedRequest("keyed", map[string]any{"state": "another"}))
	try("another content, too soon", second, "invalid_request_uri", 0)
	try("without a digest it is what was there", "", "", 0)
	try("nor with another fragment", "#section", "", 0)
	r.pass(requestAge)
	try("another content", second, "", 1)
	try("the old content is gone", first, "invalid_request_uri", 0)
	r.pass(requestAge)
	try("even when asked again", first, "invalid_request_uri", 1)
	r.pass(time.Minute)
	try("known for minutes by its digest", second, "", 0)
	try("and without one for seconds", "", "", 1)
}

func plus(v, more url.Values) url.Values {
	maps.Copy(v, more)
	return v
}

// OpenID Connect Core sections 3.1.2.6 and 6.2, RFC 9101 sections 6.1 and 7, CWE-918.
func TestRequestsByReferenceThatAreRefused(t *testing.T) {
	r, s := newShelfRig(t)
	good := r.signedRequest("keyed", nil)
	s.put(good)
	r.register(store.Client{ID: "nokeys", TokenEndpointAuthMethod: "none", Settings: map[string]any{requestURIs: []any{s.URL + "/request"}}})
	for name, c := range map[string]struct {
		v    url.Values
		code string
	}{
		"not registered":       {byReference("keyed", s.URL+"/other"), "invalid_request_uri"},
		"another query":        {byReference("keyed", s.URL+"/query?x=2"), "invalid_request_uri"},
		"a longer path":        {byReference("keyed", s.URL+"/request/"), "invalid_request_uri"},
		"a query more":         {byReference("keyed", s.URL+"/request?x=1"), "invalid_request_uri"},
		"not an address":       {byReference("keyed", "x"), "invalid_request_uri"},
		"too large":            {byReference("keyed", s.URL+"/large"), "invalid_request_uri"},
		"a redirect":           {byReference("keyed", s.URL+"/moved"), "invalid_request_uri"},
		"not there":            {byReference("keyed", s.URL+"/missing"), "invalid_request_uri"},
		"a private address":    {byReference("keyed", "https://10.0.0.1/r"), "invalid_request_uri"},
		"out of reach":         {byReference("keyed", "https://localhost:1/r"), "invalid_request_uri"},
		"both kinds":           {plus(byReference("keyed", s.URL+"/request"), url.Values{"request": {good}}), "invalid_request"},
		"of another client":    {byReference("web", s.URL+"/request"), "request_uri_not_supported"},
		"a client without any": {byReference("nokeys", s.URL+"/request"), "request_uri_not_supported"},
	} {
		got := r.answerOf(r.get(PathAuthorize, plus(ask(c.v.Get("client_id")), c.v)))
		if got.Get("error") != c.code || got.Get("code") != "" || strings.Contains(got.Get("error_description"), "10.0.0.1") {
			t.Errorf("%s: %v, want %s", name, got, c.code)
		}
		// Nowhere to answer to: a page.
		res := r.get(PathAuthorize, plus(url.Values{"scope": {"openid"}}, c.v))
		if res.StatusCode != 400 || res.Header.Get("Location") != "" {
			t.Errorf("%s: %d %v", name, res.StatusCode, res.Header)
		}
	}
	for name, c := range map[string]struct{ object, code string }{
		"garbage":    {"<html>", "invalid_request_object"},
		"nothing":    {"", "invalid_request_object"},
		"unsigned":   {"eyJhbGciOiJub25lIn0.e30.", "request_not_supported"},
		"expired":    {r.signedRequest("keyed", map[string]any{"exp": r.now().Unix() - 11}), "invalid_request_object"},
		"of another": {r.signedRequest("web", nil), "invalid_request_object"},
		"a chain":    {r.signedRequest("keyed", map[string]any{"request_uri": s.URL + "/request"}), "invalid_request_object"},
	} {
		r.pass(requestAge)
		s.put(c.object)
		if got := r.answerOf(r.get(PathAuthorize, plus(ask("keyed"), byReference("keyed", s.URL+"/request")))); got.Get("error") != c.code {
			t.Errorf("%s: %v, want %s", name, got, c.code)
		}
	}
	r.wantError(r.post(PathPushed, byReference("keyed", s.URL+"/request"), r.byKey("keyed", "ES256")), 400, "invalid_request") // RFC 9126 section 2.1
	if res := r.get(PathAuthorize, byReference("nobody", s.URL+"/request")); res.StatusCode != 400 {
		t.Errorf("an unknown client: %d", res.StatusCode)
	}
	if err := changeClient("keyed", func(c *store.Client) { c.Settings["require_pushed_authorization_requests"] = true })(r); err != nil {
		t.Fatal(err)
	}
	r.pass(requestAge)
	s.put(r.signedRequest("keyed", nil))
	if got := r.answerOf(r.get(PathAuthorize, plus(ask("keyed"), byReference("keyed", s.URL+"/request")))); got.Get("error") != "invalid_request" {
		t.Errorf("a client that must push: %v", got)
	}
}

// Whoever opens sign-in links cannot make us ask a client's server as often.
func TestStrangersCannotMakeUsFetchAtWill(t *testing.T) {
	r, s := newShelfRig(t)
	s.put(r.signedRequest("keyed", nil))
	for i := range 50 {
		uri := s.URL + "/request#" + strings.Repeat(string(rune('a'+i%26)), i)
		r.get(PathAuthorize, byReference("keyed", uri))
		r.get(PathAuthorize, byReference("keyed", s.URL+"/missing"))
	}
	if n := s.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	// All at once: one request, and everybody its answer.
	r.pass(requestAge)
	var wait sync.WaitGroup
	for range callers {
		wait.Go(func() {
			res := r.get(PathAuthorize, byReference("keyed", s.URL+"/request"))
			if loc, err := res.Location(); err != nil || loc.Query().Get("code") == "" {
				t.Errorf("got %d %v", res.StatusCode, res.Header)
			}
		})
	}
	wait.Wait()
	if n := s.asked.Load(); n != 3 {
		t.Errorf("asked %d times by many at once", n-2)
	}
}

// OpenID Connect Discovery section 3, RFC 9101 section 10.5: by default there is
// no request by reference, in no client's registration either.
func TestRequestsByReferenceAreOffUnlessTurnedOn(t *testing.T) {
	off, on := newRig(t, open), newRig(t, open, func(o *Options) { o.RequestURIs = true })
	metadata := metadataWith(object{"jwks": partySet(t), requestURIs: []string{"https://portal.example/r#x"}, requestAlg: "ES256"})
	for r, want := range map[*rig]bool{off: false, on: true} {
		doc := r.get(PathDiscovery, nil).json
		if doc["request_uri_parameter_supported"] != want || doc["require_request_uri_registration"] != want {
			t.Errorf("advertised %v, %v; want %v", doc["request_uri_parameter_supported"], doc["require_request_uri_registration"], want)
		}
		res := r.send("POST", PathRegister, "", metadata)
		if res.StatusCode != 201 || (res.json[requestURIs] != nil) != want || res.json[requestAlg] != "ES256" {
			t.Errorf("registered %s", res.text)
		}
		got := r.answerOf(r.get(PathAuthorize, ask(str(res.json["client_id"]), "request_uri", "https://elsewhere.example/r")))
		if code := map[bool]string{true: "invalid_request_uri", false: "request_uri_not_supported"}[want]; got.Get("error") != code {
			t.Errorf("got %v, want %s", got, code)
		}
	}
	for name, change := range map[string]object{
		"not https":          {requestURIs: []string{"http://portal.example/r"}},
		"not a list":         {requestURIs: "https://portal.example/r"},
		"unsigned":           {requestAlg: "none"},
		"an unknown alg":     {requestAlg: "HS256"},
		"signed without key": {"require_signed_request_object": true},
	} {
		res := on.send("POST", PathRegister, "", metadataWith(change))
		if res.StatusCode != 400 || res.json["error"] != "invalid_client_metadata" {
			t.Errorf("%s: %d %s", name, res.StatusCode, res.text)
		}
	}
}

// unsignedRequest is a request object that nobody signed.
func unsignedRequest(t testing.TB, claims map[string]any) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none"}`)) + "." + encode(must(json.Marshal(claims))(t)) + "."
}

// OpenID Connect Core section 6.1: only for clients that the operator let.
func TestUnsignedRequests(t *testing.T) {
	r, s := newShelfRig(t)
	r.register(store.Client{ID: "lax", TokenEndpointAuthMethod: "none", Settings: map[string]any{requestAlg: "none", requestURIs: []any{s.URL + "/request"}}})
	r.register(store.Client{ID: "fapi", TokenEndpointAuthMethod: "private_key_jwt", Settings: map[string]any{"profile": "fapi2", requestAlg: "none", "jwks": partySet(t)}})
	r.register(store.Client{ID: "torn", TokenEndpointAuthMethod: "none", Settings: map[string]any{requestAlg: "none", "require_signed_request_object": true}})
	bare := func(client string, changes map[string]any) string {
		claims := r.object(client, map[string]any{"iss": nil, "aud": nil, "exp": nil, "nbf": nil})
		maps.Copy(claims, changes)
		return unsignedRequest(t, claims)
	}
	try := func(name, client, object, want string) {
		t.Helper()
		got := r.answerOf(r.get(PathAuthorize, ask(client, "request", object, "state", "outside")))
		if got.Get("error") != want || (want == "" && (got.Get("code") == "" || got.Get("state") != "the state")) {
			t.Errorf("%s: %v, want %q", name, got, want)
		}
	}
	try("bare", "lax", bare("lax", nil), "")
	try("with what a signed one has", "lax", unsignedRequest(t, r.object("lax", nil)), "")
	try("of another", "lax", bare("lax", map[string]any{"iss": "web"}), "invalid_request_object")
	try("for another client", "lax", bare("lax", map[string]any{"client_id": "web"}), "invalid_request_object")
	try("for another server", "lax", bare("lax", map[string]any{"aud": "https://other.example"}), "invalid_request_object")
	try("expired", "lax", bare("lax", map[string]any{"exp": r.now().Unix() - 11}), "invalid_request_object")
	try("with a signature", "lax", bare("lax", nil)+"AAAA", "invalid_request_object")
	try("signed, where none is registered", "lax", r.signedRequest("lax", nil), "invalid_request_object")
	try("a client that was not let", "keyed", bare("keyed", nil), "request_not_supported")
	try("a client of FAPI 2.0", "fapi", bare("fapi", nil), "request_not_supported")
	try("a client that must sign", "torn", bare("torn", nil), "invalid_request")
	s.put(bare("lax", nil))
	if got := r.answerOf(r.get(PathAuthorize, byReference("lax", s.URL+"/request"))); got.Get("code") == "" {
		t.Errorf("by reference: %v", got)
	}
}

// Whatever a client that may send unsigned requests sends: its own parameters, or
// an error.
func FuzzUnsignedRequest(f *testing.F) {
	r := newRig(f)
	c := store.Client{ID: "lax", Settings: map[string]any{requestAlg: "none"}}
	for _, claims := range []string{`{"scope":"openid"}`, `{"aud":7}`, `{"exp":1e400}`, `{"iss":null,"client_id":"lax"}`, `[]`, `null`} {
		f.Add(claims)
	}
	f.Fuzz(func(t *testing.T, claims string) {
		raw := "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "."
		if out, err := r.p.openUnsigned(c, raw); err == nil && (out.Get("client_id") != "lax" || out.Has("request") || out.Has("request_uri")) {
			t.Fatalf("got %v", out)
		}
	})
}
