package server

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"anteroom/config"
	"anteroom/internal/fetch"
	"anteroom/provider"
)

// RFC 7517 section 5, OpenID Connect Core section 10.1.1: an unknown kid means
// that the client may have rotated its keys.
func TestKeySetsAreFetchedAgainForAnUnknownKey(t *testing.T) {
	hits := 0
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits++
		fmt.Fprintf(w, `{"keys":[{"kid":"key-%d"}]}`, hits)
	}))
	t.Cleanup(site.Close)
	now := time.Now()
	s := keySource{fetch.New(fetch.Options{Allow: fetch.Loopback(), HTTP: true, Now: func() time.Time { return now }})}
	for i, step := range []struct {
		wait time.Duration
		kid  string
		hits int
	}{{0, "key-1", 1}, {time.Second, "key-2", 1}, {keysAgain, "key-2", 2}, {0, "key-2", 2}, {0, "", 2}, {time.Second, "nobody's", 2}, {keysAgain, "nobody's", 3}} {
		now = now.Add(step.wait)
		if _, err := s.KeySet(t.Context(), site.URL, step.kid); err != nil || hits != step.hits {
			t.Errorf("step %d: %d requests, want %d (%v)", i, hits, step.hits, err)
		}
	}
}

func TestOnlyAServiceOnThisMachineReachesThisMachine(t *testing.T) {
	site := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(site.Close)
	for issuer, reach := range map[string]bool{"http://localhost:8080": true, "https://id.example.com": false} {
		_, err := newFetcher(config.Config{Issuer: issuer}, time.Now).Get(t.Context(), strings.Replace(site.URL, "http:", map[bool]string{true: "http:", false: "https:"}[reach], 1))
		if got := err != nil && strings.Contains(err.Error(), "status 404"); got != reach {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}

// The setting fetch.request_objects is off unless turned on.
func TestRequestsAreFetchedIfTheOperatorSaysSo(t *testing.T) {
	on := func(cfg *config.Config) { cfg.Fetch.RequestObjects = config.RequestObjectsRegistered }
	for _, c := range []struct {
		change []func(*config.Config)
		want   string
	}{{nil, `"request_uri_parameter_supported":false`}, {[]func(*config.Config){on}, `"request_uri_parameter_supported":true`}} {
		_, web := testServer(t, c.change...)
		resp, err := http.Get(web.URL + provider.PathDiscovery)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(body), c.want) {
			t.Errorf("want %s: %v %s", c.want, err, body)
		}
	}
}
