package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/store"
)

// Client is an OAuth registration. Keys follow RFC 7591 section 2 where it has a
// word for the thing.
type Client struct {
	ID                       string         `json:"client_id"`
	Application              string         `json:"application"`
	Name                     string         `json:"client_name"`
	RedirectURIs             []string       `json:"redirect_uris"`
	PostLogoutRedirectURIs   []string       `json:"post_logout_redirect_uris"`
	GrantTypes               []string       `json:"grant_types"`
	ResponseTypes            []string       `json:"response_types"`
	Scope                    string         `json:"scope"` // separated by spaces
	Audiences                []string       `json:"audiences"`
	TokenEndpointAuthMethod  string         `json:"token_endpoint_auth_method"`
	ApplicationType          string         `json:"application_type"`
	IDTokenSignedResponseAlg string         `json:"id_token_signed_response_alg"`
	AccessTokenSigningAlg    string         `json:"access_token_signing_alg"`
	PKCEOptional             bool           `json:"pkce_optional"`
	Metadata                 map[string]any `json:"metadata,omitempty"` // what else it is registered with
	Disabled                 bool           `json:"disabled"`
	Secrets                  []Secret       `json:"secrets"` // when they were made, not what they are
	CreatedAt                time.Time      `json:"created_at"`
	UpdatedAt                time.Time      `json:"updated_at"`
}

// Secret says since when, and until when, a secret is good.
type Secret struct {
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // absent: does not expire
}

// RegisterClient makes a client. What is left out has its default.
type RegisterClient struct {
	ID          string `json:"client_id,omitempty"` // "": a random one
	Application string `json:"application,omitempty"`
	ChangeClient
}

