package store

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestNamesThatLookAlikeFoldAlike(t *testing.T) {
	for _, c := range []struct{ a, b string }{
		{"Ann", "ann"}, {" ann ", "ann"}, {"ＡＮＮ", "ann"}, {"Ann@Example.ORG", "ann@example.org"},
		{"e\u0301va", "\u00c9va"}, {"STRASSE", "strasse"},
		{"Ann Smith", "ann smith"}, // not a PRECIS user name (it holds a space): folded by case
	} {
		if got, want := FoldName(c.a), FoldName(c.b); got != want {
			t.Errorf("FoldName(%q) = %q, FoldName(%q) = %q, want the same", c.a, got, c.b, want)
		}
	}
	for _, c := range []struct{ a, b string }{{"ann", "anna"}, {"а", "a"}} { // the first а is Cyrillic
		if FoldName(c.a) == FoldName(c.b) {
			t.Errorf("FoldName(%q) and FoldName(%q) are the same", c.a, c.b)
		}
	}
}

func FuzzFoldNameIsStable(f *testing.F) {
	for _, seed := range []string{"", "Ann", "\xff", "a\x00b", "ß", "İ", "ǅ", "\u202eann", "ﬀ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		once := FoldName(name)
		if twice := FoldName(once); twice != once {
			t.Errorf("FoldName(%q) = %q, folded again %q", name, once, twice)
		}
	})
}

func TestTextIsCleanAndStable(t *testing.T) {
	for in, want := range map[string]string{"": "", "Ann é": "Ann é", "a\x00b": "a\uFFFDb", "\xff\xfe": "\uFFFD", "a\xc3": "a\uFFFD"} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\x00\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		if !utf8.ValidString(got) || strings.Contains(got, "\x00") || Text(got) != got {
			t.Errorf("Text(%q) = %q is not clean", s, got)
		}
		if k := CounterKey(s); Text(k) != k || len(k) > 512 || CounterKey(k) != k {
			t.Errorf("CounterKey(%q) = %q is not clean or too long", s, k)
		}
	})
}

func TestCounterKeysDoNotMeet(t *testing.T) {
	seen := map[string]string{}
	for _, k := range []string{"a", "\x00", "\xff", "\xff\xfe", "\uFFFD", strings.Repeat("x", 512), strings.Repeat("x", 513), strings.Repeat("x", 514)} {
		if other, ok := seen[CounterKey(k)]; ok {
			t.Errorf("%.20q and %.20q share a counter", k, other)
		}
		seen[CounterKey(k)] = k
	}
}

func TestCheckIdentity(t *testing.T) {
	for value, want := range map[string]error{"a": nil, strings.Repeat("x", MaxIdentity): nil, "": ErrInvalid, strings.Repeat("x", MaxIdentity+1): ErrInvalid} {
		if err := CheckIdentity("fine", value); !errors.Is(err, want) {
			t.Errorf("an identity of %d bytes: %v, want %v", len(value), err, want)
		}
	}
}

func TestCanonicalIsADeepCopyInStoredForm(t *testing.T) {
	at := time.Date(2026, 3, 1, 13, 0, 0, 123456789, time.FixedZone("", 3600))
	in := Client{
		ID: "c\x00", Scopes: []string{"a\xff"}, RedirectURIs: []string{}, CreatedAt: at,
		Secrets:  []ClientSecret{{Hash: "h", CreatedAt: at}},
		Settings: map[string]any{"n": 3, "list": []string{"x\x00"}, "map": map[string]int{"k": 1}, "none": nil, "yes": true},
	}
	utc := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
	want := Client{
		ID: "c\uFFFD", Scopes: []string{"a\uFFFD"}, CreatedAt: utc,
		Secrets:  []ClientSecret{{Hash: "h", CreatedAt: utc}},
		Settings: map[string]any{"n": 3.0, "list": []any{"x\uFFFD"}, "map": map[string]any{"k": 1.0}, "none": nil, "yes": true},
	}
	got := Canonical(in)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
	if again := Canonical(got); !reflect.DeepEqual(again, want) {
		t.Errorf("canonical again: %#v", again)
	}
	in.Scopes[0], in.Secrets[0].Hash = "changed", "changed"
	in.Settings["list"].([]string)[0] = "changed"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("a change of the original shows in the copy: %#v", got)
	}
}

func TestAuditHashIsFixed(t *testing.T) {
	e := AuditEvent{Seq: 2, At: time.Date(2026, 3, 1, 12, 0, 0, 1, time.UTC), Type: "session.opened", Actor: "ann", Details: map[string]string{"b": "2", "a": "1"}, PrevHash: "00"}
	// Changing this breaks the verification of every log that exists.
	const want = "65a4659c19afb69da07a56558d05f07c95715b1d1f0a683e4dd172b2b3dbe020"
	if got := AuditHash(e); got != want {
		t.Errorf("AuditHash = %s, want %s", got, want)
	}
	same := e
	same.Hash, same.At = "whatever", e.At.In(time.FixedZone("", 3600)).Add(500)
	if AuditHash(same) != AuditHash(e) {
		t.Error("the hash depends on Hash, the zone or nanoseconds")
	}
	for what, change := range map[string]func(*AuditEvent){
		"Seq": func(e *AuditEvent) { e.Seq++ }, "At": func(e *AuditEvent) { e.At = e.At.Add(time.Microsecond) },
		"Type": func(e *AuditEvent) { e.Type = "x" }, "PrevHash": func(e *AuditEvent) { e.PrevHash = "01" },
		"Details": func(e *AuditEvent) { e.Details = map[string]string{"a": "1"} }, "Address": func(e *AuditEvent) { e.Address = "::1" },
	} {
		other := e
		change(&other)
		if AuditHash(other) == AuditHash(e) {
			t.Errorf("the hash does not cover %s", what)
		}
	}
	if e.Details = nil; AuditHash(e) != func() string { e.Details = map[string]string{}; return AuditHash(e) }() {
		t.Error("no details and empty details differ")
	}
}
