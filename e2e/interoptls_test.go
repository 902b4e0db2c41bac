package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"anteroom/config"
)

const partySecure = "https://localhost:9/callback" // FAPI 2.0 knows no http

// pair is a self-signed certificate with its key, as text and as files.
type pair struct {
	cert, key         string
	certFile, keyFile string
	jwk               map[string]any // the public key
}

func newPair(t *testing.T, name string) pair {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(jose.JSONWebKey{Key: private.Public(), KeyID: name, Algorithm: "ES256", Use: "sig"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	made := pair{
		cert: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})), certFile: filepath.Join(dir, "cert.pem"),
		key: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), keyFile: filepath.Join(dir, "key.pem"),
	}
	for name, text := range map[string]string{made.certFile: made.cert, made.keyFile: made.key} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := json.Unmarshal(jwk, &made.jwk); err != nil {
		t.Fatal(err)
	}
	return made
}

// stageTLS is a play over TLS. The issuer is known by its address, and asks for
// certificates under its name.
func stageTLS(t *testing.T, email string) (*drama, pair) {
	t.Helper()
	server, mine, other := newPair(t, "Anteroom"), newPair(t, "portal"), newPair(t, "thief")
	p := start(t, func(c *config.Config) {
		c.Issuer = strings.Replace(c.Issuer, "http://localhost", "https://127.0.0.1", 1)
		c.TLS = config.TLS{Certificate: server.certFile, Key: server.keyFile}
		c.MutualTLS.Host = "localhost"
	})
	d := p.stage(t, email)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(server.cert))
	d.visitor.Client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	d.visitor.Stay(partySecure)
	d.settings["redirect"] = partySecure
	d.trusting = []string{"NODE_EXTRA_CA_CERTS=" + server.certFile}
	for name, value := range map[string]any{
		"ca": server.cert, "caFile": server.certFile,
		"certificate": mine.cert, "certificateKey": mine.key, "certificateFiles": []string{mine.certFile, mine.keyFile},
		"otherCertificate": other.cert, "otherCertificateKey": other.key, "otherCertificateFiles": []string{other.certFile, other.keyFile},
	} {
		d.settings[name] = value
	}
	return d, mine
}

func TestInteropFAPI2(t *testing.T) {
	t.Parallel()
	runtimeOf(t, "node")
	d, mine := stageTLS(t, "frida@acme.example")
	scope := "openid email offline_access"
	d.client("fapi", wanted{auth: "private_key_jwt", scope: scope, redirect: []string{partySecure}, keys: true, metadata: map[string]any{"profile": "fapi2", "dpop_bound_access_tokens": true}})
	d.client("certified", wanted{auth: "self_signed_tls_client_auth", scope: scope, redirect: []string{partySecure}, metadata: map[string]any{
		"profile": "fapi2", "tls_client_certificate_bound_access_tokens": true, "jwks": map[string]any{"keys": []any{mine.jwk}},
	}})
	d.play("node", "fapi2.js", "FAPI 2.0 with DPoP", "FAPI 2.0 Message Signing", "mutual TLS",
		"refused: a request that is not pushed", "refused: an assertion for two", "refused: another certificate", "refused: a token with another certificate")
}

func TestInteropAuthlibWithACertificate(t *testing.T) {
	t.Parallel()
	runtimeOf(t, "python")
	d, mine := stageTLS(t, "petra@acme.example")
	d.client("certified-machine", wanted{auth: "self_signed_tls_client_auth", scope: "reports.read", redirect: []string{}, metadata: map[string]any{
		"jwks": map[string]any{"keys": []any{mine.jwk}},
	}})
	d.play("python", "authlib_certificate.py", "mutual TLS", "refused: another certificate", "refused: no certificate")
}
