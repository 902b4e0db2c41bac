package mfa

import (
	"fmt"
	"time"
)

// Explain says what happened and what to do, for the person who typed the code.
// enrolling tells that the entry is being made: then it can be made again.
func (f Finding) Explain(enrolling bool) string {
	switch f.Reason {
	case Malformed:
		return "Enter the six digits that your authenticator app shows."
	case Replayed:
		return f.explainReplay(enrolling)
	case ClockOff:
		return f.explainClock()
	case OlderEntry:
		return "This is a code of an older entry in your app: delete that entry, and enter the code of the newest one."
	case Counter:
		return "Your app counts codes instead of following the clock. " + again(enrolling, "choose the time-based kind")
	case Algorithm:
		return "Your app calculates the codes in another way. " + again(enrolling, "choose SHA-1 (not SHA-256 or SHA-512)")
	case Period:
		return "Your app makes a new code every 60 seconds. " + again(enrolling, "choose 30 seconds")
	case Digits:
		return "Your app shows eight digits. " + again(enrolling, "choose six digits")
	case AsText:
		return "Your app took the key as plain text. Delete the entry and add it again: scan the QR code, or choose Base32 when you enter the key."
	case Truncated:
		return "A part of the key is missing in your app. Delete the entry and add it again: scan the QR code, or copy the whole key."
	case Mistyped:
		return fmt.Sprintf("It seems that the %s group of the key was typed wrongly. Delete the entry and add it again: scan the QR code, or copy the key.", ordinals[min(max(f.Group, 1), len(ordinals))-1])
	}
	if enrolling {
		return "This code is not right. Wait for the next one and enter it. If that is refused too, delete the entry in your app and scan the QR code again."
	}
	return "This code is not right. Check that you opened the entry for this account, and enter the code that it shows now."
}

var ordinals = [...]string{"first", "second", "third", "fourth", "fifth", "sixth", "seventh", "last"}

// again says how to mend a setting of the entry.
func again(enrolling bool, choose string) string {
	if enrolling {
		return "Delete the entry and scan the QR code again; if you enter the key by hand, " + choose + "."
	}
	return "Open the settings of the entry and " + choose + ". If your app cannot do that, use a recovery code and set up another app."
}

func (f Finding) explainReplay(enrolling bool) string {
	what := "You used this code already"
	switch {
	case enrolling:
		// The step was spent with another entry: this code itself is new to her.
		what = "One code in half a minute is accepted, and one was"
	case f.Older:
		what = "A newer code than this one was used already"
	}
	switch wait := seconds(f.Wait); {
	case wait <= 0:
		return what + ". Enter the one that your app shows now."
	case wait <= 90:
		return fmt.Sprintf("%s; the next one comes in %d s.", what, wait)
	default:
		return fmt.Sprintf("%s; the next one that can be used comes in about %d minutes.", what, (wait+59)/60)
	}
}

func (f Finding) explainClock() string {
	side, size := "ahead", f.Offset
	if size < 0 {
		side, size = "behind", -size
	}
	if size > lookAround {
		return fmt.Sprintf("Your phone's clock is %s %s. Turn on automatic time and time zone in its settings, then enter the new code.", hours(size), side)
	}
	return fmt.Sprintf("Your phone is about %s %s. Turn on automatic time in its settings, then enter the new code.", minutes(size), side)
}

var smallNumbers = [...]string{"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen"}

// minutes rounds to whole minutes, at least one.
func minutes(d time.Duration) string {
	n := max(int(d.Round(time.Minute)/time.Minute), 1)
	if n == 1 {
		return "one minute"
	}
	return smallNumbers[min(n, len(smallNumbers)-1)] + " minutes"
}

// hours says whole and half hours.
func hours(d time.Duration) string {
	n, half := int(d/time.Hour), d%time.Hour != 0
	switch {
	case n == 0:
		return "half an hour"
	case half:
		return smallNumbers[n] + " and a half hours"
	case n == 1:
		return "one hour"
	}
	return smallNumbers[n] + " hours"
}
