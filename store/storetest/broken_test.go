package storetest_test

import (
	"context"
	"time"

	"anteroom/store"
)

// broken is a store of which some verbs are replaced.
type broken struct {
	store.Store

	begin      func(context.Context) (context.Context, error)
	commit     func(context.Context) error
	rollback   func(context.Context) error
	do         func(context.Context, func(context.Context) error) error
	together   func(context.Context, func(context.Context) error) error
	sweep      func(context.Context, time.Time, int) (int, error)
	account    func(context.Context, string) (store.Account, error)
	byName     func(context.Context, string) (store.Account, error)
	create     func(context.Context, store.Account) error
	update     func(context.Context, string, func(*store.Account) error) (store.Account, error)
	accounts   func(context.Context, store.Page) ([]store.Account, string, error)
	client     func(context.Context, string) (store.Client, error)
	totp       func(context.Context, string, int64) error
	recovery   func(context.Context, string, string, time.Time) error
	lookInvite func(context.Context, string, time.Time) (store.Invitation, error)
	lookReset  func(context.Context, string, time.Time) (store.Reset, error)
	assign     func(context.Context, store.Assignment) error
	consent    func(context.Context, store.Consent) error
	session    func(context.Context, string, time.Time) (store.Session, error)
	endSession func(context.Context, string, time.Time) error
	code       func(context.Context, string, time.Time) (store.Code, store.Standing, error)
	redeem     func(context.Context, string, time.Time) error
	rotate     func(context.Context, string, store.RefreshToken, time.Time) error
	revoke     func(context.Context, store.GrantFilter, string, time.Time) ([]string, error)
	denied     func(context.Context, string) (bool, error)
	record     func(context.Context, string, time.Time, time.Duration) (store.Failure, error)
	once       func(context.Context, string, string, time.Time, time.Time) error
	claim      func(context.Context, time.Time, time.Duration, int) ([]store.OutboxMessage, error)
	ask        func(context.Context, store.Backchannel, int) error
	audit      func(context.Context, store.AuditEvent) error
	events     func(context.Context, store.AuditFilter, store.Page) ([]store.AuditEvent, string, error)
	setMeta    func(context.Context, string, string) error
	metaOnce   func(context.Context, string, string) (string, error)
	ready      func(context.Context) error
}

