package web

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"
)

// Wear is the middleware that every request of a listener passes.
type Wear struct {
	Log            *slog.Logger
	TrustedProxies []netip.Prefix // whose forwarded addresses count
	// Observe is told of every finished request; may be nil.
	Observe func(r *http.Request, status int, took time.Duration)
}

// Handler gives requests an id and an address, survives panics, and writes one
// log line each: never a query, which holds codes and links.
func (m *Wear) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		ctx := context.WithValue(r.Context(), keyRequestID, rand.Text()[:12])
		ctx = context.WithValue(ctx, keyAddress, m.address(r))
		r = r.WithContext(ctx)
		rec := &recorder{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				m.Log.ErrorContext(ctx, "panic", "id", RequestID(ctx), "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				if rec.status == 0 {
					http.Error(rec, "Something failed on our side. Try again in a moment.", http.StatusInternalServerError)
				}
			}
			took := time.Since(start)
			if m.Observe != nil {
				m.Observe(r, rec.code(), took)
			}
			m.Log.DebugContext(ctx, "request", "id", RequestID(ctx), "method", r.Method, "path", r.URL.Path,
				"status", rec.code(), "ms", took.Milliseconds(), "address", Address(ctx))
		}()
		rec.Header().Set("X-Content-Type-Options", "nosniff")
		rec.Header().Set("X-Request-Id", RequestID(ctx))
		next.ServeHTTP(rec, r)
	})
}

// address is the peer, or what trusted proxies say of it: the right-most entry
// of X-Forwarded-For that is not a trusted proxy itself.
func (m *Wear) address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	peer, err := netip.ParseAddr(host)
	if err != nil || !m.trusted(peer) {
		return host
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		peer = hop.Unmap()
		if !m.trusted(hop) {
			break
		}
	}
	return peer.String()
}

func (m *Wear) trusted(a netip.Addr) bool {
	for _, p := range m.TrustedProxies {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
