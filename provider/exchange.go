package provider

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"anteroom/internal/rar"
	"anteroom/store"
)

// issue is a code that is being issued: what fosite's handlers write to.
type issue struct {
	now   time.Time
	grant store.Grant
}

func withIssue(ctx context.Context, i *issue) context.Context {
	return context.WithValue(ctx, issueKey, i)
}

func issueFrom(ctx context.Context) *issue {
	i, _ := ctx.Value(issueKey).(*issue)
	return i
}

// exchange is one request at the token endpoint: first what was loaded and
// checked, then what fosite's handlers made of it. Nothing is written before
// they are done.
type exchange struct {
	now       time.Time
	client    store.Client
	app       store.Application
	form      url.Values
	request   *http.Request
	spends    []spend       // to be used up with the request
	spent     bool          // they were
	cnf       *confirmation // to whom the tokens will belong; nil: to whoever has them
	scopes    []string      // of the access token
	alone     bool          // its ID token comes without anything else
	resources []string
	details   rar.Details // of the access token

	// Of the grants that have an account.
	account        store.Account
	grant          store.Grant
	code           store.Code
	used           store.RefreshToken // presented, to be rotated
	actor          *actor             // of the token that is exchanged for
	subjectExpires int64              // when the token that is exchanged does, in Unix time
	waits          string             // hash of the device code or auth_req_id

	roles *Roles // of the account in the application; nil: not loaded yet

	// What is made.
	access      accessClaims
	token       string // signed
	next        *store.RefreshToken
	rotates     bool // fosite asked for next to replace used
	redeems     bool // fosite asked for the code to be used up
	rolledBack  bool
	proofFailed bool
}

// standFor notes whom the tokens of the exchange are for.
func (x *exchange) standFor(of store.Standing) { x.grant, x.account = of.Grant, of.Account }

func withExchange(ctx context.Context, x *exchange) context.Context {
	return context.WithValue(ctx, exchangeKey, x)
}

func exchangeFrom(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey).(*exchange)
	return x
}
