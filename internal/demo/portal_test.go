package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuer is a provider of a hundred lines: enough to see what a portal accepts.
type issuer struct {
	*httptest.Server
	t       *testing.T
	key     *ecdsa.PrivateKey
	asked   url.Values     // the last authorization request
	claims  map[string]any // added to, or replacing, the claims of the ID token
	refuse  string         // the token endpoint's error
	iss     string         // in the authorization response; "" for the right one
	deny    string         // the authorization endpoint's error
	refresh int            // how often a refresh token was used
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, key: key, claims: map[string]any{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.json(w, 200, map[string]any{
			"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token",
			"userinfo_endpoint": i.URL + "/userinfo", "jwks_uri": i.URL + "/jwks.json", "end_session_endpoint": i.URL + "/logout",
			"id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	mux.HandleFunc("/jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		i.json(w, 200, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("/authorize", i.authorize)
	mux.HandleFunc("/token", i.token)
	mux.HandleFunc("/userinfo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer access" {
			w.WriteHeader(401)
			return
		}
		i.json(w, 200, map[string]any{"sub": "s1", "name": "Ann of userinfo"})
	})
	mux.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("id_token_hint") == "" || r.FormValue("client_id") != "pa" {
			t.Errorf("logout asked with %v", r.Form)
		}
		http.Redirect(w, r, r.FormValue("post_logout_redirect_uri")+"?state="+r.FormValue("state"), 303)
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) json(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		i.t.Error(err)
	}
}

func (i *issuer) authorize(w http.ResponseWriter, r *http.Request) {
	i.asked = r.URL.Query()
	back := url.Values{"state": {i.asked.Get("state")}, "iss": {i.URL}}
	if i.iss != "" {
		back.Set("iss", i.iss)
	}
	if i.deny != "" {
		back.Set("error", i.deny)
	} else {
		back.Set("code", "the-code")
	}
	http.Redirect(w, r, i.asked.Get("redirect_uri")+"?"+back.Encode(), 303)
}

func (i *issuer) token(w http.ResponseWriter, r *http.Request) {
	if i.refuse != "" {
		i.json(w, 400, map[string]any{"error": i.refuse, "error_description": "because of the test"})
		return
	}
	if user, secret, _ := r.BasicAuth(); user != "pa" || secret != "s3cret" {
		i.t.Errorf("client authenticated as %q %q", user, secret)
	}
	claims := map[string]any{
		"iss": i.URL, "aud": "pa", "sub": "s1", "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(),
		"auth_time": time.Now().Unix(), "amr": []string{"pwd", "otp", "mfa"}, "acr": "urn:anteroom:acr:mfa", "name": "Ann <b>",
		"roles": []string{"viewer"}, "organizations": []map[string]any{{"id": "acme", "name": "Acme", "roles": []string{"viewer"}}},
	}
	switch r.FormValue("grant_type") {
	case "authorization_code":
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if i.asked.Get("code_challenge_method") != "S256" || base64.RawURLEncoding.EncodeToString(sum[:]) != i.asked.Get("code_challenge") {
			i.t.Error("the verifier does not fit the challenge")
		}
		claims["nonce"] = i.asked.Get("nonce")
	case "refresh_token":
		i.refresh++
		claims["name"] = "Ann again"
	}
	maps.Copy(claims, i.claims)
	i.json(w, 200, map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 60, "refresh_token": "r", "id_token": i.sign(claims)})
}

func (i *issuer) sign(claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.key, KeyID: "k"}}, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		i.t.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return raw
}

// visitor is a browser at a portal of the issuer.
type visitor struct {
	t      *testing.T
	http   *http.Client
	portal string
}

func visit(t *testing.T, i *issuer) *visitor {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	mux.Handle("/", NewPortal(PortalConfig{
		Name: "Partner Analytics", Tagline: "Numbers.", Colour: "#0b6e4f", URL: server.URL, Issuer: i.URL,
		ClientID: "pa", ClientSecret: "s3cret", Cookie: "demo_partner_analytics", Log: slog.New(slog.DiscardHandler),
	}).Handler())
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, http: &http.Client{Jar: jar}, portal: server.URL}
}

func (v *visitor) get(path string) string {
	v.t.Helper()
	resp, err := v.http.Get(v.portal + path)
	return v.read(resp, err)
}

func (v *visitor) post(path string) string {
	v.t.Helper()
	resp, err := v.http.PostForm(v.portal+path, nil)
	return v.read(resp, err)
}

func (v *visitor) read(resp *http.Response, err error) string {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return string(body)
}

func (v *visitor) wants(page string, parts ...string) {
	v.t.Helper()
	for _, part := range parts {
		if !strings.Contains(page, part) {
			v.t.Errorf("the page lacks %q:\n%s", part, page[strings.Index(page, "<main>")+6:])
		}
	}
}

