package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"anteroom/admin"
)

func (a *app) accountInvite() *cobra.Command {
	var in admin.InviteRequest
	var roles []string
	var passwordFile, name, given, family string
	c := &cobra.Command{
		Use:   "invite EMAIL --app APP",
		Short: "Invite somebody to an application",
		Long: `Invite makes an account if there is none, gives it access, and mails a link to complete the
activation. The link is printed, too: without a mail server, hand it over yourself. Whoever
has it can activate the account.

Roles are written as KEY, or KEY@ORGANISATION for a role held for an organisation.`,
		Example: `  anteroom account invite ann@acme.example --app analytics --org acme
  anteroom account invite ann@acme.example --app analytics --role viewer@acme --name "Ann Lee"`,
		Args: wants("EMAIL"),
	}
	f := c.Flags()
	f.StringVar(&in.Application, "app", "", "id of the application that the invitation leads to")
	f.StringVar(&in.UserName, "user-name", "", "what she signs in with (default: the e-mail address)")
	f.StringVar(&in.Organisation, "org", "", "id of the organisation that a new account belongs to")
	f.StringArrayVar(&roles, "role", nil, "role that she gets, KEY or KEY@ORGANISATION; repeat for several")
	f.StringVar(&name, "name", "", "full name of a new account")
	f.StringVar(&given, "given-name", "", "given name of a new account")
	f.StringVar(&family, "family-name", "", "family name of a new account")
	f.StringVar(&passwordFile, "password-file", "", "file with the first password of a new account (- for standard input); without, she chooses one")
	c.RunE = func(c *cobra.Command, args []string) error {
		in.Email = args[0]
		for _, r := range roles {
			key, org, _ := strings.Cut(r, "@")
			in.Access = append(in.Access, admin.RoleFor{Role: key, Organisation: org})
		}
		in.Profile = map[string]any{}
		for claim, value := range map[string]string{"name": name, "given_name": given, "family_name": family} {
			if value != "" {
				in.Profile[claim] = value
			}
		}
		if passwordFile != "" {
			text, err := a.readText(passwordFile)
			if err != nil {
				return err
			}
			in.Password = strings.TrimRight(text, "\r\n")
		}
		return a.with(func(ctx context.Context, api *api, _ []string) error {
			var out admin.InviteResult
			if err := api.do(ctx, http.MethodPost, "/accounts/invite", in, &out); err != nil {
				return err
			}
			return a.show(out, func(t *table) { printInvited(t, out, in.Application) })
		})(c, args)
	}
	return c
}

func printInvited(t *table, out admin.InviteResult, application string) {
	what := "has access to %s now"
	if out.Created {
		what = "is invited to %s"
	}
	mail := ", and the mail is on its way."
	if out.MailWaits {
		mail = ". No mail server is set (smtp.host), so the mail waits: hand over the link."
	}
	t.line("%s "+what+mail, out.Account.UserName, application)
	t.line("The link, good until %s:", moment(out.ExpiresAt))
	t.line("  %s", out.Link)
}

// open returns the file of a flag, or standard input for "-".
func (a *app) open(path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(a.stdin), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	return f, nil
}

// readText reads a file of at most 1 MiB.
func (a *app) readText(path string) (string, error) {
	f, err := a.open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<20+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > 1<<20 {
		return "", fmt.Errorf("%s is larger than 1 MiB", path)
	}
	return string(data), nil
}

func (a *app) accountImport() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Move people in from another system, with passwords and second factors",
		Long: `Import reads one JSON object a line (- reads standard input). Keys:

  user_name       what she signs in with; without it, the e-mail address
  email           and email_verified (true or false)
  organisation    id of the organisation that she belongs to
  password_hash   argon2id (PHC string) or bcrypt
  totp_secret     base32; SHA-1, six digits, 30 seconds
  assignments     list of {"application", "role", "organisation", "state"}; state is active or invited
  name, given_name, family_name, locale, ... all standard claims

Nobody needs to enrol again. Accounts that exist stay as they are. Each line stands for itself:
a wrong one is reported and stops nothing else, and the exit status is 1.`,
		Example: `  anteroom account import people.jsonl
  gunzip -c people.jsonl.gz | anteroom account import -`,
		Args: wants("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := a.open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			return a.with(func(ctx context.Context, api *api, _ []string) error {
				var out admin.ImportResult
				// The transport must not close what is not its own.
				if err := api.do(ctx, http.MethodPost, "/accounts/import", io.Reader(io.NopCloser(f)), &out); err != nil {
					return err
				}
				if err := a.show(out, func(t *table) {
					for _, l := range out.Lines {
						if l.Problem != "" {
							t.line("line %d: %s", l.Line, l.Problem)
						}
					}
					t.line("%d imported, %d refused.", out.Imported, out.Refused)
				}); err != nil {
					return err
				}
				if out.Refused > 0 {
					return fmt.Errorf("%d lines were refused; correct them and import those again", out.Refused)
				}
				return nil
			})(c, args)
		},
	}
}
