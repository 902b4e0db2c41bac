package config

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// Config is the configuration of one node. What each field means is said in
// settings.go, where its key is; paths are usable as they are.
type Config struct {
	Issuer         string // public URL, no path, no slash at the end
	Listen         string // host:port
	TLS            TLS
	MutualTLS      MutualTLS
	Operations     Operations
	TrustedProxies []netip.Prefix
	DataDir        string
	MasterKey      Secret // "": it is in a file; see MasterKeyFile and the function MasterKey
	MasterKeyFile  string // "": master.key in DataDir, made at first start
	Store          Secret // "": anteroom.db in DataDir; see BoltPath and PostgresDSN
	SMTP           SMTP
	Lifetimes      Lifetimes
	Keys           Keys
	Product        Product
	Password       Password
	Fetch          Fetch
	Compatibility  Compatibility
	Registration   Registration
	Documents      ClientDocuments
	Log            Log

	sources map[string]string // key -> where the value came from; for mistakes
}

// TLS is the listener's own certificate. Both empty: plain HTTP, for a reverse
// proxy that terminates TLS.
type TLS struct {
	Certificate string // PEM file with the chain
	Key         string // PEM file
}

// Enabled tells whether the listener speaks TLS itself.
func (t TLS) Enabled() bool { return t.Certificate != "" || t.Key != "" }

// MutualTLS is where certificates of clients come from (RFC 8705). Host and
// Header empty: they are not asked for.
type MutualTLS struct {
	Host   string // host name under which our own listener asks for them
	Header string // in which a trusted proxy says what it saw
	CA     string // PEM file with who vouches for them; "": self-signed ones only
}

// Enabled tells whether clients may show certificates.
func (m MutualTLS) Enabled() bool { return m.Host != "" || m.Header != "" }

// Operations is the listener of /healthz, /readyz and /metrics.
type Operations struct {
	Listen string // host:port; "": not served
}

// SMTP is the mail server that takes our messages. Host "": mails wait in the
// outbox.
type SMTP struct {
	Host     string
	Port     int
	Security string // SecurityStartTLS, SecurityTLS or SecurityNone
	UserName string // "": no authentication
	Password Secret
	From     string // RFC 5322 address, with or without a name
	ReplyTo  string
	Timeout  time.Duration // for one message
}

// How the connection to the mail server is protected.
const (
	SecurityStartTLS = "starttls" // STARTTLS is required, never optional
	SecurityTLS      = "tls"      // TLS from the first byte
	SecurityNone     = "none"     // loopback and tests
)

// Lifetimes say how long things are good for.
type Lifetimes struct {
	Session      time.Duration // single sign-on in one browser
	Interaction  time.Duration // one pending sign-in
	Code         time.Duration // authorization code
	AccessToken  time.Duration
	IDToken      time.Duration
	RefreshToken time.Duration // each rotation starts anew
	Invitation   time.Duration
	Reset        time.Duration // password reset link
}

// Keys say how the ring of signing keys turns.
type Keys struct {
	RotateEvery  time.Duration // a new key signs after this
	PublishAhead time.Duration // a new key is in the JWKS this long before it signs
}

// Product is how the service calls itself.
type Product struct {
	Name       string
	TOTPIssuer string // what authenticator apps show; "": Name
	LogoURL    string
	Colour     string // "#rrggbb"; "": the default accent
}

// IssuerLabel returns what authenticator apps show as the issuer.
func (p Product) IssuerLabel() string {
	if p.TOTPIssuer != "" {
		return p.TOTPIssuer
	}
	return p.Name
}

// Password says what hashing passwords may take. How long they are is fixed: 15
// characters alone, 8 with a second factor (package account).
type Password struct {
	Parallel int // hashes computed at once; 0: one a processor
}

// Fetch says where the service may connect to when a client named the address.
type Fetch struct {
	Allow          []netip.Prefix // networks that are reached although they are not public
	RequestObjects string         // RequestObjectsOff or RequestObjectsRegistered
}

// Which authorization requests are fetched (request_uri, RFC 9101 section 5.2).
const (
	RequestObjectsOff        = "off"
	RequestObjectsRegistered = "registered" // those at addresses that the client registered
)

