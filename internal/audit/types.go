package audit

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Kind explains one of the fixed words.
type Kind struct {
	Type    string
	When    string // a full sentence
	Details string // what Details carries: names, comma-separated; may be empty
}

// Kinds is the table of all fixed words, in groups. docs/audit.md is made from it.
var Kinds = []Kind{
	{SignedIn, "A browser was signed in: the facts proved reached what the application asks.", "acr"},
	{SignedOut, "A session was ended by the member or a portal.", ""},
	{SessionRevoked, "An administrator ended a session, and every grant that was got in it.", "grants, reason"},
	{SessionsEnded, "All sessions and grants of an account were ended.", "sessions, grants"},

	{AccountCreated, "An account was made.", ""},
	{AccountUpdated, "Names, addresses, the organisation or the profile of an account were changed.", "fields"},
	{AccountActivated, "An account finished its first activation.", ""},
	{AccountDisabled, "An account was disabled; its sessions and grants ended.", "sessions, grants"},
	{AccountEnabled, "An account was enabled again.", ""},
	{AccountImported, "An account was moved in from another system.", ""},

	{Invited, "An invitation was sent.", "invitation"},
	{InvitationUsed, "An invitation was used up by its activation.", "invitation"},
	{PasswordChosen, "A first password was chosen, or a member changed hers.", "sessions, grants"},
	{PasswordResetAsked, "A link to choose a new password was sent.", ""},
	{PasswordReset, "A new password was chosen with such a link; sessions and grants ended.", "sessions, grants"},
	{PasswordInvalidated, "An administrator ended a password; sessions and grants ended, and a link to choose a new one was sent if there is an address.", "reason, mailed, sessions, grants"},
	{AuthenticatorAdded, "A second factor was bound.", "authenticator, kind, how"},
	{AuthenticatorRemoved, "A second factor was removed by its owner, or replaced by a new one.", "authenticator, kind"},
	{SecondFactorRefused, "A code was refused.", "reason"},
	{SecondFactorReset, "An administrator removed the second factor; sessions and grants ended.", "reason, authenticators, sessions, grants"},
	{RecoveryCodesCreated, "New recovery codes were made; older ones stopped working.", ""},
	{RecoveryCodeUsed, "A recovery code was used.", ""},

	{TermsPublished, "Terms were published, or withdrawn.", "version, hash, withdrawn"},
	{TermsAccepted, "Terms were accepted.", "version, hash"},
	{ConsentGiven, "An account let a client have scopes.", "scopes, authorization_details"},
	{ConsentRefused, "An account refused a client.", "scopes, authorization_details"},
	{AccessGranted, "An account was given access to an application, or a role in it.", "organisation, role, state"},
	{AccessActivated, "An invited access became active.", ""},
	{AccessRevoked, "An access or a role was taken away.", "organisation, role, state"},

	{CodeIssued, "An authorization code was issued, perhaps with tokens (response_type).", "grant, response_type"},
	{TokensIssued, "Tokens were sent in an authorization response, without a code.", "grant, response_type"},
	{CodeRedeemed, "An authorization code was redeemed for tokens.", "grant"},
	{CodeReused, "An authorization code came a second time; its tokens ended.", "grant"},
	{TokenRefreshed, "A refresh token was rotated.", "grant"},
	{RefreshReused, "A rotated refresh token came again; its family ended.", "grant"},
	{TokenExchanged, "A client exchanged an access token for another one.", "grant, impersonation"},
	{GrantAsserted, "A client got tokens for a person whom a trusted issuer named.", "grant"},
	{DeviceApproved, "A person let a device in.", "device_address"},
	{DeviceDenied, "A person kept a device out.", "device_address"},
	{DeviceRedeemed, "A device fetched the tokens that it was let in for.", "grant"},
	{BackchannelAsked, "A client asked for a person over the back channel.", "request_address, person"},
	{BackchannelApproved, "A person approved what a client asked over the back channel.", "request_address"},
	{BackchannelDenied, "A person denied what a client asked over the back channel.", "request_address"},
	{BackchannelRedeemed, "A client fetched the tokens that a person approved over the back channel.", "grant"},
	{GrantRevoked, "A grant was ended.", "grant, reason, token"},

	{ApplicationRegistered, "An application was made.", ""},
	{ApplicationUpdated, "An application or its policy was changed.", "fields"},
	{ApplicationDeleted, "An application was deleted with all that belongs to it.", ""},
	{InitialTokenCreated, "A token was made with which clients may be registered.", "token, name, uses, until"},
	{InitialTokenRevoked, "Such a token was ended.", "token, name"},
	{ClientRegistered, "A client was registered.", "token"},
	{ClientUpdated, "A client was changed.", "fields"},
	{ClientRevoked, "An administrator ended all grants of a client, and the tokens of its own.", "grants, reason"},
	{ClientDeleted, "A client was deleted; its grants ended.", ""},
	{ClientSecretRotated, "A client got a new secret.", "old_until"},
	{OrganisationCreated, "An organisation was made.", "organisation, parent"},
	{OrganisationUpdated, "An organisation was renamed or moved.", "organisation, fields"},
	{RoleDefined, "A role was defined or described anew.", "role"},
	{RoleDeleted, "A role was deleted, and taken from everyone who held it.", "role"},

	{KeyCreated, "A signing key was made and published.", "kid, algorithm"},
	{KeyRotated, "A signing key took over.", "kid, algorithm"},
	{KeyRetired, "A signing key was withdrawn.", "kid, algorithm"},
	{KeyWithdrawn, "An administrator withdrew a signing key before its time; what it signed counts no more.", "kid, algorithm"},
	{BackupTaken, "A backup was taken.", ""},
	{BackupRestored, "The database was opened from a backup: codes, tokens and sessions of before ended.", "taken_at"},
}

// Known tells whether there is such a word.
func Known(word string) bool {
	return slices.ContainsFunc(Kinds, func(k Kind) bool { return k.Type == word })
}

// WriteReference writes docs/audit.md.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString(referenceHead)
	for _, k := range Kinds {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Type, k.When, k.Details)
	}
	b.WriteString(referenceTail)
	_, err := io.WriteString(w, b.String())
	return err
}

const referenceHead = `# The audit log

Every security event has exactly one entry, written in the same commit as what it reports. Entries
are only ever appended. Each holds the hash of the one before it, so that a changed or missing entry
breaks the chain: ` + "`anteroom audit verify`" + ` walks it and names the first break. Who can write the
database file can also write a new chain; to notice that, keep the last hash that ` + "`audit verify`" + `
prints somewhere else, and compare later with ` + "`anteroom audit verify --expect SEQ:HASH`" + `.

An entry has: ` + "`seq`" + ` (1, 2, 3, ...), ` + "`at`" + ` (UTC), ` + "`type`" + ` (one of the words below), ` + "`actor`" + ` (an account
id, ` + "`operator`" + `, ` + "`client:<id>`" + ` or ` + "`system`" + `), the account, application, client and session concerned,
the address, and ` + "`details`" + `. Never a password, secret, code or token.

| type | when | details |
|---|---|---|
`

const referenceTail = `
<!-- Made from internal/audit/types.go: go test ./internal/audit -update -->
`
