package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Validate reports every mistake of c at once, as Mistakes, each with its fix.
// It reads the certificate files; it writes nothing.
func (c *Config) Validate() error { return c.mistakes().orNil() }

func (c *Config) mistakes() Mistakes {
	v := &validator{c: c}
	v.ranges()
	v.issuer()
	v.listeners()
	v.tls()
	v.mutualTLS()
	v.store()
	v.smtp()
	v.relations()
	v.product()
	v.registration()
	v.documents()
	return v.found
}

type validator struct {
	c     *Config
	found Mistakes
}

func (v *validator) fail(key, what, fix string) {
	v.found = append(v.found, Mistake{Key: key, Where: v.c.sources[key], What: what, Fix: fix})
}

// ranges checks what the table says, for configurations that were not read
// from text.
func (v *validator) ranges() {
	for _, s := range v.c.settings() {
		what, fix := "", ""
		switch t := s.target.(type) {
		case *int:
			what, fix = s.setInt(new(int), strconv.Itoa(*t))
		case *time.Duration:
			what, fix = s.setDuration(new(time.Duration), t.String())
		case *string:
			if len(s.oneOf) > 0 {
				what, fix = s.set(entry{text: *t}, "")
			}
			if strings.ContainsAny(*t, "\x00\r\n") {
				what, fix = "the value has more than one line", "write it on one line"
			}
		}
		if what != "" {
			v.fail(s.key, what, fix)
		}
	}
}

func (v *validator) issuer() {
	const key = "issuer"
	if v.c.Issuer == "" {
		v.fail(key, "the public URL of this service is not set", "write issuer: https:// and the host name that people and portals reach it by")
		return
	}
	u, err := url.Parse(v.c.Issuer)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" {
		v.fail(key, fmt.Sprintf("%q is not a URL", v.c.Issuer), "write it like https://id.example.com")
		return
	}
	clean := u.Scheme + "://" + strings.ToLower(u.Host)
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		v.fail(key, fmt.Sprintf("%q is not a scheme that browsers sign in over", u.Scheme), "write https://"+u.Host)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(v.c.Issuer, "#"):
		// OpenID Connect Discovery section 3.
		v.fail(key, "an issuer has no user name, query or fragment", "write "+clean)
	case u.Path == "/":
		v.fail(key, "the slash at the end makes it another issuer than the one without", "write "+clean)
	case u.Path != "":
		v.fail(key, "an issuer with a path is not supported", "give the service a host name of its own and write "+clean)
	case v.c.Issuer != clean:
		v.fail(key, "portals compare the issuer letter by letter, and browsers write it in lower case", "write "+clean)
	case strings.HasSuffix(u.Host, ":") || u.Port() == map[string]string{"https": "443", "http": "80"}[u.Scheme]:
		v.fail(key, "the port is the usual one, and browsers leave it out", "write "+u.Scheme+"://"+u.Hostname())
	case u.Scheme == "http" && !loopback(u.Hostname()):
		v.fail(key, "passwords and codes would travel unprotected", "write https://"+u.Host+"; http is for localhost only")
	}
}

// loopback tells whether host is this machine: localhost, a name under it
// (RFC 6761 section 6.3), or a loopback address.
func loopback(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func (v *validator) registration() {
	issuers, err := v.c.ReadStatementIssuers()
	if err != nil {
		v.fail("registration.statement_issuers", err.Error(), "correct the file, or remove the key")
	}
	if v.c.Registration.Statements == StatementsRequired && err == nil && len(issuers) == 0 {
		v.fail("registration.statements", "a statement is required, and nobody's is believed", "name the issuers in the file of registration.statement_issuers, or write optional")
	}
	if r := v.c.Registration; r.Mode != RegistrationOff && r.Token != "" && len(r.Token.Reveal()) < 32 {
		v.fail("registration.token", "the token can be guessed", "write a random one of at least 32 characters, or remove it: anteroom client token create makes tokens")
	}
}

func (v *validator) documents() {
	d := v.c.Documents
	hosts := strings.Fields(d.Hosts)
	switch {
	case d.On() && len(hosts) == 0:
		v.fail("client_documents.hosts", "nobody may publish clients", "name the hosts, or write any, or remove client_documents.application")
	case !d.On() && len(hosts) > 0:
		v.fail("client_documents.application", "published clients have no application", "write the id of one that asks for consent, or remove client_documents.hosts")
	case len(hosts) == 1 && hosts[0] == DocumentsAny:
		return
	}
	for _, host := range hosts {
		if strings.ContainsAny(host, ":/@*,") || strings.ToLower(host) != host || host == DocumentsAny {
			v.fail("client_documents.hosts", fmt.Sprintf("%q is not a host name", host), "write names alone, in small letters, separated by spaces, or any alone")
		}
	}
}

func (v *validator) listeners() {
	if v.c.Listen == "" {
		v.fail("listen", "there is no address to listen on", "write listen: 127.0.0.1:8080, or :8080 for every interface")
	} else {
		v.address("listen", v.c.Listen)
	}
	if v.c.Operations.Listen == "" {
		return
	}
	v.address("operations.listen", v.c.Operations.Listen)
	if v.c.Operations.Listen == v.c.Listen && !strings.HasSuffix(v.c.Listen, ":0") {
		v.fail("operations.listen", "this is the address of the public listener", "choose another port")
	}
}

func (v *validator) address(key, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		v.fail(key, fmt.Sprintf("%q is not an address with a port", address), "write it like 127.0.0.1:8080, [::1]:8080 or :8080")
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		v.fail(key, fmt.Sprintf("%q is not a port", port), "write a number from 1 to 65535 after the colon")
	}
	if strings.ContainsAny(host, " /@") {
		v.fail(key, fmt.Sprintf("%q is not a host", host), "write an address of this machine before the colon, or nothing for all")
	}
}

