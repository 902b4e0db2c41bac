package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"anteroom/config"
	"anteroom/store"
	"anteroom/store/bolt"
)

func testServer(t *testing.T, changes ...func(*config.Config)) (*Server, *httptest.Server) {
	t.Helper()
	cfg := config.Default()
	cfg.Issuer = "http://localhost:8080"
	cfg.DataDir = t.TempDir()
	for _, change := range changes {
		change(&cfg)
	}
	log := slog.New(slog.DiscardHandler)
	rooms, err := Assemble(cfg, openBolt, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rooms.Close() })
	s := New(cfg, rooms, log)
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	return s, web
}

func openBolt(cfg config.Config) (store.Store, error) {
	return bolt.Open(filepath.Join(cfg.DataDir, "anteroom.db"), bolt.Options{})
}

func TestEveryPageRefusesGarbageWithoutFailing(t *testing.T) {
	s, web := testServer(t)
	queries := []string{"", "?i=x", "?i=" + strings.Repeat("a", 9000), "?i=%00", "?i=%ff", "?token=x", "?token=%ff%00", "?token=a&token=b", "?client_id=%00&redirect_uri=javascript:alert(1)"}
	bodies := []string{"", "code=%ff", "username=a&username=b", "code=" + strings.Repeat("9", 100_000), "{}", "accept=1&token=x"}
	check := func(method, path, kind, body string) {
		req, err := http.NewRequest(method, web.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if kind != "" {
			req.Header.Set("Content-Type", kind)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode >= 500 {
			t.Errorf("%s %.60s %.30q: %d %.200s", method, path, body, resp.StatusCode, text)
		}
	}
	var paths []string
	for _, p := range s.pages() {
		paths = append(paths, p.path)
	}
	for _, e := range s.endpoints() {
		paths = append(paths, e.path)
	}
	for _, path := range paths {
		for _, q := range queries {
			check(http.MethodGet, path+q, "", "")
			check(http.MethodHead, path+q, "", "")
			check(http.MethodDelete, path+q, "", "")
			for _, b := range bodies {
				check(http.MethodPost, path+q, "application/x-www-form-urlencoded", b)
				check(http.MethodPost, path+q, "application/json", b)
			}
		}
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	_, web := testServer(t)
	for _, path := range []string{"/login?i=x", "/mfa/enroll?i=x", "/activate?token=x", "/switch?i=x", "/refuse?i=x", "/consent?i=x"} {
		req, err := http.NewRequest(http.MethodPost, web.URL+path, strings.NewReader("a=b"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		req.Header.Set("Origin", "https://evil.example")
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d, want 403", path, resp.StatusCode)
		}
	}
}

func TestAnotherMasterKeyIsRefused(t *testing.T) {
	s, _ := testServer(t)
	cfg := s.config
	cfg.DataDir = t.TempDir() // makes a key of its own
	same := func(config.Config) (store.Store, error) { return s.Store, nil }
	if _, err := Assemble(cfg, same, slog.New(slog.DiscardHandler), nil); err == nil || !strings.Contains(err.Error(), "master key") {
		t.Errorf("got %v, want a sentence about the master key", err)
	}
}

func TestMetricsLabelsAreBounded(t *testing.T) {
	s, web := testServer(t)
	for _, path := range []string{"/login", "/a", "/b/c", "/d?x=y"} {
		resp, err := http.Get(web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	w := httptest.NewRecorder()
	operations(s.metrics, s.Store.Ready).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if text := w.Body.String(); !strings.Contains(text, `path="/login"`) || !strings.Contains(text, `path="other",status="404"`) || strings.Contains(text, `"/a"`) {
		t.Errorf("metrics: %.2000s", text)
	}
}

func TestReadyzSaysWhyNot(t *testing.T) {
	s, _ := testServer(t)
	h := operations(s.metrics, s.Store.Ready)
	ask := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		return w
	}
	if w := ask(); w.Code != http.StatusOK {
		t.Fatalf("ready: %d %s", w.Code, w.Body)
	}
	if err := s.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if w := ask(); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "not ready: ") {
		t.Errorf("closed: %d %s", w.Code, w.Body)
	}
}

func TestStopsGracefully(t *testing.T) {
	s, _ := testServer(t)
	s.config.Listen, s.config.Operations.Listen = "127.0.0.1:0", ""
	ctx, cancel := context.WithCancel(t.Context())
	ready := make(chan struct{})
	s.ready = func(string) { close(ready) }
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-ready
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("stopped with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("did not stop")
	}
}
