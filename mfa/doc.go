// Package mfa is the second step of a sign-in: enrolment of an authenticator app
// (TOTP, RFC 6238), the challenge that asks for a code and explains a refused
// one, and recovery codes. pquerna/otp and yeqown/go-qrcode live here and
// nowhere else.
//
//	path                      methods    step                    handler
//	/mfa/enroll               GET POST   flow.StepEnroll         Enroll
//	/mfa/enroll/restart       POST       flow.StepEnroll         EnrollRestart
//	/mfa/recovery-codes       GET POST   flow.StepRecoveryCodes  RecoveryCodes
//	/mfa/recovery-codes.txt   GET        flow.StepRecoveryCodes  DownloadRecoveryCodes
//	/mfa/challenge            GET POST   flow.StepChallenge      Challenge
//	/mfa/recovery             GET POST   flow.StepChallenge      Recovery
//
// # The pending secret
//
// The secret that the enrolment page shows is derived, not kept: from the master
// key, the account, the browser and its salt, the account's NotBefore and the
// ids of the authenticators it has. So it is the same in every reload, after a
// mistyped code, in every tab of the browser, after a restart and on every node,
// and nothing is written for an enrolment that is given up.
//
// It differs from browser to browser. If it did not, somebody who only knows the
// password could open the page first, write down the secret, and wait for the
// member to confirm that very secret in her own browser. It changes when an
// enrolment was confirmed, when the second factor was reset, and when the person
// asks to start again with a new code (the browser gets a new salt).
//
// # A code is accepted once
//
// A step at or below the last accepted one is a replay, even inside the allowed
// skew of one step (RFC 6238 section 5.2), the enrolment code included. The last
// step belongs to the account: it survives the removal of an authenticator.
//
// # A refused code is explained
//
// Diagnose looks, after a right password, where else the code would be right,
// and the page says what to do about it. Looking accepts nothing and counts as a
// failure. It could still help somebody who guesses: a guess that is answered
// with "your phone is five minutes ahead" is a code that will be right in five
// minutes. So before a finding is shown, the code it speaks about is spent.
// A code that was accepted before is no guess, and is answered without counting:
// a form sent twice must not lock anybody out.
//
// Codes of older entries are recognised as far as their secrets are known: those
// of authenticators that are being replaced, and those that this browser showed
// and that were not confirmed. Secrets of removed authenticators are not kept
// for the sake of an explanation.
package mfa

// Paths that are no step of their own.
const (
	pathRestart  = "/mfa/enroll/restart"
	pathRecovery = "/mfa/recovery"
	pathDownload = "/mfa/recovery-codes.txt"
)
