package rar

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"anteroom/store"
	"anteroom/templates"
)

// payment is a type as an operator describes it.
var payment = store.DetailType{
	Type: "payment", Title: "Pay from your account",
	Fields: []store.DetailField{
		{Name: "amount.value", Title: "Amount", Kind: KindNumber, Required: true},
		{Name: "amount.currency", Title: "Currency", Kind: KindText, Required: true, Values: map[string]string{"EUR": "Euro", "USD": ""}},
		{Name: "creditor", Title: "To", Kind: KindText, Required: true},
		{Name: "actions", Kind: KindList, Values: map[string]string{"initiate": "Start it", "status": "See how it goes", "cancel": "Stop it"}},
		{Name: "locations", Kind: KindList},
	},
}

const good = `[{"type":"payment","actions":["initiate","status"],"amount":{"value":123.50,"currency":"EUR"},"creditor":"Merchant A"}]`

func parsed(t *testing.T, raw string) Details {
	t.Helper()
	d, err := Parse(raw)
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return d
}

// RFC 9396 section 2: an array of objects with a type.
func TestParseRefusesWhatCouldBeReadInTwoWays(t *testing.T) {
	for raw, want := range map[string]string{
		``: "not a JSON array", `{}`: "not a JSON array", `null`: "not a JSON array", `"x"`: "not a JSON array", `[`: "not JSON", `[{"type":"a"}`: "not JSON",
		`[]`: "empty", `[{}]`: "empty object", `[1]`: "else than objects", `[[]]`: "else than objects", `[null]`: "else than objects",
		`[{"actions":["a"]}]`: "without a type", `[{"type":1}]`: "without a type", `[{"type":["a"]}]`: "without a type", `[{"type":""}]`: "empty text",
		`[{"type":"a"}] x`: "goes on", `[{"type":"a"}][]`: "goes on",
		`[{"type":"a","type":"b"}]`: "twice", `[{"type":"a","x":{"y":1,"y":2}}]`: "twice", `[{"type":"a","actions":["r","r"]}]`: "twice",
		`[{"type":"a","x":null}]`: "something else", `[{"type":"a","x":true}]`: "something else", `[{"type":"a","x":[]}]`: "empty list",
		`[{"type":"a","x":[1]}]`: "something else", `[{"type":"a","x":[["b"]]}]`: "something else", `[{"type":"a","x":{}}]`: "empty object",
		`[{"type":"a","x":1e9}]`: "plainly", `[{"type":"a","x":` + strings.Repeat("9", 40) + `}]`: "plainly",
		`[{"type":"a","x.y":"b"}]`: "name", `[{"type":"a","":"b"}]`: "name", `[{"type":"a","x":""}]`: "empty",
		"[{\"type\":\"a\",\"x\":\"pay 1\\u202e00\"}]": "shown", "[{\"type\":\"a\",\"x\":\"a\\nb\"}]": "shown", "[{\"type\":\"a\",\"x\":\"a\\u200bb\"}]": "shown",
		`[{"type":"a","x":"\ud800"}]`: "shown", "[{\"type\":\"a\",\"x\":\"\xff\"}]": "UTF-8", `[{"type":"a","x":"\u0000"}]`: "shown",
		`[{"type":"a","x":{"x":{"x":{"x":"y"}}}}]`:                  "too deep",
		`[{"type":"a","x":"` + strings.Repeat("x", MaxSize) + `"}]`: "at most 8192",
		`[{"type":"a","x":"` + strings.Repeat("<", 4000) + `"}]`:    "at most 8192", // six bytes each in a token
		"[" + manyTypes(maxDetails+1) + "]":                         "more than 50",
		strings.Repeat("[", 5000):                                   "else than objects",
	} {
		if d, err := Parse(raw); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, %v, want %q", raw, d, err, want)
		}
	}
}

func manyTypes(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`{"type":"t%d"}`, i))
	}
	return strings.Join(all, ",")
}