func TestPortalShowsWhoSignedInHowAndWithWhichRoles(t *testing.T) {
	v := visit(t, newIssuer(t))
	v.wants(v.get("/"), `id="sign-in"`, "Numbers.")
	v.wants(v.get("/login"), `id="signed-in"`, "Ann &lt;b&gt;", `<code id="amr">pwd otp mfa</code>`, "urn:anteroom:acr:mfa", ">viewer<", "Acme", "a password and a six-digit code")
	v.wants(v.get("/"), `id="signed-in"`)
}

func TestPortalRefreshesAsksUserinfoAndSignsOut(t *testing.T) {
	i := newIssuer(t)
	v := visit(t, i)
	v.get("/login")
	v.wants(v.post("/userinfo"), "Ann of userinfo", `id="notice"`)
	v.wants(v.post("/refresh"), "Ann again", `id="notice"`)
	if i.refresh != 1 {
		t.Errorf("refreshed %d times, want 1", i.refresh)
	}
	v.wants(v.post("/logout"), `id="signed-out"`)
	v.wants(v.get("/"), `id="sign-in"`)
}

func TestPortalRefusesAnswersThatAreNotItsOwn(t *testing.T) {
	cases := []struct {
		name   string
		change func(*issuer)
		want   string
	}{
		{"another issuer", func(i *issuer) { i.iss = "https://evil.example" }, "somebody else"},
		{"another nonce", func(i *issuer) { i.claims["nonce"] = "x" }, "another nonce"},
		{"another audience", func(i *issuer) { i.claims["aud"] = "pcc" }, "audience"},
		{"an expired ID token", func(i *issuer) { i.claims["exp"] = time.Now().Add(-time.Hour).Unix() }, "expired"},
		{"a refused code", func(i *issuer) { i.refuse = "invalid_grant" }, `<code id="error-code">invalid_grant</code>`},
		{"a refused sign-in", func(i *issuer) { i.deny = "access_denied" }, `<code id="error-code">access_denied</code>`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			i := newIssuer(t)
			c.change(i)
			v := visit(t, i)
			v.wants(v.get("/login"), `id="error"`, c.want, `id="sign-in"`)
			v.wants(v.get("/"), `id="sign-in"`)
		})
	}
}

func TestPortalFinishesOnlySignInsOfThisBrowserAndEachOnce(t *testing.T) {
	i := newIssuer(t)
	v := visit(t, i)
	v.get("/login")
	q := url.Values{"code": {"the-code"}, "state": {i.asked.Get("state")}}
	v.wants(v.get("/callback?"+q.Encode()), "cannot be finished here")
	other := visit(t, i)
	other.wants(other.get("/callback?"+q.Encode()), "cannot be finished here")
	other.wants(other.get("/callback"), "cannot be finished here")
}

func TestARefreshThatIsAboutSomebodyElseIsRefused(t *testing.T) {
	i := newIssuer(t)
	v := visit(t, i)
	v.get("/login")
	i.claims["sub"] = "s2"
	v.wants(v.post("/refresh"), "somebody else", `id="signed-in"`)
}

func TestPortalPassesOnWhatADeveloperWantsToTry(t *testing.T) {
	i := newIssuer(t)
	v := visit(t, i)
	v.get("/login?prompt=login&max_age=0&evil=1")
	if i.asked.Get("prompt") != "login" || i.asked.Get("max_age") != "0" || i.asked.Has("evil") {
		t.Errorf("asked %v", i.asked)
	}
}

func TestAbandonedSignInsDoNotPileUpInTheBrowser(t *testing.T) {
	i := newIssuer(t)
	v := visit(t, i)
	v.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for range maxAttempts + 4 {
		v.get("/login")
		time.Sleep(2 * time.Millisecond) // states sort by the millisecond
	}
	u, err := url.Parse(v.portal)
	if err != nil {
		t.Fatal(err)
	}
	cookies := v.http.Jar.Cookies(u)
	if len(cookies) != maxAttempts {
		t.Errorf("%d cookies, want %d", len(cookies), maxAttempts)
	}
	if !slices.ContainsFunc(cookies, func(c *http.Cookie) bool { return strings.HasPrefix(c.Name, "demo_partner_analytics_login_") }) {
		t.Errorf("cookies %v", cookies)
	}
}

func TestAPostFromAnotherSiteIsRefused(t *testing.T) {
	v := visit(t, newIssuer(t))
	v.get("/login")
	req, err := http.NewRequest("POST", v.portal+"/logout", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := v.http.Do(req)
	v.read(resp, err)
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("got %d, want 403", resp.StatusCode)
	}
	v.wants(v.get("/"), `id="signed-in"`)
}

func TestPortalSaysSoWhenTheIssuerDoesNotAnswer(t *testing.T) {
	i := newIssuer(t)
	v := visit(t, i)
	i.Close()
	v.wants(v.get("/login"), "does not answer", `id="sign-in"`)
}
