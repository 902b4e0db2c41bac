package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxBody bounds a JSON body in bytes; terms are the largest thing in one.
const maxBody = 1 << 20

// decode reads a JSON object into dst, a pointer to a struct, strictly: unknown
// and repeated keys, nulls and wrong types are mistakes, and all are reported.
func decode(r *http.Request, dst any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return problem(http.StatusUnsupportedMediaType, "not-json", "Send the body as JSON, with Content-Type: application/json.")
	}
	data, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return problem(http.StatusRequestEntityTooLarge, "too-large", "The body is larger than 1 MiB.")
	}
	if err != nil {
		return problem(http.StatusBadRequest, "incomplete", "The body ended early. Send it again.")
	}
	return unmarshal(data, dst)
}

// unmarshal is decode without HTTP.
func unmarshal(data []byte, dst any) error {
	if !utf8.Valid(data) {
		return problem(http.StatusBadRequest, "not-json", "The body is not UTF-8.")
	}
	if !json.Valid(data) {
		return problem(http.StatusBadRequest, "not-json", "The body is not JSON. Check brackets, commas and quotes.")
	}
	d := &decoder{}
	d.value("", data, reflect.ValueOf(dst).Elem())
	return d.found.problem()
}

// decoder fills a value from JSON that is known to be valid.
type decoder struct{ found mistakes }

var (
	timeType = reflect.TypeFor[time.Time]()
	anyType  = reflect.TypeFor[any]()
)

func (d *decoder) value(path string, raw json.RawMessage, v reflect.Value) {
	raw = bytes.TrimSpace(raw)
	if string(raw) == "null" {
		d.found.add(orBody(path), `null has no meaning here; leave the key out, or send an empty value`)
		return
	}
	switch {
	case v.Type() == anyType:
		d.any(path, raw, v)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(path, raw, v.Elem())
	case v.Kind() == reflect.Struct && v.Type() != timeType:
		d.object(path, raw, v)
	case v.Kind() == reflect.Slice:
		d.list(path, raw, v)
	case v.Kind() == reflect.Map:
		d.plainMap(path, raw, v)
	default:
		if err := json.Unmarshal(raw, v.Addr().Interface()); err != nil {
			d.found.add(orBody(path), "must be %s", name(v.Type()))
		} else if v.Kind() == reflect.String && strings.ContainsRune(v.String(), 0) {
			d.found.add(path, "contains a NUL character")
		}
	}
}

func (d *decoder) object(path string, raw json.RawMessage, v reflect.Value) {
	keys, ok := d.keys(path, raw)
	if !ok {
		return
	}
	fields := map[string]reflect.Value{}
	collect(fields, v)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		field, ok := fields[key]
		if !ok {
			d.found.add(join(path, key), "there is no such key; known are %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
			continue
		}
		d.value(join(path, key), keys[key], field)
	}
}

// collect finds the fields of a struct, and of structs embedded in it, by key.
func collect(fields map[string]reflect.Value, v reflect.Value) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous {
			collect(fields, v.Field(i))
			continue
		}
		key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields[key] = v.Field(i)
	}
}

// any reads a value whose type the caller checks.
func (d *decoder) any(path string, raw json.RawMessage, v reflect.Value) {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		d.found.add(orBody(path), "cannot be read")
		return
	}
	v.Set(reflect.ValueOf(value))
}

// keys reads an object; a key that occurs twice is a mistake, since it would be
// chance which value counts.
func (d *decoder) keys(path string, raw json.RawMessage) (map[string]json.RawMessage, bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		d.found.add(orBody(path), "must be an object")
		return nil, false
	}
	keys := map[string]json.RawMessage{}
	for dec.More() {
		token, err := dec.Token()
		key, ok := token.(string)
		var value json.RawMessage
		if err != nil || !ok || dec.Decode(&value) != nil {
			d.found.add(orBody(path), "must be an object")
			return nil, false
		}
		if _, twice := keys[key]; twice {
			d.found.add(join(path, key), "occurs twice")
		}
		keys[key] = value
	}
	return keys, true
}

func (d *decoder) list(path string, raw json.RawMessage, v reflect.Value) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		d.found.add(orBody(path), "must be a list")
		return
	}
	if len(items) > maxItems {
		d.found.add(path, "has more than %d items", maxItems)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		d.value(fmt.Sprintf("%s[%d]", path, i), item, v.Index(i))
	}
}

// maxItems bounds lists in requests.
const maxItems = 1000

// plainMap reads a map with string keys.
func (d *decoder) plainMap(path string, raw json.RawMessage, v reflect.Value) {
	keys, ok := d.keys(path, raw)
	if !ok {
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(keys)))
	for key, value := range keys {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(join(path, key), value, item)
		v.SetMapIndex(reflect.ValueOf(key), item)
	}
}

func join(path, key string) string {
	if runes := []rune(key); len(runes) > 40 {
		key = string(runes[:40]) + "…"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func orBody(path string) string {
	if path == "" {
		return "body"
	}
	return path
}

// name is how people call a type of JSON.
func name(t reflect.Type) string {
	switch {
	case t == timeType:
		return "a time like 2026-01-31T12:00:00Z"
	case t.Kind() == reflect.String:
		return "a string"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a whole number"
}
