package store

import (
	"context"
	"maps"
	"time"
)

// ConsentPolicy says when the consent page appears.
type ConsentPolicy string

const (
	ConsentSkip   ConsentPolicy = "skip"   // first party: never, scopes are granted
	ConsentOnce   ConsentPolicy = "once"   // asked until given for the scopes
	ConsentAlways ConsentPolicy = "always" // asked at every authorization
)

// AccessPolicy says who may enter.
type AccessPolicy string

const (
	AccessAssigned AccessPolicy = "assigned" // accounts with an assignment
	AccessEveryone AccessPolicy = "everyone" // every active account
)

// Application is a portal: what people call by name. Its clients are OAuth
// registrations.
type Application struct {
	ID        string // slug chosen by the operator: "partner-analytics"
	Name      string
	LaunchURL string // where "go to the portal" leads; starts the portal's own sign-in
	LogoURL   string
	Colour    string // accent, "#rrggbb"; empty: the default

	RequireMFA              bool
	ChallengeAfterEnrolment bool // PCC: another code after the enrolment code
	Consent                 ConsentPolicy
	Access                  AccessPolicy
	EnrolmentHint           string        // the operator's own words on which authenticator app is allowed
	SessionMaxAge           time.Duration // a session older than this signs in again; 0: no limit of its own
	DetailTypes             []DetailType  // what its clients may ask for in authorization_details

	CreatedAt time.Time
	UpdatedAt time.Time
}

// DetailType is one type of authorization_details (RFC 9396 section 2): what an
// element of it may hold, and how people are told. What is not described is
// refused.
type DetailType struct {
	Type    string        `json:"type"`
	Title   string        `json:"title"`             // what it lets a client do, as the consent page says it
	Consent ConsentPolicy `json:"consent,omitempty"` // skip, once (also if empty) or always
	Fields  []DetailField `json:"fields,omitempty"`
}

// DetailField is one member of a DetailType.
type DetailField struct {
	Name     string            `json:"name"`            // with dots for members of members: "amount.currency"
	Title    string            `json:"title,omitempty"` // what the consent page calls it; empty for the common members of RFC 9396
	Kind     string            `json:"kind"`            // text, number or list (of texts)
	Required bool              `json:"required,omitempty"`
	Values   map[string]string `json:"values,omitempty"` // allowed ones, in people's words; empty: any
}

// Applications.
type Applications interface {
	CreateApplication(ctx context.Context, a Application) error // ErrExists
	Application(ctx context.Context, id string) (Application, error)
	UpdateApplication(ctx context.Context, id string, change func(*Application) error) (Application, error)
	// DeleteApplication removes it with its clients (as DeleteClient), roles,
	// assignments, terms, their acceptances, and invitations. Returns ErrNotFound.
	DeleteApplication(ctx context.Context, id string) error
	Applications(ctx context.Context, page Page) (rows []Application, next string, err error)
}

// ClientSecret is one valid secret of a client; during rotation there are several.
type ClientSecret struct {
	Hash      string // keyed hash of a high-entropy secret
	CreatedAt time.Time
	ExpiresAt time.Time // zero: does not expire
}

// Client is an OAuth registration of an application. Field names follow the
// metadata of RFC 7591 section 2.
type Client struct {
	ID                       string
	ApplicationID            string
	Name                     string
	Secrets                  []ClientSecret
	RedirectURIs             []string
	PostLogoutRedirectURIs   []string
	GrantTypes               []string // authorization_code, refresh_token, client_credentials
	ResponseTypes            []string // code
	Scopes                   []string // what the client may ask for
	Audiences                []string // resource servers it may ask for, besides itself
	TokenEndpointAuthMethod  string   // client_secret_basic, client_secret_post, none, ...
	ApplicationType          string   // web (default) or native
	IDTokenSignedResponseAlg string   // empty: RS256
	AccessTokenSigningAlg    string   // empty: ES256
	PKCEOptional             bool     // a confidential client exempted by the operator
	Disabled                 bool
	Settings                 map[string]any // further registered metadata, JSON types
	CreatedAt                time.Time
	UpdatedAt                time.Time
}

// SettingTokensEnded is kept with the further metadata of a client, and is none:
// nobody registers it, and it stays whatever is registered.
const SettingTokensEnded = "tokens_ended_at"

// EndTokens makes access tokens that the client got up to now worth nothing.
func (c *Client) EndTokens(now time.Time) {
	settings := maps.Clone(c.Settings)
	if settings == nil {
		settings = map[string]any{}
	}
	settings[SettingTokensEnded] = Time(now).Format(time.RFC3339Nano)
	c.Settings = settings
}

// TokensEnded is when EndTokens was called last; zero: never.
func (c Client) TokensEnded() time.Time {
	text, _ := c.Settings[SettingTokensEnded].(string)
	at, _ := time.Parse(time.RFC3339Nano, text) // written by EndTokens
	return at
}

// Clients. Outside units of work a store may be asked to go by what it read of a
// client or application a moment ago; what it changed itself it sees at once.
type Clients interface {
	CreateClient(ctx context.Context, c Client) error // ErrExists; ErrInvalid: no such application
	Client(ctx context.Context, id string) (Client, error)
	UpdateClient(ctx context.Context, id string, change func(*Client) error) (Client, error)
	// DeleteClient removes it with its consents and ends its grants, so that a
	// later client of the same id inherits nothing. Returns ErrNotFound.
	DeleteClient(ctx context.Context, id string) error
	// Clients lists by id; applicationID "" means all.
	Clients(ctx context.Context, applicationID string, page Page) (rows []Client, next string, err error)
}

