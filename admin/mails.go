package admin

import (
	"errors"
	"net/http"
	"time"

	"anteroom/store"
)

// OutboxMessage is a mail that waits, or was given up. Its text is sealed: it
// holds links that let people in.
type OutboxMessage struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind"`
	To          string    `json:"to"`
	CreatedAt   time.Time `json:"created_at"`
	NextAttempt time.Time `json:"next_attempt,omitzero"`
	Attempts    int       `json:"attempts"`
	LastError   string    `json:"last_error"`
	GivenUpAt   time.Time `json:"given_up_at,omitzero"`
}

// TestMail asks for a test message.
type TestMail struct {
	To string `json:"to,omitempty"`
}

func (a *API) listMail(c call) (List[OutboxMessage], error) {
	p, err := page(c)
	if err != nil {
		return List[OutboxMessage]{}, err
	}
	rows, next, err := a.Store.PendingMail(c.ctx, p)
	return list(rows, next, func(m store.OutboxMessage) OutboxMessage {
		return OutboxMessage{m.ID, m.Kind, m.To, m.CreatedAt, m.NextAttempt, m.Attempts, m.LastError, m.GivenUpAt}
	}), err
}

// testMail answers with what the mail server said: the operator set it up.
func (a *API) testMail(c call, in TestMail) (Done, error) {
	var found mistakes
	found.email("to", in.To)
	if err := found.problem(); err != nil {
		return Done{}, err
	}
	if err := a.Mail.Test(c.ctx, in.To); err != nil {
		if errors.Is(err, store.ErrUnavailable) {
			return Done{}, err
		}
		p := problem(http.StatusBadGateway, "mail", "The message was not sent: "+err.Error())
		p.cause = err
		return Done{}, p
	}
	return done("A test message was handed to the mail server for %s.", in.To)
}
