package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"anteroom/config"
)

// app is what the commands share.
type app struct {
	getenv func(string) string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	configPath string // of --config; "" if it was not given
	json       bool   // of --json
}

// errReported is a failure that was reported already.
var errReported = errors.New("reported")

// run is the program: it returns when the command is done or ctx ends. The error
// is a sentence for people, or errReported.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) error {
	a := &app{getenv: getenv, stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && a.json && !errors.Is(err, errReported) {
		a.reportJSON(err)
		return errReported
	}
	return err
}

func (a *app) root() *cobra.Command {
	root := group("anteroom", "An OpenID Provider for portals with partners", rootHelp)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.DisableAutoGenTag = true
	root.PersistentFlags().StringVar(&a.configPath, "config", "", "configuration file (default $ANTEROOM_CONFIG, else anteroom.yaml)")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON instead of a table")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; see: %s --help", err, c.CommandPath())
	})
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run the service:"},
		&cobra.Group{ID: "people", Title: "People and portals:"},
		&cobra.Group{ID: "operate", Title: "Operate:"},
	)
	add := func(id string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	add("run", a.initCommand(), a.configCommand(), a.serveCommand(), a.demoCommand(), a.versionCommand())
	add("people", a.orgCommand(), a.appCommand(), a.clientCommand(), a.accountCommand(), a.sessionCommand(), a.grantCommand(), a.termsCommand())
	add("operate", a.keysCommand(), a.auditCommand(), a.mailCommand(), a.backupCommand(), a.restoredCommand(), a.migrateCommand(), a.upgradeCommand())
	return root
}

const rootHelp = `Anteroom signs people in to portals: user name and password, a six-digit code, terms,
and back to the portal with standard OpenID Connect tokens.

Try it with people, mail and two portals, all on this machine:

  anteroom demo

Run it for real:

  anteroom init --issuer https://id.example.com    # write anteroom.yaml, every key explained
  anteroom config check                            # all mistakes at once, with the fix
  anteroom serve

Then, while it runs or while it does not (commands find out by themselves):

  anteroom org create acme --name "Acme Ltd"
  anteroom app create analytics --name "Partner Analytics" --launch-url https://analytics.example.com/
  anteroom client register --app analytics --redirect-uri https://analytics.example.com/callback
  anteroom account invite ann@acme.example --app analytics --org acme

Commands exit with status 0, or with 1 and a sentence on standard error that says what is
wrong and what to do. With --json they print what the administration interface answers.`

// group makes a command that only holds others.
func group(use, short, long string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long}
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		message := fmt.Sprintf("there is no command %q", c.CommandPath()+" "+args[0])
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			message += fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
		}
		return fmt.Errorf("%s; see: %s --help", strings.TrimSuffix(message, "?"), c.CommandPath())
	}
	c.Args = cobra.ArbitraryArgs
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(commands...)
	return c
}

// wants checks the number of arguments and says which is missing.
func wants(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fmt.Errorf("say which %s: %s", names[len(args)], c.UseLine())
		}
		if len(args) > len(names) {
			return fmt.Errorf("%q is one argument too many: %s", args[len(names)], c.UseLine())
		}
		return nil
	}
}

// wantsUpTo checks like wants; the last name may be missing.
func wantsUpTo(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		return wants(names[:max(min(len(args), len(names)), len(names)-1)]...)(c, args)
	}
}

// reportJSON writes err to standard error for programs.
func (a *app) reportJSON(err error) {
	out := struct {
		Error    string           `json:"error"`
		Mistakes []map[string]any `json:"mistakes,omitempty"`
	}{Error: err.Error()}
	if mistakes, ok := config.AsMistakes(err); ok {
		out.Error = fmt.Sprintf("the configuration has %d mistakes", len(mistakes))
		for _, m := range mistakes {
			out.Mistakes = append(out.Mistakes, map[string]any{"key": m.Key, "where": m.Where, "what": m.What, "fix": m.Fix})
		}
	}
	if refusal, ok := errors.AsType[*refusal](err); ok {
		out.Error = refusal.Detail
		for _, m := range refusal.Errors {
			out.Mistakes = append(out.Mistakes, map[string]any{"key": m.Field, "what": m.Detail})
		}
	}
	data, _ := json.Marshal(out) // strings: cannot fail
	fmt.Fprintln(a.stderr, string(data))
}

// logger returns the log of a configuration.
func (a *app) logger(c config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // validated; the zero value is info
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, options))
	}
	return slog.New(slog.NewTextHandler(a.stderr, options))
}
