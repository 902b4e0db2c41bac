package provider

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"anteroom/flow"
	"anteroom/internal/seal"
	"anteroom/store"
)

// PathCheckSession is the page that portals put into a hidden frame, to learn
// whether the sign-in changed (OpenID Connect Session Management section 3.3).
const PathCheckSession = "/check-session"

// The page has one script, which its policy names by its hash, and knows nothing
// but the name of a cookie.
var (
	//go:embed checksession.html
	checkSessionSource string
	checkSessionPage   = template.Must(template.New("check session").Parse(checkSessionSource))
	checkSessionScript = func() string {
		_, rest, _ := strings.Cut(checkSessionSource, "<script>")
		script, _, _ := strings.Cut(rest, "</script>")
		sum := sha256.Sum256([]byte(script))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}()
)

// CheckSession serves the page. Only a portal of ours may put it into a frame:
// the one that asks for it. Which portals there are it tells nobody.
func (p *Provider) CheckSession(w http.ResponseWriter, r *http.Request) {
	if !p.sessionManagement {
		p.fail(w, r, refuse("invalid_request", "Session management is off.").withStatus(http.StatusNotFound))
		return
	}
	if !p.only(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	ancestor := "'none'"
	from := originOf(r.Header.Get("Referer"))
	known, err := p.origins.know(r.Context(), p, from)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	if known {
		ancestor = from
	}
	var page strings.Builder
	if err := checkSessionPage.Execute(&page, flow.StateCookie(p.issuer)); err != nil {
		p.fail(w, r, fmt.Errorf("check_session_iframe: %w", err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; script-src "+checkSessionScript+"; frame-ancestors "+ancestor)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(page.String()))
}

// addSessionState adds session_state to an answer (Session Management section
// 2): it changes when the browser's session does, and the salt keeps portals
// from comparing theirs.
func (p *Provider) addSessionState(a *authorization, sessionID string, values url.Values) {
	origin := originOf(a.target.uri)
	if !p.sessionManagement || origin == "" || !contains(a.scopes, "openid") {
		return
	}
	salt := seal.RandomID()
	text := strings.Join([]string{a.client.ID, origin, flow.BrowserState(p.seal, sessionID), salt}, " ")
	sum := sha256.Sum256([]byte(text))
	values.Set("session_state", base64.RawURLEncoding.EncodeToString(sum[:])+"."+salt)
}

// originOf returns the origin of an address as browsers write it, "" if it has
// none that a page could have (RFC 6454 section 6.2).
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return ""
	}
	host := strings.ToLower(u.Host)
	host = strings.TrimSuffix(host, map[string]string{"https": ":443", "http": ":80"}[u.Scheme])
	if strings.ContainsFunc(host, func(c rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789.-:[]", c) }) {
		return ""
	}
	return u.Scheme + "://" + host
}

// origins are those of the portals' addresses. Strangers ask for origins that
// nobody has: clients are read again for them every few seconds at most.
type origins struct {
	mu   sync.Mutex
	read time.Time
	all  map[string]bool
}

const (
	originsAgain = 5 * time.Second // for one that is not known
	originsLast  = time.Minute     // for one that is
)

func (o *origins) know(ctx context.Context, p *Provider, origin string) (bool, error) {
	if origin == "" {
		return false, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	age := p.now().Sub(o.read)
	if o.all != nil && age >= 0 && (age < originsAgain || o.all[origin] && age < originsLast) {
		return o.all[origin], nil
	}
	all := map[string]bool{}
	for page := (store.Page{Limit: 1000}); ; {
		rows, next, err := p.store.Clients(ctx, "", page)
		if err != nil {
			return false, fmt.Errorf("list clients: %w", err)
		}
		for _, c := range rows {
			for _, uri := range c.RedirectURIs {
				all[originOf(uri)] = !c.Disabled || all[originOf(uri)]
			}
		}
		if next == "" {
			break
		}
		page.After = next
	}
	o.read, o.all = p.now(), all
	return all[origin], nil
}
