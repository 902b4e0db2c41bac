package storetest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"anteroom/store"
)

// personNouns are rows about people and what they may enter, every field filled.
func personNouns(e *env) []noun {
	s, ctx := e.s, e.ctx
	account := filled(func(a *store.Account) { a.State = store.AccountInvited; a.Email = "Filled@example.org" })
	authenticator := filled(func(a *store.Authenticator) { a.AccountID = "filled" })
	invitation := filled(func(i *store.Invitation) { i.AccountID, i.UsedAt, i.RevokedAt = "filled", time.Time{}, time.Time{} })
	reset := filled(func(r *store.Reset) { r.UsedAt, r.RevokedAt = time.Time{}, time.Time{} })
	application := filled(func(a *store.Application) {
		a.Consent, a.Access, a.SessionMaxAge = store.ConsentAlways, store.AccessEveryone, 36*time.Hour+time.Nanosecond
	})
	client := filled(func(c *store.Client) { c.ApplicationID = "pcc" })
	organisation := filled(func(o *store.Organisation) { o.ParentID = "vendor" })
	role := filled(func(r *store.Role) { r.ApplicationID, r.Key = "pcc", "zz" })
	assignment := filled(func(a *store.Assignment) {
		a.AccountID, a.ApplicationID, a.OrganisationID, a.RoleKey, a.State = "bob", "pcc", "partner", "admin", store.AssignmentActive
	})
	terms := filled(func(v *store.TermsVersion) { v.ApplicationID, v.Version, v.Withdrawn = "pcc", 1, false })
	sum := sha256.Sum256([]byte(terms.Markdown))
	terms.Hash = hex.EncodeToString(sum[:])
	acceptance := filled(func(a *store.TermsAcceptance) { a.ApplicationID, a.Version, a.Hash = "pcc", 1, terms.Hash })
	consent := filled(func(c *store.Consent) { c.AccountID, c.Scopes = "filled", []string{"openid", "profile"} })
	return []noun{
		made("account", &account, func() error { return s.CreateAccount(ctx, account) },
			func() (any, error) { return s.Account(ctx, account.ID) }),
		made("authenticator", &authenticator, func() error { return s.AddAuthenticator(ctx, authenticator) },
			func() (any, error) { return first(s.AuthenticatorsOf(ctx, "filled")) }),
		made("invitation", &invitation, func() error { return s.CreateInvitation(ctx, invitation) },
			func() (any, error) { return s.InvitationByToken(ctx, invitation.TokenHash, t0) }),
		made("reset", &reset, func() error { return s.CreateReset(ctx, reset) },
			func() (any, error) { return s.ResetByToken(ctx, reset.TokenHash, t0) }),
		made("application", &application, func() error { return s.CreateApplication(ctx, application) },
			func() (any, error) { return s.Application(ctx, application.ID) }),
		made("client", &client, func() error { return s.CreateClient(ctx, client) },
			func() (any, error) { return s.Client(ctx, client.ID) }),
		made("organisation", &organisation, func() error { return s.CreateOrganisation(ctx, organisation) },
			func() (any, error) { return s.Organisation(ctx, organisation.ID) }),
		made("role", &role, func() error { return s.PutRole(ctx, role) },
			func() (any, error) { rows, err := s.RolesOf(ctx, "pcc"); return rows[len(rows)-1], err }),
		made("assignment", &assignment, func() error { return s.PutAssignment(ctx, assignment) },
			func() (any, error) { return first(s.AssignmentsOf(ctx, "bob", "pcc")) }),
		made("terms", &terms, func() error { _, err := s.PublishTerms(ctx, terms); return err },
			func() (any, error) { return s.CurrentTerms(ctx, "pcc") }),
		made("acceptance", &acceptance, func() error { return s.AcceptTerms(ctx, acceptance) },
			func() (any, error) { return s.AcceptedTerms(ctx, acceptance.AccountID, "pcc") }),
		made("consent", &consent, func() error { return s.PutConsent(ctx, consent) },
			func() (any, error) { return first(s.ConsentsOf(ctx, "filled")) }),
	}
}

