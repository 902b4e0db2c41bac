package provider

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"anteroom/internal/audit"
	"anteroom/store"
)

func open(o *Options) { o.Register = Registration{Open: true} }

// send posts or puts JSON.
func (r *rig) send(method, to, token string, body any) *reply {
	r.t.Helper()
	data := must(json.Marshal(body))(r.t)
	req := must(http.NewRequestWithContext(r.t.Context(), method, r.URL+strings.TrimPrefix(to, r.URL), strings.NewReader(string(data))))(r.t)
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return r.do(req)
}

type object = map[string]any

func metadataWith(changes object) object {
	m := object{"redirect_uris": []string{callback}, "client_name": "Tool", "grant_types": []string{"authorization_code", "refresh_token"}}
	maps.Copy(m, changes)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	return m
}

func TestRegistrationIsOffUnlessTurnedOn(t *testing.T) {
	r := newRig(t)
	if res := r.send("POST", PathRegister, "", metadataWith(nil)); res.StatusCode != 404 {
		t.Errorf("%d %s", res.StatusCode, res.text)
	}
	if _, on := r.get(PathDiscovery, nil).json["registration_endpoint"]; on {
		t.Error("advertised")
	}
	r = newRig(t, open)
	if got := r.get(PathDiscovery, nil).json["registration_endpoint"]; got != r.URL+PathRegister {
		t.Errorf("on, and advertised as %v", got)
	}
}

// RFC 7591 section 3: a client that registers can sign people in at once.
func TestARegisteredClientWorks(t *testing.T) {
	r := newRig(t, open)
	res := r.send("POST", PathRegister, "", metadataWith(object{
		"logo_uri": "https://tool.example/logo.png", "policy_uri": "https://tool.example/privacy", "tos_uri": "https://tool.example/terms",
		"contacts": []string{"a@tool.example"}, "post_logout_redirect_uris": []string{bye}, "unknown": 1, "scope": "openid email api.admin offline_access",
	}))
	c := res.json
	if res.StatusCode != 201 || res.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", res.StatusCode, res.text)
	}
	for name, want := range map[string]any{
		"client_name": "Tool", "scope": "openid email offline_access", "token_endpoint_auth_method": "client_secret_basic", "application_type": "web",
		"id_token_signed_response_alg": "RS256", "client_secret_expires_at": 0.0, "logo_uri": "https://tool.example/logo.png", "subject_type": "public",
		"client_id_issued_at": float64(r.now().Unix()), "registration_client_uri": r.URL + PathRegister + "?client_id=" + str(c["client_id"]),
	} {
		if c[name] != want {
			t.Errorf("%s is %v, want %v", name, c[name], want)
		}
	}
	if c["unknown"] != nil || c[settingManage] != nil || str(c["registration_access_token"]) == "" {
		t.Errorf("answer %v", c)
	}
	id, secret := str(c["client_id"]), str(c["client_secret"])
	row := must(r.db.Client(t.Context(), id))(t)
	app := must(r.db.Application(t.Context(), row.ApplicationID))(t)
	if app.Name != "Tool" || app.LogoURL != "https://tool.example/logo.png" || app.Consent != store.ConsentOnce || app.LaunchURL != "" {
		t.Errorf("application %+v", app)
	}
	if strings.Contains(string(must(json.Marshal(row))(t)), secret) || strings.Contains(string(must(json.Marshal(row))(t)), str(c["registration_access_token"])) {
		t.Error("a secret is stored")
	}
	code := r.code(ask(id, "scope", "openid email"))
	got := r.post(PathToken, redemption(code), func(req *http.Request, _ url.Values) { req.SetBasicAuth(id, secret) })
	if got.StatusCode != 200 || str(got.json["id_token"]) == "" {
		t.Errorf("tokens: %d %s", got.StatusCode, got.text)
	}
	if r.count(audit.ClientRegistered) != 1 || r.count(audit.ApplicationRegistered) != 1 {
		t.Errorf("events %v", r.events())
	}
}

