package provider

import (
	"context"
	"net/url"

	"anteroom/internal/notice"
	"anteroom/store"
)

// frontChannelWait is how long, in seconds, the frames of a signed-out page have
// before the browser goes on to the portal that asked.
const frontChannelWait = "2"

// frontChannel returns the addresses that tell the clients of a session in the
// browser that it ended, with issuer and sid (OpenID Connect Front-Channel Logout
// section 2). Ask before the session ends.
func (p *Provider) frontChannel(ctx context.Context, s store.Session) ([]string, error) {
	clients, err := notice.Clients(ctx, p.store, s.ID, p.now())
	if err != nil {
		return nil, err
	}
	var tell []string
	for _, c := range clients {
		if uri := notice.URI(c, notice.FrontChannelURI); uri != "" {
			tell = append(tell, appendQuery(uri, url.Values{"iss": {p.issuer}, "sid": {s.ID}}))
		}
	}
	return tell, nil
}