func (v *validator) tls() {
	t := v.c.TLS
	switch {
	case !t.Enabled():
	case t.Certificate == "":
		v.fail("tls.certificate", "there is a key without a certificate", "name the file with the certificate chain, or remove tls.key")
	case t.Key == "":
		v.fail("tls.key", "there is a certificate without a key", "name the file with its private key, or remove tls.certificate")
	default:
		if _, err := os.ReadFile(t.Certificate); err != nil {
			v.fail("tls.certificate", "the file cannot be read: "+err.Error(), "correct the path, or make it readable for this user")
		} else if _, err := os.ReadFile(t.Key); err != nil {
			v.fail("tls.key", "the file cannot be read: "+err.Error(), "correct the path, or make it readable for this user")
		} else if _, err := tls.LoadX509KeyPair(t.Certificate, t.Key); err != nil {
			v.fail("tls.certificate", "certificate and key do not work together: "+err.Error(), "use the key that the certificate was made for, both as PEM")
		}
	}
	if t.Enabled() && strings.HasPrefix(v.c.Issuer, "http://") {
		v.fail("issuer", "the listener speaks TLS, but the issuer is http", "write https:// in the issuer, or remove tls")
	}
}

func (v *validator) mutualTLS() {
	m := v.c.MutualTLS
	if m.Host != "" && (strings.ContainsAny(m.Host, ":/@ ") || strings.ToLower(m.Host) != m.Host) {
		v.fail("mutual_tls.host", fmt.Sprintf("%q is not a host name", m.Host), "write the name alone, in small letters, like mtls.id.example.com")
	}
	switch {
	case m.Header != "" && len(v.c.TrustedProxies) == 0:
		v.fail("mutual_tls.header", "nobody is trusted to set this header", "name the proxy in trusted_proxies, or remove mutual_tls.header")
	case m.Header != "" && v.c.TLS.Enabled():
		v.fail("mutual_tls.header", "this listener speaks TLS itself, so it sees the certificates", "remove mutual_tls.header, or remove tls")
	case m.Host != "" && m.Header == "" && !v.c.TLS.Enabled():
		v.fail("mutual_tls.host", "neither this listener nor a proxy sees certificates", "set tls.certificate and tls.key, or mutual_tls.header")
	case m.CA != "" && !m.Enabled():
		v.fail("mutual_tls.ca", "certificates are not asked for", "set mutual_tls.host or mutual_tls.header, or remove mutual_tls.ca")
	}
	if m.CA == "" {
		return
	}
	if raw, err := os.ReadFile(m.CA); err != nil {
		v.fail("mutual_tls.ca", "the file cannot be read: "+err.Error(), "correct the path, or make it readable for this user")
	} else if !x509.NewCertPool().AppendCertsFromPEM(raw) {
		v.fail("mutual_tls.ca", "there is no certificate in the file", "put the certificates of the authorities into it, as PEM")
	}
}

