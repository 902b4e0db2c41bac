package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"anteroom/config"
	"anteroom/internal/demo"
)

// watchingPortal shows, at its redirect URI, the frame of the issuer.
const watchingPortal = `<!DOCTYPE html><title>Portal</title>
<iframe id="op" src="%s/check-session"></iframe>
<p id="answer"></p>
<script>
addEventListener("message", e => { if (e.origin === %q) document.getElementById("answer").textContent = e.data; });
function ask(text) {
  document.getElementById("answer").textContent = "";
  document.getElementById("op").contentWindow.postMessage(text, %q);
}
</script>`

// OpenID Connect Session Management section 3: a portal on another origin asks
// the frame, and learns that the session is the same, then that it ended.
func TestAPortalWatchesTheSessionInAFrame(t *testing.T) {
	t.Parallel()
	p := start(t, func(cfg *config.Config) { cfg.Compatibility.SessionManagement = config.SessionManagementOn })
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, watchingPortal, p.issuer, p.issuer, p.issuer)
	}))
	t.Cleanup(portal.Close)
	back := strings.Replace(portal.URL, "127.0.0.1", "localhost", 1) + "/cb"
	client, err := register(t.Context(), p.op, p.issuer, demo.PartnerAnalytics)
	if err != nil {
		t.Fatal(err)
	}
	p.do("PATCH", "/clients/"+client.ClientID, map[string]any{"redirect_uris": []string{back}}, nil)

	tab := newChromium(t, true)
	ann := newPerson("ann@acme.example")
	p.activated(tab, ann)
	verifier := strings.Repeat("v", 43)
	request := url.Values{
		"client_id": {client.ClientID}, "redirect_uri": {back}, "response_type": {"code"}, "scope": {"openid"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	tab.Open(p.issuer + "/authorize?" + request.Encode())
	state := tab.URL().Query().Get("session_state")
	if !strings.HasPrefix(tab.URL().String(), back) || state == "" {
		t.Fatalf("at %s", tab.URL())
	}
	ask := func(text string) string {
		t.Helper()
		eval[bool](tab.(*chromiumTab), "(ask("+quote(text)+"), true)")
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if got := tab.Text("answer"); got != "" {
				return got
			}
		}
		t.Fatalf("no answer to %q", text)
		return ""
	}
	for text, want := range map[string]string{
		client.ClientID + " " + state:       "unchanged",
		"somebody " + state:                 "changed", // of another client
		client.ClientID + " " + state + "x": "changed", // with another salt
		client.ClientID:                     "error",
		"garbage":                           "error",
		client.ClientID + " a.b.c":          "error",
	} {
		if got := ask(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	other := tab.New()
	other.Open(p.issuer + "/logout")
	other.Press("logout-confirm")
	if got := ask(client.ClientID + " " + state); got != "changed" {
		t.Errorf("after signing out: %s", got)
	}
}
