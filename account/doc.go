// Package account keeps people: accounts, passwords, invitations, resets and
// the throttling of guesses.
package account
