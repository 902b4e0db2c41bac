package main

import (
	"errors"
	"log/slog"

	"github.com/spf13/cobra"

	"anteroom/store/postgres"
)

func (a *app) restoredCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "restored",
		Short: "Say that a PostgreSQL database was restored from a backup",
		Long: `Restored is run once after a PostgreSQL database was restored from a backup, before any node is
started. What was used since the backup is unknown, so it ends all sessions, tokens, codes and links,
and no six-digit code of before is accepted again. People sign in anew; accounts, enrolments, consents
and terms stay.

A database file knows that it is a backup, and does this by itself.`,
		Example: "  anteroom restored",
		Args:    wants(),
	}
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		cfg, err := a.load()
		if err != nil {
			return err
		}
		dsn := cfg.PostgresDSN()
		if dsn == "" {
			return errors.New("the store is a file, which knows by itself that it is a backup; nothing is to be done")
		}
		log := slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
		s, err := postgres.Open(c.Context(), dsn, postgres.Options{Log: log})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		if err := s.Restored(c.Context()); err != nil {
			return err
		}
		return a.say(map[string]bool{"restored": true}, "All sessions, tokens, codes and links were ended. Start the nodes.")
	}
	return c
}
