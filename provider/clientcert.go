package provider

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"anteroom/store"
)

// MutualTLS says where client certificates come from (RFC 8705).
type MutualTLS struct {
	// Roots vouch for the certificates of tls_client_auth; nil: that method is off.
	Roots *x509.CertPool
	// Header in which a trusted proxy that ends TLS says which certificate it
	// saw: as RFC 9440 section 2.2 (:base64:) or as PEM, URL-encoded. The proxy
	// must remove what comes from outside. Empty: certificates of our own listener.
	Header string
	// Proxies may send Header.
	Proxies []netip.Prefix
	// Host under which clients are asked for certificates, if it is not the
	// issuer's (RFC 8705 section 5). Empty: it is.
	Host string
}

func (p *Provider) seesCertificates() bool   { return p.mutualTLS != nil }
func (p *Provider) trustsCertificates() bool { return p.mutualTLS != nil && p.mutualTLS.Roots != nil }

// aliasBase is what the endpoints begin with where clients show certificates
// (RFC 8705 section 5); "" if that is the issuer, or nowhere.
func (p *Provider) aliasBase() string {
	if p.mutualTLS == nil || p.mutualTLS.Host == "" {
		return ""
	}
	u, err := url.Parse(p.issuer)
	if err != nil || u.Hostname() == p.mutualTLS.Host {
		return ""
	}
	base := u.Scheme + "://" + p.mutualTLS.Host
	if port := u.Port(); port != "" {
		base += ":" + port
	}
	return base
}

// aliases are those endpoints; nil if there are none.
func (p *Provider) aliases() map[string]string {
	base := p.aliasBase()
	if base == "" {
		return nil
	}
	return map[string]string{
		"token_endpoint": base + PathToken, "pushed_authorization_request_endpoint": base + PathPushed,
		"userinfo_endpoint": base + PathUserInfo, "introspection_endpoint": base + PathIntrospect, "revocation_endpoint": base + PathRevoke,
	}
}

// certificates returns the chain that the client of a request showed, its own
// certificate first; empty if it showed none, or none that can be read.
func (p *Provider) certificates(r *http.Request) []*x509.Certificate {
	if p.mutualTLS == nil {
		return nil
	}
	if p.mutualTLS.Header == "" {
		if r.TLS == nil {
			return nil
		}
		return r.TLS.PeerCertificates
	}
	values := r.Header.Values(p.mutualTLS.Header)
	if len(values) != 1 || !p.mutualTLS.trusts(r.RemoteAddr) {
		return nil
	}
	return parseCertificateHeader(values[0])
}

func (m *MutualTLS) trusts(remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && slices.ContainsFunc(m.Proxies, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

func parseCertificateHeader(value string) []*x509.Certificate {
	if inner, ok := strings.CutPrefix(value, ":"); ok {
		der, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(inner, ":"))
		if err != nil {
			return nil
		}
		return parseCertificates(der)
	}
	text, err := url.PathUnescape(value) // a plus sign is part of base64
	if err != nil {
		return nil
	}
	var der []byte
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			der = append(der, block.Bytes...)
		}
	}
	return parseCertificates(der)
}

func parseCertificates(der []byte) []*x509.Certificate {
	all, err := x509.ParseCertificates(der)
	if err != nil {
		return nil
	}
	return all
}

// thumbprint is the x5t#S256 of a certificate (RFC 8705 section 3.1).
func thumbprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// proveCertificate is tls_client_auth: a certificate that our roots vouch for,
// and that names what the client registered (RFC 8705 section 2.1).
func proveCertificate(p *Provider, _ context.Context, c store.Client, given credential) ([]spend, error) {
	chain := p.certificates(given.request)
	if len(chain) == 0 {
		return nil, errors.New("no client certificate")
	}
	between := x509.NewCertPool()
	for _, one := range chain[1:] {
		between.AddCert(one)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: p.mutualTLS.Roots, Intermediates: between, CurrentTime: p.now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	if !namesClient(c, chain[0]) {
		return nil, fmt.Errorf("certificate of %s, registered for another subject", subjectDN(chain[0]))
	}
	return nil, nil
}

// namesClient compares the one name that a client registered (RFC 8705 section
// 2.1.2). Two registered names are a mistake, and match nothing.
func namesClient(c store.Client, cert *x509.Certificate) bool {
	var names []string
	for _, uri := range cert.URIs {
		names = append(names, "uri "+uri.String())
	}
	for _, ip := range cert.IPAddresses {
		names = append(names, "ip "+ip.String())
	}
	for _, host := range cert.DNSNames {
		names = append(names, "dns "+strings.ToLower(host))
	}
	for _, mail := range cert.EmailAddresses {
		names = append(names, "email "+mail)
	}
	names = append(names, "dn "+subjectDN(cert))
	wanted := certificateNames(c)
	return len(wanted) == 1 && slices.Contains(names, wanted[0])
}

// certificateNames are the names that a client registered for its certificate.
func certificateNames(c store.Client) (wanted []string) {
	for _, kind := range []string{"dn", "dns", "uri", "ip", "email"} {
		key := "tls_client_auth_san_" + kind
		if kind == "dn" {
			key = "tls_client_auth_subject_dn"
		}
		if v := setting(c, key); v != "" {
			if kind == "dns" {
				v = strings.ToLower(v)
			}
			wanted = append(wanted, kind+" "+v)
		}
	}
	return wanted
}

// subjectDN is the subject of a certificate as RFC 4514 writes it.
func subjectDN(cert *x509.Certificate) string {
	var sequence pkix.RDNSequence
	if rest, err := asn1.Unmarshal(cert.RawSubject, &sequence); err != nil || len(rest) > 0 {
		return ""
	}
	return sequence.String()
}

// proveSelfSigned is self_signed_tls_client_auth: a certificate with a key that
// the client registered (RFC 8705 section 2.2). The TLS handshake proved that
// the client has the private part; who signed the certificate does not matter.
func proveSelfSigned(p *Provider, ctx context.Context, c store.Client, given credential) ([]spend, error) {
	chain := p.certificates(given.request)
	if len(chain) == 0 {
		return nil, errors.New("no client certificate")
	}
	keys, err := p.clientKeys(ctx, c, "")
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if len(k.Certificates) > 0 {
			if bytes.Equal(k.Certificates[0].Raw, chain[0].Raw) {
				return nil, nil
			}
			continue
		}
		if public, ok := chain[0].PublicKey.(interface{ Equal(x crypto.PublicKey) bool }); ok && public.Equal(k.Key) {
			return nil, nil
		}
	}
	return nil, errors.New("a certificate with a key that is not registered")
}
