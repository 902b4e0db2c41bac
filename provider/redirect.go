package provider

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"anteroom/store"
)

// matchRedirect returns whether a client registered uri: the same string
// (RFC 9700 section 2.1), or, for a native client on a loopback host, the same
// string but for the port (RFC 8252 section 7.3). Nothing is parsed or decoded,
// so there is no second reading of a URI to exploit.
func matchRedirect(c store.Client, uri string) bool {
	if slices.Contains(c.RedirectURIs, uri) {
		return true
	}
	if c.ApplicationType != "native" {
		return false
	}
	host, rest, ok := splitLoopback(uri)
	if !ok {
		return false
	}
	return slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		h, r, ok := splitLoopback(registered)
		return ok && h == host && r == rest
	})
}

// splitLoopback takes http://host[:port]rest apart if host is a loopback host.
func splitLoopback(uri string) (host, rest string, ok bool) {
	after, ok := strings.CutPrefix(uri, "http://")
	if !ok {
		return "", "", false
	}
	for _, host := range []string{"127.0.0.1", "[::1]", "localhost"} {
		rest, ok := strings.CutPrefix(after, host)
		if !ok {
			continue
		}
		if port, ok := strings.CutPrefix(rest, ":"); ok {
			digits := len(port) - len(strings.TrimLeft(port, "0123456789"))
			n, err := strconv.ParseUint(port[:digits], 10, 16)
			if err != nil || n == 0 {
				return "", "", false
			}
			rest = port[digits:]
		}
		if rest == "" || rest[0] == '/' || rest[0] == '?' {
			return host, rest, true
		}
		return "", "", false
	}
	return "", "", false
}

// CheckRedirectURI says what is wrong with a redirect URI that somebody wants to
// register, in words for them; nil if nothing is. issuer decides whether plain
// http is acceptable beyond loopback hosts: only where the issuer itself is.
func CheckRedirectURI(uri, applicationType, issuer string) error {
	for _, c := range []byte(uri) {
		if c <= 0x20 || c >= 0x7f || c == '\\' || c == '"' || c == '<' || c == '>' {
			return errors.New("a redirect URI has printable ASCII characters only, the rest percent-encoded")
		}
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" {
		return errors.New("a redirect URI is absolute: https://portal.example/callback")
	}
	if strings.Contains(uri, "#") {
		return errors.New("a redirect URI has no fragment (RFC 6749 section 3.1.2)")
	}
	if u.User != nil {
		return errors.New("a redirect URI has no user name and password")
	}
	switch u.Scheme {
	case "https":
		if u.Host == "" {
			return errors.New("a redirect URI names a host")
		}
		return nil
	case "http":
		if u.Host == "" {
			return errors.New("a redirect URI names a host")
		}
		if _, _, ok := splitLoopback(uri); ok || strings.HasSuffix(u.Hostname(), ".localhost") || strings.HasPrefix(issuer, "http://") {
			return nil
		}
		return errors.New("a redirect URI uses https, except on a loopback host")
	}
	if applicationType != "native" {
		return errors.New("a redirect URI of a web client uses https")
	}
	// A scheme of one's own is a domain in reverse (RFC 8252 section 7.1), which
	// leaves out javascript, data and their like.
	if !strings.Contains(u.Scheme, ".") || !strings.HasPrefix(uri[len(u.Scheme):], ":/") {
		return errors.New("a private-use redirect URI looks like com.example.app:/callback")
	}
	return nil
}