func TestWhatIsTheSameIsWrittenTheSame(t *testing.T) {
	a := parsed(t, `[ {"creditor":"Merchant A", "type":"payment","amount":{"currency":"EUR","value":123.50},"actions":["initiate","status"]},{"type":"b"} , {"type":"b"}]`)
	if want := strings.TrimSuffix(canonical(parsed(t, good)), "]") + `,{"type":"b"}]`; a.String() != want {
		t.Errorf("got %s, want %s", a, want)
	}
	if again := Stored(a.String()); again.String() != a.String() || len(again) != 2 {
		t.Errorf("read again: %s", again)
	}
	if Details(nil).String() != "" || Stored("") != nil || Stored("garbage") != nil {
		t.Error("nothing is nothing")
	}
	if got := a.Types(); !slices.Equal(got, []string{"b", "payment"}) {
		t.Errorf("types %q", got)
	}
	largest := `[{"type":"a","x":"` + strings.Repeat("x", MaxSize-21) + `"}]`
	if got := parsed(t, largest).String(); len(got) != MaxSize || got != largest {
		t.Errorf("the largest has %d bytes", len(got))
	}
	persian := `[{"type":"a","x":"می‌خواهم"}]`
	if got := parsed(t, persian).String(); !strings.Contains(got, "\u200c") {
		t.Errorf("got %s", got)
	}
}

