package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"anteroom/admin"
)

func (a *app) clientCommand() *cobra.Command {
	return group("client", "Clients: the OAuth registrations of applications",
		`A client is how an application talks to Anteroom: where people return to after the sign-in,
what it may ask for, and how it proves who it is. Register one for each portal, and one for
each program that acts for itself.`,
		a.clientRegister(), a.clientList(), a.clientShow(), a.clientUpdate(), a.clientRotate(), a.clientRevoke(), a.clientDelete(),
		group("token", "Tokens that let their holders register clients",
			`The holder of such a token registers clients at the registration endpoint (RFC 7591), while
registration.mode is token or open. Each becomes an application of its own.`,
			a.tokenCreate(), a.tokenList(), a.tokenRevoke()))
}

// clientFlags are the flags of register and update. Only those that were given
// count.
type clientFlags struct {
	name, scopes, method, kind, idAlg, accessAlg string
	redirects, logouts, grants, types, audiences []string
	metadata                                     []string
	jwks                                         string
	public, pkceOptional                         bool
}

func (cf *clientFlags) add(f *pflag.FlagSet) {
	f.StringVar(&cf.name, "name", "", "name of the client (default: its id)")
	f.StringArrayVar(&cf.redirects, "redirect-uri", nil, "where people return to after the sign-in; repeat for several")
	f.StringArrayVar(&cf.logouts, "post-logout-redirect-uri", nil, "where people return to after signing out; repeat for several")
	f.StringArrayVar(&cf.grants, "grant", nil, "authorization_code, refresh_token, client_credentials, or the URI of another; repeat for several")
	f.StringArrayVar(&cf.types, "response-type", nil, "code (the default), or one with tokens, such as \"code id_token\", if compatibility.front_channel_tokens lets it; repeat for several")
	f.StringVar(&cf.scopes, "scopes", "", "what it may ask for, separated by spaces")
	f.StringArrayVar(&cf.audiences, "audience", nil, "resource server that it may ask tokens for; repeat for several")
	f.StringVar(&cf.method, "auth-method", "", "client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt, tls_client_auth, self_signed_tls_client_auth or none")
	f.StringVar(&cf.kind, "type", "", "web or native")
	f.BoolVar(&cf.public, "public", false, "no secret: a single-page or native app (the same as --auth-method none)")
	f.StringVar(&cf.idAlg, "id-token-alg", "", "signature of ID tokens: RS256, ES256, PS256 or EdDSA")
	f.StringVar(&cf.accessAlg, "access-token-alg", "", "signature of access tokens: ES256, RS256, PS256 or EdDSA")
	f.BoolVar(&cf.pkceOptional, "pkce-optional", false, "accept a portal that cannot do PKCE")
	f.StringVar(&cf.jwks, "jwks", "", "file with the client's public keys, a JWK set")
	f.StringArrayVar(&cf.metadata, "set", nil, "further metadata as NAME=VALUE, such as profile=fapi2; VALUE may be true, false, a list or an object in JSON, or empty; repeat for several")
}

// change returns what was given on the command line.
func (cf *clientFlags) change(f *pflag.FlagSet) (admin.ChangeClient, error) {
	in := admin.ChangeClient{
		Name: given(f, "name", &cf.name), RedirectURIs: given(f, "redirect-uri", &cf.redirects),
		PostLogoutRedirectURIs: given(f, "post-logout-redirect-uri", &cf.logouts), GrantTypes: given(f, "grant", &cf.grants), ResponseTypes: given(f, "response-type", &cf.types),
		Scope: given(f, "scopes", &cf.scopes), Audiences: given(f, "audience", &cf.audiences),
		TokenEndpointAuthMethod: given(f, "auth-method", &cf.method), ApplicationType: given(f, "type", &cf.kind),
		IDTokenSignedResponseAlg: given(f, "id-token-alg", &cf.idAlg), AccessTokenSigningAlg: given(f, "access-token-alg", &cf.accessAlg),
		PKCEOptional: given(f, "pkce-optional", &cf.pkceOptional),
	}
	if f.Changed("jwks") || f.Changed("set") {
		metadata, err := cf.furtherMetadata()
		if err != nil {
			return in, err
		}
		in.Metadata = &metadata
	}
	if cf.public {
		if in.TokenEndpointAuthMethod != nil && cf.method != "none" {
			return in, fmt.Errorf("--public and --auth-method %s contradict each other; keep one of the two", cf.method)
		}
		none := "none"
		in.TokenEndpointAuthMethod = &none
	}
	return in, nil
}