// protocolNouns are rows of the protocol, every field filled.
func protocolNouns(e *env) []noun {
	s, ctx := e.s, e.ctx
	session := filled(func(s *store.Session) { s.EndedAt = time.Time{} })
	grant := filled(func(g *store.Grant) { g.ID, g.RevokedAt, g.RevokedReason = "filled", time.Time{}, "" })
	code := filled(func(c *store.Code) { c.GrantID, c.UsedAt = "filled", time.Time{} })
	token := filled(func(r *store.RefreshToken) { r.GrantID, r.UsedAt = "filled", time.Time{} })
	signing := filled(func(k *store.SigningKey) { k.PublicJWK = []byte(`{"kty": "EC",  "x": "1"}`) })
	mail := filled(func(m *store.OutboxMessage) {})
	notice := filled(func(n *store.Notice) {})
	device := filled(func(d *store.Device) {})
	backchannel := filled(func(b *store.Backchannel) {})
	registration := filled(func(r *store.RegistrationToken) { r.Used, r.RevokedAt = r.Uses-1, time.Time{} })
	pushed := filled(func(r *store.PushedRequest) { r.UsedAt = time.Time{} })
	event := filled(func(a *store.AuditEvent) { a.Seq, a.PrevHash, a.Hash = 1, "", "" })
	want := store.Canonical(event)
	want.Hash = store.AuditHash(want)
	audit := made("audit event", &event, func() error { return s.AppendAudit(ctx, event) },
		func() (any, error) { return firstOfPage(s.AuditEvents(ctx, store.AuditFilter{}, store.Page{})) })
	audit.want = func() any { return want }
	return []noun{
		made("session", &session, func() error { return s.CreateSession(ctx, session) },
			func() (any, error) { return s.SessionByToken(ctx, session.TokenHash, t0) }),
		made("grant", &grant, func() error { return s.IssueCode(ctx, grant, code) },
			func() (any, error) { return s.Grant(ctx, "filled", t0) }),
		made("code", &code, func() error { return nil },
			func() (any, error) { c, _, err := s.Code(ctx, code.Hash, t0); return c, err }),
		made("refresh token", &token, func() error { return s.CreateRefreshToken(ctx, token) },
			func() (any, error) { r, _, err := s.RefreshToken(ctx, token.Hash, t0); return r, err }),
		made("signing key", &signing, func() error { return s.CreateSigningKey(ctx, signing) },
			func() (any, error) { return first(s.SigningKeys(ctx)) }),
		made("message", &mail, func() error { return s.EnqueueMail(ctx, mail) },
			func() (any, error) { return firstOfPage(s.PendingMail(ctx, store.Page{})) }),
		made("notice", &notice, func() error { return s.EnqueueNotice(ctx, notice) },
			func() (any, error) { return firstOfPage(s.PendingNotices(ctx, store.Page{})) }),
		made("pushed request", &pushed, func() error { return s.PushRequest(ctx, pushed) },
			func() (any, error) { return s.PushedRequest(ctx, pushed.Hash, t0) }),
		made("backchannel request", &backchannel, func() error { return s.CreateBackchannel(ctx, backchannel, 1) },
			func() (any, error) { return s.Backchannel(ctx, backchannel.Hash, t0) }),
		made("registration token", &registration, func() error { return s.CreateRegistrationToken(ctx, registration) },
			func() (any, error) { return s.RegistrationToken(ctx, registration.Hash, t0) }),
		made("device", &device, func() error { return s.CreateDevice(ctx, device) },
			func() (any, error) { return s.Device(ctx, device.Hash, t0) }),
		audit,
	}
}

