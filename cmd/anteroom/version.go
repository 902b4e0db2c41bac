package main

import (
	"cmp"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build says what this binary was made from.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuild() build {
	b := build{Version: cmp.Or(version, "dev")}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Go = info.GoVersion
	if version == "" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		case "GOOS":
			b.Platform = s.Value + b.Platform // the two come in any order
		case "GOARCH":
			b.Platform += "/" + s.Value
		}
	}
	return b
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Say which version this is",
		Example: "  anteroom version --json",
		Args:    wants(),
		RunE: func(*cobra.Command, []string) error {
			b := readBuild()
			return a.show(b, func(t *table) {
				t.line("anteroom %s (%s, %s)", b.Version, b.Go, b.Platform)
				if b.Commit != "" {
					t.line("commit %s of %s", b.Commit, b.Time)
				}
			})
		},
	}
}
