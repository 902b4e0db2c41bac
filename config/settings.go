package config

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// setting is one key: what it is called, what it means, where its value lives,
// and which values it takes.
type setting struct {
	key     string // dotted path in the YAML file
	doc     string // full sentences, for the operator
	target  any    // *string, *Secret, *int, *time.Duration, *[]netip.Prefix
	min     time.Duration
	max     time.Duration
	least   int
	most    int
	oneOf   []string
	ownFile bool   // KEY_file is in this table: a secret that is not read like the others
	path    bool   // relative ones start at the folder of the configuration file
	example string // shown instead of an empty default
}

// section introduces a group of keys.
type section struct{ key, doc string }

var sections = []section{
	{"tls", "The certificate of this node. Leave both out behind a reverse proxy that terminates TLS."},
	{"mutual_tls", "Clients (portals, not people) that prove themselves with a certificate (RFC 8705). Off unless host or header is set."},
	{"operations", "The listener for health checks and metrics. Keep it away from the public."},
	{"smtp", "The mail server that takes invitations and notices. Without a host, mails wait in the outbox."},
	{"lifetimes", "How long things are good for. Durations are written as 90s, 10m, 12h or 30d."},
	{"keys", "The ring of keys that sign tokens."},
	{"product", "How the sign-in service calls itself where no portal is concerned."},
	{"password", "What hashing passwords may take of the machine."},
	{"fetch", "What clients publish (keys, request objects, lists of addresses) and where they are told of sign-outs is at addresses that they chose. Only the public internet is reached."},
	{"compatibility", "What certification profiles and portals of old need, and the default forbids for their safety."},
	{"registration", "Clients that register themselves (RFC 7591). Each becomes an application that every account may enter, and people are asked for their consent."},
	{"client_documents", "Clients that are known by what they publish (client-id metadata documents, as tools of the Model Context Protocol have them): their client_id is an https URL, and what is there is their registration. Off unless application is set. People are always asked for their consent, and see the host."},
	{"log", "The log goes to standard error."},
}

const (
	minute = time.Minute
	hour   = time.Hour
	day    = 24 * time.Hour
)

// settings is the table of all keys, in the order of the file.
func (c *Config) settings() []setting {
	all := []setting{
		{key: "issuer", target: &c.Issuer, example: "https://id.example.com",
			doc: "The public URL of this service, without a path. Portals and tokens name it; changing it later breaks them. https is required, except on localhost."},
		{key: "listen", target: &c.Listen,
			doc: "Where this node listens: host:port. Only this machine by default; write :8080 for every interface."},
		{key: "trusted_proxies", target: &c.TrustedProxies, example: "[10.0.0.0/8]",
			doc: "Addresses or networks of reverse proxies whose X-Forwarded-For header is believed. Nobody else's is."},
		{key: "data", target: &c.DataDir, path: true,
			doc: "The data folder: database, master key and administration socket. Made with mode 0700 if it is missing. Relative paths start at the folder of this file."},
		{key: "master_key_file", target: &c.MasterKeyFile, path: true, example: "/run/secrets/anteroom-master-key",
			doc: "The key that all stored secrets are sealed with: 32 bytes, raw, hexadecimal or base64. Without it, master.key in the data folder is used and made at the first start. Keep a copy apart from the database: one is worthless without the other."},
		{key: "master_key", target: &c.MasterKey, ownFile: true,
			doc: "The same key as text, hexadecimal or base64: for platforms that hand secrets to a process in its environment and mount no files. Use one of the two."},
		{key: "store", target: &c.Store, example: "bolt:/var/lib/anteroom/anteroom.db",
			doc: "Where everything is kept: bolt: and the path of the database file, or the URL of a PostgreSQL database that any number of nodes share: postgres://anteroom:PASSWORD@db.example.com:5432/anteroom?sslmode=verify-full. Those nodes share one master key (master_key_file), and each has a data folder of its own. The default is anteroom.db in the data folder."},

		{key: "tls.certificate", target: &c.TLS.Certificate, path: true, example: "/etc/anteroom/tls.crt",
			doc: "PEM file with the certificate chain."},
		{key: "tls.key", target: &c.TLS.Key, path: true, example: "/etc/anteroom/tls.key",
			doc: "PEM file with its private key."},

		{key: "mutual_tls.host", target: &c.MutualTLS.Host, example: "mtls.id.example.com",
			doc: "Host name under which clients are asked for their certificate, so that no browser ever is. With tls, it leads to this listener, whose certificate covers it; else to the proxy that sets the header. Discovery names it (mtls_endpoint_aliases)."},
		{key: "mutual_tls.header", target: &c.MutualTLS.Header, example: "Client-Cert",
			doc: "Header in which one of trusted_proxies says which certificate it saw: as RFC 9440 writes it, or as URL-encoded PEM. The proxy must remove it from what comes from outside."},
		{key: "mutual_tls.ca", target: &c.MutualTLS.CA, path: true, example: "/etc/anteroom/client-ca.crt",
			doc: "PEM file with the authorities that vouch for certificates (tls_client_auth). Without it only registered keys count (self_signed_tls_client_auth)."},

		{key: "operations.listen", target: &c.Operations.Listen,
			doc: `Where /healthz, /readyz and /metrics are served: host:port. Write "" to serve them nowhere.`},

		{key: "smtp.host", target: &c.SMTP.Host, example: "smtp.example.com", doc: "Host name of the mail server."},
		{key: "smtp.port", target: &c.SMTP.Port, least: 1, most: 65535, doc: "587 for STARTTLS, 465 for TLS."},
		{key: "smtp.security", target: &c.SMTP.Security, oneOf: []string{SecurityStartTLS, SecurityTLS, SecurityNone},
			doc: "starttls (required, never optional), tls (from the first byte), or none (plain; only on this machine, or without a password)."},
		{key: "smtp.username", target: &c.SMTP.UserName, example: "anteroom", doc: "Leave it out if the server asks for no sign-in."},
		{key: "smtp.password", target: &c.SMTP.Password, doc: "Its password."},
		{key: "smtp.from", target: &c.SMTP.From, example: "Example Sign-in <no-reply@example.com>", doc: "The sender of every mail."},
		{key: "smtp.reply_to", target: &c.SMTP.ReplyTo, example: "support@example.com", doc: "Where answers go."},
		{key: "smtp.timeout", target: &c.SMTP.Timeout, min: time.Second, max: 10 * minute, doc: "How long one message may take."},
	}
	all = append(all, c.lifetimeSettings()...)
	return append(all, c.policySettings()...)
}

