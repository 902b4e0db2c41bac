package mfa

import (
	"time"

	"github.com/pquerna/otp"
)

// Reason is the fixed word for why a code was refused. The audit log carries it.
type Reason string

const (
	Wrong      Reason = "wrong"       // nothing is known about it
	Malformed  Reason = "malformed"   // not six digits
	Replayed   Reason = "replayed"    // accepted before, or older than what was
	ClockOff   Reason = "clock_off"   // right for another time
	OlderEntry Reason = "older_entry" // of an entry in the app that is not the one asked for
	Algorithm  Reason = "algorithm"   // SHA-256 or SHA-512 instead of SHA-1
	Period     Reason = "period"      // another period than 30 seconds
	Digits     Reason = "digits"      // eight digits, the right ones
	Counter    Reason = "counter"     // counter-based instead of time-based
	AsText     Reason = "as_text"     // the text secret was not decoded as base32
	Truncated  Reason = "truncated"   // a part of the text secret is missing
	Mistyped   Reason = "mistyped"    // one character of the text secret is wrong
	Recovery   Reason = "recovery"    // a recovery code that is none, or was used
)

// Case is a refused code with all that is known around it.
type Case struct {
	Entries []Entry // whose codes would be accepted
	Older   []Entry // that may be in the app, but whose codes are not accepted
	Code    string  // digits, as ParseCode returns them
	Now     time.Time
	Last    int64 // last accepted step of the account
	Typed   bool  // the secret is being enrolled: it may have been typed by hand
}

// Finding is what a diagnosis found.
type Finding struct {
	Reason Reason
	Offset time.Duration // ClockOff: how far the phone's clock is ahead; negative: behind
	Wait   time.Duration // Replayed: until a code comes that can be accepted
	Older  bool          // Replayed: never accepted itself, but older than what was
	Group  int           // Mistyped: which group of four characters, from 1

	// Reveals is set when the finding says something about a code of a bound
	// authenticator that can be accepted now or later. Whoever shows the finding
	// has to make sure that this code never is: a guess that is told to be right
	// in five minutes' time must not be.
	Reveals *Revealed
}

// Revealed is one code of one authenticator.
type Revealed struct {
	AuthenticatorID string
	Step            int64
}

func reveal(e Entry, step int64) *Revealed {
	if e.ID == "" {
		return nil // the person is shown the secret itself
	}
	return &Revealed{AuthenticatorID: e.ID, Step: step}
}

const (
	lookAround = 10 * time.Minute // either way
	zoneHours  = 14               // a clock set by hand is often off by whole hours (UTC-12 to UTC+14)
	counters   = 20               // a counter-based entry starts near 0
)

// Diagnose finds out why a code was refused. It is a pure function, it accepts
// nothing, and it is only asked after a right password. What is likely comes
// first; all it looks at together are a few hundred of a million codes (a few
// thousand for a secret typed by hand), so a random code is seldom explained
// wrongly.
func Diagnose(c Case) Finding {
	for _, look := range []func(Case) (Finding, bool){
		replayed, clockOff, olderEntry, eightDigits, settings, zoneOff, typedWrong,
	} {
		if f, found := look(c); found {
			return f
		}
	}
	if len(c.Code) != digits {
		return Finding{Reason: Malformed}
	}
	return Finding{Reason: Wrong}
}

// replayed: at or below the last accepted step, as far back as clockOff looks.
// The last accepted step shows that the phone's clock was right, so an older
// code is one that was kept, not one of a slow phone.
func replayed(c Case) (Finding, bool) {
	if len(c.Code) != digits || c.Last == 0 {
		return Finding{}, false
	}
	current := StepAt(c.Now)
	for _, entry := range c.Entries {
		for step := min(c.Last, current+skew); step >= current-int64(lookAround/time.Second/period); step-- {
			if ours.is(c.Code, entry.Secret, step) {
				return Finding{Reason: Replayed, Older: step < c.Last, Wait: waitAfter(c.Last, c.Now)}, true
			}
		}
	}
	return Finding{}, false
}

// clockOff: right for a time that is not now, nearest first.
func clockOff(c Case) (Finding, bool) {
	if len(c.Code) != digits {
		return Finding{}, false
	}
	for away := int64(skew + 1); away <= int64(lookAround/time.Second/period); away++ {
		for _, shift := range [...]int64{-away, away} {
			if f, found := c.at(shift); found {
				return f, true
			}
		}
	}
	return Finding{}, false
}

// zoneOff: right for a time that is off by whole hours, or half ones, as clocks
// are that somebody set by hand in another zone or season.
func zoneOff(c Case) (Finding, bool) {
	if len(c.Code) != digits {
		return Finding{}, false
	}
	const half = int64(30 * time.Minute / time.Second / period)
	for halves := int64(1); halves <= 2*zoneHours; halves++ {
		for _, near := range [...]int64{0, -skew, skew} {
			for _, shift := range [...]int64{-halves*half + near, halves*half + near} {
				if f, found := c.at(shift); found {
					f.Offset = f.Offset.Round(30 * time.Minute)
					return f, true
				}
			}
		}
	}
	return Finding{}, false
}

// at looks shift steps from now.
func (c Case) at(shift int64) (Finding, bool) {
	step := StepAt(c.Now) + shift
	for _, entry := range c.Entries {
		if !ours.is(c.Code, entry.Secret, step) {
			continue
		}
		f := Finding{Reason: ClockOff, Offset: time.Duration(shift) * period * time.Second}
		if shift > 0 {
			f.Reveals = reveal(entry, step)
		}
		return f, true
	}
	return Finding{}, false
}

// olderEntry: an entry of the app that was left behind.
func olderEntry(c Case) (Finding, bool) {
	if len(c.Code) != digits {
		return Finding{}, false
	}
	if m, found := accepted(c.Older, c.Code, c.Now, 0); found {
		return Finding{Reason: OlderEntry, Reveals: reveal(m.entry, m.step)}, true
	}
	return Finding{}, false
}

// eightDigits: the right code with two more in front.
func eightDigits(c Case) (Finding, bool) {
	if len(c.Code) != 8 {
		return Finding{}, false
	}
	f := form{algorithm: otp.AlgorithmSHA1, digits: otp.DigitsEight}
	current := StepAt(c.Now)
	for _, entry := range c.Entries {
		for step := current - skew; step <= current+skew; step++ {
			if f.is(c.Code, entry.Secret, step) {
				return Finding{Reason: Digits, Reveals: reveal(entry, step)}, true
			}
		}
	}
	return Finding{}, false
}

// settings: the right secret in an app that is set differently. None of these
// codes is, or will be, one that is accepted.
func settings(c Case) (Finding, bool) {
	if len(c.Code) != digits {
		return Finding{}, false
	}
	current, minute := StepAt(c.Now), StepAt(c.Now)/2
	sha256 := form{algorithm: otp.AlgorithmSHA256, digits: digits}
	sha512 := form{algorithm: otp.AlgorithmSHA512, digits: digits}
	for _, entry := range c.Entries {
		secret := entry.Secret
		for near := int64(-skew); near <= skew; near++ {
			switch {
			case sha256.is(c.Code, secret, current+near), sha512.is(c.Code, secret, current+near):
				return Finding{Reason: Algorithm}, true
			case ours.is(c.Code, secret, minute+near):
				return Finding{Reason: Period}, true
			}
		}
		for n := range int64(counters) {
			if ours.is(c.Code, secret, n) {
				return Finding{Reason: Counter}, true
			}
		}
	}
	return Finding{}, false
}
