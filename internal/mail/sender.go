package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"anteroom/internal/seal"
	"anteroom/store"

	gomail "github.com/wneessen/go-mail"
)

// SenderOptions configure a Sender. Log and Random may be left out.
type SenderOptions struct {
	Store  store.Outbox
	Seal   *seal.Keyring
	Now    func() time.Time
	Log    *slog.Logger
	SMTP   SMTP
	Random func() float64 // in [0, 1), for the jitter of retries
}

const (
	workers   = 2 // a slow answer to one message does not hold up all others
	batch     = 4
	pollEvery = 15 * time.Second // finds what other nodes left, and what is due again
	grace     = 10 * time.Second // for a message that is being sent when the node stops
)

// glances are the pauses between looks at the outbox after a Wake: it is called
// before the commit that makes the message visible, and that may take a moment.
var glances = []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond, 2 * time.Second}

// Sender sends what is in the outbox. Several may run, on any nodes: a message
// is claimed by one of them at a time.
type Sender struct {
	o    SenderOptions
	wake chan struct{}

	mu   sync.Mutex
	sent map[string]bool // sent, but the store could not be told
}

// NewSender returns a Sender. A wrong SMTP configuration is reported by
// SMTP.Validate; Run logs it and sends nothing.
func NewSender(o SenderOptions) *Sender {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return &Sender{o: o, wake: make(chan struct{}, 1), sent: map[string]bool{}}
}

// Wake makes Run look at the outbox soon. It never blocks.
func (s *Sender) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run sends until ctx ends; a message on its way then has ten seconds.
func (s *Sender) Run(ctx context.Context) {
	if s.o.SMTP.Host == "" {
		s.o.Log.DebugContext(ctx, "no mail server is configured: messages wait in the outbox until there is one")
		<-ctx.Done()
		return
	}
	if err := s.o.SMTP.Validate(); err != nil {
		s.o.Log.ErrorContext(ctx, "the mail server is configured wrongly: messages wait in the outbox", "error", oneLine(err.Error()))
		<-ctx.Done()
		return
	}
	var all sync.WaitGroup
	for range workers {
		all.Go(func() { s.work(ctx) })
	}
	all.Wait()
}

// work is one worker: it sends while there is something, then waits.
func (s *Sender) work(ctx context.Context) {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()

	timer := time.NewTimer(0)
	defer timer.Stop()
	glance := len(glances)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			glance = 0
		case <-timer.C:
		}
		if s.drain(ctx, sending) {
			glance = len(glances)
		}
		pause := pollEvery
		if glance < len(glances) {
			pause = glances[glance]
			glance++
		}
		timer.Reset(pause)
	}
}

// drain sends batches over one line until nothing is due, and tells whether
// there was anything. ctx ends the claiming, sending ends the line.
func (s *Sender) drain(ctx, sending context.Context) (found bool) {
	var l *line
	defer func() {
		if l != nil {
			l.close()
		}
	}()
	lease := batch*2*s.o.SMTP.Timeout + time.Minute
	for ctx.Err() == nil {
		due, err := s.o.Store.ClaimMail(ctx, store.Time(s.o.Now()), lease, batch)
		if err != nil {
			if ctx.Err() == nil {
				s.o.Log.WarnContext(ctx, "claim mail", "error", err)
			}
			return found
		}
		if len(due) == batch {
			s.Wake() // there may be more than one worker can do
		}
		for _, m := range due {
			if ctx.Err() != nil {
				return found // what is left is free again when its lease is over
			}
			l = s.deliver(sending, l, m)
			found = true
		}
		if len(due) < batch {
			return found
		}
	}
	return found
}

// deliver sends one message over l, or over a new line if it is nil, records how
// it went, and returns the line if it can be used again.
func (s *Sender) deliver(ctx context.Context, l *line, m store.OutboxMessage) *line {
	log := s.o.Log.With("message", m.ID, "kind", m.Kind)
	if s.known(m.ID) {
		s.done(ctx, log, m)
		return l
	}
	l, err := s.send(ctx, l, m)
	if err == nil {
		s.done(ctx, log, m)
		return l
	}
	now := store.Time(s.o.Now())
	next := nextTry(m, err, now, s.o.Random())
	why := reason(err)
	if next.IsZero() {
		log.ErrorContext(ctx, "mail given up", "tries", m.Attempts+1, "error", why)
	} else {
		log.WarnContext(ctx, "mail not sent", "tries", m.Attempts+1, "next", next, "error", why)
	}
	if err := s.o.Store.MailFailed(ctx, m.ID, why, now, next); err != nil && !errors.Is(err, store.ErrNotFound) {
		log.ErrorContext(ctx, "record failed mail", "error", err)
	}
	return l
}

// send sends one message and returns the line if it is still good.
func (s *Sender) send(ctx context.Context, l *line, m store.OutboxMessage) (*line, error) {
	text, err := open(s.o.Seal, m)
	if err != nil {
		return l, err
	}
	msg, err := s.o.SMTP.compose(m.ID, m.To, text, s.o.Now())
	if err != nil {
		return l, err
	}
	if l != nil {
		err := l.send(msg)
		if err == nil {
			return l, nil
		}
		l.close() // after a refusal its state is not worth guessing
		if !hungUp(err) {
			return nil, err
		}
	}
	if l, err = s.o.SMTP.connect(ctx); err != nil {
		return nil, err
	}
	if err := l.send(msg); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// hungUp: the server closed the line before it heard of the message.
func hungUp(err error) bool {
	refused, ok := errors.AsType[*gomail.SendError](err)
	return ok && refused.Reason == gomail.ErrConnCheck
}

// done removes a sent message. If the store cannot do that now, this node at
// least does not send it again.
func (s *Sender) done(ctx context.Context, log *slog.Logger, m store.OutboxMessage) {
	err := s.o.Store.MailSent(ctx, m.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || errors.Is(err, store.ErrNotFound) {
		delete(s.sent, m.ID)
		log.InfoContext(ctx, "mail sent", "tries", m.Attempts+1)
		return
	}
	s.sent[m.ID] = true
	log.ErrorContext(ctx, "mail sent, but not recorded", "error", err)
}

func (s *Sender) known(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent[id]
}

// Test sends a short message to to at once, past the outbox, and returns what
// the mail server said. Errors are for the operator.
func (s *Sender) Test(ctx context.Context, to string) error {
	if s.o.SMTP.Host == "" {
		return errors.New("no mail server is configured (smtp.host)")
	}
	if err := s.o.SMTP.Validate(); err != nil {
		return fmt.Errorf("the mail server is configured wrongly: %w", err)
	}
	address, err := Address(to)
	if err != nil {
		return err
	}
	m, err := s.o.SMTP.compose(seal.RandomID(), address, letter{
		Subject: "Test message",
		Text:    "This is a test message. The mail server of the sign-in service is set up: messages arrive.\r\n",
	}, s.o.Now())
	if err != nil {
		return err
	}
	l, err := s.o.SMTP.connect(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", s.o.SMTP, err)
	}
	defer l.close()
	if err := l.send(m); err != nil {
		return fmt.Errorf("%s: %w", s.o.SMTP, err)
	}
	return nil
}