func (c *Config) lifetimeSettings() []setting {
	l := &c.Lifetimes
	return []setting{
		{key: "lifetimes.session", target: &l.Session, min: minute, max: 400 * day,
			doc: "Single sign-on: how long a browser stays signed in after the last sign-in."},
		{key: "lifetimes.interaction", target: &l.Interaction, min: 5 * minute, max: day,
			doc: "How long a sign-in may take from the first page to the last."},
		{key: "lifetimes.code", target: &l.Code, min: 10 * time.Second, max: minute,
			doc: "Authorization codes. A minute is the most that certification allows."},
		{key: "lifetimes.access_token", target: &l.AccessToken, min: minute, max: day,
			doc: "Access tokens. They are verified without asking us, so a revoked right lasts this long at worst."},
		{key: "lifetimes.id_token", target: &l.IDToken, min: minute, max: day, doc: "ID tokens."},
		{key: "lifetimes.refresh_token", target: &l.RefreshToken, min: 10 * minute, max: 365 * day,
			doc: "Refresh tokens; each use gives a new one that is good for this long again."},
		{key: "lifetimes.invitation", target: &l.Invitation, min: hour, max: 90 * day, doc: "Activation links."},
		{key: "lifetimes.reset", target: &l.Reset, min: 5 * minute, max: day, doc: "Links to choose a new password."},

		{key: "keys.rotate_every", target: &c.Keys.RotateEvery, min: day, max: 400 * day, doc: "A new key takes over after this."},
		{key: "keys.publish_ahead", target: &c.Keys.PublishAhead, min: 5 * minute, max: 30 * day,
			doc: "How long a new key is published before it signs, so that portals with a cached key set know it."},
	}
}

