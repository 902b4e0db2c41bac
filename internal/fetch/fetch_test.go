package fetch

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// site is a TLS server whose certificate the fetcher trusts.
func site(t *testing.T, h http.HandlerFunc, change func(*Options)) (*httptest.Server, *Fetcher) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	o := Options{Allow: Loopback(), Roots: roots}
	if change != nil {
		change(&o)
	}
	return s, New(o)
}

func TestAddressesThatAreNotPublic(t *testing.T) {
	for _, c := range []struct {
		address string
		public  bool
	}{
		{"93.184.216.34", true}, {"2606:4700::1111", true}, {"8.8.8.8", true},
		{"127.0.0.1", false}, {"127.9.9.9", false}, {"::1", false}, {"0.0.0.0", false}, {"::", false},
		{"10.1.2.3", false}, {"172.16.0.1", false}, {"172.31.255.255", false}, {"172.32.0.1", true}, {"192.168.1.1", false},
		{"169.254.169.254", false}, {"fd00:ec2::254", false}, {"100.100.100.200", false}, {"168.63.129.16", false}, {"192.0.0.192", false},
		{"fe80::1", false}, {"fe80::1%eth0", false}, {"2606:4700::1%eth0", false}, {"fc00::1", false}, {"ff02::1", false}, {"224.0.0.1", false}, {"255.255.255.255", false},
		{"::ffff:127.0.0.1", false}, {"::ffff:10.0.0.1", false}, {"::ffff:8.8.8.8", true}, {"::127.0.0.1", false},
		{"64:ff9b::7f00:1", false}, {"2002:7f00:1::", false}, {"2001:0:1::1", false}, {"2001:db8::1", false}, {"3fff::1", false},
	} {
		if got := Public(netip.MustParseAddr(c.address)); got != c.public {
			t.Errorf("%s: public %v, want %v", c.address, got, c.public)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// CWE-918: names are judged by the address that they lead to.
func TestPrivateAddressesAreRefusedUnlessAllowed(t *testing.T) {
	var hits atomic.Int32
	s, f := site(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) }, func(o *Options) { o.Allow = nil })
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]"} {
		if _, err := f.Get(t.Context(), "https://"+host+":"+port+"/"); !errors.Is(err, ErrAddress) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if err := f.Post(t.Context(), s.URL, "text/plain", nil); !errors.Is(err, ErrAddress) {
		t.Errorf("post: %v", err)
	}
	if hits.Load() != 0 {
		t.Error("the server was reached")
	}
	if _, err := New(Options{Allow: prefixes("127.0.0.0/8")}).Get(t.Context(), s.URL); err == nil {
		t.Error("a certificate that nobody trusts was trusted")
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	if _, err := New(Options{Allow: prefixes("127.0.0.0/8"), Roots: roots}).Get(t.Context(), s.URL); err != nil {
		t.Errorf("allowed: %v", err)
	}
}

func TestOnlyHTTPS(t *testing.T) {
	f := New(Options{})
	for _, raw := range []string{
		"", "http://example.com/", "file:///etc/passwd", "ftp://example.com/", "gopher://x/", "https:example.com", "https://",
		"//example.com/", "https://user@example.com/", "https://a b/", "https://a\\b/", "https://example.com/" + strings.Repeat("x", 2000), "https://%zz/",
	} {
		if _, err := f.Get(t.Context(), raw); !errors.Is(err, ErrURL) {
			t.Errorf("%.40q: %v", raw, err)
		}
	}
	if err := New(Options{HTTP: true}).CheckURL("http://localhost:8080/jwks"); err != nil {
		t.Error(err)
	}
}

func TestRedirectsAndErrorsAreNoAnswer(t *testing.T) {
	s, f := site(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/ok":
			_, _ = io.WriteString(w, "fine")
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.WriteHeader(http.StatusInternalServerError)
		}
	}, nil)
	for path, want := range map[string]error{"/redirect": ErrStatus, "/broken": ErrStatus, "/empty": ErrStatus, "/ok": nil} {
		if body, err := f.Get(t.Context(), s.URL+path); !errors.Is(err, want) || (want == nil && string(body) != "fine") {
			t.Errorf("GET %s: %q %v", path, body, err)
		}
	}
	for path, want := range map[string]error{"/redirect": ErrStatus, "/broken": ErrStatus, "/empty": nil, "/ok": nil} {
		if err := f.Post(t.Context(), s.URL+path, "text/plain", []byte("x")); !errors.Is(err, want) {
			t.Errorf("POST %s: %v", path, err)
		}
	}
}

