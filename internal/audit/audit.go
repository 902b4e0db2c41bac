// Package audit is the append-only, hash-chained log of security events. An
// event is written in the same commit as what it reports (invariant I5): call
// Record inside the unit of work that makes it true.
package audit

import (
	"context"
	"fmt"

	"anteroom/store"
)

// The fixed words of the log. Details carry more, never a secret, a code or a token.
const (
	SignedIn              = "session.opened"
	SignedOut             = "session.ended"
	SessionsEnded         = "sessions.ended"
	SessionRevoked        = "session.revoked"
	AccountCreated        = "account.created"
	AccountUpdated        = "account.updated"
	AccountActivated      = "account.activated"
	AccountDisabled       = "account.disabled"
	AccountEnabled        = "account.enabled"
	AccountImported       = "account.imported"
	Invited               = "invitation.sent"
	InvitationUsed        = "invitation.used"
	PasswordChosen        = "password.chosen"
	PasswordResetAsked    = "password.reset_requested"
	PasswordReset         = "password.reset"
	PasswordInvalidated   = "password.invalidated" // Details: reason
	AuthenticatorAdded    = "authenticator.added"
	AuthenticatorRemoved  = "authenticator.removed"
	SecondFactorRefused   = "second_factor.refused" // Details: reason
	SecondFactorReset     = "second_factor.reset"   // Details: reason
	RecoveryCodesCreated  = "recovery_codes.created"
	RecoveryCodeUsed      = "recovery_code.used"
	TermsPublished        = "terms.published"
	TermsAccepted         = "terms.accepted" // Details: version, hash
	ConsentGiven          = "consent.given"  // Details: scopes, authorization_details (types)
	ConsentRefused        = "consent.refused"
	AccessGranted         = "access.granted"
	AccessActivated       = "access.activated"
	AccessRevoked         = "access.revoked"
	CodeIssued            = "grant.code_issued"
	TokensIssued          = "grant.tokens_issued"
	CodeRedeemed          = "grant.code_redeemed"
	CodeReused            = "grant.code_reused"
	TokenRefreshed        = "grant.refreshed"
	RefreshReused         = "grant.refresh_reused"
	TokenExchanged        = "token.exchanged"
	GrantAsserted         = "grant.asserted"
	DeviceApproved        = "device.approved"
	DeviceDenied          = "device.denied"
	DeviceRedeemed        = "device.redeemed"
	BackchannelAsked      = "backchannel.requested"
	BackchannelApproved   = "backchannel.approved"
	BackchannelDenied     = "backchannel.denied"
	BackchannelRedeemed   = "backchannel.redeemed"
	GrantRevoked          = "grant.revoked"
	ApplicationRegistered = "application.registered"
	ApplicationUpdated    = "application.updated"
	ApplicationDeleted    = "application.deleted"
	KeyWithdrawn          = "key.withdrawn"
	InitialTokenCreated   = "registration_token.created" // Details: token, name, uses
	InitialTokenRevoked   = "registration_token.revoked"
	ClientRegistered      = "client.registered"
	ClientUpdated         = "client.updated"
	ClientRevoked         = "client.revoked"
	ClientDeleted         = "client.deleted"
	ClientSecretRotated   = "client.secret_rotated"
	OrganisationCreated   = "organisation.created"
	OrganisationUpdated   = "organisation.updated"
	RoleDefined           = "role.defined"
	RoleDeleted           = "role.deleted"
	KeyCreated            = "key.created"
	KeyRotated            = "key.rotated"
	KeyRetired            = "key.retired"
	BackupTaken           = "backup.taken"
	BackupRestored        = "backup.restored"
)

// Record appends e in the unit of work of ctx. The store assigns Seq and hashes.
func Record(ctx context.Context, log store.AuditLog, e store.AuditEvent) error {
	if e.Type == "" || e.At.IsZero() || e.Actor == "" {
		return fmt.Errorf("audit event %q without type, time or actor: %w", e.Type, store.ErrInvalid)
	}
	if err := log.AppendAudit(ctx, e); err != nil {
		return fmt.Errorf("record %s: %w", e.Type, err)
	}
	return nil
}

type actorKey struct{}

// WithActor returns a context in which events of the system are recorded as
// those of actor: for work that nodes do by themselves, when somebody asks for it.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// Actor returns the actor of WithActor, or "system".
func Actor(ctx context.Context) string {
	if actor, _ := ctx.Value(actorKey{}).(string); actor != "" {
		return actor
	}
	return "system"
}
