package rar

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"anteroom/store"
)

// Kinds of fields.
const (
	KindText   = "text"
	KindNumber = "number"
	KindList   = "list"
)

// Common are the members that RFC 9396 section 2.2 names, with their kinds and
// what people call them.
var Common = map[string]store.DetailField{
	"locations":  {Kind: KindList, Title: "Where"},
	"actions":    {Kind: KindList, Title: "To do"},
	"datatypes":  {Kind: KindList, Title: "Kinds of data"},
	"identifier": {Kind: KindText, Title: "Which one"},
	"privileges": {Kind: KindList, Title: "With the rights of"},
}

func typeOf(types []store.DetailType, name string) store.DetailType {
	for _, t := range types {
		if t.Type == name {
			return t
		}
	}
	return store.DetailType{Type: name}
}

// Check refuses what the operator did not describe (RFC 9396 section 5): types of
// the application that the client is not allowed, members that its type does not
// have, of another kind, with other values, missing ones, and locations that are
// none of the client's audiences.
func (d Details) Check(types []store.DetailType, allowed, audiences []string) error {
	for _, one := range d {
		name := one.Type()
		i := slices.IndexFunc(types, func(t store.DetailType) bool { return t.Type == name })
		if i < 0 || !slices.Contains(allowed, name) {
			return fmt.Errorf("has the type %s, which this client may not ask for", name)
		}
		if err := one.check(types[i]); err != nil {
			return fmt.Errorf("has a %s that %w", name, err)
		}
	}
	return d.checkLocations(audiences)
}

func (d Detail) check(t store.DetailType) error {
	flat := d.flat()
	for _, name := range slices.Sorted(maps.Keys(flat)) {
		i := slices.IndexFunc(t.Fields, func(f store.DetailField) bool { return f.Name == name })
		if i < 0 {
			return fmt.Errorf("knows no %s", name)
		}
		if err := checkField(t.Fields[i], flat[name]); err != nil {
			return err
		}
	}
	for _, f := range t.Fields {
		if _, there := flat[f.Name]; f.Required && !there {
			return fmt.Errorf("lacks %s", f.Name)
		}
	}
	return nil
}

func checkField(f store.DetailField, v any) error {
	kind, texts := "", []string(nil)
	switch v := v.(type) {
	case string:
		kind, texts = KindText, []string{v}
	case json.Number:
		kind, texts = KindNumber, []string{v.String()}
	case []string:
		kind, texts = KindList, v
	}
	if kind != f.Kind {
		return fmt.Errorf("has another kind of value than a %s as %s", f.Kind, f.Name)
	}
	for _, text := range texts {
		if _, ok := f.Values[text]; !ok && len(f.Values) > 0 {
			return fmt.Errorf("may not have the value %s as %s", text, f.Name)
		}
	}
	return nil
}

// flat are the members by name, those of members with dots; without the type.
func (d Detail) flat() map[string]any {
	out := map[string]any{}
	d.flatten("", out)
	delete(out, "type")
	return out
}

func (d Detail) flatten(prefix string, out map[string]any) {
	for name, v := range d {
		if inner, ok := v.(Detail); ok {
			inner.flatten(prefix+name+".", out)
			continue
		}
		out[prefix+name] = v
	}
}
