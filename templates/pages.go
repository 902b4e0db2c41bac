package templates

import (
	"html/template"
	"time"
)

// Page is a page of the product: a struct in this file with a template of the
// same name. NewRenderer fails if one lacks the other.
type Page interface {
	pageName() string
	frame() *Frame
}

// Brand is the portal that the person is on the way to.
type Brand struct {
	Name    string
	LogoURL string
	Colour  string // "#rrggbb"; empty: the default accent
	URL     string // where "go to the portal" leads; may be empty
	Policy  string // address of its privacy policy; may be empty
	Terms   string // address of its terms of service; may be empty
}

// ProgressStep is one stop of an activation: Password, Authenticator, Terms, Done.
type ProgressStep struct {
	Name    string
	Done    bool
	Current bool
}

// Frame is what every page carries. Fill it with flow.Pending.Frame.
type Frame struct {
	Portal   *Brand         // nil: Anteroom itself
	Progress []ProgressStep // only during an activation
	Locale   string         // BCP 47; empty: en
}

func (f *Frame) frame() *Frame { return f }

// Action is a way on: a link, or a button that posts when Post is set.
type Action struct {
	Label   string
	URL     string
	Post    bool
	Fields  map[string]string // hidden fields of a posting button
	Primary bool
	ID      string // stable hook, may be empty
}

// Login is step 1. Hooks: username, password, #login-submit.
type Login struct {
	Frame
	Action     string // where the form posts
	UserName   string
	Error      string
	Notice     string // "Your new password is set. Sign in with it."
	Why        string // one line: why this is asked (a fresh sign-in, say)
	ContinueAs string // name of the person signed in already; shows #continue-as (posts continue=1)
	ForgotURL  string
}

// Activate chooses the first password. Hooks: new_password, #activate-submit.
type Activate struct {
	Frame
	Action    string
	Name      string // display name, may be empty
	UserName  string // what to sign in with from now on
	Invited   string // who invited, may be empty
	MinLength int
	Error     string
}

// DeadLink says that an invitation or reset link no longer works, before any form.
type DeadLink struct {
	Frame
	Reason  string // "used", "expired", "revoked" or "unknown"
	Reset   bool   // a password link; otherwise an invitation
	Email   string // masked address that a fresh link would go to; empty: none can be sent
	Sent    bool   // a fresh one is on its way
	Actions []Action
}

// Forgot asks for the name to send a reset link to. Hooks: username, #forgot-submit.
type Forgot struct {
	Frame
	Action   string
	UserName string
	Error    string
	Sent     bool // the one answer for every address
	BackURL  string
}

// Reset chooses a new password. Hooks: new_password, #reset-submit.
type Reset struct {
	Frame
	Action    string
	UserName  string
	MinLength int
	Error     string
}

// Enroll shows the QR and the text secret. Hooks: #totp-qr, #totp-secret, code,
// #enroll-submit.
type Enroll struct {
	Frame
	Action     string
	QR         template.HTML // <svg id="totp-qr" ...>
	Secret     string        // groups of four
	SecretRaw  string        // for the copy button
	OtpauthURI template.URL  // #totp-open, shown first on a phone
	Account    string        // what the authenticator will show
	Hint       string        // the operator's own words
	Why        string
	Replaces   bool // after a recovery code: the old entry stops working
	Error      string
	NewSecret  string // where the button "Start again with a new code" posts (#enroll-restart)
}

// RecoveryCodes shows the codes once. Hooks: #recovery-codes, #recovery-codes-done.
type RecoveryCodes struct {
	Frame
	Action      string
	Codes       []string
	DownloadURL string
	Account     string
}

// Challenge asks for a code. Hooks: code, #challenge-submit, #use-recovery-code.
type Challenge struct {
	Frame
	Action         string
	Error          string
	Wait           int  // seconds until the next code; 0: none to wait for
	AfterEnrolment bool // PCC: the enrolment code was accepted, another one is asked
	Why            string
	RecoveryURL    string
	Help           []Action
}

// Recovery asks for a recovery code. Hooks: recovery_code, #recovery-submit.
type Recovery struct {
	Frame
	Action  string
	Error   string
	BackURL string
}

