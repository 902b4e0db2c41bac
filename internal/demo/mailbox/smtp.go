package mailbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/mail"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// Server returns an SMTP server (RFC 5321) that puts everything into m. It asks
// for no authentication and offers no TLS: listen on loopback only.
func (m *Mailbox) Server(log *slog.Logger) *smtp.Server {
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{box: m, log: log}, nil
	}))
	s.Domain = "localhost"
	s.MaxMessageBytes = 1 << 20
	s.MaxRecipients = 20
	s.ReadTimeout = time.Minute
	s.WriteTimeout = time.Minute
	s.EnableSMTPUTF8 = true
	s.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	return s
}

// Serve runs the server on l until l is closed.
func (m *Mailbox) Serve(l net.Listener, log *slog.Logger) error {
	err := m.Server(log).Serve(l)
	if errors.Is(err, smtp.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// session is one SMTP dialogue.
type session struct {
	box  *Mailbox
	log  *slog.Logger
	from string
	to   []string
}

func (s *session) Reset()        { s.from, s.to = "", nil }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	address, err := mail.ParseAddress(to)
	if err != nil || !strings.Contains(address.Address, "@") {
		return &smtp.SMTPError{Code: 501, EnhancedCode: smtp.EnhancedCode{5, 1, 3}, Message: "This is not an address"}
	}
	s.to = append(s.to, address.Address)
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := parse(bytes.NewReader(raw))
	if err != nil {
		s.log.Warn("mail refused", "error", err.Error())
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "The message cannot be read"}
	}
	m.At, m.From = time.Now().UTC().Truncate(time.Second), s.from
	copies := make([]Message, 0, len(s.to))
	for _, to := range s.to {
		m.To = to
		copies = append(copies, m)
	}
	if err := s.box.add(copies...); err != nil {
		return fmt.Errorf("keep the message: %w", err)
	}
	return nil
}
