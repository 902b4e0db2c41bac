package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"anteroom/admin"
)

func (a *app) termsCommand() *cobra.Command {
	return group("terms", "Terms & conditions of applications",
		`Terms are versions of a text in Markdown that everybody accepts before entering an application.
A published version never changes; a new one is asked again at the next sign-in.`,
		a.termsPublish(), a.termsWithdraw(), a.termsList(), a.termsShow())
}

func (a *app) termsPublish() *cobra.Command {
	var title string
	c := &cobra.Command{
		Use:   "publish APP FILE",
		Short: "Publish a new version from a Markdown file",
		Example: `  anteroom terms publish analytics terms.md
  pandoc terms.docx -t commonmark | anteroom terms publish analytics -`,
		Args: wants("APP", "FILE"),
	}
	c.Flags().StringVar(&title, "title", "", "heading of the page (default: Terms & Conditions)")
	c.RunE = func(c *cobra.Command, args []string) error {
		text, err := a.readText(args[1])
		if err != nil {
			return err
		}
		return a.with(func(ctx context.Context, api *api, args []string) error {
			var out admin.Terms
			in := admin.PublishTerms{Title: title, Markdown: text}
			if err := api.do(ctx, http.MethodPost, "/applications/"+seg(args[0])+"/terms", in, &out); err != nil {
				return err
			}
			return a.say(out, "Version %d is published (SHA-256 %s). Everybody is asked at the next sign-in.", out.Version, out.Hash)
		})(c, args)
	}
	return c
}

func (a *app) termsWithdraw() *cobra.Command {
	return &cobra.Command{
		Use:     "withdraw APP",
		Short:   "Ask for no terms from now on",
		Example: "  anteroom terms withdraw analytics",
		Args:    wants("APP"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			var out admin.Terms
			if err := api.do(ctx, http.MethodPost, "/applications/"+seg(args[0])+"/terms/withdraw", nil, &out); err != nil {
				return err
			}
			return a.say(out, "%s asks for no terms from now on. What was accepted stays on record.", args[0])
		}),
	}
}

func (a *app) termsList() *cobra.Command {
	return &cobra.Command{
		Use:     "list APP",
		Short:   "List the versions",
		Example: "  anteroom terms list analytics",
		Args:    wants("APP"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			var out admin.List[admin.Terms]
			if err := api.do(ctx, http.MethodGet, "/applications/"+seg(args[0])+"/terms", nil, &out); err != nil {
				return err
			}
			return a.show(out, func(t *table) {
				t.row("VERSION", "PUBLISHED", "TITLE", "SHA-256")
				for _, one := range out.Items {
					title := one.Title
					if one.Withdrawn {
						title = "(withdrawn)"
					}
					t.row(one.Version, one.PublishedAt, title, one.Hash)
				}
			})
		}),
	}
}

func (a *app) termsShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show APP VERSION",
		Short:   "Print the text of a version",
		Example: "  anteroom terms show analytics 2",
		Args:    wants("APP", "VERSION"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			var out admin.Terms
			if err := api.do(ctx, http.MethodGet, "/applications/"+seg(args[0])+"/terms/"+seg(args[1]), nil, &out); err != nil {
				return err
			}
			return a.show(out, func(t *table) { t.text(out.Markdown) })
		}),
	}
}
