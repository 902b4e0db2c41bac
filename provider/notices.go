package provider

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"

	"anteroom/internal/notice"
	"anteroom/internal/seal"
	"anteroom/store"
)

// How notices to clients are delivered.
const (
	noticeWorkers = 4
	noticeBatch   = 8
	noticeLease   = 2 * time.Minute // longer than a batch may take
	noticePoll    = 5 * time.Second // finds what other nodes left, and what is due again
	noticeFirst   = 10 * time.Second
	noticeLongest = time.Hour
	noticeGiveUp  = 24 * time.Hour
	logoutLife    = 2 * time.Minute // at most that: OpenID Connect Back-Channel Logout section 2.4
)

// logoutEvent makes a JWT a logout token (section 2.4).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// logoutClaims are those of a logout token. There is never a nonce, so that none
// passes for an ID token.
type logoutClaims struct {
	Issuer    string              `json:"iss"`
	Subject   string              `json:"sub"`
	Audience  string              `json:"aud"`
	IssuedAt  int64               `json:"iat"`
	ExpiresAt int64               `json:"exp"`
	ID        string              `json:"jti"`
	SessionID string              `json:"sid"`
	Events    map[string]struct{} `json:"events"`
}

// logoutToken is made anew for each attempt: a token that waited would be old.
func (p *Provider) logoutToken(ctx context.Context, c store.Client, n store.Notice) (string, error) {
	now := p.now()
	token, err := p.keys.sign(ctx, idTokenAlgorithm(c), typeLogoutToken, logoutClaims{
		Issuer: p.issuer, Subject: p.subject(c, n.AccountID), Audience: c.ID, IssuedAt: now.Unix(),
		ExpiresAt: now.Add(logoutLife).Unix(), ID: seal.RandomID(), SessionID: n.SessionID,
		Events: map[string]struct{}{logoutEvent: {}},
	})
	if err != nil {
		return "", err
	}
	// As ID tokens, but whose it is can be told before it is opened (section 2.4).
	return p.encrypt(ctx, c, answerIDToken, token, jweHeader{"cty": "JWT", "iss": p.issuer})
}

// DeliverNotices tells clients of ended sessions and of decisions until ctx ends. Any number of
// nodes may.
func (p *Provider) DeliverNotices(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.notices:
		case <-timer.C:
		}
		for {
			n, err := p.deliverDue(ctx)
			if err != nil && ctx.Err() == nil {
				p.log.WarnContext(ctx, "claim notices", "error", err)
			}
			if n < noticeBatch || ctx.Err() != nil {
				break
			}
		}
		timer.Reset(noticePoll)
	}
}

// noticed makes DeliverNotices look soon. It never blocks.
func (p *Provider) noticed() {
	select {
	case p.notices <- struct{}{}:
	default: // it will look anyway
	}
}

// deliverDue delivers one batch and returns how many there were. A node that
// dies leaves its batch to be claimed again: clients may be told twice, never
// not at all.
func (p *Provider) deliverDue(ctx context.Context) (int, error) {
	due, err := p.store.ClaimNotices(ctx, p.now(), noticeLease, noticeBatch)
	if err != nil || len(due) == 0 {
		return 0, err
	}
	var all sync.WaitGroup
	slots := make(chan struct{}, noticeWorkers)
	for _, n := range due {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return // its lease ends
			}
			p.settleNotice(ctx, n, p.deliver(ctx, n))
		})
	}
	all.Wait()
	return len(due), nil
}

// errNobody: there is nobody to tell any more.
var errNobody = errors.New("the client does not want to be told any more")

// deliver posts what a notice tells.
func (p *Provider) deliver(ctx context.Context, n store.Notice) error {
	c, err := p.store.Client(ctx, n.ClientID)
	if errors.Is(err, store.ErrNotFound) {
		return errNobody
	}
	if err != nil {
		return err
	}
	if n.Kind == store.NoticeDecided {
		return p.ping(ctx, c, n)
	}
	return p.tellLogout(ctx, c, n)
}

// tellLogout posts a logout token (OpenID Connect Back-Channel Logout section 2.5).
func (p *Provider) tellLogout(ctx context.Context, c store.Client, n store.Notice) error {
	uri := notice.URI(c, notice.BackChannelURI)
	if uri == "" {
		return errNobody
	}
	token, err := p.logoutToken(ctx, c, n)
	if err != nil {
		return err
	}
	body := url.Values{"logout_token": {token}}.Encode()
	return p.fetch.Post(ctx, uri, "application/x-www-form-urlencoded", []byte(body))
}

// settleNotice records how an attempt went.
func (p *Provider) settleNotice(ctx context.Context, n store.Notice, failed error) {
	log := p.log.With("notice", n.ID, "client", n.ClientID)
	var err error
	if failed == nil || errors.Is(failed, errNobody) {
		err = p.store.NoticeDelivered(ctx, n.ID)
	} else {
		now := p.now()
		next := nextNotice(n, now)
		why := printable(failed.Error())
		log.WarnContext(ctx, "the client could not be told", "tries", n.Attempts+1, "next", next, "error", why)
		err = p.store.NoticeFailed(ctx, n.ID, why, now, next)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		log.ErrorContext(ctx, "record notice", "error", err)
	}
}

// nextNotice says when to try again, the zero time to give up.
func nextNotice(n store.Notice, now time.Time) time.Time {
	if now.Sub(n.CreatedAt) >= noticeGiveUp {
		return time.Time{}
	}
	return now.Add(min(noticeFirst<<min(n.Attempts, 16), noticeLongest))
}