// furtherMetadata reads --jwks and --set.
func (cf *clientFlags) furtherMetadata() (map[string]any, error) {
	out := map[string]any{}
	for _, one := range cf.metadata {
		name, value, ok := strings.Cut(one, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--set %s: write NAME=VALUE", one)
		}
		switch {
		case value == "true" || value == "false":
			out[name] = value == "true"
		case strings.HasPrefix(value, "[") || strings.HasPrefix(value, "{"):
			var v any
			if err := json.Unmarshal([]byte(value), &v); err != nil {
				return nil, fmt.Errorf("--set %s: not a list or an object in JSON: %w", one, err)
			}
			out[name] = v
		default:
			out[name] = value
		}
	}
	if cf.jwks == "" {
		return out, nil
	}
	raw, err := os.ReadFile(cf.jwks)
	if err != nil {
		return nil, fmt.Errorf("--jwks: %w", err)
	}
	var set map[string]any
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("--jwks %s: not a JWK set in JSON: %w", cf.jwks, err)
	}
	out["jwks"] = set
	return out, nil
}

func (a *app) clientRegister() *cobra.Command {
	var cf clientFlags
	var id, application string
	c := &cobra.Command{
		Use:   "register --app APP",
		Short: "Register a client, and print the settings to paste into the portal",
		Long: `Register makes a client and prints what the portal needs to know. The secret is shown this
once and not kept: store it where the portal reads it. With redirect URIs the client signs
people in; without, it is a program that acts for itself (client_credentials).`,
		Example: `  anteroom client register --app analytics --redirect-uri https://analytics.example.com/callback
  anteroom client register --app analytics --id analytics-spa --public --redirect-uri https://analytics.example.com/
  anteroom client register --app analytics --id nightly-import --scopes "reports.read"
  anteroom client register --app bank --auth-method private_key_jwt --jwks keys.json --set profile=fapi2 --redirect-uri https://bank.example.com/callback`,
		Args: wants(),
	}
	cf.add(c.Flags())
	c.Flags().StringVar(&application, "app", "", "id of the application")
	c.Flags().StringVar(&id, "id", "", "client_id (default: a random one)")
	c.RunE = a.with(func(ctx context.Context, api *api, _ []string) error {
		change, err := cf.change(c.Flags())
		if err != nil {
			return err
		}
		var out admin.Registered
		in := admin.RegisterClient{ID: id, Application: application, ChangeClient: change}
		if err := api.do(ctx, http.MethodPost, "/clients", in, &out); err != nil {
			return err
		}
		return a.show(out, func(t *table) {
			t.line("The client is registered. Settings for the portal:")
			t.line("")
			printSettings(t, out)
		})
	})
	return c
}

// printSettings prints what a portal needs to know.
func printSettings(t *table, out admin.Registered) {
	t.pair("issuer", out.Settings.Issuer)
	t.pair("client_id", out.ID)
	t.pair("client_secret", out.Secret)
	t.pair("redirect_uri", out.RedirectURIs)
	t.pair("post_logout_redirect_uri", out.PostLogoutRedirectURIs)
	t.pair("scope", out.Scope)
	t.pair("token_endpoint_auth_method", out.TokenEndpointAuthMethod)
	t.pair("discovery", out.Settings.Discovery)
	if len(out.RedirectURIs) > 0 {
		t.pair("authorization_endpoint", out.Settings.AuthorizationEndpoint)
	}
	t.pair("token_endpoint", out.Settings.TokenEndpoint)
	t.pair("jwks_uri", out.Settings.JWKSURI)
	if len(out.RedirectURIs) > 0 {
		t.pair("userinfo_endpoint", out.Settings.UserinfoEndpoint)
		t.pair("end_session_endpoint", out.Settings.EndSessionEndpoint)
	}
	if out.Secret != "" {
		t.line("")
		t.line("The secret is not shown again. If it is lost: anteroom client rotate-secret %s", out.ID)
	}
}

func (a *app) clientList() *cobra.Command {
	var application string
	c := &cobra.Command{
		Use:     "list",
		Short:   "List clients",
		Example: "  anteroom client list --app analytics",
		Args:    wants(),
		RunE: a.with(func(ctx context.Context, api *api, _ []string) error {
			query := url.Values{}
			if application != "" {
				query.Set("application", application)
			}
			out, err := all[admin.Client](ctx, api, "/clients", query)
			if err != nil {
				return err
			}
			return a.show(out, func(t *table) {
				t.row("CLIENT", "APPLICATION", "NAME", "GRANTS", "STATE")
				for _, one := range out.Items {
					t.row(one.ID, one.Application, one.Name, one.GrantTypes, clientState(one))
				}
			})
		}),
	}
	c.Flags().StringVar(&application, "app", "", "only those of this application")
	return c
}

func clientState(c admin.Client) string {
	if c.Disabled {
		return "disabled"
	}
	return "active"
}

func (a *app) clientShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show a client and the settings of its portal",
		Example: "  anteroom client show analytics-web",
		Args:    wants("ID"),
		RunE: a.with(func(ctx context.Context, api *api, args []string) error {
			var out admin.Registered
			if err := api.do(ctx, http.MethodGet, "/clients/"+seg(args[0]), nil, &out); err != nil {
				return err
			}
			return a.show(out, func(t *table) { printClient(t, out) })
		}),
	}
}

