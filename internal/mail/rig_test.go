package mail

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	netmail "net/mail"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/internal/seal"
	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/templates"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// server is a real mail server in this process.
type server struct {
	host string
	port int
	pool *x509.CertPool

	mu       sync.Mutex
	taken    []taken
	signedIn []string // how
	lines    int      // connections
	open     int
	refuse   func(from, to string) error // at RCPT
	data     func() error                // before a message is taken
}

// taken is a message that the server took.
type taken struct {
	from, to string
	raw      string
	tls      bool
}

const user, password = "anteroom", "a long password"

type serverOptions struct {
	tls      bool     // STARTTLS is offered
	implicit bool     // TLS from the first byte
	auth     []string // mechanisms
}

func newServer(t *testing.T, o serverOptions) *server {
	t.Helper()
	s := &server{host: "127.0.0.1"}
	cert, pool := certificate(t)
	s.pool = pool
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lines++
		s.open++
		return &session{server: s, conn: c, mechanisms: o.auth}, nil
	}))
	srv.Domain = "mail.acme.example"
	srv.AllowInsecureAuth = true
	srv.EnableSMTPUTF8 = true
	srv.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if o.tls {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	if o.implicit {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return s
}

func (s *server) messages() []taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]taken(nil), s.taken...)
}

func (s *server) set(change func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// config reaches the server without protection.
func (s *server) config() SMTP {
	return SMTP{
		Host: s.host, Port: s.port, Security: NoTLS, From: "Anteroom <no-reply@acme.example>",
		Timeout: 5 * time.Second, TLS: &tls.Config{RootCAs: s.pool},
	}
}

type session struct {
	*server
	conn       *smtp.Conn
	mechanisms []string
	from, to   string
	who        bool
}

func (s *session) AuthMechanisms() []string { return s.mechanisms }

func (s *session) Auth(mech string) (sasl.Server, error) {
	in := func(u, p string) error {
		if u != user || p != password {
			return smtp.ErrAuthFailed
		}
		s.who = true
		s.set(func(s *server) { s.signedIn = append(s.signedIn, mech) })
		return nil
	}
	switch mech {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, u, p string) error { return in(u, p) }), nil
	case sasl.Login:
		return &loginServer{check: in}, nil
	case "CRAM-MD5":
		return &cramServer{check: in}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if len(s.mechanisms) > 0 && !s.who {
		return smtp.ErrAuthRequired
	}
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mu.Lock()
	refuse := s.refuse
	s.mu.Unlock()
	if refuse != nil {
		if err := refuse(s.from, to); err != nil {
			return err
		}
	}
	s.to = to
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	data := s.data
	s.mu.Unlock()
	if data != nil {
		if err := data(); err != nil {
			return err
		}
	}
	_, secure := s.conn.TLSConnectionState()
	s.set(func(srv *server) { srv.taken = append(srv.taken, taken{s.from, s.to, string(raw), secure}) })
	return nil
}

func (s *session) Reset() { s.from, s.to = "", "" }

func (s *session) Logout() error {
	s.set(func(s *server) { s.open-- })
	return nil
}

// loginServer is the server side of AUTH LOGIN.
type loginServer struct {
	check func(u, p string) error
	user  string
	turn  int
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	l.turn++
	switch l.turn {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(response))
}

// cramServer is the server side of AUTH CRAM-MD5 (RFC 2195).
type cramServer struct {
	check func(u, p string) error
	asked bool
}

func (c *cramServer) Next(response []byte) ([]byte, bool, error) {
	const challenge = "<1896.697170952@acme.example>"
	if !c.asked {
		c.asked = true
		return []byte(challenge), false, nil
	}
	name, digest, _ := strings.Cut(string(response), " ")
	mac := hmac.New(md5.New, []byte(password))
	mac.Write([]byte(challenge))
	if digest != hex.EncodeToString(mac.Sum(nil)) {
		return nil, true, smtp.ErrAuthFailed
	}
	return nil, true, c.check(name, password)
}

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// rig is an outbox on a real store, with a clock of its own.
type rig struct {
	*Outbox
	db  *bolt.Store
	log *logged

	mu  sync.Mutex
	now time.Time
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

// logged keeps what was logged.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	keys, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := templates.NewRenderer()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{db: db, log: &logged{}, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	r.Outbox = &Outbox{Store: db, Seal: keys, Pages: pages, Now: r.clock}
	return r
}

func (r *rig) sender(config SMTP) *Sender {
	return NewSender(SenderOptions{
		Store: r.db, Seal: r.Seal, Now: r.clock, SMTP: config,
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Random: func() float64 { return 0.5 },
	})
}

// once sends what is due now.
func (r *rig) once(s *Sender) { s.drain(context.Background(), context.Background()) }

var testMail = templates.RecoveryCodeUsedMail{
	MailFrame: templates.MailFrame{Name: "Ann Ångström", Portal: "Partner Analytics", Issuer: "https://id.example.com"},
	At:        time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Left: 9,
}

func (r *rig) enqueue(t *testing.T, to string) {
	t.Helper()
	if err := r.Enqueue(context.Background(), to, testMail); err != nil {
		t.Fatalf("enqueue: %v", err)
	}
}

func (r *rig) pending(t *testing.T) []store.OutboxMessage {
	t.Helper()
	rows, _, err := r.db.PendingMail(context.Background(), store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func parse(t *testing.T, raw string) *netmail.Message {
	t.Helper()
	m, err := netmail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatalf("%v in\n%s", err, raw)
	}
	return m
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

var errRolledBack = errors.New("rolled back on purpose")
