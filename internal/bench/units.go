package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"anteroom/store"
	"anteroom/store/postgres"
)

// units are what refresh and code exchange read and write, at the store itself:
// what of their time is the database's, without HTTP and signatures.
type units struct {
	store *postgres.Store
	now   time.Time
	codes chan string
	leaf  []int // of each client's family
}

const unitsConns = maxClients

func openUnits(ctx context.Context, dsn string) (*units, error) {
	s, err := postgres.Open(ctx, dsn, postgres.Options{MaxConns: unitsConns, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	u := &units{store: s, now: time.Now(), leaf: make([]int, maxClients)}
	if err := u.moveIn(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return u, nil
}

// unitsApp is the application whose people the units are about.
const unitsApp = "units"

// moveIn makes an account for each client, with access, a session, and a family
// of tokens.
func (u *units) moveIn(ctx context.Context) error {
	if err := u.store.CreateApplication(ctx, store.Application{ID: unitsApp}); err != nil {
		return err
	}
	for i := range maxClients {
		id := u.family(i)
		err := errors.Join(
			u.store.CreateAccount(ctx, store.Account{ID: id, UserName: id, Email: id + "@acme.example", State: store.AccountActive, CreatedAt: u.now}),
			u.store.PutAssignment(ctx, store.Assignment{AccountID: id, ApplicationID: unitsApp, State: store.AssignmentActive}),
			u.store.CreateSession(ctx, store.Session{ID: id, TokenHash: id, AccountID: id, CreatedAt: u.now, ExpiresAt: u.now.Add(time.Hour)}),
			u.store.CreateGrant(ctx, u.grant(id, i)),
			u.store.CreateRefreshToken(ctx, u.token(i)))
		if err != nil {
			return err
		}
	}
	return nil
}

// grant is one of the account of a client.
func (u *units) grant(id string, client int) store.Grant {
	return store.Grant{
		ID: id, AccountID: u.family(client), ApplicationID: unitsApp, SessionID: u.family(client), Scopes: []string{"openid"},
		CreatedAt: u.now, ExpiresAt: u.now.Add(time.Hour),
	}
}

// entitled reads what the account of a grant may do.
func (u *units) entitled(ctx context.Context, of store.Standing) error {
	held, err := u.store.AssignmentsOf(ctx, of.AccountID, unitsApp)
	if err == nil && (of.Account.ID == "" || of.Session.ID == "" || len(held) == 0) {
		err = errors.New("the account, its session or its access is missing")
	}
	return err
}

func (u *units) family(i int) string { return fmt.Sprintf("units-%d", i) }

func (u *units) token(i int) store.RefreshToken {
	return store.RefreshToken{
		Hash: fmt.Sprintf("units-%d-%d", i, u.leaf[i]), GrantID: u.family(i), Scopes: []string{"openid"},
		IssuedAt: u.now, ExpiresAt: u.now.Add(time.Hour),
	}
}

func (u *units) record(ctx context.Context, what string) error {
	return u.store.AppendAudit(ctx, store.AuditEvent{At: u.now, Type: what, Actor: "system", ApplicationID: unitsApp, Details: map[string]string{"grant": "units"}})
}

// refresh rotates the token of one client.
func (u *units) refresh(i int) op {
	return func(ctx context.Context) error {
		old := u.token(i).Hash
		_, of, err := u.store.RefreshToken(ctx, old, u.now)
		if err == nil {
			err = u.entitled(ctx, of)
		}
		if err != nil {
			return err
		}
		u.leaf[i]++
		return u.store.Together(ctx, func(ctx context.Context) error {
			if err := u.store.RotateRefreshToken(ctx, old, u.token(i), u.now); err != nil {
				return err
			}
			return u.record(ctx, "bench.refreshed")
		})
	}
}

// issue puts codes in store for exchange.
func (u *units) issue(ctx context.Context, n int, round int) error {
	u.codes = make(chan string, n)
	ops := each(func(client int) op {
		next := 0
		return func(ctx context.Context) error {
			if next >= n/maxClients {
				return errDone
			}
			next++
			id := fmt.Sprintf("units-%d-%d-%d", round, client, next)
			err := u.store.IssueCode(ctx, u.grant(id, client),
				store.Code{Hash: id, GrantID: id, IssuedAt: u.now, ExpiresAt: u.now.Add(time.Hour)})
			if err == nil {
				u.codes <- id
			}
			return err
		}
	})
	if s := loop(ctx, ops, time.Now().Add(time.Minute)); s.failed() > 0 {
		return fmt.Errorf("issue codes: %v", s.Failures)
	}
	return nil
}

// exchange redeems a code and makes the first refresh token of its family.
func (u *units) exchange(ctx context.Context) error {
	var id string
	select {
	case id = <-u.codes:
	default:
		return errDone
	}
	_, of, err := u.store.Code(ctx, id, u.now)
	if err == nil {
		err = u.entitled(ctx, of)
	}
	if err != nil {
		return err
	}
	return u.store.Together(ctx, func(ctx context.Context) error {
		if err := u.store.RedeemCode(ctx, id, u.now); err != nil {
			return err
		}
		err := u.store.CreateRefreshToken(ctx, store.RefreshToken{Hash: id, GrantID: id, IssuedAt: u.now, ExpiresAt: u.now.Add(time.Hour)})
		if err != nil {
			return err
		}
		return u.record(ctx, "bench.redeemed")
	})
}

// rate runs operations for d and returns how many a second were done.
func rate(ctx context.Context, ops []op, d time.Duration) (float64, error) {
	begin := time.Now()
	s := loop(ctx, ops, begin.Add(d))
	if s.failed() > 0 {
		return 0, fmt.Errorf("wrong: %v", s.Failures)
	}
	return float64(s.OK) / time.Since(begin).Seconds(), nil
}
