package mail

import (
	"errors"
	"strings"
	"time"

	"anteroom/store"

	gomail "github.com/wneessen/go-mail"
)

const (
	firstRetry  = time.Minute
	longestWait = 6 * time.Hour
	longestDown = 15 * time.Minute   // while the server cannot be reached at all
	giveUpAfter = 3 * 24 * time.Hour // RFC 5321 section 4.5.4.1 asks for four to five days of relays; our links are dead by then
	leastTries  = 10                 // a message that waited for a mail server to be configured gets as many as any other
)

// nextTry says when to try m again after err, the zero time to give up. random
// is in [0, 1) and spreads the tries by a fifth either way, so that a thousand
// messages that failed together do not come back together.
func nextTry(m store.OutboxMessage, err error, now time.Time, random float64) time.Time {
	if noMailbox(err) {
		return time.Time{}
	}
	tries := m.Attempts + 1
	if tries >= leastTries && now.Sub(m.CreatedAt) >= giveUpAfter {
		return time.Time{}
	}
	most := longestWait
	if unreachable(err) {
		most = longestDown
	}
	wait := most
	if tries <= 16 { // further doubling is beyond most anyway
		wait = min(firstRetry<<(tries-1), most)
	}
	return now.Add(time.Duration(float64(wait) * (0.8 + 0.4*random)))
}

// noMailbox: the server says that the address does not exist (RFC 3463 section
// 3.2, X.1.X; .7 and .8 are about the sender). Every other refusal, permanent
// ones too, may be a setting of the mail server that the operator mends.
func noMailbox(err error) bool {
	refused, ok := errors.AsType[*gomail.SendError](err)
	if !ok || refused.Reason != gomail.ErrSMTPRcptTo {
		return false
	}
	code := refused.EnhancedStatusCode()
	return strings.HasPrefix(code, "5.1.") && code != "5.1.7" && code != "5.1.8"
}

// unreachable: no message was refused, the server was not there.
func unreachable(err error) bool {
	_, ok := errors.AsType[*errConnect](err)
	return ok
}

// reason is err for the operator: one line, not endless.
func reason(err error) string {
	const most = 300
	text := []rune(oneLine(err.Error()))
	if len(text) > most {
		text = append(text[:most], '…')
	}
	return string(text)
}
