package server

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"anteroom/config"
)

func TestARenewedCertificateIsServedWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	files := config.TLS{Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	write := func(path, kind string, der []byte) {
		t.Helper()
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	renew := func(name string, withKey bool) {
		t.Helper()
		cert := certificate(t, name)
		key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey.(*ecdsa.PrivateKey))
		if err != nil {
			t.Fatal(err)
		}
		write(files.Certificate, "CERTIFICATE", cert.Certificate[0])
		if withKey {
			write(files.Key, "PRIVATE KEY", key)
		}
	}
	renew("first.example", true)
	c, err := newOwnCertificate(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c.every = 0
	serves := func(want string) {
		t.Helper()
		cert, err := c.get(nil)
		if err != nil || cert.Leaf.DNSNames[0] != want {
			t.Errorf("got %v %v, want %s", cert.Leaf.DNSNames, err, want)
		}
	}
	serves("first.example")
	renew("half-a-renewal.example", false)
	serves("first.example")
	renew("second.example.org", true)
	serves("second.example.org")
	if err := os.Remove(files.Key); err != nil {
		t.Fatal(err)
	}
	serves("second.example.org")
}
