package provider

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"strings"
	"time"

	"anteroom/internal/audit"
	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
)

// PathRegister is the registration endpoint (RFC 7591 section 3) and, with a
// client_id in the query, the configuration of one client (RFC 7592 section 2).
const PathRegister = "/register"

const (
	digestRegistration = "registration access token"
	settingManage      = "registration_access_token_hash" // ours
)

// Register serves registration and its management.
func (p *Provider) Register(w http.ResponseWriter, r *http.Request) {
	if !p.registration.On() {
		p.fail(w, r, refuse("invalid_request", "Clients are registered by the operator.").withStatus(http.StatusNotFound))
		return
	}
	if cors(w, r, http.MethodPost, http.MethodGet, http.MethodPut, http.MethodDelete) {
		return
	}
	status, answer, err := p.register(r)
	if err != nil {
		p.challenge(w, err)
		p.fail(w, r, err)
		return
	}
	if status == http.StatusNoContent {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		return
	}
	writeJSON(w, status, answer)
}

func (p *Provider) register(r *http.Request) (int, map[string]any, error) {
	query, err := newParams(r.URL.RawQuery)
	if err == nil && query.wrong() != nil {
		err = query.wrong()
	}
	if err != nil {
		return 0, nil, err
	}
	id := query.Get("client_id")
	switch {
	case id == "" && r.Method == http.MethodPost:
		answer, err := p.registerClient(r)
		return http.StatusCreated, answer, err
	case id != "" && r.Method == http.MethodGet:
		c, err := p.managed(r, id)
		return http.StatusOK, p.registered(c, "", true), err
	case id != "" && r.Method == http.MethodPut:
		answer, err := p.updateClient(r, id)
		return http.StatusOK, answer, err
	case id != "" && r.Method == http.MethodDelete:
		return http.StatusNoContent, nil, p.deleteClient(r, id)
	}
	return 0, nil, refuse("invalid_request", "POST registers a client; GET, PUT and DELETE take the registration_client_uri of one.").
		withStatus(http.StatusMethodNotAllowed)
}

// registerClient is RFC 7591 section 3. A client that registers itself is an
// application of its own, so that pages show its name and logo, and people are
// asked for their consent.
func (p *Provider) registerClient(r *http.Request) (map[string]any, error) {
	ctx := r.Context()
	spend, err := p.mayRegister(r)
	if err != nil {
		return nil, err
	}
	in, err := readMetadata(r)
	if err != nil {
		return nil, err
	}
	now := p.now()
	c := store.Client{ID: seal.RandomID(), CreatedAt: now, UpdatedAt: now}
	c.ApplicationID = "client-" + c.ID
	if err := p.applyRegistration(ctx, &c, store.Client{}, in); err != nil {
		return nil, err
	}
	secret := p.giveSecret(&c, now)
	token := seal.Token()
	c.Settings[settingManage] = p.seal.Digest(digestRegistration, token)
	app := store.Application{
		ID: c.ApplicationID, Name: c.Name, LogoURL: text1(c.Settings["logo_uri"]), RequireMFA: true,
		Consent: store.ConsentOnce, Access: store.AccessEveryone, CreatedAt: now, UpdatedAt: now,
	}
	err = p.store.Do(ctx, func(ctx context.Context) error {
		details, err := spend(ctx)
		if err != nil {
			return err
		}
		if err := p.store.CreateApplication(ctx, app); err != nil {
			return err
		}
		if err := p.store.CreateClient(ctx, c); err != nil {
			return err
		}
		if err := p.recordClient(ctx, audit.ApplicationRegistered, c, nil); err != nil {
			return err
		}
		return p.recordClient(ctx, audit.ClientRegistered, c, details)
	})
	if deadToken(err) {
		return nil, errBearer(err)
	}
	if err != nil {
		return nil, fmt.Errorf("register client: %w", err)
	}
	answer := p.registered(c, secret, false)
	answer["registration_access_token"] = token
	return answer, nil
}

// managed returns the client whose registration access token a request shows.
// An unknown client and a wrong token are one answer (RFC 7592 section 2.1).
func (p *Provider) managed(r *http.Request, id string) (store.Client, error) {
	raw, err := headerToken(r)
	if err != nil {
		return store.Client{}, err
	}
	c, err := p.client(r.Context(), id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return c, err
	}
	want, _ := c.Settings[settingManage].(string)
	if err != nil || want == "" || !hmac.Equal([]byte(want), []byte(p.seal.Digest(digestRegistration, raw))) {
		return store.Client{}, errBearer(errors.New("not the registration access token of this client"))
	}
	return c, nil
}

// updateClient is RFC 7592 section 2.2: what is sent replaces everything.
func (p *Provider) updateClient(r *http.Request, id string) (map[string]any, error) {
	ctx := r.Context()
	before, err := p.managed(r, id)
	if err != nil {
		return nil, err
	}
	in, err := readMetadata(r)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"} {
		if _, sent := in[name]; sent {
			return nil, badMetadata("%s is not yours to change (RFC 7592 section 2.2).", name)
		}
	}
	if in["client_id"] != id {
		return nil, badMetadata("client_id is not that of this client.")
	}
	if sent, ok := in["client_secret"]; ok && !p.isSecret(before, sent) {
		return nil, badMetadata("client_secret is not that of this client: secrets are chosen here.")
	}
	next := store.Client{ID: before.ID}
	if err := p.applyRegistration(ctx, &next, before, in); err != nil {
		return nil, err
	}
	if subjectsMove(before, next) {
		return nil, badMetadata("%s: %s.", settingSubjectType, subjectsStay)
	}
	now := p.now()
	var after store.Client
	err = p.store.Do(ctx, func(ctx context.Context) error {
		var err error
		after, err = p.store.UpdateClient(ctx, id, func(c *store.Client) error {
			replaceMetadata(c, next)
			p.giveSecret(c, now)
			c.UpdatedAt = now
			return nil
		})
		if err != nil {
			return err
		}
		if _, err := p.store.UpdateApplication(ctx, after.ApplicationID, func(a *store.Application) error {
			a.Name, a.LogoURL, a.UpdatedAt = after.Name, text1(after.Settings["logo_uri"]), now
			return nil
		}); err != nil {
			return err
		}
		return p.recordClient(ctx, audit.ClientUpdated, after, nil)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, errBearer(err)
	}
	if err != nil {
		return nil, fmt.Errorf("update client: %w", err)
	}
	return p.registered(after, "", true), nil
}

