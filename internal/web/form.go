package web

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// MaxForm bounds the body of a form in bytes. Authorization requests with
// large claims fit several times.
const MaxForm = 64 << 10

// Form reads the posted fields of r: form-encoded, at most MaxForm bytes, valid
// UTF-8, without NUL, and no field twice (which of two values counts is a
// question that attackers answer differently). Returns a *Problem.
func Form(r *http.Request) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		p := BadRequest("This page takes an ordinary form. Go back and try again.")
		p.Status = http.StatusUnsupportedMediaType
		return nil, p
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, MaxForm))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		p := BadRequest("What was sent is too large. Go back and send less.")
		p.Status, p.Cause = http.StatusRequestEntityTooLarge, tooLarge
		return nil, p
	}
	if err != nil {
		p := BadRequest("The request ended early. Try again.")
		p.Cause = err
		return nil, p
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, BadRequest("The form cannot be read. Go back and try again.")
	}
	return values, Single(values)
}

// Query returns the query parameters of r under the rules of Form.
func Query(r *http.Request) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, BadRequest("The address cannot be read. Check that the link is complete.")
	}
	return values, Single(values)
}

// Single refuses a field that occurs twice, is not UTF-8 or contains NUL.
func Single(values url.Values) error {
	for name, all := range values {
		if len(all) > 1 {
			return BadRequest("A field was sent twice. Go back and try again.")
		}
		if !utf8.ValidString(name) || !utf8.ValidString(all[0]) || strings.ContainsRune(all[0], 0) || strings.ContainsRune(name, 0) {
			return BadRequest("The request contains characters that cannot be read. Go back and try again.")
		}
	}
	return nil
}
