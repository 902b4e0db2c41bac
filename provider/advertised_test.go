package provider

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"anteroom/internal/fetch"
	"anteroom/internal/seal"
	"anteroom/store"
)

// advertised is a provider with everything on, its metadata, and clients of every
// kind; site is where these clients are reached.
type advertised struct {
	*rig
	doc     map[string]any
	site    string
	mu      sync.Mutex
	request string            // what site has at /request
	posted  map[string]string // what was posted to site, by path
	cert    *x509.Certificate // of the clients with certificates
	made    time.Time         // when the clients were
	n       int
}

func newAdvertised(t testing.TB) *advertised {
	t.Helper()
	a := &advertised{posted: map[string]string{}}
	server, fetcher := trusted(t, a, func(o *fetch.Options) { o.Now = func() time.Time { return a.now() } })
	a.site = server.URL
	ca := newAuthority(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	a.cert = ca.issue(nil)
	a.rig = backchannelRig(t, everything, func(o *Options) {
		o.Fetch, o.Documents.Fetch = fetcher, fetcher
		o.MutualTLS.Roots, o.MutualTLS.Header, o.MutualTLS.Proxies = roots, certHeader, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	})
	a.types("analytics", describedTypes[:2]...)
	a.doc, a.made = a.get(PathDiscovery, nil).json, a.now()
	self := asJSON(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: a.cert.PublicKey}}})
	for _, c := range []store.Client{
		{ID: "keyed", TokenEndpointAuthMethod: "private_key_jwt", Settings: map[string]any{"jwks": partySet(t), requestURIs: []any{a.site + "/request"}}},
		{ID: "hmac", TokenEndpointAuthMethod: "client_secret_jwt", Secrets: a.derivedSecret("hmac")},
		{ID: "cert", TokenEndpointAuthMethod: "tls_client_auth", Settings: map[string]any{"tls_client_auth_san_dns": "portal.example", "tls_client_certificate_bound_access_tokens": true}},
		{ID: "self", TokenEndpointAuthMethod: "self_signed_tls_client_auth", Settings: map[string]any{"jwks": self}},
	} {
		a.register(c)
	}
	return a
}

// ServeHTTP is the site of the clients.
func (a *advertised) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Method == http.MethodPost {
		a.posted[r.URL.Path] = string(body)
		return
	}
	_, _ = w.Write([]byte(a.request))
}

// path returns the path of an endpoint of ours.
func (a *advertised) path(address string) string {
	a.t.Helper()
	path, ok := strings.CutPrefix(address, a.URL)
	if !ok {
		a.t.Fatalf("%s is not under the issuer", address)
	}
	return path
}

func (a *advertised) want(ok bool, format string, args ...any) {
	a.t.Helper()
	if !ok {
		a.t.Errorf(format, args...)
	}
}

// clientWith registers a client with a secret and these settings.
func (a *advertised) clientWith(settings map[string]any) string {
	a.t.Helper()
	a.n++
	id := fmt.Sprintf("client-%d", a.n)
	a.rig.register(store.Client{
		ID: id, TokenEndpointAuthMethod: "client_secret_basic", Settings: settings,
		Secrets: []store.ClientSecret{{Hash: a.seal.Digest(seal.ClientSecret, secret)}},
	})
	return id
}

// front makes a client of every response type.
func (a *advertised) front() string {
	a.t.Helper()
	id := a.clientWith(nil)
	a.check(changeClient(id, func(c *store.Client) {
		c.ResponseTypes = append([]string{"code"}, frontChannelTypes...)
		c.GrantTypes = append(c.GrantTypes, grantImplicit)
	})(a.rig))
	return id
}

// by authenticates with a method.
func (a *advertised) by(method string) as {
	a.t.Helper()
	switch method {
	case "client_secret_basic":
		return basic("web")
	case "client_secret_post":
		return posted("post")
	case "none":
		return publicly("spa")
	case "private_key_jwt":
		return a.byKey("keyed", "ES256")
	case "client_secret_jwt":
		return a.byAlg("HS256")
	case "tls_client_auth":
		return showing("cert", a.cert)
	case "self_signed_tls_client_auth":
		return showing("self", a.cert)
	}
	a.t.Fatalf("the method %s is advertised, and this test does not know it", method)
	return nil
}

// byAlg authenticates with a JWT of an algorithm.
func (a *advertised) byAlg(alg string) as {
	if strings.HasPrefix(alg, "HS") {
		shared := []byte(a.seal.ClientSecret("hmac", a.made))
		return asserted(signJWT(a.t, alg, shared, "", a.assertionClaims("hmac", nil)))
	}
	return a.byKey("keyed", alg)
}

// each calls do with every value of a member: the items of a list, else the
// member itself.
func each(v any, do func(value string)) {
	items, isList := v.([]any)
	if !isList {
		items = []any{v}
	}
	for _, one := range items {
		if s, ok := one.(string); ok {
			do(s)
			continue
		}
		text, _ := json.Marshal(one)
		do(string(text))
	}
}

// What is advertised is used: every member of the metadata, and every value of
// its lists, by the function that the table advertisedUses has for it. A value
// without one fails, and so does a function that nothing advertises.
func TestEverythingThatIsAdvertisedIsUsed(t *testing.T) {
	a := newAdvertised(t)
	used := map[string]bool{}
	for _, member := range slices.Sorted(maps.Keys(a.doc)) {
		each(a.doc[member], func(value string) {
			name := member + "=" + value
			use, ok := advertisedUses[name]
			if !ok {
				name = member
				use, ok = advertisedUses[name]
			}
			used[name] = true
			t.Run(member+"="+value, func(t *testing.T) {
				if !ok {
					t.Fatalf("%s %s is advertised, and nothing uses it: add it to advertisedUses", member, value)
				}
				a.t, a.rig.t = t, t
				a.hub.refuse, a.hub.signed = nil, true
				a.signIn("ann")
				use(a, value)
			})
		})
	}
	for name := range advertisedUses {
		if !used[name] {
			t.Errorf("%s is used, and not advertised", name)
		}
	}
}

// answer asks at the advertised address.
func (a *advertised) answer(client string, changes ...string) url.Values {
	a.t.Helper()
	return a.answerOf(a.get(a.path(str(a.doc["authorization_endpoint"])), ask(client, changes...)))
}

func (a *advertised) token(form url.Values, who as) *reply {
	a.t.Helper()
	res := a.post(a.path(str(a.doc["token_endpoint"])), form, who)
	if res.StatusCode != http.StatusOK {
		a.t.Fatalf("%d %s", res.StatusCode, res.text)
	}
	return res
}
