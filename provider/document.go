package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"anteroom/flow"
	"anteroom/internal/fetch"
	"anteroom/store"
)

// Documents say which clients are known by what they publish: a client_id that is
// an https URL, with the client's metadata behind it (client-id metadata
// documents, draft-ietf-oauth-client-id-metadata-document). The zero value: none.
//
// Nothing of such a client is stored: the document, as it is now, is the
// registration (docs/adr).
type Documents struct {
	// Application is what these clients belong to: who may enter, terms, roles. It
	// must ask for consent, or no such client is known.
	Application string
	// Hosts are who may publish documents; Any: everybody.
	Hosts []string
	Any   bool
	// Scopes and Audiences are what these clients may ask for.
	Scopes    []string
	Audiences []string
	// Fetch reads documents. It is not the fetcher of registered clients: strangers
	// name addresses here. nil: one that reaches the public internet only.
	Fetch *fetch.Fetcher
}

// On tells whether there are such clients.
func (d Documents) On() bool { return d.Application != "" && (d.Any || len(d.Hosts) > 0) }

// How long a document is used again: as its server says, within these bounds. And
// how long the last one stands in when its server does not answer.
const (
	documentLeast = time.Minute
	documentMost  = time.Hour
	documentStale = time.Hour
	maxDocument   = 8 << 10 // bytes
	maxRemembered = 256     // documents
)

// documentMetadata is what a document may say. What would have us connect to more
// addresses, show more of a stranger, or lead our links somewhere is not here. How
// its answers are signed and encrypted (answerMetadata) counts, too: who wants them
// encrypted gets none in the clear.
var documentMetadata = []string{
	"client_name", "client_uri", "redirect_uris", "post_logout_redirect_uris", "grant_types", "response_types", "scope",
	"application_type", "token_endpoint_auth_method", "token_endpoint_auth_signing_alg", "jwks", "jwks_uri",
	"id_token_signed_response_alg", "contacts", "software_id", "software_version",
}

// documentFetcher is the default of Documents.Fetch.
func documentFetcher(now func() time.Time) *fetch.Fetcher {
	return fetch.New(fetch.Options{Now: now, MaxBytes: maxDocument, Parallel: 4})
}

// CheckDocumentURL says what is wrong with a URL as a client_id, nil if nothing is
// (section 3 of the draft). There is one way to write it.
func CheckDocumentURL(id string) error {
	u, err := url.Parse(id)
	switch {
	case err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "" || u.User != nil:
		return errors.New("not an https URL without a user name")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(id, "#"):
		return errors.New("a URL with a query or a fragment")
	case u.Path == "" || u.Path == "/":
		return errors.New("a URL without a path")
	case u.String() != id || strings.ToLower(u.Host) != u.Host || unreadable(id) || strings.ContainsAny(id, " \\\"<>%"):
		return errors.New("not written plainly")
	}
	for _, segment := range strings.Split(u.Path, "/") {
		if segment == "." || segment == ".." {
			return errors.New("a URL with dot segments")
		}
	}
	return nil
}

// published returns the client whose document is at id; store.ErrNotFound if there
// is none that we take.
func (p *Provider) published(ctx context.Context, id string) (store.Client, error) {
	c, err := p.readDocument(ctx, id)
	if wrong, ok := errors.AsType[*refusal](err); ok {
		p.log.InfoContext(ctx, "client-id metadata document refused", slog.String("client", id), slog.String("reason", wrong.Description), slog.Any("cause", wrong.cause))
		return store.Client{}, fmt.Errorf("document of client %q: %w", id, store.ErrNotFound)
	}
	return c, err
}

