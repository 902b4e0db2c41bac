package mail

import (
	"context"
	"encoding/json"
	"fmt"
	"net/mail"
	"strings"
	"time"

	"anteroom/internal/seal"
	"anteroom/store"
	"anteroom/templates"

	"golang.org/x/net/idna"
)

// sealPurpose separates sealed messages from everything else that the master
// key seals; their owner is the message's id.
const sealPurpose = "mail"

// Outbox takes messages. Wake, which may be nil, is called after each; it is
// Sender.Wake of the node's own sender.
type Outbox struct {
	Store store.Outbox
	Seal  *seal.Keyring
	Pages *templates.Renderer
	Now   func() time.Time
	Wake  func()
}

// letter is a message as it is sealed.
type letter struct {
	Subject string
	Text    string
	HTML    string
}

// Enqueue renders m, seals it and stores it for to, in the unit of work of ctx.
// Returns store.ErrInvalid if to is not one plain e-mail address.
func (o *Outbox) Enqueue(ctx context.Context, to string, m templates.Mail) error {
	address, err := Address(to)
	if err != nil {
		return err
	}
	kind := templates.MailName(m)
	rendered, err := o.Pages.Mail(m)
	if err != nil {
		return fmt.Errorf("render mail %q: %w", kind, err)
	}
	plain, err := json.Marshal(letter(rendered))
	if err != nil {
		return fmt.Errorf("encode mail %q: %w", kind, err)
	}
	id, now := seal.RandomID(), store.Time(o.Now())
	err = o.Store.EnqueueMail(ctx, store.OutboxMessage{
		ID: id, Kind: kind, To: address, Sealed: o.Seal.Seal(sealPurpose, id, plain),
		CreatedAt: now, Delivery: store.Delivery{NextAttempt: now},
	})
	if err != nil {
		return fmt.Errorf("enqueue mail %q: %w", kind, err)
	}
	if o.Wake != nil {
		o.Wake()
	}
	return nil
}

// open returns what Enqueue sealed.
func open(k *seal.Keyring, m store.OutboxMessage) (letter, error) {
	plain, err := k.Open(sealPurpose, m.ID, m.Sealed)
	if err != nil {
		return letter{}, fmt.Errorf("open message: %w", err)
	}
	var l letter
	if err := json.Unmarshal(plain, &l); err != nil {
		return letter{}, fmt.Errorf("decode message: %w", err)
	}
	return l, nil
}

// maxAddress is the longest address that SMTP carries (RFC 5321 section 4.5.3.1.3).
const maxAddress = 254

// Address checks that s is one e-mail address without a name and returns it as
// it is sent to: a domain of other scripts in its ASCII form (RFC 5891), which
// every mail server understands. What could end a line of the protocol or of the
// header never passes. Returns store.ErrInvalid.
func Address(s string) (string, error) {
	bad := func(why string) error { return fmt.Errorf("e-mail address %q %s: %w", s, why, store.ErrInvalid) }
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", bad("contains control characters")
	}
	parsed, err := mail.ParseAddress(s)
	if err != nil || parsed.Name != "" || strings.ContainsAny(s, "<>\"() ") {
		return "", bad("is not a plain address")
	}
	at := strings.LastIndexByte(parsed.Address, '@')
	local, domain := parsed.Address[:at], parsed.Address[at+1:]
	if !strings.HasPrefix(domain, "[") {
		if domain, err = idna.Lookup.ToASCII(domain); err != nil {
			return "", bad("has no valid domain")
		}
	}
	if address := local + "@" + domain; len(address) <= maxAddress {
		return address, nil
	}
	return "", bad("is too long")
}
