package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"anteroom/config"
	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/store/postgres"
)

func (a *app) migrateCommand() *cobra.Command {
	var from, to string
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Move everything from the file to PostgreSQL, or back",
		Long: `Migrate copies everything from one store to another, empty one: as of one moment, compared in the
end by number and digest of each kind of row. Nothing in the source changes. Stop all nodes first:
what is written to the source meanwhile stays behind.

Interrupted, the same command goes on where it was, as long as the source has not changed. A target
that is not finished is refused by serve.

A store is written as in the configuration; @FILE reads it from a file, so that no password is on the
command line. The master key does not change: the nodes of the new store need the same one.`,
		Example: `  anteroom migrate --from bolt:/var/lib/anteroom/anteroom.db --to @/run/secrets/anteroom-store
  anteroom migrate --from @/run/secrets/anteroom-store --to bolt:/var/lib/anteroom/anteroom.db`,
		Args: wants(),
	}
	c.Flags().StringVar(&from, "from", "", "the store to read: bolt:FILE, postgres://..., or @FILE that says so")
	c.Flags().StringVar(&to, "to", "", "the store to write, empty")
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		if from == "" || to == "" {
			return errors.New("say what to move: --from and --to, each bolt:FILE, postgres://... or @FILE")
		}
		source, err := a.openMover(c.Context(), from, true)
		if err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		defer func() { err = errors.Join(err, source.Close()) }()
		target, err := a.openMover(c.Context(), to, false)
		if err != nil {
			return fmt.Errorf("--to: %w", err)
		}
		defer func() { err = errors.Join(err, target.Close()) }()
		sums, err := store.Move(c.Context(), source, target, a.progress())
		switch {
		case errors.Is(err, store.ErrNotEmpty):
			return fmt.Errorf("%w; nothing was written", err)
		case err != nil:
			return fmt.Errorf("%w; the source is as it was, and the same command goes on where this one stopped", err)
		}
		return a.showSums(sums)
	}
	return c
}

// mover is a store that this command opened.
type mover interface {
	store.Store
	store.Mover
}

// openMover opens a store of the command line. A source must be there and up to
// date: reading changes nothing.
func (a *app) openMover(ctx context.Context, place string, source bool) (mover, error) {
	place, err := placeOf(place)
	if err != nil {
		return nil, err
	}
	cfg := config.Default()
	cfg.Issuer, cfg.Store = "http://localhost", config.Secret(place)
	if mistakes, ok := config.AsMistakes(cfg.Validate()); ok {
		return nil, mistakes
	}
	log := slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if dsn := cfg.PostgresDSN(); dsn != "" {
		s, err := postgres.Open(ctx, dsn, postgres.Options{Log: log, NoMigrate: source})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	if _, err := os.Stat(cfg.BoltPath()); source && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no database %s", cfg.BoltPath())
	}
	s, err := bolt.Open(cfg.BoltPath(), bolt.Options{Log: log})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// placeOf is a store as it was written, or what the file says that was named.
func placeOf(written string) (string, error) {
	path, ok := strings.CutPrefix(written, "@")
	if !ok {
		return written, nil
	}
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}

// progress writes a line to standard error, at most one a second.
func (a *app) progress() store.Progress {
	last := time.Now()
	return func(step string, noun store.Noun, done, of int64) {
		if time.Since(last) < time.Second {
			return
		}
		last = time.Now()
		if of > 0 {
			fmt.Fprintf(a.stderr, "%s %s: %d of %d\n", step, noun, done, of)
		} else {
			fmt.Fprintf(a.stderr, "%s %s: %d\n", step, noun, done)
		}
	}
}

func (a *app) showSums(sums map[store.Noun]store.Sum) error {
	return a.show(sums, func(t *table) {
		t.row("WHAT", "ROWS", "DIGEST")
		for _, noun := range store.Nouns {
			t.row(string(noun), sums[noun].Rows, sums[noun].Digest[:16])
		}
		t.line("Both stores hold the same. Name the new one in the configuration (store), keep the master key, and start.")
	})
}
