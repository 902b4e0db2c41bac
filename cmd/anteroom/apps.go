package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"anteroom/admin"
)

func (a *app) appCommand() *cobra.Command {
	return group("app", "Applications: the portals, their policy and roles",
		`An application is a portal as people know it: its name, what it asks at a sign-in, its roles,
its terms. Its OAuth registrations are clients (anteroom client).`,
		a.appCreate(), a.appUpdate(), a.appList(), a.appShow(), a.appDetails(), a.appDelete(),
		group("role", "Roles of an application", `A role is a key that the application understands. Accounts hold it for an organisation.`,
			a.roleAdd(), a.roleList(), a.roleDelete()))
}

// policyFlags are the flags of create and update. Only those that were given
// count.
type policyFlags struct {
	name, launch, logo, colour, consent, access, hint string
	mfa, again                                        bool
	maxAge                                            time.Duration
}

func (p *policyFlags) add(f *pflag.FlagSet) {
	f.StringVar(&p.name, "name", "", "name that people know it by")
	f.StringVar(&p.launch, "launch-url", "", `where "go to the portal" leads`)
	f.StringVar(&p.logo, "logo-url", "", "URL of its logo")
	f.StringVar(&p.colour, "colour", "", "accent colour, #rrggbb")
	f.BoolVar(&p.mfa, "require-mfa", true, "ask for a second factor")
	f.BoolVar(&p.again, "challenge-after-enrolment", false, "ask for another code after an enrolment")
	f.StringVar(&p.consent, "consent", "skip", "ask for consent: skip, once or always")
	f.StringVar(&p.access, "access", "assigned", "who may enter: assigned or everyone")
	f.StringVar(&p.hint, "enrolment-hint", "", "your words on which authenticator app is allowed")
	f.DurationVar(&p.maxAge, "session-max-age", 0, "sign in again after this, like 8h; 0: no limit of its own")
}

// change returns what was given on the command line.
func (p *policyFlags) change(f *pflag.FlagSet) admin.ChangeApplication {
	seconds := int64(p.maxAge / time.Second)
	return admin.ChangeApplication{
		Name: given(f, "name", &p.name), LaunchURL: given(f, "launch-url", &p.launch), LogoURL: given(f, "logo-url", &p.logo),
		Colour: given(f, "colour", &p.colour), RequireMFA: given(f, "require-mfa", &p.mfa),
		ChallengeAfterEnrolment: given(f, "challenge-after-enrolment", &p.again),
		Consent:                 given(f, "consent", &p.consent), Access: given(f, "access", &p.access),
		EnrolmentHint: given(f, "enrolment-hint", &p.hint), SessionMaxAge: given(f, "session-max-age", &seconds),
	}
}

// given returns value if the flag was on the command line, else nil.
func given[T any](f *pflag.FlagSet, name string, value *T) *T {
	if !f.Changed(name) {
		return nil
	}
	return value
}

func (a *app) appCreate() *cobra.Command {
	var p policyFlags
	c := &cobra.Command{
		Use:   "create ID",
		Short: "Make an application",
		Example: `  anteroom app create analytics --name "Partner Analytics" --launch-url https://analytics.example.com/
  anteroom app create pcc --name "Control Center" --challenge-after-enrolment`,
		Args: wants("ID"),
	}
	p.add(c.Flags())
	c.RunE = a.with(func(ctx context.Context, api *api, args []string) error {
		in := admin.CreateApplication{ID: args[0], ChangeApplication: p.change(c.Flags())}
		var out admin.Application
		if err := api.do(ctx, http.MethodPost, "/applications", in, &out); err != nil {
			return err
		}
		return a.say(out, "The application %s (%s) is made. Register a client for it: anteroom client register --app %s", out.ID, out.Name, out.ID)
	})
	return c
}

func (a *app) appUpdate() *cobra.Command {
	var p policyFlags
	c := &cobra.Command{
		Use:     "update ID",
		Short:   "Change an application or its policy",
		Long:    "Update changes what is given and leaves the rest. An empty value clears.",
		Example: `  anteroom app update analytics --require-mfa=false --consent once`,
		Args:    wants("ID"),
	}
	p.add(c.Flags())
	c.RunE = a.with(func(ctx context.Context, api *api, args []string) error {
		var out admin.Application
		if err := api.do(ctx, http.MethodPatch, "/applications/"+seg(args[0]), p.change(c.Flags()), &out); err != nil {
			return err
		}
		return a.show(out, func(t *table) { printApplication(t, out) })
	})
	return c
}

