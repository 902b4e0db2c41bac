package demo

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"
)

//go:embed portal.html
var portalHTML string

var portalPage = template.Must(template.New("portal").Parse(portalHTML))

// view is the one page of a portal, in its several states.
type view struct {
	Session   *session
	SignedOut bool
	Error     *failure
}

// person is what the page says about who signed in.
type person struct {
	Name, Sub, Email string
	AMR, ACR         string
	How              string // both, in words
	AuthTime         string
	Roles            []string
	Organisations    []organisation
	IDToken          string // indented JSON
	AccessToken      string
	UserInfo         string
	CanRefresh       bool
	Notice           string
}

type organisation struct {
	Name, ID string
	Roles    []string
}

func (p *Portal) show(w http.ResponseWriter, status int, v view) {
	data := map[string]any{
		"Name": p.cfg.Name, "Tagline": p.cfg.Tagline, "Colour": template.CSS(p.cfg.Colour), "Issuer": p.cfg.Issuer,
		"SignedOut": v.SignedOut, "Error": v.Error,
	}
	if v.Session != nil {
		data["Person"] = describe(v.Session)
	}
	var page bytes.Buffer
	if err := portalPage.Execute(&page, data); err != nil {
		p.cfg.Log.Error("render", "portal", p.cfg.Name, "error", err.Error())
		http.Error(w, "The page cannot be shown.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	// Signing out posts a form that the provider answers: browsers apply
	// form-action to the redirects, too.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' "+p.cfg.Issuer)
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w)
}

func describe(s *session) person {
	text := func(name string) string {
		if v, ok := s.claims[name].(string); ok {
			return v
		}
		v, _ := s.profile[name].(string)
		return v
	}
	d := person{
		Sub: text("sub"), Email: text("email"), ACR: text("acr"),
		Roles: words(s.claims["roles"]), AMR: strings.Join(words(s.claims["amr"]), " "),
		IDToken: indent(s.claims), AccessToken: payload(s.tokens.AccessToken), UserInfo: indent(s.userinfo),
		CanRefresh: s.tokens.RefreshToken != "", Notice: s.notice,
	}
	d.How = how(words(s.claims["amr"]))
	for _, name := range []string{"name", "email", "preferred_username", "sub"} {
		if d.Name == "" {
			d.Name = text(name)
		}
	}
	if seconds, ok := s.claims["auth_time"].(float64); ok {
		d.AuthTime = time.Unix(int64(seconds), 0).Local().Format("2 January 2006, 15:04:05")
	}
	list, _ := s.claims["organizations"].([]any)
	for _, item := range list {
		fields, _ := item.(map[string]any)
		o := organisation{Roles: words(fields["roles"])}
		o.ID, _ = fields["id"].(string)
		o.Name, _ = fields["name"].(string)
		d.Organisations = append(d.Organisations, o)
	}
	return d
}

// how says in words what amr says (RFC 8176).
func how(amr []string) string {
	known := map[string]string{"pwd": "a password", "otp": "a six-digit code", "mfa": "", "hwk": "a security key", "swk": "a passkey", "kba": "a recovery code"}
	var parts []string
	for _, word := range amr {
		text, found := known[word]
		if !found {
			text = word
		}
		if text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, " and ")
}

func words(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, item := range list {
		out = append(out, fmt.Sprint(item))
	}
	return out
}

func indent(v map[string]any) string {
	if v == nil {
		return ""
	}
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return ""
	}
	return string(data)
}

// payload decodes a JWT to look at it. A client must not rely on what is in an
// access token (RFC 9068 section 6); this page shows it to learn from.
func payload(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims map[string]any
	if err := json.Unmarshal(data, &claims); err != nil {
		return ""
	}
	return indent(claims)
}
