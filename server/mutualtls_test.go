package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"anteroom/config"
)

func certificate(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: names}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// RFC 8705 section 5: clients are asked under a name of their own, browsers never.
func TestOnlyTheHostForCertificatesAsks(t *testing.T) {
	s := &Server{config: config.Config{MutualTLS: config.MutualTLS{Host: "mtls.example"}}}
	own, client := certificate(t, "id.example", "mtls.example"), certificate(t, "portal.example")
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 {
			w.WriteHeader(http.StatusAccepted)
		}
	}))
	web.Listener = tls.NewListener(web.Listener, s.tlsConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &own, nil }))
	web.Start()
	defer web.Close()
	for name, want := range map[string]bool{"id.example": false, "mtls.example": true} {
		asked := false
		browser := &http.Client{Transport: &http.Transport{
			DialTLSContext: func(_ context.Context, network, _ string) (net.Conn, error) {
				return tls.Dial(network, web.Listener.Addr().String(), &tls.Config{
					ServerName: name, InsecureSkipVerify: true, // our own certificate, made above
					GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
						asked = true
						return &client, nil
					},
				})
			},
		}}
		res, err := browser.Get("https://" + name + "/")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		browser.CloseIdleConnections()
		if asked != want || (res.StatusCode == http.StatusAccepted) != want {
			t.Errorf("%s: asked %v, seen %v, want %v", name, asked, res.StatusCode == http.StatusAccepted, want)
		}
	}
}

func TestAuthoritiesOfClientCertificates(t *testing.T) {
	if m, err := mutualTLS(config.Config{}); m != nil || err != nil {
		t.Errorf("off: %v, %v", m, err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	cfg := config.Config{MutualTLS: config.MutualTLS{Header: "Client-Cert", CA: file}}
	if _, err := mutualTLS(cfg); err == nil {
		t.Error("a missing file")
	}
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := mutualTLS(cfg); err == nil {
		t.Error("an empty file")
	}
	block := &pem.Block{Type: "CERTIFICATE", Bytes: certificate(t, "ca").Certificate[0]}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err := mutualTLS(cfg); err != nil || m.Roots == nil || m.Header != "Client-Cert" {
		t.Errorf("got %+v, %v", m, err)
	}
}
