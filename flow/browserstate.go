package flow

import (
	"net/http"
	"net/url"
	"time"

	"anteroom/internal/seal"
	"anteroom/store"
)

// BrowserState is what scripts of the issuer may know of a browser's session: it
// is another one for every session, the same on every node, and leads nowhere
// (OpenID Connect Session Management section 3). Without a session it is "".
func BrowserState(k *seal.Keyring, sessionID string) string {
	if sessionID == "" {
		return ""
	}
	return k.Digest("browser state", sessionID)
}

// StateCookie is the name of the cookie with the browser state.
func StateCookie(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return cookiePrefix(u) + "state"
}

// showState writes the browser state of a session where scripts of the issuer
// can read it, in frames of other sites, too, where the browser still lets them.
// Plain http, for development, has frames of the same site only.
func (h *Hub) showState(w http.ResponseWriter, r *http.Request, s store.Session) {
	if !h.sessionManagement {
		return
	}
	state := BrowserState(h.seal, s.ID)
	if c, err := r.Cookie(h.prefix + "state"); err == nil && c.Value == state {
		return
	}
	h.writeState(w, state, max(1, int(s.ExpiresAt.Sub(h.now())/time.Second)))
}

// hideState: nobody is signed in here any more.
func (h *Hub) hideState(w http.ResponseWriter, r *http.Request) {
	if _, err := r.Cookie(h.prefix + "state"); err == nil {
		h.writeState(w, "", -1)
	}
}

func (h *Hub) writeState(w http.ResponseWriter, value string, maxAge int) {
	c := &http.Cookie{Name: h.prefix + "state", Value: value, Path: "/", MaxAge: maxAge, SameSite: http.SameSiteLaxMode}
	if h.cookies.options.Secure {
		c.Secure, c.SameSite = true, http.SameSiteNoneMode
	}
	http.SetCookie(w, c)
}
