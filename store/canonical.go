package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxIdentity bounds, in bytes, whatever identifies a row: ids, keyed hashes,
// folded names and addresses, keys of roles and metadata.
const MaxIdentity = 1024

// CheckIdentity returns ErrInvalid unless every value is 1 to MaxIdentity bytes
// long. Implementations call it for what identifies a new row.
func CheckIdentity(values ...string) error {
	for _, v := range values {
		if v == "" {
			return fmt.Errorf("an empty identity: %w", ErrInvalid)
		}
		if len(v) > MaxIdentity {
			return fmt.Errorf("an identity of %d bytes (at most %d): %w", len(v), MaxIdentity, ErrInvalid)
		}
	}
	return nil
}

// Text returns s as every store keeps it: valid UTF-8 without NUL, offending
// bytes replaced by U+FFFD. What a store is asked for is treated alike, so that
// garbage from outside is an unknown name and not a failure.
func Text(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return s
}

// CounterKey is how stores keep the keys of Failures and Once, which may be made
// of what somebody typed: as they are, or as a digest if they are long or no Text.
func CounterKey(key string) string {
	if len(key) <= 512 && Text(key) == key {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Canonical returns a deep copy of a row as every store returns it: times as
// Time, strings as Text, empty slices and maps nil, and values held in an
// interface in the types of encoding/json (numbers are float64).
func Canonical[T any](row T) T {
	out := reflect.New(reflect.TypeFor[T]()).Elem()
	copyInto(out, reflect.ValueOf(&row).Elem())
	return out.Interface().(T)
}

var timeType = reflect.TypeFor[time.Time]()

// copyInto sets dst, a zero value, to the canonical copy of src.
func copyInto(dst, src reflect.Value) {
	if src.Type() == timeType {
		dst.Set(reflect.ValueOf(Time(src.Interface().(time.Time))))
		return
	}
	switch src.Kind() {
	case reflect.Struct:
		for i := range src.NumField() {
			copyInto(dst.Field(i), src.Field(i))
		}
	case reflect.String:
		dst.SetString(Text(src.String()))
	case reflect.Slice:
		if src.Len() == 0 {
			return
		}
		dst.Set(reflect.MakeSlice(src.Type(), src.Len(), src.Len()))
		for i := range src.Len() {
			copyInto(dst.Index(i), src.Index(i))
		}
	case reflect.Map:
		if src.Len() == 0 {
			return
		}
		dst.Set(reflect.MakeMapWithSize(src.Type(), src.Len()))
		for it := src.MapRange(); it.Next(); {
			key, value := reflect.New(src.Type().Key()).Elem(), reflect.New(src.Type().Elem()).Elem()
			copyInto(key, it.Key())
			copyInto(value, it.Value())
			dst.SetMapIndex(key, value)
		}
	case reflect.Interface:
		if v := canonicalAny(src.Interface()); v != nil {
			dst.Set(reflect.ValueOf(v))
		}
	default:
		dst.Set(src)
	}
}

// canonicalAny copies a value as decoding its JSON would give it. What has no
// JSON stays as it is; storing it fails later with ErrInvalid.
func canonicalAny(v any) any {
	switch v := v.(type) {
	case nil, bool, float64:
		return v
	case string:
		return Text(v)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return v
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		return v
	}
	return withoutNUL(out)
}

// withoutNUL applies Text within what encoding/json decoded; the encoder
// repaired invalid UTF-8 already.
func withoutNUL(v any) any {
	switch v := v.(type) {
	case string:
		return Text(v)
	case []any:
		for i := range v {
			v[i] = withoutNUL(v[i])
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[Text(key)] = withoutNUL(value)
		}
		return out
	}
	return v
}