func (c *Config) policySettings() []setting {
	return []setting{
		{key: "product.name", target: &c.Product.Name, doc: "The name on pages and in mails."},
		{key: "product.totp_issuer", target: &c.Product.TOTPIssuer, example: "Example Corp",
			doc: "The name that authenticator apps show next to the codes. The default is the name above."},
		{key: "product.logo_url", target: &c.Product.LogoURL, example: "https://www.example.com/logo.svg",
			doc: "https URL of an image."},
		{key: "product.colour", target: &c.Product.Colour, example: `"#1f5fbf"`, doc: "Accent colour as #rrggbb, in quotes."},

		{key: "password.parallel", target: &c.Password.Parallel, least: 0, most: 1024,
			doc: "Hashes (argon2id, 19 MiB each) computed at once; others wait their turn. 0 means one for each processor."},

		{key: "fetch.allow", target: &c.Fetch.Allow, example: "[10.20.0.0/16]",
			doc: "Networks that are reached although they are not public: those of portals inside. Whoever may register a client can make this service connect to them."},

		{key: "fetch.request_objects", target: &c.Fetch.RequestObjects, oneOf: []string{RequestObjectsOff, RequestObjectsRegistered},
			doc: "Whether an authorization request may be an address where the request is (request_uri): off, or registered (only addresses that its client registered as request_uris). Then whoever opens a sign-in link makes this service ask that client's server: each node every five seconds at most."},

		{key: "compatibility.front_channel_tokens", target: &c.Compatibility.FrontChannelTokens, oneOf: []string{FrontChannelOff, FrontChannelClients, FrontChannelRegistration},
			doc: "Who may have tokens in the address that the browser returns to, by the implicit or hybrid flow. With off nobody may, with clients those that the operator registered for it, with registration those that register themselves, too. What is in an address is in the browser's history and for every script of the portal to read; the code flow has no need of it."},

		{key: "compatibility.session_management", target: &c.Compatibility.SessionManagement, oneOf: []string{SessionManagementOff, SessionManagementOn},
			doc: "Whether portals may watch in a hidden frame if the sign-in changed (OpenID Connect Session Management). It needs a cookie that frames of other sites can read, which says nothing but which session it is; most browsers keep such cookies from frames by now. Back-channel logout needs none."},

		{key: "registration.mode", target: &c.Registration.Mode, oneOf: []string{RegistrationOff, RegistrationToken, RegistrationOpen},
			doc: "Who may register clients: off (the operator alone), token (holders of an initial access token, which `anteroom client token create` makes), or open (everybody: whoever does so chooses the name that people read on the sign-in page)."},
		{key: "registration.token", target: &c.Registration.Token, doc: "One more initial access token, without an end and for any number of clients: at least 32 random characters."},
		{key: "registration.statements", target: &c.Registration.Statements, oneOf: []string{StatementsOptional, StatementsRequired},
			doc: "Whether a registration needs a software statement (RFC 7591 section 2.3): optional or required."},
		{key: "registration.statement_issuers", target: &c.Registration.StatementIssuers, path: true, example: "/etc/anteroom/statement-issuers.json",
			doc: "JSON file with whose software statements are believed, each with the address of its keys (jwks_uri) or the keys themselves (jwks). What a statement says of a client takes the place of what the client says. Without the file every statement is refused."},

		{key: "client_documents.application", target: &c.Documents.Application, example: "tools",
			doc: "Id of the application that these clients belong to: its access, terms and second factor hold for them. It must ask for consent (anteroom app create tools --consent always), or they are refused."},
		{key: "client_documents.hosts", target: &c.Documents.Hosts, example: "tool.example.com other.example.com",
			doc: "Who may publish clients: host names, separated by spaces, or any. With any, whoever opens a sign-in link makes this service fetch a small file from a public host of their choice."},
		{key: "client_documents.scopes", target: &c.Documents.Scopes,
			doc: "What these clients may ask for, separated by spaces."},
		{key: "client_documents.resources", target: &c.Documents.Resources, example: "https://mcp.example.com",
			doc: "Resource servers that these clients may ask tokens for (resource, RFC 8707), separated by spaces."},

		{key: "log.level", target: &c.Log.Level, oneOf: []string{"debug", "info", "warn", "error"}, doc: "debug, info, warn or error."},
		{key: "log.format", target: &c.Log.Format, oneOf: []string{"text", "json"}, doc: "text or json."},
	}
}

// variable returns the environment variable of a key.
func variable(key string) string {
	return "ANTEROOM_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// value returns the setting as it is written in YAML. Secrets are not shown.
func (s setting) value() string {
	switch t := s.target.(type) {
	case *string:
		return *t
	case *Secret:
		return t.String()
	case *int:
		return strconv.Itoa(*t)
	case *time.Duration:
		return formatDuration(*t)
	case *[]netip.Prefix:
		if len(*t) == 0 {
			return ""
		}
		words := make([]string, len(*t))
		for i, p := range *t {
			words[i] = p.String()
		}
		return "[" + strings.Join(words, ", ") + "]"
	}
	panic("config: setting " + s.key + " has a type that settings do not have")
}
