package admin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"anteroom/internal/audit"
	"anteroom/store"
	"anteroom/templates"
)

// Terms is one published version of the terms & conditions.
type Terms struct {
	Application string    `json:"application"`
	Version     int       `json:"version"`
	Title       string    `json:"title"`
	Markdown    string    `json:"markdown,omitempty"` // not in listings
	Hash        string    `json:"hash"`               // hex SHA-256 of Markdown
	PublishedAt time.Time `json:"published_at"`
	Withdrawn   bool      `json:"withdrawn"` // from this version on nothing is asked
}

// PublishTerms is a new text. Everybody is asked again before the next sign-in.
type PublishTerms struct {
	Title    string `json:"title,omitempty"` // "": Terms & Conditions
	Markdown string `json:"markdown,omitempty"`
}

// maxTerms bounds a text in bytes: what is published must be possible to show.
const maxTerms = templates.MaxMarkdown

func viewTerms(t store.TermsVersion) Terms {
	return Terms{t.ApplicationID, t.Version, t.Title, t.Markdown, t.Hash, t.PublishedAt, t.Withdrawn}
}

func (a *API) listTerms(c call) (List[Terms], error) {
	app, err := a.application(c)
	if err != nil {
		return List[Terms]{}, err
	}
	rows, err := a.Store.TermsVersions(c.ctx, app.ID)
	return list(rows, "", func(t store.TermsVersion) Terms {
		t.Markdown = ""
		return viewTerms(t)
	}), err
}

func (a *API) showTerms(c call) (Terms, error) {
	app, err := a.application(c)
	if err != nil {
		return Terms{}, err
	}
	rows, err := a.Store.TermsVersions(c.ctx, app.ID)
	if err != nil {
		return Terms{}, err
	}
	for _, t := range rows {
		if strconv.Itoa(t.Version) == c.PathValue("version") {
			return viewTerms(t), nil
		}
	}
	return Terms{}, notFound(store.ErrNotFound, "version of the terms", c.PathValue("version"))
}

func (a *API) publishTerms(c call, in PublishTerms) (Terms, error) {
	var found mistakes
	in.Title = cmp.Or(in.Title, "Terms & Conditions")
	found.line("title", in.Title, 1, 200)
	in.Markdown = strings.ReplaceAll(in.Markdown, "\r\n", "\n")
	switch {
	case strings.TrimSpace(in.Markdown) == "":
		found.add("markdown", "is missing; to ask for no terms any more, withdraw them")
	case len(in.Markdown) > maxTerms:
		found.add("markdown", "is longer than %d KiB", maxTerms>>10)
	}
	if err := found.problem(); err != nil {
		return Terms{}, err
	}
	sum := sha256.Sum256([]byte(in.Markdown))
	return a.newTerms(c, store.TermsVersion{Title: in.Title, Markdown: in.Markdown, Hash: hex.EncodeToString(sum[:])})
}

func (a *API) withdrawTerms(c call) (Terms, error) {
	app, err := a.application(c)
	if err != nil {
		return Terms{}, err
	}
	current, err := a.Store.CurrentTerms(c.ctx, app.ID)
	if errors.Is(err, store.ErrNotFound) {
		return Terms{}, refused("The application asks for no terms.")
	}
	if err != nil {
		return Terms{}, fmt.Errorf("load terms: %w", err)
	}
	sum := sha256.Sum256(nil)
	return a.newTerms(c, store.TermsVersion{Title: current.Title, Hash: hex.EncodeToString(sum[:]), Withdrawn: true})
}

func (a *API) newTerms(c call, t store.TermsVersion) (Terms, error) {
	app, err := a.application(c)
	if err != nil {
		return Terms{}, err
	}
	t.ApplicationID, t.PublishedAt = app.ID, a.Now()
	err = a.Store.Do(c.ctx, func(ctx context.Context) error {
		row, err := a.Store.PublishTerms(ctx, t)
		if err != nil {
			return fmt.Errorf("publish terms: %w", err)
		}
		details := map[string]string{"version": strconv.Itoa(row.Version), "hash": row.Hash}
		if row.Withdrawn {
			details["withdrawn"] = "true"
		}
		t.Version = row.Version
		return a.record(ctx, c, store.AuditEvent{Type: audit.TermsPublished, ApplicationID: app.ID, Details: details})
	})
	if err != nil {
		return Terms{}, err
	}
	t.Markdown = ""
	return viewTerms(t), nil
}
