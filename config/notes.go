package config

import (
	"net"
	"strings"
)

// Notes returns sentences about what is allowed but worth a thought.
func (c *Config) Notes() []string {
	var notes []string
	if c.SMTP.Host == "" {
		notes = append(notes, "No mail server is set (smtp.host): invitations and notices wait in the outbox.")
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err == nil && !loopback(host) && c.Secure() && !c.TLS.Enabled() && len(c.TrustedProxies) == 0 {
		notes = append(notes, "The listener speaks plain HTTP beyond this machine and no proxy is trusted (trusted_proxies): all visitors seem to come from the proxy's address, and share its limits.")
	}
	if host, _, err := net.SplitHostPort(c.Operations.Listen); err == nil && !loopback(host) {
		notes = append(notes, "Health checks and metrics are served beyond this machine (operations.listen): keep them behind a firewall.")
	}
	if c.PostgresDSN() != "" && c.MasterKeyFile == "" && c.MasterKey == "" {
		notes = append(notes, "The store can be shared by several nodes, but the master key is in this node's data folder: give every node a copy with master_key_file or master_key.")
	}
	if strings.HasPrefix(c.Issuer, "http://") {
		notes = append(notes, "The issuer is http on this machine: for trying out, not for others.")
	}
	return notes
}