func (a *app) appList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List applications",
		Example: "  anteroom app list",
		Args:    wants(),
		RunE: a.with(func(ctx context.Context, api *api, _ []string) error {
			out, err := all[admin.Application](ctx, api, "/applications", nil)
			if err != nil {
				return err
			}
			return a.show(out, func(t *table) {
				t.row("APPLICATION", "NAME", "SECOND FACTOR", "ACCESS", "LAUNCH URL")
				for _, one := range out.Items {
					t.row(one.ID, one.Name, one.RequireMFA, string(one.Access), one.LaunchURL)
				}
			})
		}),
	}
}

func (a *app) appShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show an application, its policy and roles",
		Example: "  anteroom app show analytics",
		Args:    wants("ID"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			var out struct {
				admin.Application
				Roles []admin.Role `json:"roles"`
			}
			path := "/applications/" + seg(args[0])
			if err := api.do(ctx, http.MethodGet, path, nil, &out.Application); err != nil {
				return err
			}
			var roles admin.List[admin.Role]
			if err := api.do(ctx, http.MethodGet, path+"/roles", nil, &roles); err != nil {
				return err
			}
			out.Roles = roles.Items
			return a.show(out, func(t *table) {
				printApplication(t, out.Application)
				for _, r := range out.Roles {
					t.pair("Role", r.Key+": "+r.Name)
				}
			})
		}),
	}
}

func printApplication(t *table, one admin.Application) {
	t.pair("Application", one.ID)
	t.pair("Name", one.Name)
	t.pair("Launch URL", one.LaunchURL)
	t.pair("Logo", one.LogoURL)
	t.pair("Colour", one.Colour)
	t.pair("Second factor", one.RequireMFA)
	t.pair("Code after enrolment", one.ChallengeAfterEnrolment)
	t.pair("Consent", string(one.Consent))
	t.pair("Access", string(one.Access))
	t.pair("Enrolment hint", one.EnrolmentHint)
	if one.SessionMaxAge > 0 {
		t.pair("Sign in again after", (time.Duration(one.SessionMaxAge) * time.Second).String())
	}
	printDetailTypes(t, one)
	t.pair("Made", one.CreatedAt)
	t.pair("Changed", one.UpdatedAt)
}

func (a *app) appDelete() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:     "delete ID --yes",
		Short:   "Delete an application with all that belongs to it",
		Long:    "Delete removes the application with its clients, roles, terms, access and consents, and ends what its clients hold. It cannot be undone.",
		Example: "  anteroom app delete analytics --yes",
		Args:    wants("ID"),
	}
	c.Flags().BoolVar(&yes, "yes", false, "yes, delete it")
	c.RunE = a.with(func(ctx context.Context, api *api, args []string) error {
		if !yes {
			return fmt.Errorf("deleting %s takes its clients, roles, terms and everybody's access with it; if that is meant, add --yes", args[0])
		}
		return a.done(ctx, api, http.MethodDelete, "/applications/"+seg(args[0]), nil)
	})
	return c
}

// done makes a request whose answer is a sentence.
func (a *app) done(ctx context.Context, api *api, method, path string, in any) error {
	var out admin.Done
	if err := api.do(ctx, method, path, in, &out); err != nil {
		return err
	}
	return a.say(out, "%s", out.Done)
}

func (a *app) roleAdd() *cobra.Command {
	var in admin.PutRole
	c := &cobra.Command{
		Use:     "add APP KEY",
		Short:   "Define a role, or describe it anew",
		Example: `  anteroom app role add analytics viewer --name "Viewer" --description "May look at reports"`,
		Args:    wants("APP", "KEY"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			var out admin.Role
			if err := api.do(ctx, http.MethodPut, "/applications/"+seg(args[0])+"/roles/"+seg(args[1]), in, &out); err != nil {
				return err
			}
			return a.say(out, "%s has the role %s (%s).", args[0], out.Key, out.Name)
		}),
	}
	c.Flags().StringVar(&in.Name, "name", "", "name that people know it by (default: the key)")
	c.Flags().StringVar(&in.Description, "description", "", "what it allows")
	return c
}

func (a *app) roleList() *cobra.Command {
	return &cobra.Command{
		Use:     "list APP",
		Short:   "List the roles of an application",
		Example: "  anteroom app role list analytics",
		Args:    wants("APP"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			var out admin.List[admin.Role]
			if err := api.do(ctx, http.MethodGet, "/applications/"+seg(args[0])+"/roles", nil, &out); err != nil {
				return err
			}
			return a.show(out, func(t *table) {
				t.row("ROLE", "NAME", "DESCRIPTION")
				for _, r := range out.Items {
					t.row(r.Key, r.Name, r.Description)
				}
			})
		}),
	}
}

func (a *app) roleDelete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete APP KEY",
		Short:   "Delete a role, and take it from everyone who holds it",
		Example: "  anteroom app role delete analytics viewer",
		Args:    wants("APP", "KEY"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			return a.done(ctx, api, http.MethodDelete, "/applications/"+seg(args[0])+"/roles/"+seg(args[1]), nil)
		}),
	}
}
