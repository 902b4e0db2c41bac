package demo

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// attempt is a sign-in that was started: what the answer must match. It lives in
// a cookie that is named after its state, so that several tabs can each hold
// one, and a restart of the portal loses none.
type attempt struct {
	state, nonce, verifier string
}

const (
	attemptLife = time.Hour
	maxAttempts = 5 // in one browser; the oldest go first
	sessionLife = 8 * time.Hour
	maxSessions = 1000
)

func newAttempt(now time.Time) attempt {
	return attempt{
		state:    strconv.FormatInt(now.UnixMilli(), 36) + "-" + rand.Text(), // sorts by age
		nonce:    rand.Text(),
		verifier: oauth2.GenerateVerifier(),
	}
}

func (p *Portal) cookie(name, value string, life time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(p.cfg.URL, "https://"), MaxAge: int(life / time.Second),
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

func (p *Portal) attemptCookie(state string) string { return p.cfg.Cookie + "_login_" + state }

func (p *Portal) remember(w http.ResponseWriter, r *http.Request, a attempt) {
	var names []string
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, p.attemptCookie("")) {
			names = append(names, c.Name)
		}
	}
	slices.Sort(names)
	for i := 0; i <= len(names)-maxAttempts; i++ {
		http.SetCookie(w, p.cookie(names[i], "", 0))
	}
	http.SetCookie(w, p.cookie(p.attemptCookie(a.state), a.nonce+"."+a.verifier, attemptLife))
}

// recall returns the attempt that this browser started, and forgets it.
func (p *Portal) recall(w http.ResponseWriter, r *http.Request, state string) (attempt, bool) {
	if state == "" {
		return attempt{}, false
	}
	c, err := r.Cookie(p.attemptCookie(state))
	if err != nil {
		return attempt{}, false
	}
	http.SetCookie(w, p.cookie(c.Name, "", 0))
	nonce, verifier, ok := strings.Cut(c.Value, ".")
	return attempt{state: state, nonce: nonce, verifier: verifier}, ok
}

// session is somebody signed in at the portal. It is never changed, but replaced.
type session struct {
	id       string
	opened   time.Time
	tokens   *oauth2.Token
	idToken  string
	claims   map[string]any // of the ID token
	profile  map[string]any // of userinfo, at the sign-in
	userinfo map[string]any // as last asked for; nil: not asked
	notice   string
}

// sessions are in memory: a restart signs everybody out of the portal, and the
// provider's own session signs them in again.
type sessions struct {
	mu   sync.Mutex
	kept map[string]*session
	now  func() time.Time
}

func (s *sessions) add(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	one.id, one.opened = rand.Text(), now
	oldest := one
	for id, other := range s.kept {
		if now.Sub(other.opened) > sessionLife {
			delete(s.kept, id)
		} else if other.opened.Before(oldest.opened) {
			oldest = other
		}
	}
	if len(s.kept) >= maxSessions {
		delete(s.kept, oldest.id)
	}
	s.kept[one.id] = one
}

func (s *sessions) get(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.kept[id]
	if one == nil || s.now().Sub(one.opened) > sessionLife {
		return nil
	}
	return one
}

// replace does nothing if the session ended meanwhile.
func (s *sessions) replace(id string, next *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[id] != nil {
		s.kept[id] = next
	}
}

func (s *sessions) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, id)
}

// current returns the session of this browser, or nil.
func (p *Portal) current(r *http.Request) *session {
	c, err := r.Cookie(p.cfg.Cookie)
	if err != nil {
		return nil
	}
	return p.sessions.get(c.Value)
}

// open starts a session under a new id, whatever the browser sent.
func (p *Portal) open(w http.ResponseWriter, r *http.Request, s *session) {
	if c, err := r.Cookie(p.cfg.Cookie); err == nil {
		p.sessions.remove(c.Value)
	}
	p.sessions.add(s)
	http.SetCookie(w, p.cookie(p.cfg.Cookie, s.id, sessionLife))
}

func (p *Portal) close(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(p.cfg.Cookie); err == nil {
		p.sessions.remove(c.Value)
	}
	http.SetCookie(w, p.cookie(p.cfg.Cookie, "", 0))
}
