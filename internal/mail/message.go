package mail

import (
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"
)

// compose makes the message that is sent: text and HTML as alternatives. id
// makes the Message-ID, so that a message sent twice is the same message.
func (s SMTP) compose(id, to string, l letter, now time.Time) (*gomail.Msg, error) {
	from, err := mailbox(s.From)
	if err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(from)
	m.ToMailAddress(&mail.Address{Address: to})
	if s.ReplyTo != "" {
		reply, err := mailbox(s.ReplyTo)
		if err != nil {
			return nil, fmt.Errorf("reply address: %w", err)
		}
		m.ReplyToMailAddress(reply)
	}
	m.Subject(oneLine(l.Subject))
	m.SetDateWithValue(now)
	m.SetMessageIDWithValue(id + "@" + from.Address[strings.LastIndexByte(from.Address, '@')+1:])
	// Nobody's out-of-office note should come back (RFC 3834 section 5, and
	// Exchange's own way of asking for it).
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader("X-Auto-Response-Suppress", "All")
	m.SetBodyString(gomail.TypeTextPlain, l.Text)
	if l.HTML != "" {
		m.AddAlternativeString(gomail.TypeTextHTML, l.HTML)
	}
	return m, nil
}

// mailbox parses an address that may have a name; what is sent is as Address
// returns it.
func mailbox(s string) (*mail.Address, error) {
	parsed, err := mail.ParseAddress(s)
	if err != nil {
		return nil, fmt.Errorf("%q is not an e-mail address", s)
	}
	if parsed.Address, err = Address(parsed.Address); err != nil {
		return nil, err
	}
	return parsed, nil
}

// oneLine keeps what comes from outside (a portal's name) from writing header
// lines.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
}
