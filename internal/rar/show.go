package rar

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"anteroom/store"
	"anteroom/templates"
)

// Describe puts details into people's words, in the order in which the operator
// described the fields. Nothing is left out: what has no description is shown as
// it is.
func Describe(all Details, types []store.DetailType) []templates.ConsentDetail {
	var out []templates.ConsentDetail
	for _, one := range all {
		t := typeOf(types, one.Type())
		shown := templates.ConsentDetail{Title: cmp.Or(t.Title, t.Type)}
		flat := one.flat()
		for _, f := range t.Fields {
			if v, ok := flat[f.Name]; ok {
				shown.Lines = append(shown.Lines, line(f, v))
				delete(flat, f.Name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(flat)) {
			shown.Lines = append(shown.Lines, line(store.DetailField{Name: name}, flat[name]))
		}
		out = append(out, shown)
	}
	return out
}

func line(f store.DetailField, v any) templates.ConsentLine {
	out := templates.ConsentLine{Label: cmp.Or(f.Title, Common[f.Name].Title, f.Name)}
	switch v := v.(type) {
	case []string:
		for _, one := range v {
			out.Values = append(out.Values, cmp.Or(f.Values[one], one))
		}
	case string:
		out.Values = []string{cmp.Or(f.Values[v], v)}
	case json.Number:
		out.Values = []string{cmp.Or(f.Values[v.String()], v.String())}
	default:
		out.Values = []string{fmt.Sprint(v)}
	}
	return out
}
