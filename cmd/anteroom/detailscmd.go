package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"anteroom/admin"
)

func (a *app) appDetails() *cobra.Command {
	return &cobra.Command{
		Use:   "details ID FILE",
		Short: "Describe the authorization details that its clients may ask for",
		Long: `Details reads a list of types of authorization_details (RFC 9396) in JSON and replaces those that
the application has. People read the titles and the words of the values on the consent page; what
is not described is refused. A client may ask for a type once it is allowed to:
anteroom client update CLIENT --set 'authorization_details_types=["TYPE"]'. FILE is - for the
standard input; [] takes all away.

  [{"type": "payment", "title": "Pay from your account", "consent": "always",
    "fields": [
      {"name": "amount.value", "title": "Amount", "kind": "number", "required": true},
      {"name": "amount.currency", "title": "Currency", "kind": "text", "required": true,
       "values": {"EUR": "Euro", "CHF": "Swiss franc"}},
      {"name": "creditor", "title": "To", "kind": "text", "required": true},
      {"name": "actions", "kind": "list", "values": {"initiate": "Start it", "cancel": "Stop it"}}]}]

kind is text, number or list (of texts); consent is skip, once (the default) or always.`,
		Example: "  anteroom app details bank payment.json",
		Args:    wants("ID", "FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := a.readText(args[1])
			if err != nil {
				return err
			}
			if !json.Valid([]byte(text)) {
				return fmt.Errorf("%s is not JSON; check brackets, commas and quotes", args[1])
			}
			return a.with(func(ctx context.Context, api *api, args []string) error {
				var out admin.Application
				in := map[string]json.RawMessage{"authorization_details_types": json.RawMessage(text)}
				if err := api.do(ctx, http.MethodPatch, "/applications/"+seg(args[0]), in, &out); err != nil {
					return err
				}
				return a.show(out, func(t *table) { printDetailTypes(t, out) })
			})(c, args)
		},
	}
}

func printDetailTypes(t *table, one admin.Application) {
	for _, d := range one.DetailTypes {
		t.pair("Details", fmt.Sprintf("%s: %s (%d fields)", d.Type, d.Title, len(d.Fields)))
	}
}