// applyRegistration is applyMetadata with what a software statement says.
func (p *Provider) applyRegistration(ctx context.Context, c *store.Client, before store.Client, in map[string]any) error {
	if err := p.applyStatement(ctx, before, in); err != nil {
		return err
	}
	if err := p.applyMetadata(ctx, c, in); err != nil {
		return err
	}
	if statement, sent := in[settingStatement]; sent {
		c.Settings[settingStatement] = statement
	}
	return nil
}

// replaceMetadata keeps what the client did not register: who it is, its
// secrets, and the token that manages it.
func replaceMetadata(c *store.Client, next store.Client) {
	kept := map[string]any{}
	for _, name := range []string{settingManage, store.SettingTokensEnded} {
		if v, ok := c.Settings[name]; ok {
			kept[name] = v
		}
	}
	c.Name, c.RedirectURIs, c.PostLogoutRedirectURIs = next.Name, next.RedirectURIs, next.PostLogoutRedirectURIs
	c.GrantTypes, c.ResponseTypes, c.Scopes = next.GrantTypes, next.ResponseTypes, next.Scopes
	c.TokenEndpointAuthMethod, c.ApplicationType = next.TokenEndpointAuthMethod, next.ApplicationType
	c.IDTokenSignedResponseAlg = next.IDTokenSignedResponseAlg
	c.Settings = maps.Clone(next.Settings)
	maps.Copy(c.Settings, kept)
}

// deleteClient is RFC 7592 section 2.3. Its application goes with it.
func (p *Provider) deleteClient(r *http.Request, id string) error {
	c, err := p.managed(r, id)
	if err != nil {
		return err
	}
	err = p.store.Do(r.Context(), func(ctx context.Context) error {
		if err := p.store.DeleteClient(ctx, id); err != nil {
			return err
		}
		if c.ApplicationID == "client-"+id {
			if err := p.store.DeleteApplication(ctx, c.ApplicationID); err != nil {
				return err
			}
		}
		return p.recordClient(ctx, audit.ClientDeleted, c, nil)
	})
	if errors.Is(err, store.ErrNotFound) {
		return errBearer(err)
	}
	if err != nil {
		return fmt.Errorf("delete client: %w", err)
	}
	return nil
}

// giveSecret makes the secret of a client that needs one and has none. It can
// be made again from what is stored, so it is shown again (RFC 7592 section 3).
func (p *Provider) giveSecret(c *store.Client, now time.Time) string {
	if !strings.HasPrefix(c.TokenEndpointAuthMethod, "client_secret_") {
		c.Secrets = nil
		return ""
	}
	if len(c.Secrets) > 0 {
		return ""
	}
	secret := p.seal.ClientSecret(c.ID, now)
	c.Secrets = []store.ClientSecret{{Hash: p.seal.Digest(seal.ClientSecret, secret), CreatedAt: now}}
	return secret
}

// secretOf returns the newest secret that was made by giveSecret.
func (p *Provider) secretOf(c store.Client) string {
	for i := len(c.Secrets) - 1; i >= 0; i-- {
		secret := p.seal.ClientSecret(c.ID, c.Secrets[i].CreatedAt)
		if p.seal.Digest(seal.ClientSecret, secret) == c.Secrets[i].Hash {
			return secret
		}
	}
	return ""
}

func (p *Provider) isSecret(c store.Client, sent any) bool {
	s, _ := sent.(string)
	for _, one := range c.Secrets {
		if hmac.Equal([]byte(one.Hash), []byte(p.seal.Digest(seal.ClientSecret, s))) {
			return true
		}
	}
	return false
}

// readMetadata reads the JSON object of a registration.
func readMetadata(r *http.Request) (map[string]any, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, refuse("invalid_request", "Send the client metadata as application/json.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, web.MaxForm))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, refuse("invalid_request", "The request has more than %d bytes.", tooLarge.Limit).
			withStatus(http.StatusRequestEntityTooLarge)
	}
	var in map[string]any
	if err != nil || json.Unmarshal(body, &in) != nil || in == nil {
		return nil, refuse("invalid_request", "The body is not one JSON object.").because(err)
	}
	maps.DeleteFunc(in, func(_ string, v any) bool { return v == nil || v == "" }) // RFC 7592 section 2.2: as if left out
	return in, nil
}

func badMetadata(format string, args ...any) *refusal {
	return refuse("invalid_client_metadata", format, args...)
}

func text1(v any) string { s, _ := v.(string); return s }

func (p *Provider) recordClient(ctx context.Context, event string, c store.Client, details map[string]string) error {
	return audit.Record(ctx, p.store, store.AuditEvent{
		At: p.now(), Type: event, Actor: "client:" + c.ID, ApplicationID: c.ApplicationID, ClientID: c.ID,
		Address: web.Address(ctx), Details: details,
	})
}
