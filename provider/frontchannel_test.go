package provider

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"anteroom/store"
)

var frames = regexp.MustCompile(`<iframe[^>]* src="([^"]*)"`)

func framesOf(res *reply) (out []string) {
	for _, m := range frames.FindAllStringSubmatch(res.text, -1) {
		out = append(out, html.UnescapeString(m[1]))
	}
	return out
}

// OpenID Connect Front-Channel Logout sections 2 and 3.
func TestSigningOutTellsClientsInFrames(t *testing.T) {
	r := newRig(t)
	for id, uri := range map[string]string{"web": "https://portal.example/out?a=b", "es256": "https://other.example:8443/out", "third": "https://third.example/"} {
		r.check(changeClient(id, func(c *store.Client) { c.Settings = map[string]any{"frontchannel_logout_uri": uri} })(r))
	}
	r.tokens("es256")
	_, id := payload(t, str(r.tokens("web")["id_token"]))
	sent := url.Values{"iss": {r.URL}, "sid": {str(id["sid"])}}.Encode()
	want := []string{"https://other.example:8443/out?" + sent, "https://portal.example/out?a=b&" + sent}
	hint := str(r.tokens("web")["id_token"])
	res := r.get(PathLogout, url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {bye}, "state": {"s"}})
	if got := framesOf(res); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("frames %q, want %q", got, want)
	}
	policy := res.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "; frame-src https://other.example:8443 https://portal.example") || strings.Contains(policy, "third.example") {
		t.Errorf("policy %s", policy)
	}
	if res.StatusCode != 200 || res.Header.Get("Refresh") != "2; url="+bye+"?state=s" || !strings.Contains(res.text, `href="`+bye+"?state=s\"") || r.hub.signed {
		t.Errorf("%d, goes on by %q, signed in %v", res.StatusCode, res.Header.Get("Refresh"), r.hub.signed)
	}
	again := r.get(PathLogout, nil)
	if len(framesOf(again)) != 0 || strings.Contains(again.Header.Get("Content-Security-Policy"), "frame-src") || again.Header.Get("Refresh") != "" {
		t.Errorf("nobody is signed in: %v %s", again.Header, again.text)
	}
}

func TestFramesOnlyAfterAConfirmation(t *testing.T) {
	r := newRig(t)
	r.check(changeClient("web", func(c *store.Client) {
		c.Settings = map[string]any{"frontchannel_logout_uri": "https://portal.example/out"}
	})(r))
	r.tokens("web")
	if res := r.get(PathLogout, nil); len(framesOf(res)) != 0 || !r.hub.signed {
		t.Errorf("opening a link tells portals: %s", res.text)
	}
	if res := r.post(PathLogout, url.Values{"confirm": {"1"}}, nil); len(framesOf(res)) != 1 || res.Header.Get("Refresh") != "" {
		t.Errorf("confirmed: %s", res.text)
	}
}
