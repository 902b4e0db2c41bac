package admin

import (
	"net/http"
	"time"

	"anteroom/account"
)

// InviteRequest asks for an invitation. The account is made if there is none.
type InviteRequest struct {
	Email        string         `json:"email,omitempty"`
	UserName     string         `json:"user_name,omitempty"`    // "": the e-mail address
	Application  string         `json:"application,omitempty"`  // where the invitation leads
	Organisation string         `json:"organisation,omitempty"` // of a new account
	Access       []RoleFor      `json:"access,omitempty"`       // empty: bare access
	Profile      map[string]any `json:"profile,omitempty"`      // standard claims of a new account
	Password     string         `json:"password,omitempty"`     // of a new account; "": she chooses one
}

// RoleFor is a role for an organisation.
type RoleFor struct {
	Role         string `json:"role,omitempty"`
	Organisation string `json:"organisation,omitempty"`
}

// InviteResult tells what came of it. Whoever has the link can activate the
// account.
type InviteResult struct {
	Account   Account   `json:"account"`
	Created   bool      `json:"created"` // false: the account was there before
	Link      string    `json:"link"`
	ExpiresAt time.Time `json:"expires_at"`
	MailWaits bool      `json:"mail_waits"` // no mail server is configured: hand over the link
}

func (a *API) invite(c call, in InviteRequest) (InviteResult, error) {
	var found mistakes
	found.email("email", in.Email)
	if in.UserName != "" {
		found.line("user_name", in.UserName, 1, 128)
	}
	if in.Application == "" {
		found.add("application", "is missing; say which application the invitation leads to")
	}
	found.profile("profile", in.Profile)
	access := make([]account.Access, len(in.Access))
	for i, one := range in.Access {
		if one.Role == "" && one.Organisation != "" {
			found.add("access", "an organisation needs a role")
		}
		access[i] = account.Access{OrganisationID: one.Organisation, RoleKey: one.Role}
	}
	if err := found.problem(); err != nil {
		return InviteResult{}, err
	}
	out, err := a.Accounts.Invite(c.ctx, account.Invite{
		Email: in.Email, UserName: in.UserName, Profile: in.Profile, OrganisationID: in.Organisation,
		ApplicationID: in.Application, Access: access, Password: in.Password, By: c.actor,
	})
	if err != nil {
		return InviteResult{}, err
	}
	return InviteResult{viewAccount(out.Account), out.Created, out.Link, out.ExpiresAt, !a.SendsMail}, nil
}

// maxImport bounds an import in bytes.
const maxImport = 1 << 30

// ImportResult reports an import, line by line.
type ImportResult struct {
	account.ImportSummary
	Lines []account.ImportReport `json:"lines"`
}

func (a *API) importAccounts(w http.ResponseWriter, c call) error {
	out := ImportResult{Lines: []account.ImportReport{}}
	body := http.MaxBytesReader(w, c.Body, maxImport)
	var err error
	out.ImportSummary, err = a.Accounts.Import(c.ctx, body, c.actor, func(r account.ImportReport) {
		out.Lines = append(out.Lines, r)
	})
	if err != nil {
		return err
	}
	write(w, "application/json", http.StatusOK, out)
	return nil
}
