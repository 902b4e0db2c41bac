package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// startToCopy returns the program in the first block of a language below a
// heading of the page for portal developers: what people copy is what runs here.
func startToCopy(t *testing.T, heading, language string) string {
	t.Helper()
	page, err := os.ReadFile("../docs/portal-developer.md")
	if err != nil {
		t.Fatal(err)
	}
	_, below, found := strings.Cut(string(page), "\n### "+heading+"\n")
	if below, _, _ = strings.Cut(below, "\n### "); !found {
		t.Fatalf("docs/portal-developer.md has no heading %s", heading)
	}
	_, block, found := strings.Cut(below, "```"+language+"\n")
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatalf("docs/portal-developer.md has no block of %s below %s", language, heading)
	}
	return block
}

// portalOfOthers is a program of that page, running.
type portalOfOthers struct {
	*drama
	url string
}

// copied registers a portal, runs the program that command makes of its file, and
// waits until it answers.
func copied(t *testing.T, file, program string, command func(dir, port string) *exec.Cmd) *portalOfOthers {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(freePort(t))
	d := start(t).stage(t, "copy@acme.example")
	made := &portalOfOthers{drama: d, url: "http://localhost:" + port}
	d.client("web", wanted{auth: "client_secret_basic", redirect: []string{made.url + "/callback"}, farewell: made.url + "/"})
	web := d.settings["clients"].(map[string]any)["web"].(map[string]any)
	cmd := command(dir, port)
	cmd.Env = append(os.Environ(), "OIDC_ISSUER="+d.p.issuer, "OIDC_CLIENT_ID=web", fmt.Sprint("OIDC_CLIENT_SECRET=", web["secret"]),
		"PORTAL_URL="+made.url, "PORTAL_LISTEN=127.0.0.1:"+port, "PORT="+port, "SESSION_SECRET=a secret of the portal's own")
	var complaints strings.Builder
	cmd.Stdout, cmd.Stderr = &complaints, &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("the portal said:\n%s", complaints.String())
		}
	})
	eventually(t, "an answer of the portal", runtimePatience, func() bool {
		select {
		case <-ended:
			t.Fatalf("the portal ended:\n%s", complaints.String())
		default:
		}
		resp, err := http.Get(made.url + "/login-not")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	return made
}

// tried signs somebody in at the portal, in again by single sign-on, and shows it
// an answer that nobody asked for.
func (o *portalOfOthers) tried(ctx context.Context) {
	o.t.Helper()
	for range 2 {
		o.browse(ctx, o.url+"/login")
		if page := o.visitor.Source(); !strings.HasPrefix(o.visitor.URL().String(), o.url) || !strings.Contains(page, o.who.email) || !strings.Contains(page, `"otp"`) {
			o.t.Fatalf("after the sign-in, at %s: %s", o.visitor.URL(), page)
		}
	}
	// A browser that began a sign-in, and is sent back with somebody else's answer.
	victim := NewVisitor()
	forged := o.url + "/callback?" + fields("code", "x", "state", "y", "iss", o.p.issuer).Encode()
	for _, address := range []string{o.url + "/login", forged} {
		if err := victim.Open(ctx, address); err != nil {
			o.t.Fatal(err)
		}
	}
	if victim.Status() != http.StatusBadRequest && victim.Status() != http.StatusForbidden {
		o.t.Errorf("an answer that nobody asked for: %d at %s: %s", victim.Status(), victim.URL(), victim.Source())
	}
}

// signedOut signs out and wants to be back at the portal, known nowhere.
func (o *portalOfOthers) signedOut(ctx context.Context) {
	o.t.Helper()
	o.browse(ctx, o.url+"/login")
	o.browse(ctx, o.url+"/logout")
	if o.visitor.URL().String() != o.url+"/" || !strings.Contains(o.visitor.Source(), "Sign in") {
		o.t.Errorf("after the sign-out, at %s: %s", o.visitor.URL(), o.visitor.Source())
	}
	if err := o.visitor.Open(ctx, o.url+"/login"); err != nil || o.visitor.URL().Path != "/login" || !o.visitor.Has("login-submit") {
		o.t.Errorf("still signed in: at %s (%v)", o.visitor.URL(), err)
	}
}

func TestInteropStartInGo(t *testing.T) {
	t.Parallel()
	portal := copied(t, "main.go", startToCopy(t, "Go", "go"), func(dir, _ string) *exec.Cmd {
		binary := filepath.Join(dir, "portal")
		build := exec.Command("go", "build", "-o", binary, filepath.Join(dir, "main.go"))
		build.Dir = ".."
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
		return exec.Command(binary)
	})
	portal.tried(t.Context())
}

func TestInteropStartInNode(t *testing.T) {
	t.Parallel()
	node := runtimeOf(t, "node")
	portal := copied(t, "portal.mjs", startToCopy(t, "Node.js", "js"), func(dir, _ string) *exec.Cmd {
		libraries, err := filepath.Abs("interop/node/node_modules")
		if err == nil {
			err = os.Symlink(libraries, filepath.Join(dir, "node_modules"))
		}
		if err != nil {
			t.Fatal(err)
		}
		return exec.Command(node, "--import", filepath.Join(filepath.Dir(libraries), "webcrypto.js"), filepath.Join(dir, "portal.mjs"))
	})
	portal.tried(t.Context())
	portal.signedOut(t.Context())
}

func TestInteropStartInPython(t *testing.T) {
	t.Parallel()
	python := runtimeOf(t, "python")
	portal := copied(t, "portal.py", startToCopy(t, "Python", "python"), func(dir, port string) *exec.Cmd {
		cmd := exec.Command(python, "-m", "flask", "--app", "portal", "run", "--port", port)
		cmd.Dir = dir
		return cmd
	})
	portal.tried(t.Context())
	portal.signedOut(t.Context())
}

// spa serves the page of the portal page for an issuer, with another line of options.
func spa(t *testing.T, p *product, options string) (tab *chromiumTab, url string) {
	t.Helper()
	runtimeOf(t, "node")
	page := startToCopy(t, "Single-page app", "html")
	mux := http.NewServeMux()
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	url = strings.Replace(web.URL, "127.0.0.1", "localhost", 1)
	for old, new := range map[string]string{"http://localhost:8080": p.issuer, spaOptions: options} {
		if !strings.Contains(page, old) {
			t.Fatalf("the page does not say %s", old)
		}
		page = strings.ReplaceAll(page, old, new)
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, page) })
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /oidc-client-ts.min.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, "interop/node/node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js")
	})
	return newChromium(t, true).(*chromiumTab), url
}

