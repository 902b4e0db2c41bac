package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"anteroom/admin"
)

func (a *app) accountCommand() *cobra.Command {
	return group("account", "Accounts: the people who sign in",
		`An account is a person. Commands take its id, its user name or its e-mail address.`,
		a.accountInvite(), a.accountImport(), a.accountList(), a.accountShow(), a.accountUpdate(),
		a.accountAssign(), a.accountUnassign(),
		a.accountAct("disable", "Keep an account out, and end its sessions", "is disabled; nobody signs in with it"),
		a.accountAct("enable", "Let a disabled account in again", "is enabled"),
		a.accountAct("end-sessions", "Sign an account out everywhere", "is signed out everywhere"),
		a.accountReset(), a.accountInvalidate())
}

func (a *app) accountList() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:     "list",
		Short:   "List accounts",
		Example: "  anteroom account list",
		Args:    wants(),
		RunE: a.with(func(ctx context.Context, api *api, _ []string) error {
			query := url.Values{}
			if name != "" {
				query.Set("name", name)
			}
			out, err := all[admin.Account](ctx, api, "/accounts", query)
			if err != nil {
				return err
			}
			return a.show(out, func(t *table) {
				t.row("USER NAME", "E-MAIL", "NAME", "STATE", "ORGANISATION", "ID")
				for _, one := range out.Items {
					t.row(one.UserName, one.Email, one.Name, string(one.State), one.Organisation, one.ID)
				}
			})
		}),
	}
	c.Flags().StringVar(&name, "name", "", "only the one with this user name or e-mail address")
	return c
}

func (a *app) accountShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show ACCOUNT",
		Short:   "Show an account with its access, second factors, invitations and sessions",
		Example: "  anteroom account show ann@acme.example",
		Args:    wants("ACCOUNT"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			var out admin.AccountDetail
			if err := api.do(ctx, http.MethodGet, "/accounts/"+seg(args[0]), nil, &out); err != nil {
				return err
			}
			return a.show(out, func(t *table) { printAccount(t, out) })
		}),
	}
}

func printAccount(t *table, out admin.AccountDetail) {
	t.pair("Account", out.ID)
	t.pair("User name", out.UserName)
	if out.Email != "" {
		verified := " (not verified)"
		if out.EmailVerified {
			verified = " (verified)"
		}
		t.pair("E-mail", out.Email+verified)
	}
	t.pair("Name", out.Name)
	t.pair("State", string(out.State))
	t.pair("Organisation", out.Organisation)
	if out.HasPassword {
		t.pair("Password", "changed "+moment(out.PasswordChangedAt))
	} else {
		t.pair("Password", "none chosen yet")
	}
	t.pair("Made", out.CreatedAt)
	for _, b := range out.Authenticators {
		t.pair("Second factor", strings.Join([]string{b.Label, "(" + b.Kind + "), since", moment(b.CreatedAt)}, " "))
	}
	if len(out.Authenticators) == 0 {
		t.pair("Second factor", "none yet")
	} else {
		t.pair("Recovery codes left", out.RecoveryCodesLeft)
	}
	for _, one := range out.Assignments {
		t.pair("Access", accessText(one))
	}
	for _, i := range out.Invitations {
		t.pair("Invitation", i.Application+" ("+i.State+"), sent "+moment(i.CreatedAt))
	}
	for _, s := range out.Sessions {
		t.pair("Session", s.ID+", since "+moment(s.AuthTime)+", "+strings.Join(s.AMR, "+")+", "+s.Address+", "+s.UserAgent)
	}
}

// accessText says an assignment in one line.
func accessText(one admin.Assignment) string {
	text := one.Application
	if one.Role != "" {
		text += ", " + one.Role
	}
	if one.Organisation != "" {
		text += " for " + one.Organisation
	}
	return text + " (" + string(one.State) + ")"
}

func (a *app) accountUpdate() *cobra.Command {
	var userName, email, org string
	var verified bool
	claims := map[string]*string{}
	c := &cobra.Command{
		Use:   "update ACCOUNT",
		Short: "Change names, addresses, the organisation or the profile",
		Long:  "Update changes what is given and leaves the rest. An empty value clears.",
		Example: `  anteroom account update ann@acme.example --email ann.lee@acme.example
  anteroom account update ann@acme.example --name "Ann Lee" --locale en-GB`,
		Args: wants("ACCOUNT"),
	}
	f := c.Flags()
	f.StringVar(&userName, "user-name", "", "what she signs in with")
	f.StringVar(&email, "email", "", "e-mail address; a new one is not verified")
	f.BoolVar(&verified, "email-verified", false, "the address is known to be hers")
	f.StringVar(&org, "org", "", "id of the organisation that she belongs to")
	for _, claim := range profileClaims {
		claims[claim] = f.String(strings.ReplaceAll(claim, "_", "-"), "", "claim "+claim+" of the profile")
	}
	c.RunE = a.with(func(ctx context.Context, api *api, args []string) error {
		in := admin.ChangeAccount{
			UserName: given(f, "user-name", &userName), Email: given(f, "email", &email),
			EmailVerified: given(f, "email-verified", &verified), Organisation: given(f, "org", &org),
		}
		profile := map[string]any{}
		for claim, value := range claims {
			if f.Changed(strings.ReplaceAll(claim, "_", "-")) {
				profile[claim] = *value
			}
		}
		if len(profile) > 0 {
			in.Profile = &profile
		}
		var out admin.AccountDetail
		if err := api.do(ctx, http.MethodPatch, "/accounts/"+seg(args[0]), in, &out); err != nil {
			return err
		}
		return a.show(out, func(t *table) { printAccount(t, out) })
	})
	return c
}

