package provider

import (
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"anteroom/internal/web"
)

// maxParams bounds the parameters of an authorization request, in bytes before
// encoding. They travel in the browser until somebody has signed in.
const maxParams = 16 << 10

// params are the parameters of a request. Each occurs once (RFC 6749 section
// 3.1): which of two values counts is a question that a proxy, a log and we may
// answer differently. A parameter that breaks a rule is taken out and named in bad.
type params struct {
	url.Values
	bad []string

	pushed  string // hash of the pushed request that they come from
	pushing bool   // they are being pushed
	signed  bool   // they come from a signed request object
}

// repeatable parameters may occur several times.
var repeatable = []string{
	"resource", // RFC 8707 section 2
}

// newParams applies the rules to what a query or a form holds.
func newParams(raw string) (params, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return params{}, refuse("invalid_request", "The parameters are not form-encoded.").because(err)
	}
	p := params{Values: values}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		all := values[name]
		repeated := len(all) > 1 && !slices.Contains(repeatable, name)
		if repeated || unreadable(name) || slices.ContainsFunc(all, unreadable) {
			p.bad = append(p.bad, name)
			delete(values, name)
		}
	}
	return p, nil
}

func unreadable(s string) bool { return !utf8.ValidString(s) || strings.ContainsRune(s, 0) }

// wrong returns why a parameter was taken out, nil if none was.
func (p params) wrong() *refusal {
	if len(p.bad) == 0 {
		return nil
	}
	return refuse("invalid_request", "The parameter %s was sent twice, or is not UTF-8 text.", p.bad[0])
}

func (p params) size() int {
	n := 0
	for name, all := range p.Values {
		for _, v := range all {
			n += len(name) + len(v)
		}
	}
	return n
}

// readForm returns the parameters of a posted form.
func readForm(r *http.Request) (params, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return params{}, refuse("invalid_request", "Send the parameters as application/x-www-form-urlencoded.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, web.MaxForm))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return params{}, refuse("invalid_request", "The request has more than %d bytes.", tooLarge.Limit).
			withStatus(http.StatusRequestEntityTooLarge)
	}
	if err != nil {
		return params{}, refuse("invalid_request", "The request ended early.").because(err)
	}
	return newParams(string(body))
}

// readStrict is readForm where nothing may be wrong.
func readStrict(r *http.Request) (url.Values, error) {
	p, err := readForm(r)
	if err != nil {
		return nil, err
	}
	if wrong := p.wrong(); wrong != nil {
		return nil, wrong
	}
	return p.Values, nil
}

// words splits a space-delimited list, without repetitions.
func words(s string) []string {
	var out []string
	for _, w := range strings.Split(s, " ") {
		if w != "" && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}
