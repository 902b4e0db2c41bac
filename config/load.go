package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile bounds the configuration file in bytes; larger is not one of ours.
const maxFile = 1 << 20

// Load returns Default, changed by the YAML file at path ("" for none), changed
// by the environment. Every mistake is reported at once, as Mistakes; the
// configuration is valid when the error is nil.
func Load(path string, getenv func(string) string) (Config, error) {
	cfg := Default()
	cfg.sources = map[string]string{}
	var raw []entry
	var mistakes Mistakes
	dir := "."
	if path != "" {
		data, err := readFile(path)
		if err != nil {
			return cfg, err
		}
		dir = filepath.Dir(path)
		raw, mistakes = parseYAML(filepath.Base(path), data)
		if raw == nil && mistakes != nil {
			return cfg, mistakes // cannot be read: nothing to say about single keys
		}
	}
	raw = append(raw, fromEnvironment(cfg.settings(), getenv)...)
	return cfg, cfg.apply(raw, dir, mistakes)
}

// entry is one value as it was written.
type entry struct {
	key   string
	where string
	line  int
	text  string
	list  []string // for sequences
	kind  entryKind
}

type entryKind int

const (
	scalar entryKind = iota
	sequence
	mapping
	empty // "key:" without a value: as if it were not there
)

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no configuration file %s; write one with: anteroom init --config %s", path, path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("the configuration file %s is larger than 1 MiB; it is probably another file", path)
	}
	return data, nil
}

// fromEnvironment collects the variables that are set. An empty one is not set.
func fromEnvironment(all []setting, getenv func(string) string) []entry {
	var out []entry
	for _, s := range all {
		keys := []string{s.key}
		if s.readsFile() {
			keys = append(keys, s.key+"_file")
		}
		for _, key := range keys {
			if v := getenv(variable(key)); v != "" {
				out = append(out, entry{key: key, where: variable(key), text: v})
			}
		}
	}
	return out
}

func (s setting) isSecret() bool { _, ok := s.target.(*Secret); return ok }

// readsFile tells whether KEY_file names a file with the value.
func (s setting) readsFile() bool { return s.isSecret() && !s.ownFile }

// apply puts the entries in, and returns all mistakes, those of Validate included.
func (c *Config) apply(raw []entry, dir string, mistakes Mistakes) error {
	known := map[string]setting{}
	for _, s := range c.settings() {
		known[s.key] = s
	}
	lines := map[string]int{} // where a key was set, for what Validate finds
	bad := map[string]bool{}  // keys that nothing more needs to be said about
	for _, e := range raw {
		s, what, fix := c.accept(&e, known, dir)
		if what != "" {
			mistakes = append(mistakes, Mistake{Key: e.key, Where: e.where, What: what, Fix: fix, line: e.line})
			bad[strings.TrimSuffix(e.key, "_file")] = true
		} else if e.kind != empty {
			c.sources[s.key], lines[s.key] = e.where, e.line
			delete(bad, s.key) // a good variable mends a bad line
		}
	}
	if c.sources["data"] == "" {
		c.DataDir = resolve(dir, c.DataDir)
	}
	if path, bolt := strings.CutPrefix(c.Store.Reveal(), "bolt:"); bolt && path != "" {
		c.Store = Secret("bolt:" + resolve(dir, path))
	}
	for _, m := range c.mistakes() {
		if !bad[m.Key] {
			m.line = lines[m.Key]
			mistakes = append(mistakes, m)
		}
	}
	return mistakes.orNil()
}

// accept finds the setting of an entry, reads its secret file if it names one,
// and sets the value. what is "" when it worked.
func (c *Config) accept(e *entry, known map[string]setting, dir string) (s setting, what, fix string) {
	s, ok := known[e.key]
	twin := "_file"
	if base, isFile := strings.CutSuffix(e.key, "_file"); !ok && isFile && known[base].readsFile() {
		text, err := readSecret(resolve(dir, e.text))
		if err != nil {
			return s, err.Error(), "make the file readable for this user, or correct its path"
		}
		s, ok, twin, e.text = known[base], true, "", text
	}
	switch {
	case !ok && isSection(e.key):
		return s, "this is a section, it has no value of its own", "write its keys on the lines below it, indented"
	case !ok:
		return s, "there is no such key", suggest(e.key, known)
	case s.isSecret() && e.line > 0 && c.sources[s.key] != "":
		return s, s.key + twin + " is set as well", "keep one of the two"
	case e.kind == empty:
		return s, "", ""
	}
	what, fix = s.set(*e, dir)
	return s, what, fix
}

// resolve makes a relative path start at the folder of the configuration file.
func resolve(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// readSecret returns the content of a secret file without its last line break.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the secret file cannot be read: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return "", fmt.Errorf("the secret file cannot be read: %w", err)
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return "", fmt.Errorf("the secret file %s is empty", path)
	}
	return text, nil
}

// suggest names the key that was probably meant.
func suggest(key string, known map[string]setting) string {
	best, distance := "", 4
	names := make([]string, 0, len(known))
	for name, s := range known {
		names = append(names, name)
		if s.readsFile() {
			names = append(names, name+"_file")
		}
	}
	for _, s := range sections {
		names = append(names, s.key)
	}
	slices.Sort(names)
	last := key[strings.LastIndexByte(key, '.')+1:]
	for _, name := range names {
		if d := editDistance(key, name); d < distance {
			best, distance = name, d
		}
		if name[strings.LastIndexByte(name, '.')+1:] == last && distance > 1 {
			best, distance = name, 1 // the right word in the wrong section
		}
	}
	if best == "" {
		return "remove it; docs/configuration.md lists all keys"
	}
	return "did you mean " + best + "?"
}

// editDistance is the Levenshtein distance of two short strings.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