// profileClaims are the text claims of a profile that have a flag.
var profileClaims = []string{"name", "given_name", "family_name", "nickname", "locale", "zoneinfo", "phone_number"}

func (a *app) accountAct(verb, short, is string) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " ACCOUNT",
		Short:   short,
		Example: "  anteroom account " + verb + " ann@acme.example",
		Args:    wants("ACCOUNT"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			var out admin.AccountDetail
			if err := api.do(ctx, http.MethodPost, "/accounts/"+seg(args[0])+"/"+verb, nil, &out); err != nil {
				return err
			}
			return a.say(out, "%s "+is+".", out.UserName)
		}),
	}
}

func (a *app) accountReset() *cobra.Command {
	var in admin.Reason
	c := &cobra.Command{
		Use:   "reset-mfa ACCOUNT --reason TEXT",
		Short: "Remove the second factor of somebody who lost it",
		Long: `Reset-mfa removes every authenticator and recovery code of an account, signs it out
everywhere, and tells its owner by e-mail. The next sign-in sets up a new one. Make sure who
is asking: the reason goes into the audit log. The password stays.`,
		Example: `  anteroom account reset-mfa ann@acme.example --reason "lost phone, identified by her manager"`,
		Args:    wants("ACCOUNT"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			var out admin.AccountDetail
			if err := api.do(ctx, http.MethodPost, "/accounts/"+seg(args[0])+"/reset-mfa", in, &out); err != nil {
				return err
			}
			return a.say(out, "%s has no second factor any more, and sets up a new one at the next sign-in.", out.UserName)
		}),
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why, for the audit log")
	return c
}

func (a *app) accountInvalidate() *cobra.Command {
	var in admin.Reason
	c := &cobra.Command{
		Use:   "invalidate-password ACCOUNT --reason TEXT",
		Short: "End a password that somebody else may know",
		Long: `Invalidate-password makes the password of an account worthless, signs it out everywhere, ends
the tokens of its portals, and mails its owner a link to choose a new one. The second factor
stays. Run it again to send another link.`,
		Example: `  anteroom account invalidate-password ann@acme.example --reason "found in a leak"`,
		Args:    wants("ACCOUNT"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			var out admin.Invalidated
			if err := api.do(ctx, http.MethodPost, "/accounts/"+seg(args[0])+"/invalidate-password", in, &out); err != nil {
				return err
			}
			if !out.Mailed {
				return a.say(out, "The password of %s has ended. Nobody was mailed: the account is disabled or has no e-mail address.", out.UserName)
			}
			return a.say(out, "The password of %s has ended. A link to choose a new one goes to %s.", out.UserName, out.Email)
		}),
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why, for the audit log")
	return c
}

func (a *app) accountAssign() *cobra.Command {
	var in admin.Assign
	c := &cobra.Command{
		Use:   "assign ACCOUNT --app APP",
		Short: "Give access to an application, or a role in it; nobody is mailed",
		Example: `  anteroom account assign ann@acme.example --app analytics
  anteroom account assign ann@acme.example --app analytics --role viewer --org acme`,
		Args: wants("ACCOUNT"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			var out admin.List[admin.Assignment]
			if err := api.do(ctx, http.MethodPost, "/accounts/"+seg(args[0])+"/assignments", in, &out); err != nil {
				return err
			}
			return a.show(out, func(t *table) { printAccess(t, args[0], out.Items) })
		}),
	}
	c.Flags().StringVar(&in.Application, "app", "", "id of the application")
	c.Flags().StringVar(&in.Role, "role", "", "key of the role; without, bare access")
	c.Flags().StringVar(&in.Organisation, "org", "", "id of the organisation that the role is held for")
	return c
}

func printAccess(t *table, account string, rows []admin.Assignment) {
	if len(rows) == 0 {
		t.line("%s has no access now.", account)
		return
	}
	t.line("%s has access to:", account)
	for _, one := range rows {
		t.line("  %s", accessText(one))
	}
}

func (a *app) accountUnassign() *cobra.Command {
	var in admin.Assign
	var everything bool
	c := &cobra.Command{
		Use:   "unassign ACCOUNT --app APP",
		Short: "Take a role, or all access to an application, away",
		Long: `Unassign takes one role away (--role, --org), bare access (neither), or everything that the
account has in the application (--all). Who can no longer enter loses the tokens of its clients.`,
		Example: `  anteroom account unassign ann@acme.example --app analytics --role viewer --org acme
  anteroom account unassign ann@acme.example --app analytics --all`,
		Args: wants("ACCOUNT"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			query := url.Values{"application": {in.Application}, "role": {in.Role}, "organisation": {in.Organisation}}
			if everything {
				query.Set("all", "true")
			}
			var out admin.List[admin.Assignment]
			if err := api.do(ctx, http.MethodDelete, "/accounts/"+seg(args[0])+"/assignments?"+query.Encode(), nil, &out); err != nil {
				return err
			}
			return a.show(out, func(t *table) { printAccess(t, args[0], out.Items) })
		}),
	}
	c.Flags().StringVar(&in.Application, "app", "", "id of the application")
	c.Flags().StringVar(&in.Role, "role", "", "key of the role")
	c.Flags().StringVar(&in.Organisation, "org", "", "id of the organisation that the role is held for")
	c.Flags().BoolVar(&everything, "all", false, "everything in the application")
	return c
}
