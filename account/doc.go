// Package account keeps people: accounts, passwords, invitations, resets, the
// import from other systems, and the throttling of guesses.
//
// Accounts has one method for each thing that can happen to an account. Each
// records its audit event, and enqueues its mail, in the commit that makes it
// true. Functions that decide a race (UseInvitation, Activate, ResetPassword) are
// atomic verbs of the store: of any number of callers one wins.
//
// Slow work, above all hashing (NewPassword, Rehash), happens before the unit of
// work that keeps its result: a unit may run twice, and holds up others.
//
// Nobody learns from an answer, or from its time, whether an account exists:
// CheckPassword and RequestReset answer alike for every name.
//
// Errors for people have an Explain method; none shows err.Error().
package account
