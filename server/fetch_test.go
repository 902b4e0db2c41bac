package server

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
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

// Clients that publish themselves are off, and what the configuration says of them
// is what the provider goes by: hosts by name, or everybody.
func TestPublishedClientsFollowTheConfiguration(t *testing.T) {
	for _, c := range []struct {
		set  config.ClientDocuments
		on   bool
		any  bool
		host string
	}{
		{config.Default().Documents, false, false, ""},
		{config.ClientDocuments{Application: "tools", Hosts: "tool.example  other.example"}, true, false, "other.example"},
		{config.ClientDocuments{Application: "tools", Hosts: config.DocumentsAny}, true, true, ""},
	} {
		cfg := config.Default()
		cfg.Issuer, cfg.DataDir, cfg.Documents = "http://localhost:8080", t.TempDir(), c.set
		got := documents(cfg)
		if got.On() != c.on || got.Any != c.any || (c.host != "" && !slices.Contains(got.Hosts, c.host)) || slices.Contains(got.Hosts, config.DocumentsAny) {
			t.Errorf("%+v became %+v", c.set, got)
		}
		rooms, err := Assemble(cfg, openBolt, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		web := httptest.NewServer(New(cfg, rooms, slog.New(slog.DiscardHandler)).Handler())
		res, err := http.Get(web.URL + provider.PathDiscovery)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if (doc["client_id_metadata_document_supported"] == true) != c.on {
			t.Errorf("%+v: advertised %v", c.set, doc["client_id_metadata_document_supported"])
		}
		web.Close()
		if err := rooms.Close(); err != nil {
			t.Error(err)
		}
	}
}