// lookups asks every reading and changing verb for a row that is not there.
func lookups(e *env, name string) map[string]error {
	s, ctx := e.s, e.ctx
	out := map[string]error{}
	note := func(verb string) func(any, error) { return func(_ any, err error) { out[verb] = err } }
	note("Account")(s.Account(ctx, name))
	note("AccountByName")(s.AccountByName(ctx, name))
	note("UpdateAccount")(s.UpdateAccount(ctx, name, func(*store.Account) error { return errors.New("called") }))
	out["RemoveAuthenticator"] = s.RemoveAuthenticator(ctx, "ann", name)
	out["TouchAuthenticator"] = s.TouchAuthenticator(ctx, name, name, t0)
	out["UseRecoveryCode"] = s.UseRecoveryCode(ctx, "ann", name, t0)
	note("InvitationByToken")(s.InvitationByToken(ctx, name, t0))
	note("UseInvitation")(s.UseInvitation(ctx, name, t0))
	note("ResetByToken")(s.ResetByToken(ctx, name, t0))
	note("UseReset")(s.UseReset(ctx, name, t0))
	note("RegistrationToken")(s.RegistrationToken(ctx, name, t0))
	note("UseRegistrationToken")(s.UseRegistrationToken(ctx, name, t0))
	note("RevokeRegistrationToken")(s.RevokeRegistrationToken(ctx, name, t0))
	note("Application")(s.Application(ctx, name))
	note("UpdateApplication")(s.UpdateApplication(ctx, name, func(*store.Application) error { return errors.New("called") }))
	out["DeleteApplication"] = s.DeleteApplication(ctx, name)
	note("Client")(s.Client(ctx, name))
	note("UpdateClient")(s.UpdateClient(ctx, name, func(*store.Client) error { return errors.New("called") }))
	out["DeleteClient"] = s.DeleteClient(ctx, name)
	note("Organisation")(s.Organisation(ctx, name))
	note("UpdateOrganisation")(s.UpdateOrganisation(ctx, name, func(*store.Organisation) error { return errors.New("called") }))
	out["DeleteRole"] = s.DeleteRole(ctx, "pcc", name)
	out["RemoveAssignment"] = s.RemoveAssignment(ctx, store.Assignment{AccountID: name, ApplicationID: "pcc"})
	note("CurrentTerms")(s.CurrentTerms(ctx, name))
	note("AcceptedTerms")(s.AcceptedTerms(ctx, name, "pcc"))
	note("Consent")(s.Consent(ctx, name, "pcc-web"))
	out["RevokeConsent"] = s.RevokeConsent(ctx, "ann", name)
	note("Session")(s.Session(ctx, name, t0))
	note("SessionByToken")(s.SessionByToken(ctx, name, t0))
	note("RenewSession")(s.RenewSession(ctx, name, t0, func(*store.Session) error { return errors.New("called") }))
	out["EndSession"] = s.EndSession(ctx, name, t0)
	note("Grant")(s.Grant(ctx, name, t0))
	_, _, out["Code"] = s.Code(ctx, name, t0)
	out["RedeemCode"] = s.RedeemCode(ctx, name, t0)
	_, _, out["RefreshToken"] = s.RefreshToken(ctx, name, t0)
	out["RotateRefreshToken"] = s.RotateRefreshToken(ctx, name, store.RefreshToken{Hash: "next"}, t0)
	out["RevokeGrant"] = s.RevokeGrant(ctx, name, "", t0)
	out["UpdateSigningKey"] = s.UpdateSigningKey(ctx, name, func(*store.SigningKey) error { return errors.New("called") })
	out["DeleteSigningKey"] = s.DeleteSigningKey(ctx, name)
	out["MailSent"] = s.MailSent(ctx, name)
	out["MailFailed"] = s.MailFailed(ctx, name, "", t0, t0)
	out["NoticeDelivered"] = s.NoticeDelivered(ctx, name)
	out["NoticeFailed"] = s.NoticeFailed(ctx, name, "", t0, t0)
	note("Device")(s.Device(ctx, name, t0))
	note("Backchannel")(s.Backchannel(ctx, name, t0))
	note("UpdateBackchannel")(s.UpdateBackchannel(ctx, name, func(*store.Backchannel) error { return errors.New("called") }))
	note("PushedRequest")(s.PushedRequest(ctx, name, t0))
	out["UsePushedRequest"] = s.UsePushedRequest(ctx, name, t0)
	note("DeviceByUserCode")(s.DeviceByUserCode(ctx, name, t0))
	note("UpdateDevice")(s.UpdateDevice(ctx, name, func(*store.Device) error { return errors.New("called") }))
	note("Meta")(s.Meta(ctx, name))
	return out
}
