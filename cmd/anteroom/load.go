package main

import (
	"errors"
	"io/fs"
	"os"

	"anteroom/config"
)

// defaultConfig is the configuration file of the working folder.
const defaultConfig = "anteroom.yaml"

// errNoConfig: nothing says what to do.
var errNoConfig = errors.New("there is no configuration: write one with anteroom init, name one with --config, or set ANTEROOM_ISSUER")

// path returns the configuration file to read; "" if there is none, which is
// fine when the environment says everything.
func (a *app) path() string {
	if a.configPath != "" {
		return a.configPath
	}
	if path := a.getenv("ANTEROOM_CONFIG"); path != "" {
		return path
	}
	if _, err := os.Stat(defaultConfig); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return defaultConfig
}

// load returns the configuration. With errNoConfig it comes with the defaults.
func (a *app) load() (config.Config, error) {
	path := a.path()
	cfg, err := config.Load(path, a.getenv)
	if mistakes, ok := config.AsMistakes(err); ok && path == "" && len(mistakes) == 1 && mistakes[0].Key == "issuer" && cfg.Issuer == "" {
		return cfg, errNoConfig
	}
	return cfg, err
}