// RFC 7591 section 3.2.2, OpenID Connect Registration section 2.
func TestMetadataThatIsRefused(t *testing.T) {
	site, fetcher := trusted(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/others" {
			_, _ = io.WriteString(w, `["https://elsewhere.example/cb"]`)
			return
		}
		_, _ = io.WriteString(w, `{}`)
	}))
	r := newRig(t, open, func(o *Options) { o.Fetch = fetcher })
	const metadata, redirects = "invalid_client_metadata", "invalid_redirect_uri"
	for name, c := range map[string]struct {
		change object
		code   string
	}{
		"no redirect URI":            {object{"redirect_uris": nil}, redirects},
		"an empty list":              {object{"redirect_uris": []string{}}, redirects},
		"no list":                    {object{"redirect_uris": callback}, redirects},
		"a fragment":                 {object{"redirect_uris": []string{callback + "#x"}}, redirects},
		"javascript":                 {object{"redirect_uris": []string{"javascript:alert(1)"}}, redirects},
		"a long one":                 {object{"redirect_uris": []string{callback + strings.Repeat("x", 2000)}}, redirects},
		"a private scheme of a web":  {object{"redirect_uris": []string{"com.example:/cb"}}, redirects},
		"bad logout redirect":        {object{"post_logout_redirect_uris": []string{"x"}}, redirects},
		"implicit":                   {object{"grant_types": []string{"implicit"}}, metadata},
		"client credentials":         {object{"grant_types": []string{"authorization_code", "client_credentials"}}, metadata},
		"token":                      {object{"response_types": []string{"token"}}, metadata},
		"refresh alone":              {object{"grant_types": []string{"refresh_token"}}, metadata},
		"application type":           {object{"application_type": "toaster"}, metadata},
		"name of two lines":          {object{"client_name": "a\nb"}, metadata},
		"algorithm none":             {object{"id_token_signed_response_alg": "none"}, metadata},
		"an unknown method":          {object{"token_endpoint_auth_method": "password"}, metadata},
		"keys that are missing":      {object{"token_endpoint_auth_method": "private_key_jwt"}, metadata},
		"keys to encrypt with":       {object{"token_endpoint_auth_method": "private_key_jwt", "jwks": object{"keys": []any{readerSet(t).(object)["keys"].([]any)[3]}}}, metadata},
		"both kinds of keys":         {object{"jwks": object{"keys": []any{}}, "jwks_uri": "https://tool.example/jwks"}, metadata},
		"no keys":                    {object{"jwks": object{"keys": []any{}}}, metadata},
		"keys over http":             {object{"jwks_uri": "http://tool.example/jwks"}, metadata},
		"a logo that is a script":    {object{"logo_uri": "javascript:alert(1)"}, metadata},
		"terms at a file":            {object{"tos_uri": "file:///etc/passwd"}, metadata},
		"policy that is a number":    {object{"policy_uri": 7}, metadata},
		"login start over http":      {object{"initiate_login_uri": "http://tool.example/login"}, metadata},
		"logout with a fragment":     {object{"backchannel_logout_uri": "https://tool.example/#x"}, metadata},
		"front channel is a text":    {object{"frontchannel_logout_session_required": "yes"}, metadata},
		"contacts are no list":       {object{"contacts": "me"}, metadata},
		"subject type":               {object{"subject_type": "secret"}, metadata},
		"pairwise, two hosts":        {object{"subject_type": "pairwise", "redirect_uris": []string{callback, "https://b.example/"}}, metadata},
		"sector: not https":          {object{"sector_identifier_uri": "http://tool.example/s"}, metadata},
		"sector: not a list":         {object{"sector_identifier_uri": site.URL + "/object"}, metadata},
		"sector: lists others":       {object{"sector_identifier_uri": site.URL + "/others"}, metadata},
		"sector: cannot be fetched":  {object{"sector_identifier_uri": "https://localhost:1/"}, metadata},
		"sector: a private address":  {object{"sector_identifier_uri": "https://10.0.0.1/"}, metadata},
		"sector: public, also wrong": {object{"subject_type": "public", "sector_identifier_uri": site.URL + "/others"}, metadata},
	} {
		r.wantError(r.send("POST", PathRegister, "", metadataWith(c.change)), 400, c.code)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	for name, body := range map[string]any{"a list": []string{}, "a text": "x", "null": nil} {
		if res := r.send("POST", PathRegister, "", body); res.StatusCode != 400 {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
	if res := r.post(PathRegister, url.Values{"redirect_uris": {callback}}, nil); res.StatusCode != 400 {
		t.Errorf("a form: %d", res.StatusCode)
	}
	if res := r.send("POST", PathRegister, "", metadataWith(object{"unknown": strings.Repeat("x", 1<<20)})); res.StatusCode != 413 {
		t.Errorf("a megabyte: %d", res.StatusCode)
	}
	if rows, _, _ := r.db.Clients(t.Context(), "", store.Page{Limit: 1000}); slices.ContainsFunc(rows, func(c store.Client) bool { return c.Name == "Tool" }) {
		t.Error("something was registered")
	}
}

// RFC 7592 sections 2.1 to 2.3.
func TestAClientManagesItself(t *testing.T) {
	r := newRig(t, open)
	c := r.send("POST", PathRegister, "", metadataWith(nil)).json
	uri, token := str(c["registration_client_uri"]), str(c["registration_access_token"])
	other := r.send("POST", PathRegister, "", metadataWith(nil)).json
	for name, use := range map[string]string{"none": "", "wrong": "x", "another client's": str(other["registration_access_token"])} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			if res := r.send(method, uri, use, metadataWith(object{"client_id": c["client_id"]})); res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %s token: %d %s", method, name, res.StatusCode, res.text)
			}
		}
	}
	for _, unknown := range []string{"web", "nobody"} {
		if res := r.send("GET", PathRegister+"?client_id="+unknown, token, nil); res.StatusCode != 401 {
			t.Errorf("%s: %d", unknown, res.StatusCode)
		}
	}
	read := r.send("GET", uri, token, nil)
	if read.StatusCode != 200 || read.json["client_secret"] != c["client_secret"] || read.json["client_name"] != "Tool" || read.json["registration_access_token"] != nil {
		t.Errorf("read: %d %s", read.StatusCode, read.text)
	}
	for name, change := range map[string]object{
		"no client_id": {}, "another client_id": {"client_id": "web"}, "another secret": {"client_id": c["client_id"], "client_secret": "x"},
		"the token": {"client_id": c["client_id"], "registration_access_token": token}, "bad metadata": {"client_id": c["client_id"], "subject_type": "x"},
	} {
		if res := r.send("PUT", uri, token, metadataWith(change)); res.StatusCode != 400 {
			t.Errorf("%s: %d %s", name, res.StatusCode, res.text)
		}
	}
	res := r.send("PUT", uri, token, metadataWith(object{
		"client_id": c["client_id"], "client_secret": c["client_secret"], "client_name": "New", "redirect_uris": []string{"https://new.example/cb"}, "logo_uri": "https://new.example/l.png",
	}))
	if res.StatusCode != 200 || res.json["client_name"] != "New" || res.json["client_secret"] != c["client_secret"] {
		t.Errorf("update: %d %s", res.StatusCode, res.text)
	}
	row := must(r.db.Client(t.Context(), str(c["client_id"])))(t)
	if !slices.Equal(row.RedirectURIs, []string{"https://new.example/cb"}) || len(row.PostLogoutRedirectURIs) != 0 {
		t.Errorf("row %+v", row)
	}
	if app := must(r.db.Application(t.Context(), row.ApplicationID))(t); app.Name != "New" || app.LogoURL != "https://new.example/l.png" {
		t.Errorf("application %+v", app)
	}
	if res := r.send("DELETE", uri, token, nil); res.StatusCode != 204 || res.text != "" {
		t.Errorf("delete: %d %s", res.StatusCode, res.text)
	}
	if res := r.send("GET", uri, token, nil); res.StatusCode != 401 {
		t.Errorf("deleted: %d", res.StatusCode)
	}
	if res := r.get(PathAuthorize, ask(str(c["client_id"]))); res.StatusCode != 400 {
		t.Errorf("a deleted client signs people in: %d", res.StatusCode)
	}
	if _, err := r.db.Application(t.Context(), row.ApplicationID); err == nil {
		t.Error("the application is left")
	}
	if r.count(audit.ClientUpdated) != 1 || r.count(audit.ClientDeleted) != 1 {
		t.Errorf("events %v", r.events())
	}
}

