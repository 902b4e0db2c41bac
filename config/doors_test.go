package config

import (
	"net/netip"
	"reflect"
	"testing"
)

func TestEveryOpenDoorIsNamed(t *testing.T) {
	shut := Default()
	if doors := shut.Doors(); len(doors) != 0 {
		t.Errorf("the default opens %v", doors)
	}
	known := map[string]bool{}
	for _, s := range shut.settings() {
		known[s.key] = true
	}
	named := map[string]bool{}
	for key, open := range map[string]func(*Config){
		"mutual_tls.header":                  func(c *Config) { c.MutualTLS.Header = "Client-Cert" },
		"smtp.security":                      func(c *Config) { c.SMTP.Host, c.SMTP.Security = "localhost", SecurityNone },
		"fetch.allow":                        func(c *Config) { c.Fetch.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} },
		"fetch.request_objects":              func(c *Config) { c.Fetch.RequestObjects = RequestObjectsRegistered },
		"compatibility.front_channel_tokens": func(c *Config) { c.Compatibility.FrontChannelTokens = FrontChannelClients },
		"compatibility.session_management":   func(c *Config) { c.Compatibility.SessionManagement = SessionManagementOn },
		"registration.mode":                  func(c *Config) { c.Registration.Mode = RegistrationOpen },
		"registration.statement_issuers":     func(c *Config) { c.Registration.StatementIssuers = "issuers.json" },
		"client_documents.hosts":             func(c *Config) { c.Documents.Application, c.Documents.Hosts = "tools", DocumentsAny },
	} {
		c := Default()
		open(&c)
		doors := c.Doors()
		if len(doors) != 1 || doors[0].Key != key || doors[0].What == "" || !known[key] {
			t.Errorf("%s opens %v", key, doors)
		}
		named[key] = true
	}
	// A switch of these sections that is added has to be thought of here.
	for _, s := range shut.settings() {
		off, isText := s.target.(*string)
		if isText && len(s.oneOf) > 0 && *off == s.oneOf[0] && *off == "off" && !named[s.key] {
			t.Errorf("%s can be opened, and config check would not say so", s.key)
		}
	}
	if n := reflect.TypeFor[Compatibility]().NumField(); n != 2 {
		t.Errorf("compatibility has %d switches, 2 are doors", n)
	}
	c := Default()
	c.Registration.Mode, c.Registration.Token = RegistrationToken, "a fixed one"
	c.Documents.Application, c.Documents.Hosts = "tools", "tool.example"
	if doors := c.Doors(); len(doors) != 3 {
		t.Errorf("open: %v", doors)
	}
}
