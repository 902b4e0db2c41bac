// Package admin is the administration interface: REST with JSON under
// /admin/api/v1, which the commands, the console and people's own automation use
// alike.
//
//	accounts       list, invite, import, show, change, disable, enable, reset the
//	               second factor, end sessions, give and take access
//	organisations  list, make, show, rename, move
//	applications   list, make, show, change, delete; their roles, terms and people
//	clients        list, register, show, change, rotate the secret, delete
//	registration-tokens  list, make, revoke: who may register clients alone
//	keys           list, rotate
//	audit          list, verify
//	mail           what waits in the outbox
//	backup         a consistent copy of the store
//
// routes.go is the table of all of them. A handler knows who acts from the Actor
// in the context and nothing else about authentication: the administration
// socket in the data folder (Listen, Dial, AsOperator) makes everybody who may
// open it the operator.
//
// Requests are read strictly and all mistakes of one are reported at once, as
// application/problem+json (RFC 9457). Every change is recorded in the audit log
// in the unit of work that makes it. Secrets are shown once, when they are made,
// and never come back.
package admin
