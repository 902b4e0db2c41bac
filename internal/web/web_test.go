package web

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestFormRefusesWhatIsAmbiguous(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for _, test := range []struct {
		rule, kind, body string
		status           int
	}{
		{"an ordinary form", form, "a=1&b=2", 0},
		{"with a charset", form + "; charset=utf-8", "a=1", 0},
		{"a field twice", form, "a=1&a=2", 400},
		{"not UTF-8", form, "a=%ff", 400},
		{"a name that is not UTF-8", form, "%ff=1", 400},
		{"NUL", form, "a=%00", 400},
		{"a broken escape", form, "a=%zz", 400},
		{"too large", form, "a=" + strings.Repeat("x", MaxForm), 413},
		{"JSON", "application/json", "{}", 415},
		{"no type", "", "a=1", 415},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(test.body))
		r.Header.Set("Content-Type", test.kind)
		_, err := Form(r)
		got := 0
		if p, ok := err.(*Problem); ok {
			got = p.Status
		}
		if got != test.status || (err != nil) != (test.status != 0) {
			t.Errorf("%s: %v, want status %d", test.rule, err, test.status)
		}
	}
}

// Forwarded addresses count only from configured proxies; a client cannot
// choose the address that it is throttled by.
func TestAddress(t *testing.T) {
	m := &Wear{Log: slog.New(slog.DiscardHandler), TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for _, test := range []struct{ rule, peer, forwarded, want string }{
		{"no proxy", "203.0.113.9:1", "", "203.0.113.9"},
		{"a stranger forwards", "203.0.113.9:1", "198.51.100.1", "203.0.113.9"},
		{"loopback is no exception", "127.0.0.1:1", "198.51.100.1", "127.0.0.1"},
		{"a trusted proxy forwards", "10.0.0.1:1", "198.51.100.1", "198.51.100.1"},
		{"only the last untrusted hop counts", "10.0.0.1:1", "1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"},
		{"garbage from a trusted proxy", "10.0.0.1:1", "nonsense", "10.0.0.1"},
		{"IPv6", "[2001:db8::1]:1", "", "2001:db8::1"},
	} {
		var got string
		h := m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = Address(r.Context()) }))
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = test.peer
		if test.forwarded != "" {
			r.Header.Set("X-Forwarded-For", test.forwarded)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.rule, got, test.want)
		}
	}
}

func TestPanicIsOneRequestsTrouble(t *testing.T) {
	m := &Wear{Log: slog.New(slog.DiscardHandler)}
	w := httptest.NewRecorder()
	m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })).
		ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "boom") {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}

func FuzzQuery(f *testing.F) {
	f.Add("a=1&a=2")
	f.Add("a=%00")
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := Query(&http.Request{URL: &url.URL{RawQuery: raw}})
		if err != nil {
			return
		}
		for name, all := range values {
			if len(all) != 1 || strings.ContainsRune(all[0], 0) {
				t.Fatalf("%q let through %q=%q", raw, name, all)
			}
		}
	})
}
