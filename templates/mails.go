package templates

import "time"

// Mail is a message to a person: a struct in this file with an HTML and a text
// template of the same name.
type Mail interface {
	mailName() string
	subject() string
}

// MailName returns the fixed name of a kind of mail ("invitation",
// "password_reset"): what the outbox and the log call it.
func MailName(m Mail) string { return m.mailName() }

// Message is a rendered Mail.
type Message struct {
	Subject string
	Text    string
	HTML    string
}

// MailFrame is what every mail carries.
type MailFrame struct {
	Name   string // display name of the person
	Portal string // application name; empty: the sign-in service itself
	Colour string // accent of the portal
	Issuer string // URL of the sign-in service
}

// InvitationMail carries "Complete the Activation".
type InvitationMail struct {
	MailFrame
	InvitedBy string // may be empty
	UserName  string
	Link      string
	ExpiresAt time.Time
	NewAccess bool // the account is active already: the mail says that access was added
}

// PasswordResetMail carries "Choose a new password".
type PasswordResetMail struct {
	MailFrame
	Link        string
	ExpiresAt   time.Time
	Invalidated bool // nobody asked: an administrator ended the password
}

// PasswordChangedMail tells that the password was changed.
type PasswordChangedMail struct {
	MailFrame
	At time.Time
}

// AuthenticatorAddedMail tells that a new authenticator was bound.
type AuthenticatorAddedMail struct {
	MailFrame
	At       time.Time
	Replaced bool
}

// RecoveryCodeUsedMail tells that a recovery code was used.
type RecoveryCodeUsedMail struct {
	MailFrame
	At   time.Time
	Left int
}

// SecondFactorResetMail tells that an administrator removed the second factor.
type SecondFactorResetMail struct {
	MailFrame
	At time.Time
	By string
}

// BackchannelMail tells that an application asks for approval. Its link leads to
// the page where to decide, and decides nothing.
type BackchannelMail struct {
	MailFrame
	Link      string
	ExpiresAt time.Time
}

func (InvitationMail) mailName() string         { return "invitation" }
func (PasswordResetMail) mailName() string      { return "password_reset" }
func (PasswordChangedMail) mailName() string    { return "password_changed" }
func (AuthenticatorAddedMail) mailName() string { return "authenticator_added" }
func (RecoveryCodeUsedMail) mailName() string   { return "recovery_code_used" }
func (SecondFactorResetMail) mailName() string  { return "second_factor_reset" }
func (BackchannelMail) mailName() string        { return "backchannel" }

func (m InvitationMail) subject() string {
	switch {
	case m.Portal == "":
		return "Complete your activation"
	case m.NewAccess:
		return "You now have access to " + m.Portal
	}
	return "Complete your activation for " + m.Portal
}
func (PasswordResetMail) subject() string   { return "Choose a new password" }
func (PasswordChangedMail) subject() string { return "Your password was changed" }
func (m AuthenticatorAddedMail) subject() string {
	if m.Replaced {
		return "Your authenticator was replaced"
	}
	return "An authenticator was added"
}
func (RecoveryCodeUsedMail) subject() string  { return "A recovery code was used" }
func (SecondFactorResetMail) subject() string { return "Your authenticator was reset" }
func (m BackchannelMail) subject() string {
	if m.Portal == "" {
		return "Confirm who you are"
	}
	return m.Portal + " asks you to confirm who you are"
}
