// Package demo is a small world to try the product in: two portals written with
// other people's libraries (coreos/go-oidc and x/oauth2), a mail server that
// keeps what it gets and shows it on a page, and a few people. It uses the
// product the way any portal and any operator would, over HTTP and over the same
// functions as the commands; nothing in the product knows that it exists, so
// nothing of it is reachable under `anteroom serve`.
//
//	:8080 /demo/           the mailbox, in front of the provider (Mailbox)
//	:8080 /demo/mail.json  the same, for programs
//	:8080 everything else  the provider, unchanged
//	:8081                  Partner Analytics: terms, then the activation page (Portal)
//	:8082                  the Control Center, PCC: a second code after enrolment (Portal)
package demo
