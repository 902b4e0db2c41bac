package admin

import (
	"cmp"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// WriteReference writes docs/admin-api.md.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString(referenceHead)
	named := map[reflect.Type]bool{}
	var order []reflect.Type
	mention := func(t reflect.Type) string {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() == reflect.Struct && t != timeType && !named[t] {
			named[t] = true
			order = append(order, t)
		}
		return typeName(t)
	}
	for _, r := range Routes() {
		in, out := "", ""
		if r.In != nil {
			in = "`" + mention(r.In) + "`"
		}
		if r.Out != nil {
			out = "`" + mention(r.Out) + "`"
		}
		query := ""
		if len(r.Query) > 0 {
			query = " Parameters: `" + strings.Join(r.Query, "`, `") + "`."
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s.%s | %s | %s |\n", r.Method, r.Path, r.Summary, query, in, out)
	}
	b.WriteString("\n## Types\n")
	for i := 0; i < len(order); i++ { // grows while types mention others
		t := order[i]
		fmt.Fprintf(&b, "\n### %s\n\n", typeName(t))
		fields(t, func(key string, f reflect.Type, optional bool) {
			mention(f)
			note := ""
			if optional {
				note = " (may be left out)"
			}
			fmt.Fprintf(&b, "- `%s`: %s%s\n", key, describe(f), note)
		})
	}
	b.WriteString(referenceTail)
	_, err := io.WriteString(w, b.String())
	return err
}

// fields calls f for each key of a struct, those of embedded structs included.
func fields(t reflect.Type, f func(key string, field reflect.Type, optional bool)) {
	for i := range t.NumField() {
		field := t.Field(i)
		if field.Anonymous {
			fields(field.Type, f)
			continue
		}
		key, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		f(key, field.Type, options != "")
	}
}

// typeName is the name of a type as the reference shows it: List[Account].
func typeName(t reflect.Type) string {
	name := cmp.Or(t.Name(), t.String())
	if before, inner, ok := strings.Cut(name, "["); ok {
		return before + "[" + inner[strings.LastIndexByte(inner, '.')+1:]
	}
	return name
}

func describe(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return describe(t.Elem())
	case t == timeType:
		return "time (RFC 3339)"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8, t.Kind() == reflect.Map:
		return "object"
	case t.Kind() == reflect.Slice:
		return "list of " + describe(t.Elem())
	case t.Kind() == reflect.Struct:
		return "`" + typeName(t) + "`"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "string"
	}
	return "number"
}

const referenceHead = `# The administration interface

REST with JSON under ` + "`/admin/api/v1`" + `, served on the administration socket: ` + "`admin.sock`" + ` in the data
folder, mode 0600. Whoever may open the socket is the operator. The commands use it, and so can
you:

` + "```sh" + `
curl --unix-socket data/admin.sock http://anteroom/admin/api/v1/accounts
` + "```" + `

Bodies are read strictly: unknown or repeated keys, nulls and wrong types are refused. Refusals are
` + "`application/problem+json`" + ` (RFC 9457) with all mistakes of a request in ` + "`errors`" + `. ` + "`PATCH`" + ` changes the
keys that are sent and leaves the rest; an empty value clears. Listings come in pages: give ` + "`next`" + ` as
` + "`after`" + ` to get the next one; ` + "`limit`" + ` is 100 unless told, 1000 at most. ` + "`{account}`" + ` is an id, a user name
or an e-mail address. Secrets are shown once, when they are made.

| | below ` + "`/admin/api/v1`" + ` | | body | answer |
|---|---|---|---|---|
`

const referenceTail = `
The body of ` + "`/accounts/import`" + ` is one JSON object a line: ` + "`anteroom account import FILE`" + ` has a help that lists the
keys. The answer of ` + "`/backup`" + ` is the copy itself.

<!-- Made from admin/routes.go: go test ./admin -update -->
`
