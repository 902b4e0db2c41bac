package admin

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"anteroom/store"
)

// settingSector is where the provider keeps whom pairwise subjects are made for.
const settingSector = "sector_identifier"

// subjectMetadata decides about it, besides redirect_uris.
var subjectMetadata = []string{"subject_type", "sector_identifier_uri"}

// settleSubject has the provider decide whom a client's subjects are made for. It
// may fetch, so no unit of work is open.
func (a *API) settleSubject(ctx context.Context, before, c *store.Client, found *mistakes) {
	if a.SettleSubject == nil {
		return
	}
	if c.Settings = maps.Clone(c.Settings); c.Settings == nil {
		c.Settings = map[string]any{}
	}
	wrong := a.SettleSubject(ctx, before, c)
	for _, field := range slices.Sorted(maps.Keys(wrong)) {
		found.add("metadata."+field, "%s", wrong[field])
	}
}

// settledSubject does that for a change, and returns what keeps the outcome in
// the row, unless the row is another one by then.
func (a *API) settledSubject(ctx context.Context, id string, in ChangeClient) (func(*store.Client) error, error) {
	asked := in.RedirectURIs != nil
	for _, name := range subjectMetadata {
		if in.Metadata != nil {
			_, sent := (*in.Metadata)[name]
			asked = asked || sent
		}
	}
	if !asked {
		return func(*store.Client) error { return nil }, nil
	}
	before, err := a.Store.Client(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("load client: %w", err)
	}
	after := before
	in.apply(&after)
	var found mistakes
	a.settleSubject(ctx, &before, &after, &found)
	if err := found.problem(); err != nil {
		return nil, err
	}
	return func(now *store.Client) error {
		if !now.UpdatedAt.Equal(before.UpdatedAt) {
			return problem(http.StatusConflict, "conflict", "The client was changed at the same time. Look at it, and try again.")
		}
		now.Settings = maps.Clone(now.Settings)
		if now.Settings == nil {
			now.Settings = map[string]any{}
		}
		delete(now.Settings, settingSector)
		if sector, ok := after.Settings[settingSector]; ok {
			now.Settings[settingSector] = sector
		}
		return nil
	}, nil
}