// tell runs statements in the page that end with a value, which may take time.
func tell(c *chromiumTab, statements string) string {
	c.t.Helper()
	eval[bool](c, `(window.__told = '', (async () => { `+statements+` })().then(v => window.__told = 'v' + v, e => window.__told = 'e' + e + ' ' + (e.error || '')), true)`)
	var told string
	eventually(c.t, "an answer of the page to "+statements, patience, func() bool {
		told = eval[string](c, "window.__told")
		return told != ""
	})
	return told
}

// spaOptions is the line of the page that says where name and email come from.
const spaOptions = "loadUserInfo: true,"

func TestInteropStartAsASinglePageApp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, options, kind string
		metadata            map[string]any
	}{
		{"as on the page", spaOptions, "Bearer", nil},
		// The library sends no proof to userinfo.
		{"with DPoP", `dpop: { store: new oidc.IndexedDbDPoPStore(), bind_authorization_code: true }, extraQueryParams: { claims: '{"id_token":{"email":null}}' },`,
			"DPoP", map[string]any{"dpop_bound_access_tokens": true, "dpop_nonce_required": true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t)
			tab, url := spa(t, p, c.options)
			d := p.stage(t, "sam@acme.example")
			d.client("my-spa", wanted{auth: "none", redirect: []string{url + "/"}, farewell: url + "/", metadata: c.metadata})
			who := func(words string) func() bool {
				return func() bool { return strings.Contains(tab.Text("who"), words) }
			}
			tab.Open(url + "/")
			eventually(t, "a page that knows nobody", patience, who("not signed in"))
			tab.Press("sign-in")
			tab.Press("login-submit", "username", d.who.email, "password", d.who.password)
			tab.Press("challenge-submit", "code", p.code(d.who.secret))
			eventually(t, "a page that knows who signed in", patience, who(d.who.email))

			users := "const portal = location.origin + '/'; const users = new oidc.UserManager({authority: '" + p.issuer +
				"', client_id: 'my-spa', redirect_uri: portal, scope: 'openid profile email roles', " + c.options + "}); "
			if told := tell(tab, users+"const before = await users.getUser(), after = await users.signinSilent(); return before.token_type + (before.access_token !== after.access_token && before.profile.sub === after.profile.sub)"); !strings.EqualFold(told, "v"+c.kind+"true") {
				t.Errorf("refreshed: %s", told)
			}
			if told := tell(tab, users+"await users.signinCallback(portal + '?code=x&state=y')"); !strings.HasPrefix(told, "eError: No matching state") {
				t.Errorf("an answer that nobody asked for: %s", told)
			}
			if told := tell(tab, users+"const user = await users.getUser(); await users.revokeTokens(); await users.storeUser(user); await users.signinSilent()"); !strings.Contains(told, "invalid_grant") {
				t.Errorf("refreshed with what was revoked: %s", told)
			}
			tab.Press("sign-out")
			eventually(t, "a page that knows nobody any more", patience, who("not signed in"))
			tab.Press("sign-in")
			p.at(tab, "/login")
		})
	}
}
