package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"anteroom/flow"
	"anteroom/internal/rar"
	"anteroom/store"
)

// Rich authorization requests (RFC 9396): what a client may do, said by objects of
// types that the operator describes with the application, and allows each client
// by its metadata (section 10). Without both there are none.
const (
	paramDetails       = "authorization_details"
	settingDetailTypes = "authorization_details_types"
)

func badDetails(cause error) *refusal {
	text := []rune(cause.Error())
	return refuse("invalid_authorization_details", "The parameter authorization_details %s.", string(text[:min(len(text), 200)])).because(cause)
}

// detailTypes are the types that a client may ask for: allowed to it, and still
// described.
func detailTypes(c store.Client, app store.Application) []string {
	allowed, _ := stringList(c.Settings[settingDetailTypes])
	return slices.DeleteFunc(allowed, func(name string) bool {
		return !slices.ContainsFunc(app.DetailTypes, func(t store.DetailType) bool { return t.Type == name })
	})
}

// askDetails reads what a client asks for (RFC 9396 section 5); nothing sent is
// nothing asked.
func askDetails(raw string, c store.Client, app store.Application) (rar.Details, error) {
	if raw == "" {
		return nil, nil
	}
	d, err := rar.Parse(raw)
	if err == nil {
		err = d.Check(app.DetailTypes, detailTypes(c, app), c.Audiences)
	}
	if err != nil {
		return nil, badDetails(err)
	}
	return d, nil
}

func (a *authorization) checkDetails() (err error) {
	a.details, err = askDetails(a.Get(paramDetails), a.client, a.app)
	a.ask.Details = len(a.details) > 0
	return err
}

// Details implements flow.Engine.
func (p *Provider) Details(ctx context.Context, in flow.Interaction) (rar.Details, error) {
	if in.Kind == flow.KindDevice {
		d, err := p.store.Device(ctx, in.Values().Get("device"), p.now())
		if err != nil && !over(err) {
			return nil, fmt.Errorf("load device request: %w", err)
		}
		return rar.Stored(d.Details), nil
	}
	original, err := keptParams(in.Params)
	if err == nil {
		original, err = p.pullAgain(ctx, original)
	}
	if err != nil {
		return nil, err
	}
	return rar.Stored(original.Get(paramDetails)), nil
}

// narrowDetails applies authorization_details of a token request (RFC 9396 section
// 6): some of what was granted, or all of it. As with scopes, what the client is
// not allowed any more is not granted any more.
func (x *exchange) narrowDetails(granted rar.Details) error {
	granted = granted.Of(detailTypes(x.client, x.app))
	asked := granted
	if raw := x.form.Get(paramDetails); raw != "" {
		var err error
		if asked, err = rar.Parse(raw); err == nil {
			err = asked.Within(granted)
		}
		if err != nil {
			return badDetails(err)
		}
		return x.forResources(asked)
	}
	x.details = granted.For(x.resources)
	return nil
}

// forResources sets what was asked for by name. A token for one resource server
// does not speak of what another one does (RFC 9396 section 9.1), so asking for
// both is a mistake.
func (x *exchange) forResources(asked rar.Details) error {
	x.details = asked.For(x.resources)
	if len(x.details) < len(asked) {
		return badDetails(errors.New("names locations that are not the resource of this request"))
	}
	return nil
}

// noDetails refuses authorization_details where nobody could be asked.
func (x *exchange) noDetails() error {
	if x.form.Get(paramDetails) != "" {
		return badDetails(fmt.Errorf("cannot be asked for with grant_type %s", x.form.Get("grant_type")))
	}
	return nil
}

// claim is how details stand in a token or an answer (RFC 9396 sections 7 and 9);
// nil if there are none.
func claim(d rar.Details) json.RawMessage {
	if len(d) == 0 {
		return nil
	}
	return json.RawMessage(d.String())
}

// asksForDetails tells whether a grant has details that a person consented to.
func asksForDetails(app store.Application, g store.Grant) bool {
	return rar.Stored(g.Details).Owed(app.DetailTypes, nil)
}

// described is discovery with the types of details that are described now: unlike
// everything else there, they change while the service runs.
type described struct {
	mu       sync.Mutex
	at       time.Time // looked then
	looking  bool      // somebody is
	types    []string
	document document
}

// How long a node may not know of a change, and how long one request waits to learn
// of it: others are answered meanwhile with what was true a moment ago, also when
// the store is away.
const (
	describedFor    = time.Second
	describedWithin = time.Second
)

// describe makes discovery for the first time.
func (p *Provider) describe(ctx context.Context) (err error) {
	d := &p.described
	if d.types, err = p.allDetailTypes(ctx); err != nil {
		return err
	}
	d.at = p.now()
	d.document, err = p.describing(d.types)
	return err
}

// describing is discovery with authorization_details_types_supported, if there are
// any (RFC 9396 section 10).
func (p *Provider) describing(types []string) (document, error) {
	m := p.features()
	if len(types) > 0 {
		m[settingDetailTypes+"_supported"] = types
	}
	return newDocument(m)
}

// look returns the document, and whether the caller is the one to look again.
func (d *described) look(now time.Time) (document, []string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fresh := now.Sub(d.at) < describedFor && !now.Before(d.at)
	if fresh || d.looking {
		return d.document, nil, false
	}
	d.looking = true
	return d.document, d.types, true
}

func (d *described) looked(now time.Time, types []string, made document) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.looking, d.at, d.types, d.document = false, now, types, made
}

// discoveryNow returns the discovery document.
func (p *Provider) discoveryNow(ctx context.Context) document {
	known, types, mine := p.described.look(p.now())
	if !mine {
		return known
	}
	defer func() { p.described.looked(p.now(), types, known) }()
	within, cancel := context.WithTimeout(ctx, describedWithin)
	defer cancel()
	found, err := p.allDetailTypes(within)
	if err != nil || slices.Equal(found, types) {
		return known
	}
	if made, err := p.describing(found); err == nil {
		known, types = made, found
	}
	return known
}

func (p *Provider) allDetailTypes(ctx context.Context) ([]string, error) {
	var out []string
	for page := (store.Page{Limit: 1000}); ; {
		rows, next, err := p.store.Applications(ctx, page)
		if err != nil {
			return nil, fmt.Errorf("list applications: %w", err)
		}
		for _, app := range rows {
			for _, t := range app.DetailTypes {
				out = append(out, t.Type)
			}
		}
		if next == "" {
			slices.Sort(out)
			return slices.Compact(out), nil
		}
		page.After = next
	}
}
