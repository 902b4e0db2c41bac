package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"anteroom/admin"
)

func (a *app) tokenCreate() *cobra.Command {
	var in admin.CreateRegistrationToken
	var life time.Duration
	c := &cobra.Command{
		Use:     "create NAME",
		Short:   "Make a token and show it once",
		Long:    "Create makes an initial access token. NAME says whom it is for.",
		Example: `  anteroom client token create "build server" --uses 10 --life 24h`,
		Args:    wants("NAME"),
	}
	c.Flags().IntVar(&in.Uses, "uses", 1, "how many clients it may register")
	c.Flags().DurationVar(&life, "life", 7*24*time.Hour, "how long it is good")
	c.RunE = a.with(func(ctx context.Context, api *api, args []string) error {
		in.Name, in.Life = args[0], int64(life/time.Second)
		if in.Uses < 1 || in.Life < 1 {
			return fmt.Errorf("--uses and --life must be more than nothing")
		}
		var out admin.CreatedRegistrationToken
		if err := api.do(ctx, http.MethodPost, "/registration-tokens", in, &out); err != nil {
			return err
		}
		return a.show(out, func(t *table) {
			t.pair("Token", out.Token)
			t.pair("Id", out.ID)
			t.pair("Good for", fmt.Sprintf("%d clients, until %s", out.Uses, moment(out.ExpiresAt)))
			t.pair("Used at", out.Endpoint)
			t.line("")
			t.line("The token is not shown again. Send it as Authorization: Bearer.")
			if !api.cfg.Registration.On() {
				t.line("Registration is off: set registration.mode to token.")
			}
		})
	})
	return c
}

func (a *app) tokenList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List tokens; those that ended are listed for 30 days more",
		Example: "  anteroom client token list",
		Args:    wants(),
		RunE: a.with(func(ctx context.Context, api *api, _ []string) error {
			out, err := all[admin.RegistrationToken](ctx, api, "/registration-tokens", nil)
			if err != nil {
				return err
			}
			return a.show(out, func(t *table) {
				t.row("ID", "NAME", "STATE", "USED", "UNTIL", "MADE BY")
				for _, one := range out.Items {
					t.row(one.ID, one.Name, one.State, fmt.Sprintf("%d of %d", one.Used, one.Uses), one.ExpiresAt, one.CreatedBy)
				}
			})
		}),
	}
}

func (a *app) tokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke ID",
		Short:   "End a token; clients that it registered stay",
		Example: "  anteroom client token revoke 5f2d0a7c9b1e4386",
		Args:    wants("ID"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			return a.done(ctx, api, http.MethodDelete, "/registration-tokens/"+seg(args[0]), nil)
		}),
	}
}
