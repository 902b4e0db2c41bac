package account

import (
	"context"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"anteroom/internal/web"
)

const (
	queuePerSlot = 64
	queueWait    = 3 * time.Second
)

// ErrBusy: more passwords wait to be hashed than the machine can do soon.
// Nothing was decided. At the edge it is a page with status 503 and Retry-After.
var ErrBusy error = &busy{}

type busy struct{}

func (*busy) Error() string { return "too many passwords wait to be hashed" }

// Explain says what to do.
func (*busy) Explain() string {
	return "Very many people are signing in right now. Wait a few seconds, then try again."
}

func (b *busy) Unwrap() error {
	return &web.Problem{
		Status: http.StatusServiceUnavailable, Heading: "Please try again in a moment",
		Sentence: b.Explain(), RetryAfter: 5,
	}
}

// Hasher hashes and verifies passwords with argon2id, as many at once as it was
// made for: each takes a core and 19 MiB, and a storm of guesses must cost no
// more than that. Others wait, bounded in number and time, then get ErrBusy.
type Hasher struct {
	slots   chan struct{}
	waiting atomic.Int64
	most    int64
	wait    time.Duration
	dummy   passwordHash
}

// NewHasher returns a Hasher for so many hashes at once; 0 is one per core.
func NewHasher(parallel int) *Hasher {
	if parallel < 1 {
		parallel = runtime.GOMAXPROCS(0)
	}
	return &Hasher{
		slots: make(chan struct{}, parallel), most: int64(parallel * queuePerSlot),
		wait: queueWait, dummy: nobodys(),
	}
}

// slot waits for a turn. Returns ErrBusy, or the error of ctx.
func (h *Hasher) slot(ctx context.Context) (release func(), err error) {
	release = func() { <-h.slots }
	select {
	case h.slots <- struct{}{}:
		return release, nil
	default:
	}
	if h.waiting.Add(1) > h.most {
		h.waiting.Add(-1)
		return nil, ErrBusy
	}
	defer h.waiting.Add(-1)
	timer := time.NewTimer(h.wait)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
		return release, nil
	case <-timer.C:
		return nil, ErrBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Hash returns the PHC string of a normalised password. Returns ErrBusy.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	release, err := h.slot(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	return newHash(password), nil
}

// Verify compares a password as it was typed with a stored hash; a hash that is
// empty or cannot be read takes as long as one of ours, and is wrong. Returns
// ErrBusy.
func (h *Hasher) Verify(ctx context.Context, stored, typed string) (bool, error) {
	release, err := h.slot(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	return h.compare(stored, typed), nil
}

// compare needs a slot. Other systems may have hashed what was typed as it was,
// so that is tried too where normalising changes it; the dummy takes as long.
func (h *Hasher) compare(stored, typed string) bool {
	if len(typed) > maxTyped {
		typed = "" // nobody has an empty password
	}
	forms := []string{typed}
	if normal, err := NormalisePassword(typed); err == nil && normal != typed {
		forms = []string{normal, typed}
	}
	hash, err := parseHash(stored)
	usable := err == nil && typed != ""
	if !usable {
		hash = h.dummy
	}
	for _, form := range forms {
		if hash.matches(form) && usable {
			return true
		}
	}
	return false
}

// Weak tells whether a stored hash should be replaced at the next sign-in.
func (h *Hasher) Weak(stored string) bool {
	hash, err := parseHash(stored)
	return err == nil && hash.weak()
}
