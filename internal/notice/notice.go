// Package notice knows which clients are told that a session ended, and puts the
// notices into their outbox in the same unit of work (OpenID Connect
// Back-Channel Logout, Front-Channel Logout). Package provider delivers them.
package notice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"anteroom/internal/seal"
	"anteroom/store"
)

// Client metadata of OpenID Connect Back-Channel Logout section 2.2 and
// Front-Channel Logout section 2.
const (
	BackChannelURI  = "backchannel_logout_uri"
	FrontChannelURI = "frontchannel_logout_uri"
)

// Store is what is needed to find out whom to tell.
type Store interface {
	store.Clients
	store.Grants
	store.Notices
}

// URI returns where a client wants to be told, "" if it does not.
func URI(c store.Client, setting string) string {
	uri, _ := c.Settings[setting].(string)
	return uri
}

// Wants tells whether a client wants to be told of ended sessions at all.
func Wants(c store.Client) bool {
	return URI(c, BackChannelURI) != "" || URI(c, FrontChannelURI) != ""
}

// Clients returns the clients that hold a live grant of a session, by id. Those
// that were disabled are among them: what their users see is a session that has
// ended, too.
func Clients(ctx context.Context, s Store, sessionID string, now time.Time) ([]store.Client, error) {
	grants, err := s.GrantsOf(ctx, store.GrantFilter{SessionID: sessionID}, now)
	if err != nil {
		return nil, fmt.Errorf("grants of session: %w", err)
	}
	var ids []string
	for _, g := range grants {
		ids = append(ids, g.ClientID)
	}
	slices.Sort(ids)
	var clients []store.Client
	for _, id := range slices.Compact(ids) {
		c, err := s.Client(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("load client %q: %w", id, err)
		}
		clients = append(clients, c)
	}
	return clients, nil
}

// Tell enqueues a notice for every client of the session that wants one. Call it
// in the unit of work that ends the session, before its grants are revoked.
func Tell(ctx context.Context, s Store, session store.Session, now time.Time) error {
	clients, err := Clients(ctx, s, session.ID, now)
	if err != nil {
		return err
	}
	for _, c := range clients {
		if URI(c, BackChannelURI) == "" {
			continue
		}
		err := s.EnqueueNotice(ctx, store.Notice{
			ID: seal.RandomID(), ClientID: c.ID, AccountID: session.AccountID, SessionID: session.ID,
			CreatedAt: now, Delivery: store.Delivery{NextAttempt: now},
		})
		if err != nil {
			return fmt.Errorf("enqueue notice to %q: %w", c.ID, err)
		}
	}
	return nil
}
