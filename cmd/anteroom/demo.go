package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"anteroom/internal/demo"
)

func (a *app) demoCommand() *cobra.Command {
	var verbose bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Try everything on this machine: the service, two portals, a mailbox",
		Long:  demoHelp(),
		Example: `  anteroom demo
  ` + demo.VarPort + `=9080 ` + demo.VarAnalytics + `=9081 ` + demo.VarPCC + `=9082 anteroom demo`,
		Args: wants(),
		RunE: func(c *cobra.Command, _ []string) error {
			options, err := demo.FromEnv(a.getenv)
			if err != nil {
				return err
			}
			level := slog.LevelWarn
			if verbose {
				level = slog.LevelDebug
			}
			log := slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))
			return demo.Run(c.Context(), options, os.Args[0], a.stdout, log)
		},
	}
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "log every request and every mail")
	return c
}

func demoHelp() string {
	var b strings.Builder
	b.WriteString(`Demo runs the service together with two portals, Partner Analytics and the Control Center
(PCC), which are written with other people's libraries, and with a mail server that keeps what
it gets and shows it on a page. A few people are there already. The terminal shows a tour.

It speaks plain HTTP, prints passwords and shows every mail: it is for looking, not for running.
Nothing of it is reachable under "anteroom serve".

These environment variables move it:

`)
	for _, v := range demo.Variables() {
		fmt.Fprintf(&b, "  %-29s %s (default: %s)\n", v.Name, v.Meaning, v.Default)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
