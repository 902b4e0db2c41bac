package flow

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"anteroom/store"
)

// launch returns where a link to an application leads: to its address, or, if its
// one client registered where a sign-in is begun by others, there, with the address
// as the target (OpenID Connect Core section 4). Nothing of it comes from a
// request. A client that made itself is not asked: it would choose where our links
// lead. The portal still has to check that the target is its own.
func (h *Hub) launch(ctx context.Context, a store.Account, app store.Application) (string, error) {
	if app.LaunchURL == "" {
		return "", nil
	}
	clients, _, err := h.store.Clients(ctx, app.ID, store.Page{Limit: 1000})
	if err != nil {
		return "", fmt.Errorf("list clients of %q: %w", app.ID, err)
	}
	var found []store.Client
	for _, c := range clients {
		if initiates(c) {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		return app.LaunchURL, nil
	}
	to, err := url.Parse(found[0].Settings["initiate_login_uri"].(string))
	if err != nil {
		return app.LaunchURL, nil
	}
	query := to.Query()
	query.Set("iss", h.issuer)
	query.Set("target_link_uri", app.LaunchURL)
	// Who must not recognise the person is not told who comes.
	if query.Del("login_hint"); app.Consent == store.ConsentSkip && found[0].Settings["subject_type"] != "pairwise" {
		query.Set("login_hint", a.UserName)
	}
	to.RawQuery = query.Encode()
	return to.String(), nil
}

// initiates tells whether the operator registered a client with where others may
// begin a sign-in.
func initiates(c store.Client) bool {
	uri, _ := c.Settings["initiate_login_uri"].(string)
	itself := c.Settings["registration_access_token_hash"] != nil || strings.HasPrefix(c.ID, "https://")
	return strings.HasPrefix(uri, "https://") && !c.Disabled && !itself
}
