package templates

import (
	"html/template"
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

var (
	// hostSource is what may stand in a Content-Security-Policy: a registered
	// client's logo must not smuggle a directive into it.
	hostSource = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]{1,5})?$`)
	dataImage  = regexp.MustCompile(`^data:image/(png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=]+$`)
)

// logoSource returns the Content-Security-Policy source that a logo needs: an
// origin, "data:", or "" if the logo is our own or cannot be shown.
func logoSource(logo string) string {
	if dataImage.MatchString(logo) {
		return "data:"
	}
	u, err := url.Parse(logo)
	if err != nil || u.User != nil || !hostSource.MatchString(u.Host) {
		return ""
	}
	switch strings.ToLower(u.Scheme) {
	case "https", "http":
		return strings.ToLower(u.Scheme) + "://" + strings.ToLower(u.Host)
	}
	return ""
}

// logoURL returns the logo if it can be shown: an absolute web address, an
// image in a data URL or a path of ours. Otherwise "", and the page draws the
// initial of the name.
func logoURL(logo string) template.URL {
	if logoSource(logo) != "" {
		return template.URL(logo) // scheme and host were checked
	}
	if strings.HasPrefix(logo, "/") && !strings.HasPrefix(logo, "//") && !strings.HasPrefix(logo, `/\`) {
		return template.URL(logo)
	}
	return ""
}

// initial is the first letter or digit of a name, in upper case.
func initial(name string) string {
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return "·"
}

// plain makes one short line of a name from outside: in a subject or a text it
// must not begin a line, a header or a change of direction, and mail programs
// must not make a link of it.
func plain(s string) string {
	s = strings.ToValidUTF8(s, "")
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), r == '\u2028', r == '\u2029':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(strings.ReplaceAll(s, "://", " ")), " ")
	if runes := []rune(s); len(runes) > 120 {
		s = string(runes[:119]) + "…"
	}
	return s
}
