package rar

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxSize bounds authorization_details, in bytes, as sent and as kept: it
	// travels in access tokens, and these in headers.
	MaxSize = 8 << 10
	// maxDetails is more than a person would read.
	maxDetails = 50
	// maxNested is how many objects may be inside of one another.
	maxNested = 3
)

// Detail is one authorization detail. Its members are string, json.Number,
// []string or Detail.
type Detail map[string]any

// Details are those of a request or a grant, in the order sent, each once.
type Details []Detail

// Parse reads authorization_details (RFC 9396 section 2): a JSON array of objects
// that say their type. It is strict: of a member that occurs twice somebody else
// may take the other one. The errors are for the developer of the client.
func Parse(raw string) (Details, error) {
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("has %d bytes, at most %d are taken", len(raw), MaxSize)
	}
	if !utf8.ValidString(raw) {
		return nil, errors.New("is not UTF-8")
	}
	r := &reader{json.NewDecoder(strings.NewReader(raw))}
	r.UseNumber()
	if open, err := r.Token(); err != nil || open != json.Delim('[') {
		return nil, errors.New("is not a JSON array")
	}
	var all Details
	var seen []string
	for r.More() {
		one, err := r.element(len(seen))
		if err != nil {
			return nil, err
		}
		if text := canonical(one); !slices.Contains(seen, text) {
			all, seen = append(all, one), append(seen, text)
		}
		if len(all) > maxDetails {
			return nil, fmt.Errorf("has more than %d elements", maxDetails)
		}
	}
	if _, err := r.Token(); err != nil {
		return nil, errors.New("is not JSON")
	}
	if _, err := r.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("goes on after the array")
	}
	if len(all) == 0 {
		return nil, errors.New("is empty; leave it out")
	}
	if n := len(all.String()); n > MaxSize {
		return nil, fmt.Errorf("has %d bytes as it is written in tokens, at most %d are taken", n, MaxSize)
	}
	return all, nil
}

// Stored reads what String wrote; what is empty or cannot be read is nothing.
func Stored(text string) Details {
	all, err := Parse(text)
	if err != nil {
		return nil
	}
	return all
}

// String is the canonical JSON of the details: members sorted, no spaces. It is
// empty if there are none.
func (d Details) String() string {
	if len(d) == 0 {
		return ""
	}
	return canonical(d)
}

// Types are the types of the details, sorted, each once.
func (d Details) Types() []string {
	var out []string
	for _, one := range d {
		out = append(out, one.Type())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Type is the member that each detail has.
func (d Detail) Type() string {
	text, _ := d["type"].(string)
	return text
}

func canonical(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic("rar: " + err.Error()) // texts and plain numbers only
	}
	return string(text)
}

// reader reads values whose kinds are known.
type reader struct{ *json.Decoder }

func (r *reader) element(i int) (Detail, error) {
	open, err := r.Token()
	if err != nil || open != json.Delim('{') {
		return nil, fmt.Errorf("holds something else than objects, at %d", i)
	}
	one, err := r.object(1)
	if err != nil {
		return nil, err
	}
	if one.Type() == "" {
		return nil, fmt.Errorf("has an element without a type, at %d", i)
	}
	return one, nil
}

// object reads on after the opening brace.
func (r *reader) object(depth int) (Detail, error) {
	if depth > maxNested {
		return nil, errors.New("has objects too deep in one another")
	}
	out := Detail{}
	for r.More() {
		token, err := r.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, errors.New("is not JSON")
		}
		if name == "" || strings.Contains(name, ".") || !showable(name) {
			return nil, fmt.Errorf("has a member with the name %q", name)
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("has the member %s twice", name)
		}
		if out[name], err = r.member(name, depth); err != nil {
			return nil, err
		}
	}
	if _, err := r.Token(); err != nil {
		return nil, errors.New("is not JSON")
	}
	if len(out) == 0 {
		return nil, errors.New("has an empty object")
	}
	return out, nil
}

// plain is a number as people write it: what is shown is what is meant.
var plain = regexp.MustCompile(`^-?[0-9]{1,30}(\.[0-9]{1,30})?$`)

func (r *reader) member(name string, depth int) (any, error) {
	token, err := r.Token()
	if err != nil {
		return nil, errors.New("is not JSON")
	}
	switch v := token.(type) {
	case string:
		if v == "" || !showable(v) {
			return nil, fmt.Errorf("has an empty text, or one that cannot be shown, as %s", name)
		}
		return v, nil
	case json.Number:
		if !plain.MatchString(v.String()) {
			return nil, fmt.Errorf("has a number that is not written plainly as %s", name)
		}
		return v, nil
	case json.Delim:
		if v == '{' {
			return r.object(depth + 1)
		}
		return r.list(name)
	}
	return nil, fmt.Errorf("has something else than texts, numbers, lists of texts and objects as %s", name)
}

// list reads on after the opening bracket.
func (r *reader) list(name string) ([]string, error) {
	var out []string
	for r.More() {
		token, err := r.Token()
		one, ok := token.(string)
		if err != nil || !ok || one == "" || !showable(one) {
			return nil, fmt.Errorf("has a list of something else than texts that can be shown as %s", name)
		}
		if slices.Contains(out, one) {
			return nil, fmt.Errorf("has a text twice in %s", name)
		}
		out = append(out, one)
	}
	if _, err := r.Token(); err != nil {
		return nil, errors.New("is not JSON")
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("has an empty list as %s", name) // nothing, or everything?
	}
	return out, nil
}

// showable: a text that people see as it is. Control characters and those that
// change the direction of what follows could make one amount look like another.
func showable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		const nonJoiner, joiner = '\u200c', '\u200d' // Persian is not written without them
		return r != nonJoiner && r != joiner && (r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp))
	})
}
