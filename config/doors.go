package config

import (
	"strings"
)

// Door is something that the default forbids and this configuration lets happen.
type Door struct {
	Key  string `json:"key"`
	What string `json:"what"` // a sentence
}

// Doors returns the doors that are open, in the order of the file.
func (c *Config) Doors() []Door {
	doors := []Door{}
	open := func(is bool, key, what string) {
		if is {
			doors = append(doors, Door{key, what})
		}
	}
	open(c.MutualTLS.Header != "", "mutual_tls.header", "Whoever reaches this listener from an address of trusted_proxies says which certificate a client has.")
	open(c.SMTP.Host != "" && c.SMTP.Security == SecurityNone, "smtp.security", "Mail, with links that let people in, leaves unprotected.")
	open(len(c.Fetch.Allow) > 0, "fetch.allow", "Whoever may register a client makes this service connect to these networks.")
	open(c.Fetch.RequestObjects != RequestObjectsOff, "fetch.request_objects", "Whoever opens a sign-in link makes this service ask that client's server.")
	open(c.Compatibility.FrontChannelTokens != FrontChannelOff, "compatibility.front_channel_tokens", "Tokens may be in the address that a browser returns to (implicit and hybrid).")
	open(c.Compatibility.SessionManagement == SessionManagementOn, "compatibility.session_management", "Portals may watch the session in a frame.")
	open(c.Registration.Mode == RegistrationToken, "registration.mode", "Holders of an initial access token register clients.")
	open(c.Registration.Mode == RegistrationOpen, "registration.mode", "Everybody registers clients, and chooses the name that people read.")
	open(c.Registration.On() && c.Registration.Token != "", "registration.token", "One initial access token has no end: anteroom client token create makes others.")
	open(c.Registration.StatementIssuers != "", "registration.statement_issuers", "What these issuers sign about a client takes the place of what it says.")
	open(c.Documents.On() && strings.TrimSpace(c.Documents.Hosts) == DocumentsAny, "client_documents.hosts", "Everybody publishes clients, and makes this service fetch a file from a public host of their choice.")
	open(c.Documents.On() && strings.TrimSpace(c.Documents.Hosts) != DocumentsAny, "client_documents.hosts", "These hosts publish clients that nobody here registered.")
	return doors
}
