package admin

import (
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"anteroom/account"
)

var slug = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)

// slug wants an id that people can type and paths can hold.
func (m *mistakes) slug(field, value string) {
	if !slug.MatchString(value) {
		m.add(field, "must be 1 to 64 small letters, digits, dots, dashes or underscores, beginning and ending with a letter or digit")
	}
}

// line wants text of one line with min to max characters.
func (m *mistakes) line(field, value string, min, max int) {
	n := utf8.RuneCountInString(value)
	switch {
	case n < min && n == 0:
		m.add(field, "is missing")
	case n < min:
		m.add(field, "must have at least %d characters", min)
	case n > max:
		m.add(field, "must have at most %d characters", max)
	case value != strings.TrimSpace(value):
		m.add(field, "begins or ends with a space")
	case strings.ContainsFunc(value, unicode.IsControl):
		m.add(field, "must be one line of text")
	}
}

func (m *mistakes) email(field, value string) {
	parsed, err := mail.ParseAddress(value)
	switch {
	case value == "":
		m.add(field, "is missing")
	case err != nil || parsed.Address != value || len(value) > 254:
		m.add(field, "must be an e-mail address like ann@example.com, without anything around it")
	}
}

func (m *mistakes) profile(field string, claims map[string]any) {
	for claim, sentence := range account.CheckProfile(claims) {
		m.add(join(field, claim), "%s", sentence)
	}
}

// web wants an absolute URL that a browser can be sent to: https, or http on
// this machine.
func (m *mistakes) web(field, value string) {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "" || len(value) > 2000 || strings.ContainsFunc(value, unicode.IsSpace):
		m.add(field, "must be a URL like https://portal.example.com/")
	case u.User != nil:
		m.add(field, "must not contain a user name")
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
	default:
		m.add(field, "must begin with https:// (http:// is for localhost)")
	}
}

func (m *mistakes) webOrEmpty(field, value string) {
	if value != "" {
		m.web(field, value)
	}
}

// loopback tells whether host is the machine of the browser itself.
func loopback(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// oneOf wants one of the choices.
func (m *mistakes) oneOf(field, value string, choices ...string) {
	for _, c := range choices {
		if value == c {
			return
		}
	}
	m.add(field, "must be one of: %s", strings.Join(choices, ", "))
}
