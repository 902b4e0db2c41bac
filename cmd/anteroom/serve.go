package main

import (
	"errors"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"anteroom/server"
)

func (a *app) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the service until it is told to stop",
		Long: `Serve runs the service. It stops at SIGTERM or SIGINT, when the requests in flight are done.

The configuration is checked first, and all mistakes are reported at once. One process has
a database file at a time; a second one stops within seconds and says who holds it. Any number
of nodes share a PostgreSQL database and one master key, each with a data folder of its own. The
first start makes the data folder, the master key and the signing keys.`,
		Example: "  anteroom serve --config /etc/anteroom/anteroom.yaml",
		Args:    wants(),
		RunE: func(c *cobra.Command, _ []string) (err error) {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			if a.getenv("GOGC") == "" {
				defer runtime.KeepAlive(collectLess())
			}
			log := a.logger(cfg.Log)
			for _, note := range cfg.Notes() {
				log.Warn(note)
			}
			rooms, err := server.Assemble(cfg, openStore(c.Context(), log), log, nil)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, rooms.Close()) }()
			return server.New(cfg, rooms, log).Run(c.Context())
		},
	}
}

// collectLess lets garbage grow to twice what is in use and a ballast before it is
// collected, as long as the ballast is kept: memory that nobody touches, so that it
// takes none of the machine's, but which the collector counts. A password hash takes
// 19 MiB for 25 ms, and to collect at every third one instead of every one is 7 % of a
// sign-in. What is in use without any hash is so little that a busy token endpoint
// would collect many times a second.
func collectLess() (ballast []byte) {
	debug.SetGCPercent(200)
	return make([]byte, 24<<20)
}
