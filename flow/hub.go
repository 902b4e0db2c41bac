package flow

import (
	"context"
	"net/http"
	"time"

	"anteroom/internal/web"
	"anteroom/store"
)

// Hub owns every transition. Steps prove one fact and come back; the hub alone
// decides what is next, opens sessions and lets the provider issue codes.
type Hub struct {
}

// Require serves a step: it loads the Interaction named by the query parameter
// i from this browser's cookies, checks expiry and that step really is the next
// one, and only then calls next, which finds the Pending with From. Every other
// request is led to where it should be: the right step, or a page with a way on.
func (h *Hub) Require(step Step, next web.Handler) web.Handler { return next }

// From returns the Pending that Require put into the request.
func From(r *http.Request) *Pending { return nil }

// Done runs prove in a unit of work, and commits it together with what follows
// from the new facts (a session, say). Then it saves the Interaction and sends
// the browser to the next step (303). An error of prove is returned as it is,
// and nothing was written. prove may run more than once; it changes nothing but
// in and the store.
func (h *Hub) Done(w http.ResponseWriter, r *http.Request, prove func(ctx context.Context, in *Interaction) error) error {
	return nil
}

// Begin is Done for an Interaction that starts with this request (activation
// links, resets). prove may be nil.
func (h *Hub) Begin(w http.ResponseWriter, r *http.Request, in Interaction, prove func(ctx context.Context, in *Interaction) error) error {
	return nil
}

// New returns an Interaction that starts now.
func (h *Hub) New(kind Kind, applicationID string) Interaction { return Interaction{} }

// Load returns a live Interaction of this browser.
func (h *Hub) Load(r *http.Request, id string) (Interaction, bool) { return Interaction{}, false }

// Authorize takes over a valid authorization request: it answers at once if
// nothing is left to ask, else it sends the browser to the first step.
func (h *Hub) Authorize(w http.ResponseWriter, r *http.Request, req Request) error { return nil }

// Refuse ends the Interaction of the request with an error for the client
// (consent denied). Without a client it shows a page.
func (h *Hub) Refuse(w http.ResponseWriter, r *http.Request, e *ProtocolError) error { return nil }

// Session returns the live session of this browser, and its account; ok is
// false when there is none. It reads only.
func (h *Hub) Session(r *http.Request) (s store.Session, a store.Account, ok bool, err error) {
	return
}

// SignOut ends the browser's session, if any, with what hangs on it, and drops
// its cookies.
func (h *Hub) SignOut(w http.ResponseWriter, r *http.Request) error { return nil }

// Browser identifies this browser; Done and Begin set its cookie.
type Browser struct {
	ID   string
	Salt string // changes with NewSalt: makes a new pending enrolment secret
}

// Browser returns the identity of the browser of a request that Require let through.
func (h *Hub) Browser(r *http.Request) Browser { return Browser{} }

// NewSalt gives the browser a new Salt.
func (h *Hub) NewSalt(w http.ResponseWriter, r *http.Request) error { return nil }

// Knows tells whether the account signed in from this browser before (a cookie
// says so); throttling does not let strangers lock it out.
func (h *Hub) Knows(r *http.Request, accountID string) bool { return false }

var _ = time.Now
