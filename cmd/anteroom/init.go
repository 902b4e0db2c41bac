package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"anteroom/config"
)

func (a *app) initCommand() *cobra.Command {
	var issuer, data string
	c := &cobra.Command{
		Use:   "init",
		Short: "Write a configuration in which every key is explained",
		Long: `Init writes a configuration file with every key explained; keys that have a default are
commented out. It never overwrites a file.`,
		Example: `  anteroom init --issuer https://id.example.com
  anteroom init --config /etc/anteroom/anteroom.yaml --issuer https://id.example.com --data /var/lib/anteroom`,
		Args: wants(),
	}
	c.Flags().StringVar(&issuer, "issuer", "http://localhost:8080", "public URL of the service")
	c.Flags().StringVar(&data, "data", "", "data folder (default: data, beside the configuration)")
	c.RunE = func(*cobra.Command, []string) error {
		path := a.configPath
		if path == "" {
			path = a.getenv("ANTEROOM_CONFIG")
		}
		if path == "" {
			path = defaultConfig
		}
		if err := writeConfig(path, issuer, data); err != nil {
			return err
		}
		answer := map[string]string{"written": path, "issuer": issuer}
		return a.say(answer, "%s is written. Look at it, then: anteroom config check, and anteroom serve", path)
	}
	return c
}

func writeConfig(path, issuer, data string) error {
	cfg := config.Default()
	cfg.Issuer = issuer
	given := map[string]string{"issuer": issuer}
	if data != "" {
		cfg.DataDir = data
		given["data"] = strconv.Quote(data)
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	var text bytes.Buffer
	if err := config.WriteSample(&text, given); err != nil {
		return err
	}
	// Mode 0600: a password may be written into it.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already and was left as it is; move it away, or choose another name with --config", path)
	}
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	_, err = f.Write(text.Bytes())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}