// OpenID Connect Core section 8.1.
func TestPairwiseSubjects(t *testing.T) {
	list := []string{"https://a.example/cb", "https://b.example/cb", callback}
	site, fetcher := trusted(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(list) }))
	r := newRig(t, open, func(o *Options) { o.Fetch = fetcher })
	register := func(change object) store.Client {
		res := r.send("POST", PathRegister, "", metadataWith(change))
		if res.StatusCode != 201 {
			t.Fatal(res.text)
		}
		return must(r.db.Client(t.Context(), str(res.json["client_id"])))(t)
	}
	public := register(nil)
	one := register(object{"subject_type": "pairwise"})
	same := register(object{"subject_type": "pairwise"})
	sector := register(object{"subject_type": "pairwise", "redirect_uris": list, "sector_identifier_uri": site.URL + "/s"})
	sub := func(c store.Client, who string) string { return r.p.subject(c, who) }
	if sub(public, "ann") != "ann" {
		t.Error("public subjects changed")
	}
	if a, b := sub(one, "ann"), sub(same, "ann"); a != b || a == "ann" || len(a) > 255 {
		t.Errorf("one sector: %q %q", a, b)
	}
	if sub(one, "ann") == sub(sector, "ann") || sub(one, "ann") == sub(one, "bob") {
		t.Error("sectors or accounts share a subject")
	}
	for _, who := range []string{"ann", "bob", strings.Repeat("x", 150)} {
		if got := r.p.accountOf(one, sub(one, who)); got != who {
			t.Errorf("%q leads back to %q", who, got)
		}
	}
	for _, foreign := range []string{"", "ann", "!", sub(sector, "ann"), sub(one, "ann")[:20]} {
		if got := r.p.accountOf(one, foreign); got != foreign {
			t.Errorf("%q leads to %q", foreign, got)
		}
	}
	// Everything that a client sees says the same, and a hint of its own works.
	secret := r.p.secretOf(one)
	who := func(req *http.Request, _ url.Values) { req.SetBasicAuth(one.ID, secret) }
	res := r.post(PathToken, redemption(r.code(ask(one.ID))), who).json
	_, id := payload(t, str(res["id_token"]))
	info := r.post(PathUserInfo, nil, withToken(str(res["access_token"]))).json
	seen := r.post(PathIntrospect, url.Values{"token": {str(res["access_token"])}}, who).json
	for _, got := range []any{id["sub"], info["sub"], seen["sub"]} {
		if got != sub(one, "ann") {
			t.Errorf("sub %v, want %v", got, sub(one, "ann"))
		}
	}
	if got := r.answerOf(r.get(PathAuthorize, ask(one.ID, "id_token_hint", str(res["id_token"]), "prompt", "none"))); got.Get("code") == "" {
		t.Errorf("with a hint: %v", got)
	}
	if r.hub.last.Ask.HintSubject != "ann" {
		t.Errorf("the hub looks for %q", r.hub.last.Ask.HintSubject)
	}
	if out := r.get(PathLogout, url.Values{"id_token_hint": {str(res["id_token"])}}); !strings.Contains(out.text, `id="signed-out"`) {
		t.Errorf("logout by a hint: %d", out.StatusCode)
	}
}

