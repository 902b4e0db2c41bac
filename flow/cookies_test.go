package flow

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/internal/seal"
)

func testCookies(t *testing.T, issuer string) (*cookieStore, string) {
	t.Helper()
	k, err := seal.New(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(issuer)
	if err != nil {
		t.Fatal(err)
	}
	return newCookieStore(k, u)
}

// carry returns a request with the cookies that a browser holds after w.
func carry(previous *http.Request, w *httptest.ResponseRecorder) *http.Request {
	jar := map[string]string{}
	if previous != nil {
		for _, c := range previous.Cookies() {
			jar[c.Name] = c.Value
		}
	}
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(jar, c.Name)
			continue
		}
		jar[c.Name] = c.Value
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for name, value := range jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

func incompressible(t *testing.T, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCookiesCarryLargeValuesInParts(t *testing.T) {
	s, _ := testCookies(t, "https://id.example")
	for _, size := range []int{0, 1, 3000, 9 << 10, 24 << 10} {
		value := incompressible(t, size)
		w := httptest.NewRecorder()
		if err := s.put(w, httptest.NewRequest(http.MethodGet, "/", nil), "x", value, time.Hour); err != nil {
			t.Fatalf("put %d bytes: %v", size, err)
		}
		for _, c := range w.Result().Cookies() {
			if n := len(c.Name) + len(c.Value); n > 4000 {
				t.Errorf("%d bytes: cookie %s has %d bytes; browsers drop it", size, c.Name, n)
			}
		}
		got, ok := s.get(carry(nil, w), "x")
		if !ok || !bytes.Equal(got, value) {
			t.Errorf("%d bytes did not come back", size)
		}
	}
	err := s.put(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), "x", incompressible(t, 64<<10), time.Hour)
	if err == nil {
		t.Error("64 KiB of noise was accepted; a browser cannot carry it")
	}
}

func TestCookiesThatShrinkLeaveNoParts(t *testing.T) {
	s, _ := testCookies(t, "https://id.example")
	w := httptest.NewRecorder()
	if err := s.put(w, httptest.NewRequest(http.MethodGet, "/", nil), "x", incompressible(t, 9<<10), time.Hour); err != nil {
		t.Fatal(err)
	}
	before := carry(nil, w)
	w = httptest.NewRecorder()
	if err := s.put(w, carry(nil, httptest.NewRecorder()), "x", nil, time.Hour); err != nil {
		t.Fatal(err)
	}
	w = httptest.NewRecorder()
	if err := s.put(w, before, "x", []byte("small"), time.Hour); err != nil {
		t.Fatal(err)
	}
	after := carry(before, w)
	if n := len(after.Cookies()); n != 1 {
		t.Errorf("%d cookies are left, want 1", n)
	}
	if got, ok := s.get(after, "x"); !ok || string(got) != "small" {
		t.Errorf("got %q, %v", got, ok)
	}
}

func TestCookiesOpenOnlyAsWhatTheyWere(t *testing.T) {
	s, _ := testCookies(t, "https://id.example")
	w := httptest.NewRecorder()
	if err := s.put(w, httptest.NewRequest(http.MethodGet, "/", nil), "x", []byte("value"), time.Hour); err != nil {
		t.Fatal(err)
	}
	sealed := w.Result().Cookies()[0].Value
	tests := []struct{ rule, name, value string }{
		{"under another name", "y", sealed},
		{"altered", "x", sealed[:len(sealed)-2] + "AA"},
		{"cut", "x", sealed[:len(sealed)/2]},
		{"a wrong number of parts", "x", "3" + sealed[1:]},
		{"an absurd number of parts", "x", "999999999999999999999." + sealed[2:]},
		{"empty", "x", ""},
		{"garbage", "x", "1.!!!"},
	}
	for _, test := range tests {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(&http.Cookie{Name: test.name, Value: test.value})
		if got, ok := s.get(r, test.name); ok {
			t.Errorf("%s: opened as %q", test.rule, got)
		}
	}
}

func TestCookieFlagsFollowTheIssuer(t *testing.T) {
	for _, test := range []struct {
		issuer, prefix string
		secure         bool
	}{
		{"https://id.example", "__Host-anteroom_", true},
		{"http://localhost:8080", "anteroom_8080_", false},
		{"http://localhost:9000", "anteroom_9000_", false},
	} {
		s, prefix := testCookies(t, test.issuer)
		if prefix != test.prefix {
			t.Errorf("%s: prefix %q, want %q", test.issuer, prefix, test.prefix)
		}
		w := httptest.NewRecorder()
		if err := s.put(w, httptest.NewRequest(http.MethodGet, "/", nil), prefix+"x", []byte("v"), time.Hour); err != nil {
			t.Fatal(err)
		}
		c := w.Result().Cookies()[0]
		if c.Secure != test.secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("%s: cookie %+v", test.issuer, c)
		}
	}
}

// Compressors are used again, also after an input that cannot be unpacked, and
// never by two at a time.
func TestPackedValuesDoNotMix(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for n := range 20 {
				want := bytes.Repeat([]byte{byte(i), byte(n), 'x'}, 1+i*n)
				packed, err := pack(want)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := unpack(packed[:len(packed)/2]); err == nil {
					t.Error("half of a value was unpacked")
				}
				if got, err := unpack(packed); err != nil || !bytes.Equal(got, want) {
					t.Errorf("got %d bytes (%v), want the %d that were packed", len(got), err, len(want))
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkPack(b *testing.B) {
	plain := bytes.Repeat([]byte(`{"scope":"openid email"}`), 40)
	b.ReportAllocs()
	for b.Loop() {
		packed, err := pack(plain)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := unpack(packed); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzCookieRead(f *testing.F) {
	k, err := seal.New(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		f.Fatal(err)
	}
	issuer, _ := url.Parse("https://id.example")
	s, _ := newCookieStore(k, issuer)
	f.Add("1.AAAA", "")
	f.Add("2.AAAA", "BBBB")
	f.Fuzz(func(t *testing.T, first, second string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", "x="+strings.NewReplacer("\n", "", "\r", "").Replace(first)+"; x.1="+second)
		if value, ok := s.get(r, "x"); ok {
			t.Fatalf("opened %q without the key", value)
		}
	})
}
