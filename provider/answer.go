package provider

import (
	"crypto/rand"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"anteroom/flow"
	"anteroom/internal/web"
	"anteroom/store"
)

// target is where the answer to an authorization request goes, and how.
type target struct {
	uri   string // checked
	sent  string // the parameter redirect_uri; empty if none was sent
	mode  string // query, fragment or form_post
	state string // empty: none was sent, and none is returned

	alg    string       // signs the answer; empty: it is not signed
	client store.Client // for whom it is signed
}

// defaultMode is the response_mode that a response_type implies (OAuth 2.0
// Multiple Response Type Encoding Practices section 2.1): errors of types that
// we refuse go where their clients look for them.
func defaultMode(responseType string) string {
	for _, t := range words(responseType) {
		if t == "token" || t == "id_token" {
			return "fragment"
		}
	}
	return "query"
}

// answer sends an authorization response with the issuer (RFC 9207 section 2)
// and the state.
func (p *Provider) answer(t target, values url.Values) flow.Answer {
	values.Set("iss", p.issuer)
	if t.state != "" {
		values.Set("state", t.state)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		values := values
		if t.alg != "" {
			var err error
			if values, err = p.signAnswer(r.Context(), t, values); err != nil {
				p.unanswered(w, r, err)
				return
			}
		}
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Pragma", "no-cache")
		h.Set("Referrer-Policy", "no-referrer")
		switch t.mode {
		case "form_post":
			writeFormPost(w, t.uri, values)
		case "fragment":
			redirect(w, r, t.uri+"#"+values.Encode())
		default:
			redirect(w, r, appendQuery(t.uri, values))
		}
	}
}

// unanswered shows a page in place of an answer that could not be made as the
// client wants it: in the clear it would be for others to read, too.
func (p *Provider) unanswered(w http.ResponseWriter, r *http.Request, err error) {
	if wrong := asRefusal(err); wrong.status < 500 {
		err = stop("The portal wants answers that nobody else can read, and does not say how.", wrong)
	}
	(&web.Edge{Pages: p.pages, Log: p.log}).Fail(w, r, err)
}

func (p *Provider) answerError(t target, e *flow.ProtocolError) flow.Answer {
	values := url.Values{"error": {e.Code}}
	if e.Description != "" {
		values.Set("error_description", printable(e.Description))
	}
	return p.answer(t, values)
}

// appendQuery adds parameters and leaves what is registered as it stands.
func appendQuery(uri string, values url.Values) string {
	separator := "?"
	if strings.Contains(uri, "?") {
		separator = "&"
		if strings.HasSuffix(uri, "?") || strings.HasSuffix(uri, "&") {
			separator = ""
		}
	}
	return uri + separator + values.Encode()
}

// redirect never repeats a posted body at the client (RFC 9700 section 4.12).
// It does not use http.Redirect, which rewrites addresses and writes them into
// a page.
func redirect(w http.ResponseWriter, r *http.Request, location string) {
	w.Header().Set("Location", location)
	if r.Method == http.MethodPost {
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	w.WriteHeader(http.StatusFound)
}

// formPost is the page of OAuth 2.0 Form Post Response Mode section 2. Its one
// script runs by its nonce; without JavaScript the button does the same.
var formPost = template.Must(template.New("form_post").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Back to the portal</title>
<style nonce="{{.Nonce}}">body{font:16px/1.5 system-ui,sans-serif;color-scheme:light dark;max-width:24rem;margin:20vh auto;padding:0 1rem;text-align:center}button{font:inherit;min-height:44px;padding:0 1.5rem}</style></head>
<body>
<form method="post" action="{{.Action}}" id="form-post">
{{range .Fields}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">
{{end}}<p>You are on the way back to the portal.</p>
<button type="submit" id="form-post-submit">Continue</button>
</form>
<script nonce="{{.Nonce}}">document.getElementById("form-post").submit()</script>
</body>
</html>
`))

func writeFormPost(w http.ResponseWriter, action string, values url.Values) {
	type field struct{ Name, Value string }
	page := struct {
		Nonce  string
		Action template.URL // checked against the registration
		Fields []field
	}{Nonce: rand.Text(), Action: template.URL(action)}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		page.Fields = append(page.Fields, field{name, values.Get(name)})
	}
	var body strings.Builder
	if err := formPost.Execute(&body, page); err != nil {
		panic("provider: form_post page: " + err.Error()) // strings only
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	// No form-action: the answer goes to the client, which may redirect on.
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; script-src 'nonce-"+page.Nonce+"'; style-src 'nonce-"+page.Nonce+"'")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(body.String()))
}
