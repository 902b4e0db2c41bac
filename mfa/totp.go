package mfa

import (
	"crypto/subtle"
	"encoding/base32"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// What every authenticator app understands (RFC 6238 with its defaults).
const (
	secretSize = 20 // bytes: the length of SHA-1's output (RFC 4226 section 4, R6)
	digits     = 6
	period     = 30 // seconds
	skew       = 1  // steps either way (RFC 6238 section 5.2)
)

var base32Text = base32.StdEncoding.WithPadding(base32.NoPadding)

// StepAt returns the time step that t is in.
func StepAt(t time.Time) int64 {
	unix := t.Unix()
	if unix < 0 {
		return 0
	}
	return unix / period
}

// stepStart returns when a step begins.
func stepStart(step int64) time.Time { return time.Unix(step*period, 0) }

// form says how codes are made of a secret. The zero value is not useful; ours
// is the only one that is accepted, others serve to recognise an app that is
// set differently.
type form struct {
	algorithm otp.Algorithm
	digits    otp.Digits
}

var ours = form{algorithm: otp.AlgorithmSHA1, digits: digits}

// code returns the code of a counter.
func (f form) code(secret []byte, counter int64) string {
	if counter < 0 || len(secret) == 0 {
		return ""
	}
	code, err := hotp.GenerateCodeCustom(base32Text.EncodeToString(secret), uint64(counter),
		hotp.ValidateOpts{Digits: f.digits, Algorithm: f.algorithm})
	if err != nil {
		panic("mfa: " + err.Error()) // only text that is not base32 fails, and we wrote it
	}
	return code
}

// is compares in constant time.
func (f form) is(code string, secret []byte, counter int64) bool {
	return subtle.ConstantTimeCompare([]byte(f.code(secret, counter)), []byte(code)) == 1
}

// Entry is a secret that an entry of somebody's app may hold.
type Entry struct {
	ID     string // of the store.Authenticator; empty: bound to none
	Secret []byte
}

// match is a code that was found: of which entry, at which step.
type match struct {
	entry Entry
	step  int64
}

// accepted finds the code among those that may be accepted now: one step either
// way, and above the last accepted step. A step at or below that is a replay,
// even inside the allowed skew (RFC 6238 section 5.2). The store decides again
// (AdvanceTOTP); this only finds the candidate.
func accepted(entries []Entry, code string, now time.Time, last int64) (match, bool) {
	if len(code) != digits {
		return match{}, false
	}
	current := StepAt(now)
	for _, entry := range entries {
		for _, step := range [...]int64{current, current - skew, current + skew} {
			if step > last && ours.is(code, entry.Secret, step) {
				return match{entry, step}, true
			}
		}
	}
	return match{}, false
}

// waitAfter returns how long it takes until a code is shown that can be accepted
// after last was; 0 when one is shown already. Whoever's phone runs a step ahead
// sees it change when ours does, so that last may be one above the current step.
func waitAfter(last int64, now time.Time) time.Duration {
	current := StepAt(now)
	switch {
	case last < current:
		return 0
	case last <= current+skew:
		return stepStart(current + 1).Sub(now)
	default: // our clock went back
		return stepStart(last + 1).Sub(now)
	}
}

// seconds rounds a wait up to whole seconds.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
