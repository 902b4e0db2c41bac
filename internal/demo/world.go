package demo

import (
	_ "embed"
	"log/slog"
	"time"

	"anteroom/admin"
	"anteroom/store"
)

// The two applications, by the names that others rely on.
const (
	PartnerAnalytics = "partner-analytics"
	PCC              = "pcc"
)

// What the demo's people sign in with.
const (
	Ann  = "ann@acme.example"       // invited to Partner Analytics, has no password yet
	Pia  = "pia@acme.example"       // invited to PCC, has no password yet
	Ben  = "ben@acme.example"       // active in both, without a second factor
	Olga = "olga@northwind.example" // operator, active in both
)

//go:embed terms.md
var termsText string

const termsTitle = "Terms of use of Partner Analytics"

// organisations is a small tree: vendor, distributor, two partners.
var organisations = []admin.CreateOrganisation{
	{ID: "northwind", Name: "Northwind Software"},
	{ID: "brightpath", Name: "Brightpath Distribution", Parent: "northwind"},
	{ID: "acme", Name: "Acme GmbH", Parent: "brightpath"},
	{ID: "globex", Name: "Globex Ltd", Parent: "brightpath"},
}

// application is an application of the demo, with its portal and its roles.
type application struct {
	id, name, colour string
	tagline          string
	cookie           string
	client           string
	secondCode       bool
	terms            bool
	hint             string
	roles            []role
}

type role struct{ key, name, description string }

var applications = []application{
	{
		id: PartnerAnalytics, name: "Partner Analytics", colour: "#0b6e4f", cookie: "demo_partner_analytics",
		client: "partner-analytics-web", terms: true,
		tagline: "Sales, renewals and support figures of your organisation, day by day.",
		hint:    "Your IT department may have chosen an authenticator app for you. Ask them if you are not sure.",
		roles: []role{
			{"viewer", "Viewer", "Sees the figures of an organisation"},
			{"analyst", "Analyst", "Builds and shares reports"},
			{"administrator", "Administrator", "Invites colleagues and manages their access"},
		},
	},
	{
		id: PCC, name: "Control Center (PCC)", colour: "#5b3cc4", cookie: "demo_pcc",
		client: "pcc-web", secondCode: true,
		tagline: "Licences, devices and tickets of your customers in one place.",
		roles: []role{
			{"technician", "Technician", "Works on devices and tickets"},
			{"administrator", "Administrator", "Invites colleagues and manages their access"},
		},
	},
}

// NewPortals returns the two portals of the demo, by application, for an issuer.
// They have no credentials yet: Furnish gives them theirs.
func NewPortals(issuer, analyticsURL, pccURL string, log *slog.Logger, now func() time.Time) map[string]*Portal {
	portals := map[string]*Portal{}
	for _, a := range applications {
		at := analyticsURL
		if a.id == PCC {
			at = pccURL
		}
		portals[a.id] = a.portal(at, issuer, log, now)
	}
	return portals
}

func (a application) portal(at, issuer string, log *slog.Logger, now func() time.Time) *Portal {
	return NewPortal(PortalConfig{
		Name: a.name, Tagline: a.tagline, Colour: a.colour, Cookie: a.cookie,
		URL: at, Issuer: issuer, Log: log, Now: now,
	})
}

func (a application) create(launchURL string) admin.CreateApplication {
	yes, skip, assigned := true, string(store.ConsentSkip), string(store.AccessAssigned)
	return admin.CreateApplication{ID: a.id, ChangeApplication: admin.ChangeApplication{
		Name: &a.name, Colour: &a.colour, LaunchURL: &launchURL, RequireMFA: &yes,
		ChallengeAfterEnrolment: &a.secondCode, Consent: &skip, Access: &assigned, EnrolmentHint: &a.hint,
	}}
}

func (a application) register(p *Portal) admin.RegisterClient {
	scope := "openid profile email roles offline_access"
	method := "client_secret_basic"
	redirects, logouts := []string{p.RedirectURI()}, []string{p.PostLogoutRedirectURI()}
	grants := []string{"authorization_code", "refresh_token"}
	return admin.RegisterClient{ID: a.client, Application: a.id, ChangeClient: admin.ChangeClient{
		Name: &a.name, RedirectURIs: &redirects, PostLogoutRedirectURIs: &logouts,
		GrantTypes: &grants, Scope: &scope, TokenEndpointAuthMethod: &method,
	}}
}

// invited are the people who have mail waiting.
var invited = []struct {
	email, name, application, organisation, role string
}{
	{Ann, "Ann Archer", PartnerAnalytics, "acme", "viewer"},
	{Pia, "Pia Probst", PCC, "acme", "technician"},
}

// member is somebody who has a password already.
type member struct {
	email, name, organisation string
	access                    []access
}

type access struct {
	Application  string `json:"application"`
	Organisation string `json:"organisation"`
	Role         string `json:"role"`
}

var members = []member{
	{Ben, "Ben Baker", "acme", []access{
		{PartnerAnalytics, "acme", "analyst"}, {PCC, "acme", "technician"},
	}},
	{Olga, "Olga Orlova", "northwind", []access{
		{PartnerAnalytics, "northwind", "administrator"}, {PCC, "northwind", "administrator"},
	}},
}