func (b *broken) Begin(ctx context.Context) (context.Context, error)           { return b.begin(ctx) }
func (b *broken) Commit(ctx context.Context) error                             { return b.commit(ctx) }
func (b *broken) Rollback(ctx context.Context) error                           { return b.rollback(ctx) }
func (b *broken) Do(ctx context.Context, fn func(context.Context) error) error { return b.do(ctx, fn) }
func (b *broken) Together(ctx context.Context, fn func(context.Context) error) error {
	return b.together(ctx, fn)
}
func (b *broken) Sweep(ctx context.Context, now time.Time, n int) (int, error) {
	return b.sweep(ctx, now, n)
}
func (b *broken) Account(ctx context.Context, id string) (store.Account, error) {
	return b.account(ctx, id)
}
func (b *broken) CreateAccount(ctx context.Context, a store.Account) error { return b.create(ctx, a) }
func (b *broken) Client(ctx context.Context, id string) (store.Client, error) {
	return b.client(ctx, id)
}
func (b *broken) AdvanceTOTP(ctx context.Context, id string, step int64) error {
	return b.totp(ctx, id, step)
}
func (b *broken) PutAssignment(ctx context.Context, a store.Assignment) error {
	return b.assign(ctx, a)
}
func (b *broken) PutConsent(ctx context.Context, c store.Consent) error     { return b.consent(ctx, c) }
func (b *broken) AppendAudit(ctx context.Context, e store.AuditEvent) error { return b.audit(ctx, e) }
func (b *broken) SetMeta(ctx context.Context, name, v string) error         { return b.setMeta(ctx, name, v) }
func (b *broken) AccessTokenRevoked(ctx context.Context, jti string) (bool, error) {
	return b.denied(ctx, jti)
}
func (b *broken) Ready(ctx context.Context) error { return b.ready(ctx) }
func (b *broken) AccountByName(ctx context.Context, name string) (store.Account, error) {
	return b.byName(ctx, name)
}
func (b *broken) UpdateAccount(ctx context.Context, id string, fn func(*store.Account) error) (store.Account, error) {
	return b.update(ctx, id, fn)
}
func (b *broken) Accounts(ctx context.Context, p store.Page) ([]store.Account, string, error) {
	return b.accounts(ctx, p)
}
func (b *broken) UseRecoveryCode(ctx context.Context, id, hash string, now time.Time) error {
	return b.recovery(ctx, id, hash, now)
}
func (b *broken) InvitationByToken(ctx context.Context, hash string, now time.Time) (store.Invitation, error) {
	return b.lookInvite(ctx, hash, now)
}
func (b *broken) ResetByToken(ctx context.Context, hash string, now time.Time) (store.Reset, error) {
	return b.lookReset(ctx, hash, now)
}
func (b *broken) Session(ctx context.Context, id string, now time.Time) (store.Session, error) {
	return b.session(ctx, id, now)
}
func (b *broken) EndSession(ctx context.Context, id string, now time.Time) error {
	return b.endSession(ctx, id, now)
}
func (b *broken) Code(ctx context.Context, hash string, now time.Time) (store.Code, store.Standing, error) {
	return b.code(ctx, hash, now)
}
func (b *broken) RedeemCode(ctx context.Context, hash string, now time.Time) error {
	return b.redeem(ctx, hash, now)
}
func (b *broken) RotateRefreshToken(ctx context.Context, old string, next store.RefreshToken, now time.Time) error {
	return b.rotate(ctx, old, next, now)
}
func (b *broken) RevokeGrants(ctx context.Context, f store.GrantFilter, why string, now time.Time) ([]string, error) {
	return b.revoke(ctx, f, why, now)
}
func (b *broken) RecordFailure(ctx context.Context, key string, now time.Time, w time.Duration) (store.Failure, error) {
	return b.record(ctx, key, now, w)
}
func (b *broken) UseOnce(ctx context.Context, space, key string, now, until time.Time) error {
	return b.once(ctx, space, key, now, until)
}
func (b *broken) CreateBackchannel(ctx context.Context, r store.Backchannel, most int) error {
	return b.ask(ctx, r, most)
}
func (b *broken) ClaimMail(ctx context.Context, now time.Time, lease time.Duration, n int) ([]store.OutboxMessage, error) {
	return b.claim(ctx, now, lease, n)
}
func (b *broken) AuditEvents(ctx context.Context, f store.AuditFilter, p store.Page) ([]store.AuditEvent, string, error) {
	return b.events(ctx, f, p)
}
func (b *broken) SetMetaOnce(ctx context.Context, name, v string) (string, error) {
	return b.metaOnce(ctx, name, v)
}

// breaking returns a wrap that starts from a sound store. The function changes
// verbs; s is the store beneath.
func breaking(change func(b *broken, s store.Store)) func(store.Store) store.Store {
	return func(s store.Store) store.Store {
		b := &broken{
			Store: s, begin: s.Begin, commit: s.Commit, rollback: s.Rollback, do: s.Do, together: s.Together, sweep: s.Sweep,
			account: s.Account, byName: s.AccountByName, create: s.CreateAccount, update: s.UpdateAccount, accounts: s.Accounts,
			client: s.Client, totp: s.AdvanceTOTP, recovery: s.UseRecoveryCode, lookInvite: s.InvitationByToken, lookReset: s.ResetByToken,
			assign: s.PutAssignment, consent: s.PutConsent, session: s.Session, endSession: s.EndSession,
			code: s.Code, redeem: s.RedeemCode, rotate: s.RotateRefreshToken, revoke: s.RevokeGrants, denied: s.AccessTokenRevoked,
			record: s.RecordFailure, once: s.UseOnce, claim: s.ClaimMail, ask: s.CreateBackchannel, audit: s.AppendAudit, events: s.AuditEvents,
			setMeta: s.SetMeta, metaOnce: s.SetMetaOnce, ready: s.Ready,
		}
		change(b, s)
		return b
	}
}
