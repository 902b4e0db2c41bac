package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Errors that say why nothing was fetched (wrapped; compare with errors.Is).
var (
	// ErrURL: not an https URL, or one with a user name.
	ErrURL = errors.New("not an https URL")
	// ErrAddress: the name leads to an address that is not public and that the
	// operator did not allow.
	ErrAddress = errors.New("the address is not public")
	// ErrStatus: the server did not answer with success. Redirects are none.
	ErrStatus = errors.New("no success")
	// ErrTooLarge: the answer is larger than Options.MaxBytes.
	ErrTooLarge = errors.New("the answer is too large")
)

// Options configure a Fetcher; zero means the value in brackets.
type Options struct {
	Allow    []netip.Prefix // networks that are reached although they are not public
	HTTP     bool           // plain http is good enough: only where the issuer itself is
	Roots    *x509.CertPool // [the system's] who may sign certificates
	Timeout  time.Duration  // [5 s] from the first packet to the last
	MaxBytes int64          // [128 KiB] of one answer
	Fresh    time.Duration  // [5 min] how long an answer is used again
	Entries  int            // [256] answers kept; the one that was fetched first goes first
	Parallel int            // [16] requests on their way at once
	Now      func() time.Time
}

// Fetcher fetches. It is safe for concurrent use.
type Fetcher struct {
	o      Options
	client *http.Client
	slots  chan struct{}
	cache  cache
}

// New returns a Fetcher.
func New(o Options) *Fetcher {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 128 << 10
	}
	if o.Fresh <= 0 {
		o.Fresh = 5 * time.Minute
	}
	if o.Entries <= 0 {
		o.Entries = 256
	}
	if o.Parallel <= 0 {
		o.Parallel = 16
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f := &Fetcher{o: o, slots: make(chan struct{}, o.Parallel)}
	dialer := &net.Dialer{Timeout: o.Timeout, ControlContext: f.control}
	f.client = &http.Client{
		Timeout: o.Timeout,
		// A redirect would be a second address that nobody registered.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would resolve the name, out of our sight
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}
	return f
}

// control judges the address that a connection is about to be made to.
func (f *Fetcher) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%q: %w", address, ErrAddress)
	}
	if addr := to.Addr(); !Public(addr) && !within(f.o.Allow, addr.Unmap()) {
		return fmt.Errorf("%s: %w", addr, ErrAddress)
	}
	return nil
}

// CheckURL returns ErrURL for what would not be fetched whatever it leads to.
func (f *Fetcher) CheckURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "" || u.User != nil || len(raw) > 2000 || strings.ContainsAny(raw, " \t\r\n\\"):
		return fmt.Errorf("%.200q: %w", raw, ErrURL)
	case u.Scheme == "https", u.Scheme == "http" && f.o.HTTP:
		return nil
	}
	return fmt.Errorf("scheme %q: %w", u.Scheme, ErrURL)
}

// Post sends body and returns nil if the answer is a success (2xx). Nothing of
// the answer is kept.
func (f *Fetcher) Post(ctx context.Context, address, contentType string, body []byte) error {
	return f.PostBearer(ctx, address, "", contentType, body)
}

// PostBearer is Post with a token that says who we are (RFC 6750 section 2.1);
// "" for none.
func (f *Fetcher) PostBearer(ctx context.Context, address, token, contentType string, body []byte) error {
	header := http.Header{"Content-Type": {contentType}}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	_, _, err := f.do(ctx, http.MethodPost, address, header, string(body))
	return err
}

func (f *Fetcher) do(ctx context.Context, method, address string, header http.Header, body string) ([]byte, http.Header, error) {
	if err := f.CheckURL(address); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.o.Timeout)
	defer cancel()
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("wait for a turn to fetch: %w", ctx.Err())
	}
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("%w (%w)", ErrURL, err)
	}
	if header != nil {
		r.Header = header
	}
	r.Header.Set("User-Agent", "Anteroom")
	res, err := f.client.Do(r)
	if err != nil {
		return nil, nil, fmt.Errorf("fetch: %w", err)
	}
	defer res.Body.Close()
	// A server that gives up because we did may still be heard: that is no answer.
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("fetch: %w", err)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 || (method == http.MethodGet && res.StatusCode != http.StatusOK) {
		return nil, nil, fmt.Errorf("%s: status %d: %w", r.URL.Host, res.StatusCode, ErrStatus)
	}
	if method == http.MethodPost {
		return nil, nil, nil
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, f.o.MaxBytes+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read answer of %s: %w", r.URL.Host, err)
	}
	if int64(len(answer)) > f.o.MaxBytes {
		return nil, nil, fmt.Errorf("%s: more than %d bytes: %w", r.URL.Host, f.o.MaxBytes, ErrTooLarge)
	}
	return answer, res.Header, nil
}