// Terms asks for acceptance. Hooks: accept (posts accept=1), #terms-submit,
// #terms-decline (posts decline=1).
type Terms struct {
	Frame
	Action      string
	Title       string
	Body        template.HTML // sanitised Markdown
	Version     int
	PublishedAt time.Time
	Newer       bool // an earlier version was accepted
	Activation  bool // the button says Finish
	Error       string
}

// ScopeLine is one thing that a client wants, in words.
type ScopeLine struct {
	Name string // scope
	Text string
	New  bool // not consented before
}

// ConsentDetail is one authorization detail (RFC 9396) in words.
type ConsentDetail struct {
	Title string
	Lines []ConsentLine
}

// ConsentLine is one member of a detail.
type ConsentLine struct {
	Label  string
	Values []string
}

// Consent asks whether a client may have what it wants. Hooks: #consent-allow
// (posts allow=1), #consent-deny (posts deny=1).
type Consent struct {
	Frame
	Action  string
	Client  string
	Host    string // of a client that nobody registered: its name is a stranger's word
	Person  string
	Details []ConsentDetail // first: they say what exactly
	Scopes  []ScopeLine
}

// Activated is the end of an activation. Hook: #go-to-portal.
type Activated struct {
	Frame
	Name      string
	PortalURL string // empty: the application has no launch URL
}

// Logout asks before signing out. Hook: #logout-confirm.
type Logout struct {
	Frame
	Action string
	Person string
	Fields map[string]string // hidden
	Stay   string            // URL of "stay signed in"
}

// SignedOut is the end. Hook: #signed-out.
type SignedOut struct {
	Frame
	ContinueURL string   // back to the portal; may be empty
	Tell        []string // addresses of portals that are told, each in a frame of its own
}

// Device connects a device that has no browser. Hooks: user_code, #device-submit;
// then #device-confirm (posts confirm=1), #device-deny (posts deny=1); then
// #device-approved, #device-denied or #device-expired.
type Device struct {
	Frame
	Action      string
	UserCode    string
	Error       string
	Confirm     bool   // the code is right: show who asks
	Client      string // what asks
	Address     string // where the device asked from
	SameAddress bool   // as this browser's
	Agent       string // what the device says that it is
	Minutes     int    // since it asked
	Result      string // approved, denied or expired: it is over
}

// Request is something that an application asks a person to approve.
type Request struct {
	ID      string
	Portal  string // the application
	Client  string // of it; may be empty
	Binding string // what the application shows, to be compared; may be empty
	Address string // where it asked from
	Minutes int    // since it asked
	Left    int    // minutes, begun ones included
}

// Requests lists what waits for a person's approval, newest first. Hooks:
// #request-approve-0 (posts approve=1 with request), #request-deny-0 (posts
// deny=1), #request-binding-0, and so on; #requests-none; then
// #request-approved, #request-denied or #request-gone.
type Requests struct {
	Frame
	Action   string
	Person   string
	Requests []Request
	Result   string // approved, denied or gone: what became of the last one
}

// Home says who is signed in, and where one can go.
type Home struct {
	Frame
	Person  string // empty: nobody is signed in
	Portals []Brand
	Actions []Action
	Notice  string
}

// Error is every refusal that has no page of its own. Hooks: #error, #error-id.
type Error struct {
	Frame
	Heading  string
	Sentence string
	ID       string
	Actions  []Action // at least one
}

func (*Login) pageName() string         { return "login" }
func (*Activate) pageName() string      { return "activate" }
func (*DeadLink) pageName() string      { return "dead_link" }
func (*Forgot) pageName() string        { return "forgot" }
func (*Reset) pageName() string         { return "reset" }
func (*Enroll) pageName() string        { return "enroll" }
func (*RecoveryCodes) pageName() string { return "recovery_codes" }
func (*Challenge) pageName() string     { return "challenge" }
func (*Recovery) pageName() string      { return "recovery" }
func (*Terms) pageName() string         { return "terms" }
func (*Consent) pageName() string       { return "consent" }
func (*Activated) pageName() string     { return "activated" }
func (*Logout) pageName() string        { return "logout" }
func (*SignedOut) pageName() string     { return "signed_out" }
func (*Device) pageName() string        { return "device" }
func (*Requests) pageName() string      { return "requests" }
func (*Home) pageName() string          { return "home" }
func (*Error) pageName() string         { return "error" }
