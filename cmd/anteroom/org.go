package main

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"anteroom/admin"
)

func (a *app) orgCommand() *cobra.Command {
	return group("org", "Organisations: the tree of vendors, partners and companies",
		`Organisations form a tree: vendor, distributor, partner, company. Roles are held for an
organisation, and accounts belong to one.`,
		a.orgCreate(), a.orgList(), a.orgShow(), a.orgRename(), a.orgMove())
}

func (a *app) orgCreate() *cobra.Command {
	var in admin.CreateOrganisation
	c := &cobra.Command{
		Use:   "create ID",
		Short: "Make an organisation",
		Example: `  anteroom org create acme --name "Acme Ltd"
  anteroom org create acme-north --name "Acme North" --parent acme`,
		Args: wants("ID"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			in.ID = args[0]
			if in.Name == "" {
				in.Name = in.ID
			}
			var out admin.Organisation
			if err := api.do(ctx, http.MethodPost, "/organisations", in, &out); err != nil {
				return err
			}
			return a.say(out, "The organisation %s (%s) is made.", out.ID, out.Name)
		}),
	}
	c.Flags().StringVar(&in.Name, "name", "", "name that people know it by (default: the id)")
	c.Flags().StringVar(&in.Parent, "parent", "", "id of the organisation above it")
	return c
}

func (a *app) orgList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List organisations as a tree",
		Example: "  anteroom org list",
		Args:    wants(),
		RunE: a.with(func(ctx context.Context, api *api, _ []string) error {
			out, err := all[admin.Organisation](ctx, api, "/organisations", nil)
			if err != nil {
				return err
			}
			return a.show(out, func(t *table) {
				t.row("ORGANISATION", "NAME")
				printTree(t, out.Items, "", 0)
			})
		}),
	}
}

// printTree prints what is under parent, by name.
func printTree(t *table, rows []admin.Organisation, parent string, depth int) {
	var here []admin.Organisation
	for _, o := range rows {
		if o.Parent == parent {
			here = append(here, o)
		}
	}
	slices.SortFunc(here, func(a, b admin.Organisation) int { return strings.Compare(a.Name, b.Name) })
	for _, o := range here {
		t.row(strings.Repeat("  ", depth)+o.ID, o.Name)
		printTree(t, rows, o.ID, depth+1)
	}
}

func (a *app) orgShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show an organisation",
		Example: "  anteroom org show acme",
		Args:    wants("ID"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			var out admin.Organisation
			if err := api.do(ctx, http.MethodGet, "/organisations/"+seg(args[0]), nil, &out); err != nil {
				return err
			}
			return a.show(out, func(t *table) {
				t.pair("Organisation", out.ID)
				t.pair("Name", out.Name)
				t.pair("Parent", out.Parent)
				t.pair("Made", out.CreatedAt)
			})
		}),
	}
}

func (a *app) orgRename() *cobra.Command {
	return &cobra.Command{
		Use:     "rename ID NAME",
		Short:   "Give an organisation another name; its id stays",
		Example: `  anteroom org rename acme "Acme Group"`,
		Args:    wants("ID", "NAME"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			return a.changeOrg(ctx, api, args[0], admin.ChangeOrganisation{Name: &args[1]})
		}),
	}
}

func (a *app) orgMove() *cobra.Command {
	return &cobra.Command{
		Use:   "move ID [PARENT]",
		Short: "Put an organisation under another one, or at the top",
		Example: `  anteroom org move acme-north acme
  anteroom org move acme-north            # to the top`,
		Args: wantsUpTo("ID", "PARENT"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			parent := ""
			if len(args) > 1 {
				parent = args[1]
			}
			return a.changeOrg(ctx, api, args[0], admin.ChangeOrganisation{Parent: &parent})
		}),
	}
}

func (a *app) changeOrg(ctx context.Context, api *api, id string, in admin.ChangeOrganisation) error {
	var out admin.Organisation
	if err := api.do(ctx, http.MethodPatch, "/organisations/"+seg(id), in, &out); err != nil {
		return err
	}
	if out.Parent != "" {
		return a.say(out, "%s is now called %s, under %s.", out.ID, out.Name, out.Parent)
	}
	return a.say(out, "%s is now called %s, at the top.", out.ID, out.Name)
}