func (v *validator) store() {
	if v.c.DataDir == "" {
		v.fail("data", "there is no data folder", "name a folder of this machine, like /var/lib/anteroom")
	} else if info, err := os.Stat(v.c.DataDir); err == nil && !info.IsDir() {
		v.fail("data", v.c.DataDir+" is a file", "name a folder")
	}
	if key := v.c.MasterKey.Reveal(); key != "" {
		if _, ok := decodeKeyText(key); !ok {
			v.fail("master_key", "it "+notKeyText, "restore it from your backup; for a new database, make one with: openssl rand -base64 32")
		}
		if v.c.MasterKeyFile != "" {
			v.fail("master_key", "master_key_file is set as well", "keep one of the two")
		}
	}
	const fix = "write bolt: and the path of the database file, postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full, or remove the key"
	kind, rest, _ := strings.Cut(v.c.Store.Reveal(), ":")
	switch {
	case v.c.Store == "":
	case v.c.PostgresDSN() != "":
		v.postgres()
	case kind != "bolt":
		v.fail("store", "this is neither a file nor a PostgreSQL database", fix)
	case rest == "":
		v.fail("store", "the path is missing", fix)
	}
}

// postgres looks at the connection string without quoting it: a password is
// somewhere in it. The rest is said when the store is opened.
func (v *validator) postgres() {
	u, err := url.Parse(v.c.PostgresDSN())
	switch {
	case err != nil:
		v.fail("store", "the connection string cannot be read", "percent-encode special characters of the password: @ is %40, / is %2F, # is %23, % is %25")
	case strings.Trim(u.Path, "/") == "":
		v.fail("store", "the connection string names no database", "write it as postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full")
	}
}

func (v *validator) smtp() {
	s := v.c.SMTP
	if s.Host == "" {
		for key, value := range map[string]string{"smtp.username": s.UserName, "smtp.password": s.Password.Reveal()} {
			if value != "" {
				v.fail(key, "there is no mail server to sign in to", "set smtp.host, or remove this key")
			}
		}
	} else if strings.ContainsAny(s.Host, " /@") || strings.Contains(s.Host, ":") && !strings.Contains(s.Host, "::") {
		v.fail("smtp.host", fmt.Sprintf("%q is not a host name", s.Host), "write the name alone; the port has its own key, smtp.port")
	}
	if s.Host != "" && s.From == "" {
		v.fail("smtp.from", "mails have no sender", "write the address that they come from")
	}
	for key, value := range map[string]string{"smtp.from": s.From, "smtp.reply_to": s.ReplyTo} {
		if _, err := mail.ParseAddress(value); value != "" && err != nil {
			v.fail(key, fmt.Sprintf("%q is not an e-mail address", value), "write it like no-reply@example.com or Name <no-reply@example.com>")
		}
	}
	if s.UserName == "" && s.Password != "" && s.Host != "" {
		v.fail("smtp.username", "there is a password without a user name", "add the user name, or remove the password")
	}
	if s.UserName != "" && s.Security == SecurityNone && !loopback(s.Host) {
		v.fail("smtp.security", "the password would travel unprotected", "write starttls or tls")
	}
}

// relations checks settings against each other.
func (v *validator) relations() {
	c := v.c
	if c.Keys.PublishAhead >= c.Keys.RotateEvery {
		v.fail("keys.publish_ahead", "a key would be replaced before it signs", "write less than keys.rotate_every")
	}
	if c.Lifetimes.RefreshToken <= c.Lifetimes.AccessToken {
		v.fail("lifetimes.refresh_token", "it ends before the access token that it renews", "write more than lifetimes.access_token")
	}
}

var colour = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

func (v *validator) product() {
	p := v.c.Product
	if strings.TrimSpace(p.Name) == "" {
		v.fail("product.name", "the service has no name", "write the name that people know it by")
	}
	for key, value := range map[string]string{"product.name": p.Name, "product.totp_issuer": p.TOTPIssuer} {
		if len([]rune(value)) > 64 {
			v.fail(key, "the name is longer than 64 characters", "shorten it")
		}
	}
	// A colon separates issuer and account in the label of an otpauth link.
	if strings.Contains(p.IssuerLabel(), ":") {
		v.fail("product.totp_issuer", "authenticator apps cannot show a name with a colon", "choose a name without one")
	}
	if p.Colour != "" && !colour.MatchString(p.Colour) {
		v.fail("product.colour", fmt.Sprintf("%q is not a colour", p.Colour), `write it like "#1f5fbf", in quotes`)
	}
	if u, err := url.Parse(p.LogoURL); p.LogoURL != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		v.fail("product.logo_url", fmt.Sprintf("%q is not an https URL", p.LogoURL), "write it like https://www.example.com/logo.svg")
	}
}
