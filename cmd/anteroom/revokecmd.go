package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"anteroom/admin"
)

// revoking makes a command that ends one thing.
func (a *app) revoking(c *cobra.Command, name string, path func(id string) string) *cobra.Command {
	var in admin.WhyRevoke
	c.Args = wants(name)
	c.Flags().StringVar(&in.Reason, "reason", "", "why, for the audit log")
	c.RunE = a.with(func(ctx context.Context, api *api, args []string) error {
		var out admin.Done
		if err := api.do(ctx, http.MethodPost, path(seg(args[0])), in, &out); err != nil {
			return err
		}
		return a.say(out, "%s", out.Done)
	})
	return c
}

func (a *app) sessionCommand() *cobra.Command {
	return group("session", "Browsers that are signed in",
		"A session is one browser, signed in. `anteroom account show` lists those of an account.",
		a.revoking(&cobra.Command{
			Use:   "end SESSION",
			Short: "Sign one browser out, and end what was got with it",
			Long: `End ends a session with every grant that a client got in it, those for offline access included,
and tells the clients that want to know. Their tokens are refused at once wherever this service
is asked; an API that only checks signatures takes access tokens until they expire.`,
			Example: `  anteroom session end Zk3r9xQmB7 --reason "laptop was stolen"`,
		}, "SESSION", func(id string) string { return "/sessions/" + id + "/end" }))
}

func (a *app) grantCommand() *cobra.Command {
	return group("grant", "What clients hold for people",
		"A grant is one sign-in of a person to a client, with all its tokens.",
		a.grantList(),
		a.revoking(&cobra.Command{
			Use:   "revoke GRANT",
			Short: "End one grant with its tokens",
			Long: `Revoke ends a grant: its refresh tokens, codes and access tokens are refused at once wherever
this service is asked. The session of the person goes on.`,
			Example: `  anteroom grant revoke p0Rk2vX9 --reason "connected to the wrong tool"`,
		}, "GRANT", func(id string) string { return "/grants/" + id + "/revoke" }))
}

func (a *app) grantList() *cobra.Command {
	var account, session, client string
	c := &cobra.Command{
		Use:   "list --account ACCOUNT",
		Short: "List the live grants of an account or a session",
		Example: `  anteroom grant list --account ann@acme.example
  anteroom grant list --account ann@acme.example --client analytics-web`,
		Args: wants(),
	}
	f := c.Flags()
	f.StringVar(&account, "account", "", "id, user name or e-mail address")
	f.StringVar(&session, "session", "", "only those of this session")
	f.StringVar(&client, "client", "", "only those of this client")
	c.RunE = a.with(func(ctx context.Context, api *api, _ []string) error {
		query := url.Values{}
		for name, value := range map[string]string{"account": account, "session": session, "client": client} {
			if value != "" {
				query.Set(name, value)
			}
		}
		if account == "" && session == "" {
			return errors.New("say whose grants: --account ACCOUNT or --session SESSION")
		}
		var out admin.List[admin.Grant]
		if err := api.do(ctx, http.MethodGet, "/grants?"+query.Encode(), nil, &out); err != nil {
			return err
		}
		return a.show(out, func(t *table) {
			t.row("GRANT", "CLIENT", "SCOPE", "SINCE", "SESSION")
			for _, one := range out.Items {
				t.row(one.ID, one.Client, one.Scope, one.CreatedAt, one.Session)
			}
		})
	})
	return c
}

func (a *app) clientRevoke() *cobra.Command {
	return a.revoking(&cobra.Command{
		Use:   "revoke ID",
		Short: "End everything that a client holds; it stays registered",
		Long: `Revoke ends all grants of a client, and the tokens that it got for itself. They are refused at once
wherever this service is asked. People sign in again; to keep the client out, disable it.`,
		Example: `  anteroom client revoke analytics-web --reason "its database leaked"`,
	}, "ID", func(id string) string { return "/clients/" + id + "/revoke" })
}
