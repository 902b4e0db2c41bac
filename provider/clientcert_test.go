package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"anteroom/store"
)

// authority makes client certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  crypto.Signer
}

func (a *authority) issue(change func(*x509.Certificate)) *x509.Certificate {
	a.t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(a.t)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "portal", Organization: []string{"ACME, Inc."}, Country: []string{"CH"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"portal.example"}, EmailAddresses: []string{"ops@portal.example"}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)},
		URIs: []*url.URL{{Scheme: "spiffe", Host: "portal.example", Path: "/web"}},
	}
	if change != nil {
		change(c)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der := must(x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer))(a.t)
	if a.cert == nil {
		a.key = key
	}
	return must(x509.ParseCertificate(der))(a.t)
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t}
	a.cert = a.issue(func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = pkix.Name{CommonName: "Test CA"}, true, true, x509.KeyUsageCertSign, nil
	})
	return a
}

const certHeader = "Client-Cert"

// newCertRig is a rig behind a proxy that says which certificates it saw.
func newCertRig(t testing.TB, a *authority) *rig {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return newRig(t, func(o *Options) {
		o.MutualTLS = &MutualTLS{Roots: roots, Header: certHeader, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
	})
}

// showing sends a certificate as RFC 9440 section 2.2 writes it.
func showing(client string, cert *x509.Certificate) as {
	return func(req *http.Request, form url.Values) {
		form.Set("client_id", client)
		req.Header.Set(certHeader, ":"+base64.StdEncoding.EncodeToString(cert.Raw)+":")
	}
}

// RFC 8705 sections 2.1 and 2.2.
func TestClientCertificates(t *testing.T) {
	a := newAuthority(t)
	r := newCertRig(t, a)
	good, other := a.issue(nil), a.issue(func(c *x509.Certificate) {
		c.Subject.CommonName, c.DNSNames, c.EmailAddresses, c.URIs, c.IPAddresses = "other", nil, nil, nil, nil
	})
	for id, settings := range map[string]map[string]any{
		"dn":    {"tls_client_auth_subject_dn": subjectDN(good)},
		"dns":   {"tls_client_auth_san_dns": "Portal.example"},
		"uri":   {"tls_client_auth_san_uri": "spiffe://portal.example/web"},
		"ip":    {"tls_client_auth_san_ip": "192.0.2.1"},
		"email": {"tls_client_auth_san_email": "ops@portal.example"},
		"none":  {},
		"both":  {"tls_client_auth_san_dns": "portal.example", "tls_client_auth_san_uri": "spiffe://portal.example/web"},
	} {
		r.register(store.Client{ID: id, TokenEndpointAuthMethod: "tls_client_auth", Settings: settings})
	}
	self := (&authority{t: t}).issue(nil)
	set := func(k jose.JSONWebKey) map[string]any {
		var out any
		raw := must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{k}}))(t)
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Fatal(err)
		}
		return map[string]any{"jwks": out}
	}
	r.register(store.Client{ID: "self", TokenEndpointAuthMethod: "self_signed_tls_client_auth", Settings: set(jose.JSONWebKey{Key: self.PublicKey})})
	r.register(store.Client{ID: "x5c", TokenEndpointAuthMethod: "self_signed_tls_client_auth", Settings: set(jose.JSONWebKey{Key: self.PublicKey, Certificates: []*x509.Certificate{self}})})
	ok, no := 200, 401
	for _, c := range []struct {
		name string
		who  as
		want int
	}{
		{"subject", showing("dn", good), ok}, {"DNS name", showing("dns", good), ok}, {"URI", showing("uri", good), ok},
		{"address", showing("ip", good), ok}, {"mail", showing("email", good), ok},
		{"another subject", showing("dn", other), no}, {"another DNS name", showing("dns", other), no}, {"another URI", showing("uri", other), no},
		{"another address", showing("ip", other), no}, {"another mail", showing("email", other), no},
		{"no name registered", showing("none", good), no}, {"two names registered", showing("both", good), no},
		{"nobody vouches for it", showing("dns", self), no},
		{"expired", showing("dns", a.issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), no},
		{"for servers", showing("dns", a.issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })), no},
		{"none shown", publicly("dns"), no},
		{"self-signed, registered key", showing("self", self), ok}, {"self-signed, registered certificate", showing("x5c", self), ok},
		{"self-signed, another key", showing("self", good), no}, {"self-signed, another certificate", showing("x5c", good), no},
		{"self-signed, none shown", publicly("self"), no},
		{"an unknown client", showing("nobody", good), no},
		{"a client of another method", showing("web", good), no},
		{"a public client behind TLS with certificates", showing("spa", good), 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			if res := r.post(PathToken, machine, c.who); res.StatusCode != c.want {
				t.Errorf("got %d %s, want %d", res.StatusCode, res.text, c.want)
			}
		})
	}
	if doc := r.get(PathDiscovery, nil).json; doc["mtls_endpoint_aliases"] != nil {
		t.Error("aliases where there is one host (section 5)")
	}
	r.p.mutualTLS.Host = "mtls.example"
	if got := r.p.metadata()["mtls_endpoint_aliases"].(map[string]string); got["token_endpoint"] != strings.Replace(r.URL, "127.0.0.1", "mtls.example", 1)+PathToken {
		t.Errorf("aliases %v", got)
	}
	on := list(t, r.get(PathDiscovery, nil).json["token_endpoint_auth_methods_supported"])
	if !slices.Contains(on, "tls_client_auth") || !slices.Contains(on, "self_signed_tls_client_auth") || len(on) != len(clientMethods) {
		t.Errorf("advertised %v", on)
	}
}

// A certificate in a header counts only if a trusted proxy sent it, once.
func TestWhoMaySpeakOfCertificates(t *testing.T) {
	a := newAuthority(t)
	r := newCertRig(t, a)
	cert := a.issue(nil)
	escaped := url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})))
	rfc9440 := ":" + base64.StdEncoding.EncodeToString(cert.Raw) + ":"
	for name, c := range map[string]struct {
		remote string
		values []string
		want   int
	}{
		"RFC 9440":       {"127.0.0.1:5", []string{rfc9440}, 1},
		"PEM":            {"127.0.0.1:5", []string{escaped}, 1},
		"mapped address": {"[::ffff:127.0.0.1]:5", []string{rfc9440}, 1},
		"from outside":   {"192.0.2.7:5", []string{rfc9440}, 0},
		"twice":          {"127.0.0.1:5", []string{rfc9440, rfc9440}, 0},
		"garbage":        {"127.0.0.1:5", []string{":###:"}, 0},
		"no certificate": {"127.0.0.1:5", []string{"hello%"}, 0},
		"no address":     {"", []string{rfc9440}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			req := &http.Request{RemoteAddr: c.remote, Header: http.Header{certHeader: c.values}}
			if got := r.p.certificates(req); len(got) != c.want || (c.want == 1 && thumbprint(got[0]) != thumbprint(cert)) {
				t.Errorf("got %d certificates, want %d", len(got), c.want)
			}
		})
	}
}

// Whatever a proxy says: no panic.
func FuzzCertificateHeader(f *testing.F) {
	f.Add(":AAAA:")
	f.Add("-----BEGIN%20CERTIFICATE-----%0AAAAA%0A-----END%20CERTIFICATE-----")
	f.Fuzz(func(_ *testing.T, value string) { parseCertificateHeader(value) })
}
