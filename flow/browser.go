package flow

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"anteroom/internal/seal"
)

const (
	browserLife  = 400 * 24 * time.Hour // the longest that browsers keep a cookie
	keepDeadFor  = 24 * time.Hour       // so that yesterday's page can say where to go
	tombstoneFor = time.Hour
	maxPending   = 6  // interactions a browser keeps; the oldest goes first
	maxKnown     = 10 // accounts a browser is remembered for
)

// browserCookie identifies a browser. It proves nothing about a person.
type browserCookie struct {
	ID    string
	Salt  string
	Known []string `json:",omitempty"` // digests of the accounts that signed in here
}

// Browser identifies this browser.
type Browser struct {
	ID   string
	Salt string // changes with NewSalt: makes a new pending enrolment secret
}

func (h *Hub) browser(r *http.Request) (browserCookie, bool) {
	var b browserCookie
	raw, ok := h.cookies.get(r, h.prefix+"browser")
	if !ok || json.Unmarshal(raw, &b) != nil || b.ID == "" {
		return browserCookie{}, false
	}
	return b, true
}

func (h *Hub) saveBrowser(w http.ResponseWriter, r *http.Request, b browserCookie) error {
	raw, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return h.cookies.put(w, r, h.prefix+"browser", raw, browserLife)
}

// ensureBrowser returns the browser's identity, giving it one if it has none.
func (h *Hub) ensureBrowser(w http.ResponseWriter, r *http.Request) (browserCookie, error) {
	if b, ok := h.browser(r); ok {
		return b, nil
	}
	b := browserCookie{ID: seal.RandomID(), Salt: seal.RandomID()}
	return b, h.saveBrowser(w, r, b)
}

// Browser returns the identity of the browser of a request that Require let through.
func (h *Hub) Browser(r *http.Request) Browser {
	b, _ := h.browser(r)
	return Browser{ID: b.ID, Salt: b.Salt}
}

// NewSalt gives the browser a new Salt.
func (h *Hub) NewSalt(w http.ResponseWriter, r *http.Request) error {
	b, err := h.ensureBrowser(w, r)
	if err != nil {
		return err
	}
	b.Salt = seal.RandomID()
	return h.saveBrowser(w, r, b)
}

// Knows tells whether the account signed in from this browser before;
// throttling does not let strangers lock it out.
func (h *Hub) Knows(r *http.Request, accountID string) bool {
	b, ok := h.browser(r)
	return ok && slices.Contains(b.Known, h.knownDigest(b, accountID))
}

func (h *Hub) remember(w http.ResponseWriter, r *http.Request, accountID string) error {
	b, err := h.ensureBrowser(w, r)
	if err != nil {
		return err
	}
	digest := h.knownDigest(b, accountID)
	if slices.Contains(b.Known, digest) {
		return nil
	}
	b.Known = append(b.Known, digest)
	b.Known = b.Known[max(0, len(b.Known)-maxKnown):]
	return h.saveBrowser(w, r, b)
}

func (h *Hub) knownDigest(b browserCookie, accountID string) string {
	return h.seal.Digest("known browser", b.ID+"\x00"+accountID)[:16]
}

func (h *Hub) interactionName(id string) string { return h.prefix + "i_" + id }

// loadAny returns an interaction of this browser, dead or alive.
func (h *Hub) loadAny(r *http.Request, id string) (Interaction, bool) {
	var in Interaction
	if id == "" || len(id) > 64 {
		return in, false
	}
	raw, ok := h.cookies.get(r, h.interactionName(id))
	if !ok || json.Unmarshal(raw, &in) != nil || in.ID != id {
		return Interaction{}, false
	}
	// A cookie that another browser's person planted here is nobody's.
	if in.Browser != "" {
		if b, ok := h.browser(r); !ok || b.ID != in.Browser {
			return Interaction{}, false
		}
	}
	return in, true
}

// Load returns a live Interaction of this browser.
func (h *Hub) Load(r *http.Request, id string) (Interaction, bool) {
	in, ok := h.loadAny(r, id)
	return in, ok && h.alive(in)
}

func (h *Hub) alive(in Interaction) bool {
	return in.FinishedAt.IsZero() && h.now().Before(in.ExpiresAt) && !in.StartedAt.Before(h.restoredAt)
}

func (h *Hub) save(w http.ResponseWriter, r *http.Request, in Interaction) error {
	if err := h.makeRoom(w, r, in.ID); err != nil {
		return err
	}
	raw, err := json.Marshal(in)
	if err != nil {
		return err
	}
	life := tombstoneFor
	if in.FinishedAt.IsZero() {
		life = in.ExpiresAt.Sub(h.now()) + keepDeadFor
	}
	return h.cookies.put(w, r, h.interactionName(in.ID), raw, life)
}

// bury leaves of a finished interaction only where it led to, so that the back
// button finds a way on.
func (h *Hub) bury(w http.ResponseWriter, r *http.Request, in Interaction) error {
	return h.save(w, r, Interaction{
		ID: in.ID, Kind: in.Kind, Browser: in.Browser, ApplicationID: in.ApplicationID, ClientID: in.ClientID,
		StartedAt: in.StartedAt, ExpiresAt: in.ExpiresAt, AccountID: in.AccountID, FinishedAt: h.now(),
	})
}

// makeRoom keeps the browser's cookies bounded: of too many interactions the
// dead go first, then the oldest.
func (h *Hub) makeRoom(w http.ResponseWriter, r *http.Request, keep string) error {
	all := h.pendingIDs(r)
	if slices.Contains(all, keep) || len(all) < maxPending {
		return nil
	}
	var oldest Interaction
	var chosen string
	for _, id := range all {
		in, ok := h.loadAny(r, id)
		if !ok || !h.alive(in) {
			chosen = id
			break
		}
		if chosen == "" || in.StartedAt.Before(oldest.StartedAt) {
			chosen, oldest = id, in
		}
	}
	return h.cookies.drop(w, r, h.interactionName(chosen))
}

func (h *Hub) pendingIDs(r *http.Request) []string {
	var ids []string
	prefix := h.interactionName("")
	for _, c := range r.Cookies() {
		id, ok := strings.CutPrefix(c.Name, prefix)
		if ok && !strings.Contains(id, ".") && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
