package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"anteroom/config"
	"anteroom/provider"
)

// mutualTLS is what the provider needs to know of client certificates; nil if
// nobody is asked for one.
func mutualTLS(cfg config.Config) (*provider.MutualTLS, error) {
	if !cfg.MutualTLS.Enabled() {
		return nil, nil
	}
	m := &provider.MutualTLS{Host: cfg.MutualTLS.Host, Header: cfg.MutualTLS.Header, Proxies: cfg.TrustedProxies}
	if cfg.MutualTLS.CA == "" {
		return m, nil
	}
	raw, err := os.ReadFile(cfg.MutualTLS.CA)
	if err != nil {
		return nil, fmt.Errorf("read authorities of client certificates (mutual_tls.ca): %w", err)
	}
	m.Roots = x509.NewCertPool()
	if !m.Roots.AppendCertsFromPEM(raw) {
		return nil, errors.New("no certificate in the file of authorities (mutual_tls.ca)")
	}
	return m, nil
}

// tlsConfig is that of the public listener. Only whoever comes by the host name
// for certificates is asked for one, so that no browser shows people a choice of
// them. The provider decides which one is good: a handshake has no words.
func (s *Server) tlsConfig(cert func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	usual := &tls.Config{GetCertificate: cert, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if s.config.MutualTLS.Host == "" {
		return usual
	}
	asking := usual.Clone()
	asking.ClientAuth = tls.RequestClientCert
	usual.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName == s.config.MutualTLS.Host {
			return asking, nil
		}
		return nil, nil // the usual one
	}
	return usual
}