// RFC 9396 section 5: what is not described is refused.
func TestCheckRefusesWhatIsNotDescribed(t *testing.T) {
	in := func(members string) string {
		return `[{"type":"payment","amount":{"value":1,"currency":"EUR"},"creditor":"M"` + members + `}]`
	}
	for raw, want := range map[string]string{
		good: "", in(""): "", in(`,"locations":["https://api.example"]`): "", in(`,"actions":["status"]`): "",
		`[{"type":"unknown"}]`: "may not ask for", `[{"type":"other"}]`: "may not ask for", `[{"type":"Payment"}]`: "may not ask for",
		in(`,"note":"x"`): "knows no note", in(`,"creditors":{"a":"b"}`): "knows no creditors.a",
		in(`,"actions":"status"`): "another kind", in(`,"actions":["refund"]`): "value refund", in(`,"actions":["status","refund"]`): "value refund",
		in(`,"locations":["https://evil.example"]`): "location https://evil.example", in(`,"locations":["https://api.example","x"]`): "location x",
		`[{"type":"payment","amount":{"value":"1","currency":"EUR"},"creditor":"M"}]`: "another kind",
		`[{"type":"payment","amount":{"value":1,"currency":"CHF"},"creditor":"M"}]`:   "value CHF",
		`[{"type":"payment","amount":5,"creditor":"M"}]`:                              "knows no amount",
		`[{"type":"payment","amount":{"value":1,"currency":"EUR"}}]`:                  "lacks creditor",
		`[{"type":"payment","creditor":"M"}]`:                                         "lacks amount.value",
	} {
		err := parsed(t, raw).Check([]store.DetailType{payment, {Type: "other"}}, []string{"payment", "gone"}, []string{"https://api.example"})
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
}

// RFC 9396 section 6.1: the same, or less; nothing that could mean more.
func TestWithinTakesLessAndNeverMore(t *testing.T) {
	granted := parsed(t, `[{"type":"a","actions":["r","w"],"x":{"n":10,"l":["1","2"]}},{"type":"b","identifier":"7"}]`)
	for raw, ok := range map[string]bool{
		`[{"type":"b","identifier":"7"}]`:                           true,
		`[{"type":"a","actions":["w"],"x":{"n":10,"l":["2","1"]}}]`: true,
		granted.String():                                            true,
		`[{"type":"b"}]`:                                            false, // any identifier?
		`[{"type":"b","identifier":"8"}]`:                           false,
		`[{"type":"b","identifier":["7"]}]`:                         false,
		`[{"type":"b","identifier":"7","actions":["r"]}]`:           false,
		`[{"type":"a","actions":["r","x"],"x":{"n":10,"l":["1"]}}]`: false,
		`[{"type":"a","actions":["r"],"x":{"n":11,"l":["1"]}}]`:     false,
		`[{"type":"a","actions":["r"],"x":{"n":10}}]`:               false,
		`[{"type":"a","actions":"r","x":{"n":10,"l":["1"]}}]`:       false,
		`[{"type":"a","actions":["r"],"x":["n"]}]`:                  false,
		`[{"type":"b","identifier":"7"},{"type":"c"}]`:              false,
	} {
		if err := parsed(t, raw).Within(granted); (err == nil) != ok {
			t.Errorf("%s: %v, want %v", raw, err, ok)
		}
	}
}

func TestPeopleAreAskedUnlessTheyConsentedToExactlyThis(t *testing.T) {
	types := []store.DetailType{{Type: "a"}, {Type: "never", Consent: store.ConsentSkip}, {Type: "always", Consent: store.ConsentAlways}, {Type: "once", Consent: store.ConsentOnce}}
	for _, c := range []struct {
		want, given string
		owed        bool
	}{
		{`[{"type":"a","x":"1"}]`, ``, true},
		{`[{"type":"a","x":"1"}]`, `[{"x":"1","type":"a"},{"type":"b"}]`, false},
		{`[{"type":"a","x":"1"}]`, `[{"type":"a","x":"2"}]`, true},
		{`[{"type":"a","x":1.0}]`, `[{"type":"a","x":1}]`, true},
		{`[{"type":"a","x":["1"]}]`, `[{"type":"a","x":["1","2"]}]`, true}, // less, but other words
		{`[{"type":"never","x":"1"}]`, ``, false},
		{`[{"type":"never"},{"type":"once"}]`, ``, true},
		{`[{"type":"once"}]`, `[{"type":"once"}]`, false},
		{`[{"type":"always"}]`, `[{"type":"always"}]`, true},
		{`[{"type":"unknown"}]`, ``, true},
	} {
		if got := parsed(t, c.want).Owed(types, Stored(c.given)); got != c.owed {
			t.Errorf("%s after %s: %v", c.want, c.given, got)
		}
	}
}

// RFC 9396 section 9.1: a token says what its resource server needs.
func TestDetailsOfAResourceServer(t *testing.T) {
	d := parsed(t, `[{"type":"a","locations":["x","y"]},{"type":"b","locations":["z"]},{"type":"c"}]`)
	for resources, want := range map[string]string{"": "a b c", "x": "a c", "z": "b c", "y z": "a b c", "q": "c"} {
		if got := strings.Join(d.For(strings.Fields(resources)).Types(), " "); got != want {
			t.Errorf("%q: %s, want %s", resources, got, want)
		}
	}
	if got := d.Of([]string{"c", "a"}).Types(); !slices.Equal(got, []string{"a", "c"}) || len(d) != 3 {
		t.Errorf("got %q of %d", got, len(d))
	}
}

func TestDescribeLeavesNothingOut(t *testing.T) {
	d := parsed(t, `[{"type":"payment","actions":["initiate"],"amount":{"value":123.50,"currency":"USD"},"creditor":"<b>","note":["q","r"]},{"type":"unknown","x":"y"}]`)
	want := []templates.ConsentDetail{
		{Title: "Pay from your account", Lines: []templates.ConsentLine{
			{Label: "Amount", Values: []string{"123.50"}}, {Label: "Currency", Values: []string{"USD"}}, {Label: "To", Values: []string{"<b>"}},
			{Label: "To do", Values: []string{"Start it"}}, {Label: "note", Values: []string{"q", "r"}},
		}},
		{Title: "unknown", Lines: []templates.ConsentLine{{Label: "x", Values: []string{"y"}}}},
	}
	if got := Describe(d, []store.DetailType{payment}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

// Whatever is sent: no panic, bounded, and what is taken reads the same again, by
// us and by encoding/json.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{good, `[]`, `[{"type":"a","x":{"y":["z"]},"n":-1.50}]`, `[{"type":"a","type":"a"}]`, "[{\"type\":\"\u202e\"}]", `[{"type":"a"`, `[{"type":"a"}]]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		d, err := Parse(raw)
		if err != nil {
			return
		}
		text := d.String()
		again, err := Parse(text)
		if err != nil || again.String() != text || len(text) > MaxSize {
			t.Fatalf("%q: %q, then %v, %v", raw, text, again, err)
		}
		var plain []map[string]any
		if err := json.Unmarshal([]byte(raw), &plain); err != nil || len(plain) < len(d) {
			t.Fatalf("%q is no array: %v", raw, err)
		}
		if err := d.Within(d); err != nil || d.Owed(nil, d) {
			t.Fatalf("%q is more than itself: %v", raw, err)
		}
		shown := fmt.Sprint(Describe(d, nil))
		for _, one := range d {
			if !strings.Contains(shown, one.Type()) {
				t.Fatalf("%q: %s is not shown", raw, one.Type())
			}
		}
		_ = d.Check([]store.DetailType{payment}, []string{"payment"}, nil)
	})
}