// ChangeClient names what is to change; keys that are left out stay, lists are
// replaced whole.
type ChangeClient struct {
	Name                     *string         `json:"client_name,omitempty"`
	RedirectURIs             *[]string       `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs   *[]string       `json:"post_logout_redirect_uris,omitempty"`
	GrantTypes               *[]string       `json:"grant_types,omitempty"`
	ResponseTypes            *[]string       `json:"response_types,omitempty"`
	Scope                    *string         `json:"scope,omitempty"`
	Audiences                *[]string       `json:"audiences,omitempty"`
	TokenEndpointAuthMethod  *string         `json:"token_endpoint_auth_method,omitempty"`
	ApplicationType          *string         `json:"application_type,omitempty"`
	IDTokenSignedResponseAlg *string         `json:"id_token_signed_response_alg,omitempty"`
	AccessTokenSigningAlg    *string         `json:"access_token_signing_alg,omitempty"`
	PKCEOptional             *bool           `json:"pkce_optional,omitempty"`
	Metadata                 *map[string]any `json:"metadata,omitempty"` // only the names that are sent change; "", false and {} clear
	Disabled                 *bool           `json:"disabled,omitempty"`
}

// Registered is a client with its secret, which is shown this once, and the
// settings to paste into the portal.
type Registered struct {
	Client
	Secret   string   `json:"client_secret,omitempty"`
	Settings Settings `json:"settings"`
}

// Settings are what a portal needs to know of us.
type Settings struct {
	Issuer                string `json:"issuer"`
	Discovery             string `json:"discovery"`
	AuthorizationEndpoint string `json:"authorization_endpoint"`
	TokenEndpoint         string `json:"token_endpoint"`
	UserinfoEndpoint      string `json:"userinfo_endpoint"`
	EndSessionEndpoint    string `json:"end_session_endpoint"`
	JWKSURI               string `json:"jwks_uri"`
}

// RotateSecret says how long the secrets so far go on working.
type RotateSecret struct {
	KeepOld int64 `json:"keep_old,omitempty"` // seconds; 0: they end now
}

func viewClient(c store.Client) Client {
	return Client{
		ID: c.ID, Application: c.ApplicationID, Name: c.Name,
		RedirectURIs: filled(c.RedirectURIs), PostLogoutRedirectURIs: filled(c.PostLogoutRedirectURIs),
		GrantTypes: filled(c.GrantTypes), ResponseTypes: filled(c.ResponseTypes), Scope: strings.Join(c.Scopes, " "),
		Audiences: filled(c.Audiences), TokenEndpointAuthMethod: c.TokenEndpointAuthMethod,
		ApplicationType:          cmp.Or(c.ApplicationType, "web"),
		IDTokenSignedResponseAlg: cmp.Or(c.IDTokenSignedResponseAlg, "RS256"),
		AccessTokenSigningAlg:    cmp.Or(c.AccessTokenSigningAlg, "ES256"),
		PKCEOptional:             c.PKCEOptional, Metadata: viewMetadata(c), Disabled: c.Disabled,
		Secrets: list(c.Secrets, "", func(s store.ClientSecret) Secret {
			return Secret{s.CreatedAt, s.ExpiresAt}
		}).Items,
		CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
	}
}

// filled makes an empty list [] in JSON.
func filled(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func (a *API) settings() Settings {
	return Settings{
		Issuer: a.Issuer, Discovery: a.Issuer + "/.well-known/openid-configuration",
		AuthorizationEndpoint: a.Issuer + "/authorize", TokenEndpoint: a.Issuer + "/token",
		UserinfoEndpoint: a.Issuer + "/userinfo", EndSessionEndpoint: a.Issuer + "/logout", JWKSURI: a.Issuer + "/jwks.json",
	}
}

func (a *API) listClients(c call) (List[Client], error) {
	p, err := page(c)
	if err != nil {
		return List[Client]{}, err
	}
	rows, next, err := a.Store.Clients(c.ctx, c.URL.Query().Get("application"), p)
	return list(rows, next, viewClient), err
}

func (a *API) showClient(c call) (Registered, error) {
	id := c.PathValue("client")
	row, err := a.Store.Client(c.ctx, id)
	return Registered{Client: viewClient(row), Settings: a.settings()}, notFound(err, "client", id)
}

func (a *API) registerClient(c call, in RegisterClient) (Registered, error) {
	now := a.Now()
	row := store.Client{
		ID: cmp.Or(in.ID, seal.RandomID()), ApplicationID: in.Application, CreatedAt: now, UpdatedAt: now,
	}
	in.apply(&row)
	fillDefaults(&row, in.ChangeClient)
	var found mistakes
	if in.ID != "" {
		found.clientID("client_id", in.ID)
	}
	if err := a.checkApplication(c.ctx, in.Application, &found); err != nil {
		return Registered{}, err
	}
	if in.Metadata != nil {
		a.checkMetadata(*in.Metadata, &found)
	}
	a.checkClient(row, &found)
	if len(found) == 0 {
		a.settleSubject(c.ctx, nil, &row, &found)
	}
	if err := found.problem(); err != nil {
		return Registered{}, err
	}
	secret := ""
	if hasSecret(row) {
		secret = a.newSecret(row, now)
		a.addSecret(&row, secret, now)
	}
	err := a.Store.Do(c.ctx, func(ctx context.Context) error {
		if err := a.Store.CreateClient(ctx, row); err != nil {
			return fmt.Errorf("create client: %w", err)
		}
		return a.record(ctx, c, store.AuditEvent{Type: audit.ClientRegistered, ApplicationID: row.ApplicationID, ClientID: row.ID})
	})
	if err != nil {
		return Registered{}, conflict(err, fmt.Sprintf("There is a client %q already.", row.ID))
	}
	return Registered{Client: viewClient(row), Secret: secret, Settings: a.settings()}, nil
}

// hasSecret tells whether a client proves itself with a secret.
func hasSecret(c store.Client) bool {
	return strings.HasPrefix(c.TokenEndpointAuthMethod, "client_secret_")
}

// newSecret returns a secret for a client. That of client_secret_jwt must be
// known again to check what it signed.
func (a *API) newSecret(c store.Client, at time.Time) string {
	if c.TokenEndpointAuthMethod == "client_secret_jwt" {
		return a.Seal.ClientSecret(c.ID, at)
	}
	return seal.Token()
}

// lacksSecret tells whether a client has no secret that its method can use.
func (a *API) lacksSecret(c store.Client) bool {
	return hasSecret(c) && !slices.ContainsFunc(c.Secrets, func(s store.ClientSecret) bool {
		return c.TokenEndpointAuthMethod != "client_secret_jwt" ||
			a.Seal.Digest(seal.ClientSecret, a.Seal.ClientSecret(c.ID, s.CreatedAt)) == s.Hash
	})
}

// addSecret keeps the keyed hash of a secret.
func (a *API) addSecret(row *store.Client, secret string, now time.Time) {
	row.Secrets = append(row.Secrets, store.ClientSecret{Hash: a.Seal.Digest(seal.ClientSecret, secret), CreatedAt: now})
}

func (a *API) checkApplication(ctx context.Context, id string, found *mistakes) error {
	if id == "" {
		found.add("application", "is missing; say which application the client belongs to")
		return nil
	}
	_, err := a.Store.Application(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		found.add("application", "there is no application %q", id)
		return nil
	}
	if err != nil {
		return fmt.Errorf("load application: %w", err)
	}
	return nil
}

func (a *API) changeClient(c call, in ChangeClient) (Registered, error) {
	fields := in.fields()
	if len(fields) == 0 {
		return Registered{}, nothingToChange()
	}
	id := c.PathValue("client")
	at := a.Now()
	var secret string // of a client that needs one from now on
	var unknown mistakes
	if in.Metadata != nil {
		a.checkMetadata(*in.Metadata, &unknown)
	}
	if err := unknown.problem(); err != nil {
		return Registered{}, err
	}
	settle, err := a.settledSubject(c.ctx, id, in)
	if err != nil {
		return Registered{}, notFound(err, "client", id)
	}
	var row store.Client
	err = a.Store.Do(c.ctx, func(ctx context.Context) (err error) {
		row, err = a.Store.UpdateClient(ctx, id, func(now *store.Client) error {
			if err := settle(now); err != nil {
				return err
			}
			in.apply(now)
			now.UpdatedAt = at
			secret = ""
			switch {
			case a.lacksSecret(*now):
				secret = a.newSecret(*now, at)
				now.Secrets = nil
				a.addSecret(now, secret, at)
			case !hasSecret(*now):
				now.Secrets = nil
			}
			var found mistakes
			a.checkClient(*now, &found)
			return found.problem()
		})
		if err != nil {
			return fmt.Errorf("update client: %w", err)
		}
		if row.Disabled {
			if _, err := a.Store.RevokeGrants(ctx, store.GrantFilter{ClientID: id}, "client disabled", a.Now()); err != nil {
				return fmt.Errorf("revoke grants: %w", err)
			}
		}
		return a.record(ctx, c, store.AuditEvent{
			Type: audit.ClientUpdated, ApplicationID: row.ApplicationID, ClientID: id, Details: map[string]string{"fields": strings.Join(fields, ", ")},
		})
	})
	if err != nil {
		return Registered{}, notFound(err, "client", id)
	}
	return Registered{Client: viewClient(row), Secret: secret, Settings: a.settings()}, nil
}

func (a *API) deleteClient(c call) (Done, error) {
	id := c.PathValue("client")
	err := a.Store.Do(c.ctx, func(ctx context.Context) error {
		row, err := a.Store.Client(ctx, id)
		if err != nil {
			return fmt.Errorf("load client: %w", err)
		}
		if _, err := a.Store.RevokeGrants(ctx, store.GrantFilter{ClientID: id}, "client deleted", a.Now()); err != nil {
			return fmt.Errorf("revoke grants: %w", err)
		}
		if err := a.Store.DeleteClient(ctx, id); err != nil {
			return fmt.Errorf("delete client: %w", err)
		}
		return a.record(ctx, c, store.AuditEvent{Type: audit.ClientDeleted, ApplicationID: row.ApplicationID, ClientID: id})
	})
	if err != nil {
		return Done{}, notFound(err, "client", id)
	}
	return done("The client %s is deleted; its tokens can no longer be refreshed.", id)
}

// maxSecrets bounds the secrets that are valid at once.
const maxSecrets = 5

func (a *API) rotateSecret(c call, in RotateSecret) (Registered, error) {
	if in.KeepOld < 0 || in.KeepOld > 90*24*3600 {
		return Registered{}, mistakes{{"keep_old", "must be 0 to 7776000 seconds (90 days)"}}.problem()
	}
	id := c.PathValue("client")
	now := a.Now()
	until := now.Add(time.Duration(in.KeepOld) * time.Second)
	var secret string
	var row store.Client
	err := a.Store.Do(c.ctx, func(ctx context.Context) (err error) {
		row, err = a.Store.UpdateClient(ctx, id, func(cl *store.Client) error {
			if !hasSecret(*cl) {
				return refused("A client of this token_endpoint_auth_method has no secret.")
			}
			secret = a.newSecret(*cl, now)
			cl.Secrets = shorten(cl.Secrets, now, until)
			a.addSecret(cl, secret, now)
			if len(cl.Secrets) > maxSecrets {
				return problem(http.StatusConflict, "too-many", "The client has five valid secrets already. Rotate again when one has expired, or with keep_old 0.")
			}
			cl.UpdatedAt = now
			return nil
		})
		if err != nil {
			return fmt.Errorf("rotate secret: %w", err)
		}
		return a.record(ctx, c, store.AuditEvent{
			Type: audit.ClientSecretRotated, ApplicationID: row.ApplicationID, ClientID: id,
			Details: map[string]string{"old_until": until.UTC().Format(time.RFC3339)},
		})
	})
	if err != nil {
		return Registered{}, notFound(err, "client", id)
	}
	return Registered{Client: viewClient(row), Secret: secret, Settings: a.settings()}, nil
}

// shorten lets secrets end at until at the latest, and drops dead ones.
func shorten(secrets []store.ClientSecret, now, until time.Time) []store.ClientSecret {
	var out []store.ClientSecret
	for _, s := range slices.Clone(secrets) {
		if s.ExpiresAt.IsZero() || s.ExpiresAt.After(until) {
			s.ExpiresAt = until
		}
		if s.ExpiresAt.After(now) {
			out = append(out, s)
		}
	}
	return out
}
