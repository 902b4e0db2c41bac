package flow

import (
	"net/url"
	"slices"
	"time"
)

// Kind says what an Interaction ends with.
type Kind string

const (
	KindAuthorize  Kind = "authorize"  // a portal asked: ends with its code
	KindActivation Kind = "activation" // an invitation: ends on /activated
	KindDevice     Kind = "device"     // a device waits: ends with its approval
	KindHome       Kind = "home"       // nobody asked: ends on the start page, or a page of the account
	// KindBackchannel: a client waits that asked without a browser; ends with the
	// approval.
	KindBackchannel Kind = "backchannel"
)

// forClient tells whether the interaction ends with something for a client.
func (k Kind) forClient() bool {
	return k == KindAuthorize || k == KindDevice || k == KindBackchannel
}

// Interaction is one pending authorization: what was asked, and the facts proved
// so far. It travels sealed in a cookie of the browser that began it, so that an
// anonymous request writes nothing to the store and any node can go on with it.
// It holds facts, not progress: what comes next is decided by Next.
type Interaction struct {
	ID            string
	Kind          Kind
	Browser       string `json:",omitempty"` // the browser it is bound to
	ApplicationID string // empty for KindHome
	ClientID      string // only for kinds that end with something for a client
	Params        string // the original authorization request, form-encoded; validated again before a code is issued; the path to end on for KindHome
	Ask           Ask
	StartedAt     time.Time
	ExpiresAt     time.Time

	// Facts.
	AccountID     string
	PasswordAt    time.Time // zero: no password proved in this interaction
	SecondFactor  *Proof    // nil: none proved in this interaction
	EnrolmentOwed bool      // a recovery code was used: a new authenticator must be bound
	RecoveryCodes []string  // new ones, to be shown once
	ConsentedAt   time.Time
	SelectedAt    time.Time // the person chose to go on with the session's account
	InvitationID  string
	InviteHash    string // TokenHash of the invitation that began this, not used up yet
	SessionID     string // the session that this interaction opened or renewed
	FinishedAt    time.Time
}

// Proof is an accepted second factor.
type Proof struct {
	At        time.Time
	Method    string // RFC 8176: "otp"; "recovery" for a recovery code
	Enrolment bool   // the code confirmed a new authenticator
}

// Ask is what the authorization request demands, as the provider understood it.
type Ask struct {
	Prompt       []string // none, login, consent, select_account
	MaxAge       *int64   // seconds; nil: not sent
	EssentialACR []string // through claims; one of these must be reached
	ACRValues    []string // voluntary
	Scopes       []string // requested and allowed for the client
	Details      bool     // authorization_details are asked for: Engine.Details has them
	LoginHint    string
	HintSubject  string // sub of a trusted id_token_hint
	Locales      []string
}

// Has tells whether prompt contains value.
func (a Ask) Has(value string) bool { return slices.Contains(a.Prompt, value) }

// ProvePassword records that the account's password was right.
func (in *Interaction) ProvePassword(accountID string, at time.Time) {
	if in.AccountID != accountID {
		in.SecondFactor, in.EnrolmentOwed, in.RecoveryCodes = nil, false, nil
	}
	in.AccountID, in.PasswordAt = accountID, at
}

// ProveSecondFactor records an accepted second factor.
func (in *Interaction) ProveSecondFactor(p Proof) { in.SecondFactor = &p }

// Values returns the original authorization request.
func (in *Interaction) Values() url.Values {
	v, _ := url.ParseQuery(in.Params) // it was encoded by us
	return v
}

// home is where an interaction for nobody else ends.
func (in *Interaction) home() string {
	if in.Kind == KindHome && in.Params != "" {
		return in.Params // a path of ours, sealed
	}
	return "/"
}