// metadataText writes a value as --set takes it; a key set has a flag and a file of
// its own.
func metadataText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case map[string]any:
		if keys, ok := v["keys"].([]any); ok {
			return fmt.Sprintf("public keys: %d", len(keys))
		}
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

func printClient(t *table, out admin.Registered) {
	t.pair("Client", out.ID)
	t.pair("Application", out.Application)
	t.pair("Name", out.Name)
	t.pair("State", clientState(out.Client))
	t.pair("Type", out.ApplicationType)
	t.pair("Grants", out.GrantTypes)
	t.pair("Audiences", out.Audiences)
	t.pair("ID tokens", out.IDTokenSignedResponseAlg)
	t.pair("Access tokens", out.AccessTokenSigningAlg)
	if out.PKCEOptional {
		t.pair("PKCE", "optional")
	}
	for _, name := range slices.Sorted(maps.Keys(out.Metadata)) {
		t.pair(name, metadataText(out.Metadata[name]))
	}
	for _, s := range out.Secrets {
		text := "since " + moment(s.CreatedAt)
		if !s.ExpiresAt.IsZero() {
			text += ", until " + moment(s.ExpiresAt)
		}
		t.pair("Secret", text)
	}
	t.pair("Registered", out.CreatedAt)
	t.pair("Changed", out.UpdatedAt)
	t.line("")
	t.line("Settings for the portal:")
	t.line("")
	printSettings(t, out)
}

func (a *app) clientUpdate() *cobra.Command {
	var cf clientFlags
	var disable, enable bool
	c := &cobra.Command{
		Use:   "update ID",
		Short: "Change a client",
		Long:  "Update changes what is given and leaves the rest. Lists are replaced whole.",
		Example: `  anteroom client update analytics-web --redirect-uri https://new.example.com/callback
  anteroom client update analytics-web --disable`,
		Args: wants("ID"),
	}
	cf.add(c.Flags())
	c.Flags().BoolVar(&disable, "disable", false, "let it do nothing, and end what it holds")
	c.Flags().BoolVar(&enable, "enable", false, "let a disabled one in again")
	c.MarkFlagsMutuallyExclusive("disable", "enable")
	c.RunE = a.with(func(ctx context.Context, api *api, args []string) error {
		in, err := cf.change(c.Flags())
		if err != nil {
			return err
		}
		if disable || enable {
			in.Disabled = &disable
		}
		var out admin.Registered
		if err := api.do(ctx, http.MethodPatch, "/clients/"+seg(args[0]), in, &out); err != nil {
			return err
		}
		return a.show(out, func(t *table) { printClient(t, out) })
	})
	return c
}

func (a *app) clientRotate() *cobra.Command {
	var keep time.Duration
	c := &cobra.Command{
		Use:   "rotate-secret ID",
		Short: "Make a new secret and show it once",
		Long: `Rotate-secret makes a new secret. The ones so far go on working for --keep-old, so that the
portal can be changed over without an interruption; with --keep-old 0s they end at once.`,
		Example: "  anteroom client rotate-secret analytics-web --keep-old 24h",
		Args:    wants("ID"),
	}
	c.Flags().DurationVar(&keep, "keep-old", 24*time.Hour, "how long the secrets so far go on working")
	c.RunE = a.with(func(ctx context.Context, api *api, args []string) error {
		var out admin.Registered
		in := admin.RotateSecret{KeepOld: int64(keep / time.Second)}
		if err := api.do(ctx, http.MethodPost, "/clients/"+seg(args[0])+"/rotate-secret", in, &out); err != nil {
			return err
		}
		return a.show(out, func(t *table) {
			t.pair("client_id", out.ID)
			t.pair("client_secret", out.Secret)
			t.line("")
			t.line("The secret is not shown again. %s", older(keep))
		})
	})
	return c
}

// older says what becomes of the secrets so far.
func older(keep time.Duration) string {
	if keep <= 0 {
		return "Older ones have ended."
	}
	return "Older ones work until " + moment(time.Now().Add(keep)) + "."
}

func (a *app) clientDelete() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:     "delete ID --yes",
		Short:   "Delete a client and end what it holds",
		Example: "  anteroom client delete analytics-web --yes",
		Args:    wants("ID"),
	}
	c.Flags().BoolVar(&yes, "yes", false, "yes, delete it")
	c.RunE = a.with(func(ctx context.Context, api *api, args []string) error {
		if !yes {
			return fmt.Errorf("deleting %s locks its portal out; if that is meant, add --yes (to lock it out for a while: anteroom client update %s --disable)", args[0], args[0])
		}
		return a.done(ctx, api, http.MethodDelete, "/clients/"+seg(args[0]), nil)
	})
	return c
}
