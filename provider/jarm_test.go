package provider

import (
	"html"
	"net/http/httptest"
	"net/url"
	"regexp"
	"testing"

	"anteroom/flow"
	"anteroom/store"
)

var hiddenResponse = regexp.MustCompile(`name="response" value="([^"]+)"`)

// JARM (JWT Secured Authorization Response Mode) sections 2.1, 2.3 and 2.4.
func TestSignedAnswers(t *testing.T) {
	r := newRig(t)
	r.register(store.Client{ID: "jarm", TokenEndpointAuthMethod: "none", Settings: map[string]any{"authorization_signed_response_alg": "EdDSA"}})
	for mode, from := range map[string]string{"jwt": "query", "query.jwt": "query", "fragment.jwt": "fragment", "form_post.jwt": "form"} {
		for client, alg := range map[string]string{"web": "RS256", "jarm": "EdDSA"} {
			for _, wrong := range []string{"", "access_denied"} {
				r.hub.refuse = nil
				if wrong != "" {
					r.hub.refuse = &flow.ProtocolError{Code: wrong, Description: "No."}
				}
				res := r.get(PathAuthorize, ask(client, "response_mode", mode))
				var got url.Values
				switch from {
				case "form":
					found := hiddenResponse.FindStringSubmatch(res.text)
					if found == nil {
						t.Fatalf("%s: %s", mode, res.text)
					}
					got = url.Values{"response": {html.UnescapeString(found[1])}}
				case "fragment":
					loc := must(res.Location())(t)
					got = must(url.ParseQuery(loc.Fragment))(t)
				default:
					got = r.answerOf(res)
				}
				if len(got) != 1 {
					t.Fatalf("%s: %v, want response alone", mode, got)
				}
				var claims map[string]any
				if err := r.p.keys.open(t.Context(), got.Get("response"), typeIDToken, false, &claims); err != nil {
					t.Fatal(err)
				}
				header, _ := payload(t, got.Get("response"))
				if header["alg"] != alg || claims["iss"] != r.URL || claims["aud"] != client || claims["state"] != "the state" ||
					claims["exp"] != float64(r.now().Add(signedAnswerLife).Unix()) || str(claims["error"]) != wrong || (str(claims["code"]) != "") == (wrong != "") {
					t.Errorf("%s %s: %v %v", mode, wrong, header, claims)
				}
				if _, err := r.p.openHint(t.Context(), got.Get("response")); err == nil {
					t.Error("passes for an ID token")
				}
			}
		}
	}
}

// JARM section 2.3: errors that are found before the sign-in are signed as well,
// and the code works as any other.
func TestSignedErrorsAndCodes(t *testing.T) {
	r := newRig(t)
	got := r.answerOf(r.get(PathAuthorize, ask("web", "response_mode", "jwt", "scope", "nope")))
	if _, claims := payload(t, got.Get("response")); claims["error"] != "invalid_scope" || claims["error_description"] == nil {
		t.Errorf("got %v", claims)
	}
	got = r.answerOf(r.get(PathAuthorize, r.push(ask("web", "response_mode", "jwt"), basic("web"))))
	_, claims := payload(t, got.Get("response"))
	if res := r.post(PathToken, redemption(str(claims["code"])), basic("web")); res.StatusCode != 200 {
		t.Errorf("got %s", res.text)
	}
	// A key that cannot sign must not make the answer an unsigned one.
	w := httptest.NewRecorder()
	r.p.answer(target{uri: callback, mode: "query", alg: "none"}, url.Values{"code": {"c"}})(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 500 || w.Header().Get("Location") != "" {
		t.Errorf("unsigned, then: %d %v", w.Code, w.Header())
	}
}