func (p *Provider) readDocument(ctx context.Context, id string) (store.Client, error) {
	d := p.documents
	if err := CheckDocumentURL(id); err != nil {
		return store.Client{}, badMetadata("The client_id is %s.", err)
	}
	if host := hostOf(id); !d.Any && !contains(d.Hosts, host) {
		return store.Client{}, badMetadata("Nobody let %s publish clients.", host)
	}
	app, err := p.store.Application(ctx, d.Application)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.Client{}, fmt.Errorf("load application %q: %w", d.Application, err)
	}
	if err != nil || app.Consent == store.ConsentSkip {
		return store.Client{}, badMetadata("The application of published clients is not there, or asks no consent.")
	}
	body, missing := d.Fetch.AsLongAsItSays(ctx, id, documentLeast, documentMost)
	if missing != nil {
		last, ok := p.lastDocuments.last(id, p.now())
		// A server that says no means it; one that says nothing may be back soon.
		if !ok || errors.Is(missing, fetch.ErrStatus) || errors.Is(missing, fetch.ErrTooLarge) {
			return store.Client{}, badMetadata("The document could not be fetched.").because(missing)
		}
		body = last
	}
	c, err := p.parseDocument(ctx, id, body)
	if err == nil && missing == nil {
		p.lastDocuments.keep(id, body, p.now())
	}
	return c, err
}

// parseDocument is section 4 of the draft.
func (p *Provider) parseDocument(ctx context.Context, id string, body []byte) (store.Client, error) {
	c := store.Client{ID: id, ApplicationID: p.documents.Application, Audiences: p.documents.Audiences}
	var says map[string]any
	if len(body) > maxDocument {
		return c, badMetadata("The document has more than %d bytes.", maxDocument)
	}
	if err := json.Unmarshal(body, &says); err != nil || says == nil {
		return c, badMetadata("The document is not one JSON object.").because(err)
	}
	if says["client_id"] != id {
		return c, badMetadata("The client_id of the document is not its address.")
	}
	if says["client_secret"] != nil || says["client_secret_expires_at"] != nil {
		return c, badMetadata("The document has a secret, which everybody can read.")
	}
	in := documentSays(says)
	if m := in["token_endpoint_auth_method"]; m != "none" && m != "private_key_jwt" {
		return c, badMetadata("token_endpoint_auth_method is none or private_key_jwt.")
	}
	asked := text1(in["scope"])
	delete(in, "scope")
	if err := p.applyMetadata(ctx, &c, in); err != nil {
		return c, err
	}
	c.Scopes = slices.DeleteFunc(slices.Clone(p.documents.Scopes), func(s string) bool {
		return (asked != "" && !contains(words(asked), s)) || (s == "offline_access" && !contains(c.GrantTypes, "refresh_token"))
	})
	c.Settings[flow.SettingDocumentHost] = hostOf(id)
	if c.Name == id {
		c.Name = "" // it has none
	}
	return c, nil
}

// documentSays returns what counts of a document, with its defaults. It is written
// for many servers: what we do not have is no mistake.
func documentSays(says map[string]any) map[string]any {
	in := map[string]any{"token_endpoint_auth_method": "none"}
	names := slices.Clone(documentMetadata)
	for _, f := range answerMetadata() {
		names = append(names, f.name)
	}
	for _, name := range names {
		if v := says[name]; v != nil && v != "" {
			in[name] = v
		}
	}
	for name, have := range map[string][]string{"grant_types": registrableGrants, "response_types": {"code"}} {
		if list, ok := stringList(in[name]); ok {
			var kept []any
			for _, v := range list {
				if contains(have, v) {
					kept = append(kept, v)
				}
			}
			in[name] = kept
		}
	}
	uris, _ := stringList(in["redirect_uris"])
	listens := slices.ContainsFunc(uris, func(uri string) bool { _, _, ok := splitLoopback(uri); return ok })
	if _, said := in["application_type"]; !said && listens {
		in["application_type"] = "native" // it returns to the machine of its user
	}
	return in
}

// remembered are the last good documents.
type remembered struct {
	mu    sync.Mutex
	byID  map[string]knownDocument
	order []string // oldest first
}

type knownDocument struct {
	body []byte
	at   time.Time
}

func (m *remembered) keep(id string, body []byte, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byID == nil {
		m.byID = map[string]knownDocument{}
	}
	if _, known := m.byID[id]; !known {
		for len(m.order) >= maxRemembered {
			delete(m.byID, m.order[0])
			m.order = slices.Clone(m.order[1:])
		}
		m.order = append(m.order, id)
	}
	m.byID[id] = knownDocument{body, now}
}

func (m *remembered) last(id string, now time.Time) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.byID[id]
	return d.body, ok && now.Sub(d.at) < documentStale
}
