package admin

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"anteroom/internal/rar"
	"anteroom/store"
)

// detailTypesKey names the types that an application describes, and those that a
// client may ask for (RFC 9396 section 10).
const detailTypesKey = "authorization_details_types"

// Bounds of what an application describes for authorization_details (RFC 9396):
// what a person can read on one page.
const (
	maxDetailTypes  = 50
	maxDetailFields = 50
	maxDetailValues = 100
)

// detailField is a member, or a member of members: two dots at most.
var detailField = regexp.MustCompile(`^[A-Za-z0-9_@:-]{1,64}(\.[A-Za-z0-9_@:-]{1,64}){0,2}$`)

// detailTypes finds what is wrong with the types of details of an application.
func (m *mistakes) detailTypes(field string, types []store.DetailType) {
	if len(types) > maxDetailTypes {
		m.add(field, "has more than %d types", maxDetailTypes)
		return
	}
	for i, t := range types {
		at := fmt.Sprintf("%s[%d]", field, i)
		if !scopeToken.MatchString(t.Type) {
			m.add(at+".type", "must be 1 to 128 printable ASCII characters without spaces, quotes and backslashes")
		}
		if slices.ContainsFunc(types[:i], func(before store.DetailType) bool { return before.Type == t.Type }) {
			m.add(at+".type", "is there twice")
		}
		m.line(at+".title", t.Title, 1, 100)
		if t.Consent != "" {
			m.oneOf(at+".consent", string(t.Consent), string(store.ConsentSkip), string(store.ConsentOnce), string(store.ConsentAlways))
		}
		if len(t.Fields) > maxDetailFields {
			m.add(at+".fields", "has more than %d fields", maxDetailFields)
			continue
		}
		for j := range t.Fields {
			m.detailField(fmt.Sprintf("%s.fields[%d]", at, j), t.Fields[j], t.Fields[:j])
		}
	}
}

func (m *mistakes) detailField(at string, f store.DetailField, before []store.DetailField) {
	common, known := rar.Common[f.Name]
	switch {
	case !detailField.MatchString(f.Name):
		m.add(at+".name", "must be letters, digits, _, @, : or -, with at most two dots for members of members, like amount.currency")
	case f.Name == "type":
		m.add(at+".name", "type is there anyway")
	case known && f.Kind != common.Kind:
		m.add(at+".kind", "%s is a %s (RFC 9396 section 2.2)", f.Name, common.Kind)
	default:
		m.oneOf(at+".kind", f.Kind, rar.KindText, rar.KindNumber, rar.KindList)
	}
	for _, other := range before {
		if other.Name == f.Name {
			m.add(at+".name", "is there twice")
		} else if strings.HasPrefix(f.Name, other.Name+".") || strings.HasPrefix(other.Name, f.Name+".") {
			m.add(at+".name", "%s cannot be a value and have members", other.Name)
		}
	}
	shortest := 1
	if known {
		shortest = 0
	}
	m.line(at+".title", f.Title, shortest, 100)
	if len(f.Values) > maxDetailValues {
		m.add(at+".values", "has more than %d values", maxDetailValues)
		return
	}
	for _, value := range slices.Sorted(maps.Keys(f.Values)) {
		m.line(at+".values", value, 1, 200)
		m.line(join(at+".values", value), f.Values[value], 0, 200)
	}
}