// Compatibility opens what old portals and certification profiles need, and the
// default forbids.
type Compatibility struct {
	FrontChannelTokens string // FrontChannelOff, FrontChannelClients or FrontChannelRegistration
	SessionManagement  string // SessionManagementOff or SessionManagementOn
}

// Who may have tokens in the authorization response.
const (
	FrontChannelOff          = "off"
	FrontChannelClients      = "clients"      // those that the operator registered so
	FrontChannelRegistration = "registration" // and those that registered themselves so
)

// Whether portals may watch the session in a frame.
const (
	SessionManagementOff = "off"
	SessionManagementOn  = "on"
)

// Registration says who may register clients without the operator (RFC 7591).
type Registration struct {
	Mode             string // RegistrationOff, RegistrationToken or RegistrationOpen
	Statements       string // StatementsOptional or StatementsRequired
	StatementIssuers string // JSON file: whose software statements are believed; "": nobody's
	Token            Secret // one more initial access token, besides those in the store
}

// On tells whether anybody but the operator may register clients.
func (r Registration) On() bool { return r.Mode != RegistrationOff }

// ClientDocuments says which clients are known by what they publish. Application
// "": none.
type ClientDocuments struct {
	Application string // id of the application that they belong to
	Hosts       string // who may publish, separated by spaces; DocumentsAny: everybody
	Scopes      string // what they may ask for, separated by spaces
	Resources   string // resource servers that they may ask tokens for, likewise
}

// DocumentsAny lets every host publish clients.
const DocumentsAny = "any"

// On tells whether there are such clients.
func (d ClientDocuments) On() bool { return d.Application != "" }

// Who may register clients.
const (
	RegistrationOff   = "off"
	RegistrationToken = "token" // holders of an initial access token
	RegistrationOpen  = "open"  // everybody

	StatementsOptional = "optional"
	StatementsRequired = "required" // no registration without a software statement
)

// Log says what is logged, and in which form.
type Log struct {
	Level  string // debug, info, warn, error
	Format string // text or json
}

// Default returns the configuration of a node that was told nothing. It lacks
// an issuer, so it does not validate.
func Default() Config {
	const day = 24 * time.Hour
	return Config{
		Listen:     "127.0.0.1:8080",
		Operations: Operations{Listen: "127.0.0.1:9090"},
		DataDir:    "data",
		SMTP:       SMTP{Port: 587, Security: SecurityStartTLS, Timeout: 30 * time.Second},
		Lifetimes: Lifetimes{
			Session:      12 * time.Hour,
			Interaction:  time.Hour,
			Code:         time.Minute,
			AccessToken:  10 * time.Minute,
			IDToken:      10 * time.Minute,
			RefreshToken: 30 * day,
			Invitation:   7 * day,
			Reset:        time.Hour,
		},
		Keys:          Keys{RotateEvery: 90 * day, PublishAhead: day},
		Product:       Product{Name: "Anteroom"},
		Fetch:         Fetch{RequestObjects: RequestObjectsOff},
		Compatibility: Compatibility{FrontChannelTokens: FrontChannelOff, SessionManagement: SessionManagementOff},
		Registration:  Registration{Mode: RegistrationOff, Statements: StatementsOptional},
		Documents:     ClientDocuments{Scopes: "openid profile email offline_access"},
		Log:           Log{Level: "info", Format: "text"},
	}
}

// PostgresDSN returns the connection string of the PostgreSQL database, or "" if
// everything is in a file.
func (c *Config) PostgresDSN() string {
	dsn := c.Store.Reveal()
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		return dsn
	}
	return ""
}

// BoltPath returns the path of the database file. It is only called if there is
// no PostgresDSN.
func (c *Config) BoltPath() string {
	if c.Store == "" {
		return filepath.Join(c.DataDir, "anteroom.db")
	}
	return strings.TrimPrefix(c.Store.Reveal(), "bolt:")
}

// AdminSocket returns the path of the administration socket.
func (c *Config) AdminSocket() string { return filepath.Join(c.DataDir, "admin.sock") }

// Secure tells whether browsers reach the issuer over TLS: cookies follow it.
func (c *Config) Secure() bool { return strings.HasPrefix(c.Issuer, "https://") }

// IssuerURL returns the issuer, parsed. It is only called on valid configurations.
func (c *Config) IssuerURL() *url.URL {
	u, err := url.Parse(c.Issuer)
	if err != nil {
		return &url.URL{}
	}
	return u
}
