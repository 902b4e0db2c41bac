package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// How the connection to the mail server is protected.
const (
	StartTLS      = "starttls"      // STARTTLS is required (RFC 3207)
	ImplicitTLS   = "tls"           // TLS from the first byte (RFC 8314)
	Opportunistic = "opportunistic" // STARTTLS if it is offered: no protection against an active attacker
	NoTLS         = "none"          // for a mail server on the same host
)

// How to sign in to the mail server.
const (
	AuthAuto    = "" // whatever the server offers; a password never travels unencrypted, except to localhost
	AuthPlain   = "plain"
	AuthLogin   = "login"
	AuthCRAMMD5 = "cram-md5"
)

// SMTP says how to reach the mail server. Host "": messages wait in the outbox.
type SMTP struct {
	Host     string
	Port     int
	Security string // StartTLS, ImplicitTLS, Opportunistic or NoTLS
	Auth     string // AuthAuto, AuthPlain, AuthLogin or AuthCRAMMD5
	UserName string // empty: the server asks for none
	Password string
	From     string        // RFC 5322 address, with or without a name
	ReplyTo  string        // the same; may be empty
	Timeout  time.Duration // for connecting, and for each message
	TLS      *tls.Config   // nil: the system's certificate authorities
}

// String and LogValue keep the password out of logs.
func (s SMTP) String() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// GoString is String: %#v would show the password.
func (s SMTP) GoString() string { return s.String() }

// LogValue is String.
func (s SMTP) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Validate reports every mistake at once (errors.Join), nil if there is none or
// no mail server is configured.
func (s SMTP) Validate() error {
	if s.Host == "" {
		return nil
	}
	var mistakes []error
	wrong := func(format string, args ...any) { mistakes = append(mistakes, fmt.Errorf(format, args...)) }
	if strings.ContainsAny(s.Host, " /@\r\n") {
		wrong("host: %q is not a host name", s.Host)
	}
	if s.Port < 1 || s.Port > 65535 {
		wrong("port: %d is not a port; 587 is usual with STARTTLS, 465 with TLS", s.Port)
	}
	switch s.Security {
	case StartTLS, ImplicitTLS, Opportunistic, NoTLS:
	default:
		wrong("security: %q is none of starttls, tls, opportunistic, none", s.Security)
	}
	switch s.Auth {
	case AuthAuto, AuthPlain, AuthLogin, AuthCRAMMD5:
	default:
		wrong("auth: %q is none of plain, login, cram-md5", s.Auth)
	}
	if s.UserName == "" && (s.Password != "" || s.Auth != AuthAuto) {
		wrong("username: is missing")
	}
	if s.UserName != "" && s.Password == "" {
		wrong("password: is missing")
	}
	if _, err := mailbox(s.From); err != nil {
		wrong("from: %q is not an e-mail address", s.From)
	}
	if s.ReplyTo != "" {
		if _, err := mailbox(s.ReplyTo); err != nil {
			wrong("reply_to: %q is not an e-mail address", s.ReplyTo)
		}
	}
	if s.Timeout <= 0 {
		wrong("timeout: has to be more than 0")
	}
	return errors.Join(mistakes...)
}

// options translates for go-mail.
func (s SMTP) options() []gomail.Option {
	o := []gomail.Option{gomail.WithPort(s.Port), gomail.WithTimeout(s.Timeout)}
	switch s.Security {
	case ImplicitTLS:
		o = append(o, gomail.WithSSL())
	case StartTLS:
		o = append(o, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case Opportunistic:
		o = append(o, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	default:
		o = append(o, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if s.UserName == "" {
		return o
	}
	o = append(o, gomail.WithUsername(s.UserName), gomail.WithPassword(s.Password))
	switch s.Auth {
	case AuthPlain:
		return append(o, gomail.WithSMTPAuth(gomail.SMTPAuthPlain))
	case AuthLogin:
		return append(o, gomail.WithSMTPAuth(gomail.SMTPAuthLogin))
	case AuthCRAMMD5:
		return append(o, gomail.WithSMTPAuth(gomail.SMTPAuthCramMD5))
	}
	if s.Security == StartTLS || s.Security == ImplicitTLS {
		return append(o, gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthPlain, gomail.SMTPAuthLogin, gomail.SMTPAuthCramMD5))
	}
	// Without TLS the mechanism that does not send the password comes first.
	// PLAIN and LOGIN of go-mail refuse to go on unencrypted, except to localhost.
	return append(o, gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthCramMD5, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
}

func (s SMTP) tlsConfig() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.TLS != nil {
		c = s.TLS.Clone()
	}
	if c.ServerName == "" {
		c.ServerName = s.Host
	}
	return c
}

// line is an open connection to the mail server, signed in.
type line struct {
	client *gomail.Client
	smtp   *smtp.Client
	conn   net.Conn
	stop   func() bool
}

// errConnect: the mail server could not be reached, or did not let us in. It is
// no message's fault.
type errConnect struct{ cause error }

func (e *errConnect) Error() string { return "connect: " + e.cause.Error() }
func (e *errConnect) Unwrap() error { return e.cause }

// connect opens a line. It ends with ctx, or when it is closed.
func (s SMTP) connect(ctx context.Context) (*line, error) {
	l := &line{}
	secure := s.tlsConfig()
	dial := func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		// IPv6 addresses need brackets, which go-mail does not write.
		address = net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
		if s.Security == ImplicitTLS {
			conn, err = (&tls.Dialer{Config: secure}).DialContext(ctx, network, address)
		} else {
			conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		}
		l.conn = conn
		return conn, err
	}
	options := append(s.options(), gomail.WithDialContextFunc(dial), gomail.WithTLSConfig(secure))
	client, err := gomail.NewClient(s.Host, options...)
	if err != nil {
		return nil, &errConnect{err}
	}
	l.client = client
	if l.smtp, err = client.DialToSMTPClientWithContext(ctx); err != nil {
		if l.conn != nil {
			_ = l.conn.Close() // go-mail leaves it open after a failed greeting or sign-in
		}
		return nil, &errConnect{err}
	}
	l.stop = context.AfterFunc(ctx, func() { _ = l.conn.Close() })
	return l, nil
}

// send sends one message. A message that the server took is sent, whatever goes
// wrong on the line afterwards.
func (l *line) send(m *gomail.Msg) error {
	err := l.client.SendWithSMTPClient(l.smtp, m)
	if m.IsDelivered() {
		return nil
	}
	return err
}

// close says goodbye; what the server answers does not matter any more.
func (l *line) close() {
	l.stop()
	_ = l.client.CloseWithSMTPClient(l.smtp)
	_ = l.conn.Close()
}
