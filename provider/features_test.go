package provider

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"anteroom/store"
)

// OpenID Connect Discovery section 3, Back-Channel Logout section 2.1,
// Front-Channel Logout section 3: what is said of logout and subjects is used.
func TestDiscoverySaysHowLogoutAndSubjectsWork(t *testing.T) {
	site, fetcher := newPortals(t)
	r := newRig(t, open, func(o *Options) { o.Fetch = fetcher })
	doc := r.get(PathDiscovery, nil).json
	for _, kind := range []string{"public", "pairwise", "secret"} {
		res := r.send("POST", PathRegister, "", metadataWith(object{"subject_type": kind}))
		if on := slices.Contains(list(t, doc["subject_types_supported"]), kind); on != (res.StatusCode == http.StatusCreated) {
			t.Errorf("%s: advertised %v, answer %s", kind, on, res.text)
		}
	}
	r.check(changeClient("web", func(c *store.Client) {
		c.Settings = map[string]any{"backchannel_logout_uri": site.URL + "/back", "frontchannel_logout_uri": "https://portal.example/front"}
	})(r))
	out := r.get(PathLogout, url.Values{"id_token_hint": {str(r.tokens("web")["id_token"])}})
	r.deliver()
	front, back := framesOf(out), site.got("/back")
	if len(front) != 1 || len(back) != 1 {
		t.Fatalf("frames %v, tokens %v", front, back)
	}
	_, claims := payload(t, back[0])
	for name, works := range map[string]bool{
		"backchannel_logout_supported": true, "backchannel_logout_session_supported": claims["sid"] != nil,
		"frontchannel_logout_supported": true, "frontchannel_logout_session_supported": strings.Contains(front[0], "sid="),
	} {
		if doc[name] != works {
			t.Errorf("%s is %v, works %v", name, doc[name], works)
		}
	}
	if doc["check_session_iframe"] != nil {
		t.Error("session management is advertised, and there is none")
	}
}
