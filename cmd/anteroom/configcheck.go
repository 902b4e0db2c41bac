package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/spf13/cobra"

	"anteroom/admin"
	"anteroom/config"
)

// checked is what config check says.
type checked struct {
	Valid   bool                `json:"valid"`
	File    string              `json:"file"`
	Notes   []string            `json:"notes"`
	Doors   []config.Door       `json:"doors"`   // what the default forbids
	Clients []admin.ClientCheck `json:"clients"` // those with something to say; absent: not looked at
}

func (a *app) configCommand() *cobra.Command {
	var clients bool
	check := &cobra.Command{
		Use:   "check",
		Short: "Report every mistake in the configuration at once, with its fix, and what is open",
		Long: `Check reads the configuration file and the environment as serve does, and reports every
mistake at once, each with its line and its fix, and every door that it opens. It changes
nothing and needs no service. If one runs, or with --clients, it also says what each client
lacks for what it is registered as (profile=fapi2, say), and which doors are open for it. If a
client lacks something, the exit status is 1.`,
		Example: `  anteroom config check --config /etc/anteroom/anteroom.yaml
  anteroom config check --clients`,
		Args: wants(),
	}
	check.Flags().BoolVar(&clients, "clients", false, "look at the clients even if no service runs: the store is opened, as by other commands")
	check.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := a.load()
		if err != nil {
			return err
		}
		answer := checked{Valid: true, File: a.path(), Notes: append([]string{}, cfg.Notes()...), Doors: cfg.Doors()}
		if answer.Clients, err = a.checkClients(c.Context(), cfg, clients); err != nil {
			return err
		}
		if err := a.show(answer, func(t *table) { printChecked(t, answer) }); err != nil {
			return err
		}
		for _, one := range answer.Clients {
			if len(one.Lacks) > 0 {
				return errReported
			}
		}
		return nil
	}
	return group("config", "Check the configuration", "", check)
}

// checkClients asks the running service, or, if that is wanted, the store, and
// returns clients that have something to say; nil if nobody was asked.
func (a *app) checkClients(ctx context.Context, cfg config.Config, wanted bool) (found []admin.ClientCheck, err error) {
	service, err := overSocket(ctx, cfg)
	if err != nil && !wanted {
		return nil, nil // no service runs: the configuration alone
	}
	if errors.Is(err, admin.ErrNoSocket) {
		service, err = inProcess(ctx, cfg, a.stderr)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, service.close()) }()
	all, err := all[admin.ClientCheck](ctx, service, "/client-checks", nil)
	found = []admin.ClientCheck{}
	for _, one := range all.Items {
		if one.Profile != "" || len(one.Lacks) > 0 || len(one.Doors) > 0 {
			found = append(found, one)
		}
	}
	return found, err
}

func printChecked(t *table, answer checked) {
	t.line("The configuration (%s) is valid.", cmp.Or(answer.File, "from the environment"))
	for _, note := range answer.Notes {
		t.line("Note: %s", note)
	}
	for _, door := range answer.Doors {
		t.line("Open: %s: %s", door.Key, door.What)
	}
	for _, one := range answer.Clients {
		if one.Profile != "" && len(one.Lacks) == 0 {
			t.line("Client %s has all that %s asks.", one.ID, one.Profile)
		}
		for _, lack := range one.Lacks {
			t.line("Client %s lacks: %s", one.ID, lack)
		}
		for _, door := range one.Doors {
			t.line("Open for client %s: %s", one.ID, door)
		}
	}
}