// Organisation is a node of the tree vendor, distributor, partner, company.
type Organisation struct {
	ID        string // slug or random
	ParentID  string // "" at a root
	Name      string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Organisations.
type Organisations interface {
	CreateOrganisation(ctx context.Context, o Organisation) error // ErrExists; ErrInvalid: no such parent
	Organisation(ctx context.Context, id string) (Organisation, error)
	// UpdateOrganisation returns ErrInvalid if the change would make a cycle or
	// name a parent that does not exist.
	UpdateOrganisation(ctx context.Context, id string, change func(*Organisation) error) (Organisation, error)
	Organisations(ctx context.Context, page Page) (rows []Organisation, next string, err error)
}

// Role is a key that an application understands, held for an organisation.
type Role struct {
	ApplicationID string
	Key           string
	Name          string
	Description   string
	CreatedAt     time.Time
}

// Roles.
type Roles interface {
	// PutRole creates or replaces. ErrInvalid: no such application.
	PutRole(ctx context.Context, r Role) error
	// DeleteRole removes it and the assignments that hold it. ErrNotFound.
	DeleteRole(ctx context.Context, applicationID, key string) error
	// RolesOf lists an application's roles by key.
	RolesOf(ctx context.Context, applicationID string) ([]Role, error)
}

// AssignmentState: access to an application is none (no assignment), invited, active.
type AssignmentState string

const (
	AssignmentInvited AssignmentState = "invited"
	AssignmentActive  AssignmentState = "active"
)

// Assignment lets an account into an application, with a role for an
// organisation. Role and organisation are both empty for bare access.
// (AccountID, ApplicationID, OrganisationID, RoleKey) is its identity.
type Assignment struct {
	AccountID      string
	ApplicationID  string
	OrganisationID string
	RoleKey        string
	State          AssignmentState
	GrantedBy      string // account id, or "operator"
	CreatedAt      time.Time
	ActivatedAt    time.Time
}

// Assignments.
type Assignments interface {
	// PutAssignment creates it; an existing one stays as it is.
	// ErrInvalid: account, application, organisation or role does not exist, or
	// the state is neither invited nor active.
	PutAssignment(ctx context.Context, a Assignment) error
	// RemoveAssignment returns ErrNotFound if there is none.
	RemoveAssignment(ctx context.Context, a Assignment) error
	// ActivateAssignments turns the account's invited assignments to the
	// application active and returns how many there were.
	ActivateAssignments(ctx context.Context, accountID, applicationID string, now time.Time) (int, error)
	// AssignmentsOf lists an account's assignments to an application ("" means
	// all), ordered by application, organisation, role.
	AssignmentsOf(ctx context.Context, accountID, applicationID string) ([]Assignment, error)
	// AssignmentsIn lists who may enter an application, ordered by account,
	// organisation, role.
	AssignmentsIn(ctx context.Context, applicationID string, page Page) (rows []Assignment, next string, err error)
}

// TermsVersion is one published text. Published texts never change.
type TermsVersion struct {
	ApplicationID string
	Version       int // 1, 2, 3, ... assigned by PublishTerms
	Title         string
	Markdown      string
	Hash          string // hex SHA-256 of Markdown
	PublishedAt   time.Time
	Withdrawn     bool // true: from this version on nothing is asked
}

// TermsAcceptance records what was accepted, when, and on the way to which client.
type TermsAcceptance struct {
	AccountID     string
	ApplicationID string
	Version       int
	Hash          string
	AcceptedAt    time.Time
	ClientID      string // empty: during an activation that no client started
}

// Terms.
type Terms interface {
	// PublishTerms assigns the next version number and Hash, and returns the row.
	// ErrInvalid: no such application.
	PublishTerms(ctx context.Context, t TermsVersion) (TermsVersion, error)
	// CurrentTerms returns the newest version, ErrNotFound if there is none or
	// the newest is Withdrawn.
	CurrentTerms(ctx context.Context, applicationID string) (TermsVersion, error)
	TermsVersions(ctx context.Context, applicationID string) ([]TermsVersion, error)
	// AcceptTerms records an acceptance. A second one of the same version
	// changes nothing. ErrNotFound: no such version; ErrInvalid: another hash.
	AcceptTerms(ctx context.Context, a TermsAcceptance) error
	// AcceptedTerms returns the newest accepted version, ErrNotFound if none.
	AcceptedTerms(ctx context.Context, accountID, applicationID string) (TermsAcceptance, error)
}

// Consent is what an account lets a client have.
type Consent struct {
	AccountID string
	ClientID  string
	Scopes    []string // sorted
	Details   string   // authorization_details that were consented to last, canonical JSON; empty: never any
	GrantedAt time.Time
}

// Consents.
type Consents interface {
	// PutConsent replaces the scopes by the union with what was granted before, and
	// the details only if there are any.
	PutConsent(ctx context.Context, c Consent) error
	// Consent returns ErrNotFound if there is none.
	Consent(ctx context.Context, accountID, clientID string) (Consent, error)
	ConsentsOf(ctx context.Context, accountID string) ([]Consent, error)
	// RevokeConsent returns ErrNotFound if there is none.
	RevokeConsent(ctx context.Context, accountID, clientID string) error
}
