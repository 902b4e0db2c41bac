package main

import (
	"cmp"

	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	check := &cobra.Command{
		Use:   "check",
		Short: "Report every mistake in the configuration at once, with its fix",
		Long: `Check reads the configuration file and the environment as serve does, and reports every
mistake at once, each with its line and its fix. It changes nothing and needs no service.`,
		Example: "  anteroom config check --config /etc/anteroom/anteroom.yaml",
		Args:    wants(),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			answer := struct {
				Valid bool     `json:"valid"`
				File  string   `json:"file"`
				Notes []string `json:"notes"`
			}{true, a.path(), append([]string{}, cfg.Notes()...)}
			return a.show(answer, func(t *table) {
				t.line("The configuration (%s) is valid.", cmp.Or(answer.File, "from the environment"))
				for _, note := range answer.Notes {
					t.line("Note: %s", note)
				}
			})
		},
	}
	return group("config", "Check the configuration", "", check)
}
