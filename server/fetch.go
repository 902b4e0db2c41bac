package server

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"anteroom/config"
	"anteroom/internal/fetch"
	"anteroom/provider"
)

// newFetcher returns what reaches addresses that clients chose. A service on
// this machine, for development, has its portals on this machine, too.
func newFetcher(cfg config.Config, now func() time.Time) *fetch.Fetcher {
	o := fetch.Options{Allow: slices.Clone(cfg.Fetch.Allow), HTTP: !cfg.Secure(), Now: now}
	if !cfg.Secure() { // plain http is for localhost only
		o.Allow = append(o.Allow, fetch.Loopback()...)
	}
	return fetch.New(o)
}

// keySource reads the key sets of clients.
type keySource struct{ *fetch.Fetcher }

// keysAgain is how soon a key set is fetched again because it lacked a key:
// clients rotate theirs, and strangers name keys that nobody has.
const keysAgain = 10 * time.Second

// KeySet implements provider.KeySource.
func (s keySource) KeySet(ctx context.Context, uri, kid string) (json.RawMessage, error) {
	raw, err := s.Get(ctx, uri)
	if err != nil || kid == "" || hasKey(raw, kid) {
		return raw, err
	}
	return s.Newer(ctx, uri, keysAgain)
}

func hasKey(raw []byte, kid string) bool {
	var set struct {
		Keys []struct {
			KID string `json:"kid"`
		} `json:"keys"`
	}
	if json.Unmarshal(raw, &set) != nil {
		return false
	}
	for _, k := range set.Keys {
		if k.KID == kid {
			return true
		}
	}
	return false
}

// documents says in the provider's words which clients are known by what they
// publish. What strangers name is fetched apart from what registered clients named,
// and never from inside.
func documents(cfg config.Config) provider.Documents {
	d := provider.Documents{
		Application: cfg.Documents.Application, Any: cfg.Documents.Hosts == config.DocumentsAny,
		Scopes: strings.Fields(cfg.Documents.Scopes), Audiences: strings.Fields(cfg.Documents.Resources),
	}
	if !d.Any {
		d.Hosts = strings.Fields(cfg.Documents.Hosts)
	}
	return d
}

// registration says in the provider's words who may register clients.
func registration(cfg config.Config) (provider.Registration, error) {
	r := provider.Registration{Open: cfg.Registration.Mode == config.RegistrationOpen}
	if cfg.Registration.Mode != config.RegistrationOff {
		r.Tokens, r.Token = true, cfg.Registration.Token.Reveal()
	}
	r.NeedsStatement = cfg.Registration.Statements == config.StatementsRequired
	issuers, err := cfg.ReadStatementIssuers()
	for _, one := range issuers {
		r.Issuers = append(r.Issuers, provider.StatementIssuer(one))
	}
	return r, err
}

// frontChannel says in the provider's words who may have tokens in the
// authorization response.
func frontChannel(cfg config.Config) provider.FrontChannel {
	switch cfg.Compatibility.FrontChannelTokens {
	case config.FrontChannelClients:
		return provider.FrontChannelClients
	case config.FrontChannelRegistration:
		return provider.FrontChannelRegister
	}
	return provider.FrontChannelOff
}

func sessionManagement(cfg config.Config) bool {
	return cfg.Compatibility.SessionManagement == config.SessionManagementOn
}
