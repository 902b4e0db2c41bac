package server

import (
	"slices"
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

// registration says in the provider's words who may register clients.
func registration(cfg config.Config) provider.Registration {
	r := provider.Registration{Open: cfg.Registration.Mode == config.RegistrationOpen}
	if cfg.Registration.Mode != config.RegistrationOff {
		r.Token = cfg.Registration.Token.Reveal()
	}
	return r
}