func TestOpenRegistrationIsBounded(t *testing.T) {
	r := newRig(t, open)
	for range registerPerHour {
		if res := r.send("POST", PathRegister, "", object{}); res.StatusCode != 400 {
			t.Fatal(res.text)
		}
	}
	if res := r.send("POST", PathRegister, "", metadataWith(nil)); res.StatusCode != 429 {
		t.Errorf("%d %s", res.StatusCode, res.text)
	}
	r.pass(time.Hour)
	if res := r.send("POST", PathRegister, "", metadataWith(nil)); res.StatusCode != 201 {
		t.Errorf("%d %s", res.StatusCode, res.text)
	}
}

func FuzzRegistration(f *testing.F) {
	f.Add(`{"redirect_uris":["https://a.example/"]}`)
	f.Add(`{"redirect_uris":[1],"jwks":{"keys":[{}]},"subject_type":"pairwise"}`)
	r := newRig(f)
	f.Fuzz(func(t *testing.T, body string) {
		var in map[string]any
		if json.Unmarshal([]byte(body), &in) != nil || in["sector_identifier_uri"] != nil {
			return
		}
		var c store.Client
		if r.p.applyMetadata(t.Context(), &c, in) == nil && (len(c.RedirectURIs) == 0 || CheckRedirectURI(c.RedirectURIs[0], c.ApplicationType, r.URL) != nil) {
			t.Errorf("accepts %s", body)
		}
	})
}
