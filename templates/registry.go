package templates

// pages lists every page, by its zero value. A test compares it with the
// structs of pages.go.
func pages() []Page {
	return []Page{
		&Login{}, &Activate{}, &DeadLink{}, &Forgot{}, &Reset{},
		&Enroll{}, &RecoveryCodes{}, &Challenge{}, &Recovery{},
		&Terms{}, &Consent{}, &Activated{}, &Logout{}, &SignedOut{}, &Device{}, &Requests{}, &Home{}, &Error{},
	}
}

// mails lists every mail, by its zero value.
func mails() []Mail {
	return []Mail{
		InvitationMail{}, PasswordResetMail{}, PasswordChangedMail{},
		AuthenticatorAddedMail{}, RecoveryCodeUsedMail{}, SecondFactorResetMail{}, BackchannelMail{},
	}
}
