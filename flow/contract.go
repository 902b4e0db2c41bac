package flow

import (
	"context"
	"net/http"
	"time"

	"anteroom/internal/rar"
	"anteroom/store"
	"anteroom/templates"
)

// Step is one page of the flow; its value is the path.
type Step string

const (
	StepLogin         Step = "/login"
	StepEnroll        Step = "/mfa/enroll"
	StepRecoveryCodes Step = "/mfa/recovery-codes"
	StepChallenge     Step = "/mfa/challenge" // /mfa/recovery is another page of this step
	StepTerms         Step = "/terms"
	StepConsent       Step = "/consent"
	StepFinish        Step = "/continue" // the hub itself: nothing is left to prove
)

// Authentication is what was proved about whom: what the tokens will say.
type Authentication struct {
	AccountID string
	SessionID string
	AuthTime  time.Time
	AMR       []string // RFC 8176
	ACR       string
}

// Levels of sign-in.
const (
	ACRPassword = "urn:anteroom:acr:pwd"
	ACRMulti    = "urn:anteroom:acr:mfa"
	ACRPhishing = "urn:anteroom:acr:phr"
)

// Request is a valid authorization request, as the provider hands it over.
type Request struct {
	ClientID      string
	ApplicationID string
	Params        string // form-encoded, secrets removed
	Ask           Ask
}

// ProtocolError is an OpenID error for the client (RFC 6749 section 4.1.2.1,
// OpenID Connect Core section 3.1.2.6).
type ProtocolError struct {
	Code        string // login_required, access_denied, ...
	Description string
}

func (e *ProtocolError) Error() string { return e.Code + ": " + e.Description }

// Answer is what the provider sends to the client; written after the commit.
type Answer func(w http.ResponseWriter, r *http.Request)

// Engine is the protocol side of the hub; package provider implements it.
type Engine interface {
	// Issue validates the Interaction's original parameters again, and issues
	// the code for them in the unit of work of ctx. An error that belongs to
	// the client comes back as an Answer, anything else as an error.
	Issue(ctx context.Context, in Interaction, a Authentication, scopes []string) (Answer, error)
	// Details returns the authorization_details that were asked for. They are not
	// checked against what the operator describes: Issue does.
	Details(ctx context.Context, in Interaction) (rar.Details, error)
	// Refuse validates the original parameters again and answers with e.
	Refuse(ctx context.Context, in Interaction, e *ProtocolError) (Answer, error)
}

// Pending is an Interaction with what is known about it: what a step works with.
type Pending struct {
	Interaction
	Application store.Application // zero for KindHome
	Client      store.Client      // zero unless the kind ends with something for a client
	Account     store.Account     // zero until somebody is known
	Details     rar.Details       // authorization_details that were asked for; nil until somebody is known
	Terms       *store.TermsVersion
	AcceptedAny bool // an earlier version of the terms was accepted
	Session     *store.Session
	Step        Step
}

// SettingDocumentHost is where the provider keeps, in the settings of a client that
// is known by its client-id metadata document alone, who published that: all that
// is sure about it.
const SettingDocumentHost = "client_id_host"

// Stranger returns the host of a client that nobody here registered; "" if somebody
// did.
func (p *Pending) Stranger() string {
	host, _ := p.Client.Settings[SettingDocumentHost].(string)
	return host
}

// URL returns the path of a page of this interaction: the path with its i.
func (p *Pending) URL(path string) string { return path + "?i=" + p.ID }

// Activating tells whether this is somebody's first way in, where the pages show
// progress and the last button says Finish.
func (p *Pending) Activating() bool {
	return p.Kind == KindActivation || p.Account.State == store.AccountInvited
}

// Frame returns the page frame: portal and progress.
func (p *Pending) Frame() templates.Frame {
	var f templates.Frame
	if p.ApplicationID != "" {
		f.Portal = Brand(p.Application)
		// What the client registered about itself (RFC 7591 section 2).
		f.Portal.Policy, _ = p.Client.Settings["policy_uri"].(string)
		f.Portal.Terms, _ = p.Client.Settings["tos_uri"].(string)
		if host := p.Stranger(); host != "" {
			f.Portal.Name = host + " (" + p.Application.Name + ")"
		}
	}
	if p.Activating() {
		f.Progress = Progress(p.Step, p.Terms != nil)
	}
	return f
}
