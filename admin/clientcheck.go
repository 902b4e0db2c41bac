package admin

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"anteroom/store"
)

// ClientCheck says what a client still lacks for what it is registered as, and
// which doors it opens.
type ClientCheck struct {
	ID          string   `json:"client_id"`
	Application string   `json:"application"`
	Profile     string   `json:"profile,omitempty"`
	Lacks       []string `json:"lacks"`
	Doors       []string `json:"doors"` // what the default forbids and this client may
}

// checkClients lists all clients of a page, the good ones included.
func (a *API) checkClients(c call) (List[ClientCheck], error) {
	p, err := page(c)
	if err != nil {
		return List[ClientCheck]{}, err
	}
	rows, next, err := a.Store.Clients(c.ctx, "", p)
	if err != nil {
		return List[ClientCheck]{}, err
	}
	out := list(rows, next, a.viewCheck)
	for i, row := range rows {
		if err := a.checkDetails(c.ctx, row, &out.Items[i]); err != nil {
			return List[ClientCheck]{}, err
		}
	}
	return out, nil
}

// checkDetails: types of authorization details that the client may ask for and
// nobody describes, and those that nobody is asked for.
func (a *API) checkDetails(ctx context.Context, c store.Client, out *ClientCheck) error {
	names, _ := c.Settings[detailTypesKey].([]any)
	if len(names) == 0 {
		return nil
	}
	app, err := a.Store.Application(ctx, c.ApplicationID)
	if err != nil {
		return fmt.Errorf("load application %q: %w", c.ApplicationID, err)
	}
	for _, name := range names {
		i := slices.IndexFunc(app.DetailTypes, func(t store.DetailType) bool { return t.Type == name })
		switch {
		case i < 0:
			out.Lacks = append(out.Lacks, fmt.Sprintf("%s: the application does not describe %v", detailTypesKey, name))
		case app.DetailTypes[i].Consent == store.ConsentSkip:
			out.Doors = append(out.Doors, fmt.Sprintf("%s: %v is granted without asking anybody", detailTypesKey, name))
		}
	}
	return nil
}

func (a *API) viewCheck(c store.Client) ClientCheck {
	profile, _ := c.Settings["profile"].(string)
	out := ClientCheck{ID: c.ID, Application: c.ApplicationID, Profile: profile, Lacks: []string{}, Doors: openDoors(c)}
	if a.CheckClient == nil {
		return out
	}
	wrong := a.CheckClient(c)
	for _, field := range slices.Sorted(maps.Keys(wrong)) {
		out.Lacks = append(out.Lacks, fmt.Sprintf("%s: %s", field, wrong[field]))
	}
	return out
}

// openDoors are what an operator, or the client itself, opened for one client.
func openDoors(c store.Client) []string {
	doors := []string{}
	open := func(is bool, what string) {
		if is {
			doors = append(doors, what)
		}
	}
	exchange, _ := c.Settings["token_exchange"].(map[string]any)
	open(c.PKCEOptional, "pkce_optional: its codes need no PKCE")
	open(slices.Contains(c.GrantTypes, "implicit"), "grant_types: tokens in the address that the browser returns to")
	open(c.Settings["request_object_signing_alg"] == "none", "request_object_signing_alg: requests by nobody")
	open(c.Settings["token_exchange"] != nil, "token_exchange: it exchanges tokens of others")
	open(exchange["impersonation"] == true, "token_exchange: the new tokens do not say who acts")
	open(c.Settings["jwt_bearer_issuers"] != nil, "jwt_bearer_issuers: others speak for every account, without its second factor")
	return doors
}