func TestSizeAndTimeAreBounded(t *testing.T) {
	s, f := site(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" {
			t.Error("asks for something to be decompressed")
		}
		switch r.URL.Path {
		case "/exact":
			_, _ = io.WriteString(w, strings.Repeat("x", 100))
		case "/large":
			_, _ = io.WriteString(w, strings.Repeat("x", 101))
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("x", 4096)); err != nil {
					return
				}
			}
		case "/slow":
			<-r.Context().Done()
		}
	}, func(o *Options) { o.MaxBytes, o.Timeout = 100, 300*time.Millisecond })
	for path, want := range map[string]error{"/exact": nil, "/large": ErrTooLarge, "/endless": ErrTooLarge, "/slow": context.DeadlineExceeded} {
		if _, err := f.Get(t.Context(), s.URL+path); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}

func TestAnswersAreKeptForAWhileAndConcurrentCallersShareOne(t *testing.T) {
	var hits atomic.Int32
	var clock atomic.Int64
	var broken atomic.Bool
	s, f := site(t, func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		if broken.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
		fmt.Fprint(w, "answer")
	}, func(o *Options) { o.Now = func() time.Time { return time.Unix(clock.Load(), 0) } })
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if body, err := f.Get(t.Context(), s.URL); err != nil || string(body) != "answer" {
				t.Errorf("%q %v", body, err)
			}
		})
	}
	all.Wait()
	step := func(what string, at int64, want int32, age time.Duration) {
		t.Helper()
		clock.Store(at)
		_, _ = f.Newer(t.Context(), s.URL, age)
		if got := hits.Load(); got != want {
			t.Errorf("%s: %d requests, want %d", what, got, want)
		}
	}
	step("fresh", 299, 1, 5*time.Minute)
	step("stale", 300, 2, 5*time.Minute)
	step("asked for newer", 310, 3, 10*time.Second)
	broken.Store(true)
	step("stale and broken", 700, 4, 5*time.Minute)
	step("a failure is kept shortly", 704, 4, 5*time.Minute)
	step("and no longer", 705, 5, 5*time.Minute)
	step("the clock went back", 100, 6, 5*time.Minute)
}

func TestTheCacheIsBoundedAndGivesCopies(t *testing.T) {
	s, f := site(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "answer") }, func(o *Options) { o.Entries = 3 })
	for i := range 10 {
		if _, err := f.Get(t.Context(), fmt.Sprintf("%s/%d", s.URL, i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.cache.entries) != 3 || len(f.cache.order) != 3 {
		t.Errorf("%d entries", len(f.cache.entries))
	}
	body, _ := f.Get(t.Context(), s.URL+"/9")
	body[0] = 'X'
	if again, _ := f.Get(t.Context(), s.URL+"/9"); string(again) != "answer" {
		t.Errorf("the caller changed the cache: %q", again)
	}
}

func TestACallerWhoLeavesPoisonsNothing(t *testing.T) {
	s, f := site(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "answer") }, nil)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Get(gone, s.URL); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := f.Get(t.Context(), s.URL); err != nil {
		t.Error(err)
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://example.com/", "http://x", "https://a@b/", "https://[::1]:1/", "https://%"} {
		f.Add(s)
	}
	fetcher := New(Options{})
	f.Fuzz(func(t *testing.T, raw string) {
		if fetcher.CheckURL(raw) == nil && (!strings.HasPrefix(strings.ToLower(raw), "https://") || len(raw) > 2000) {
			t.Errorf("accepts %q", raw)
		}
	})
}
