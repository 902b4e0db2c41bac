package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"anteroom/config"
	"anteroom/internal/audit"
	"anteroom/internal/demo"
)

func TestCommandLinesOfTheDocumentsAreUnderstood(t *testing.T) {
	seen := 0
	for name, text := range documents(t) {
		blocks, prose := split(text)
		for _, b := range blocks {
			for i, line := range joined(b.lines) {
				for _, words := range invocations(line) {
					seen++
					if err := understood(words, true); err != nil {
						t.Errorf("%s:%d: %s: %v", name, b.first+i, strings.Join(words, " "), err)
					}
				}
			}
		}
		for i, line := range prose {
			for _, m := range inlinePattern.FindAllStringSubmatch(line, -1) {
				for _, words := range invocations(m[1]) {
					seen++
					if err := understood(words, false); err != nil {
						t.Errorf("%s:%d: %s: %v", name, i+1, m[1], err)
					}
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d command lines were found", seen)
	}
}

func TestExamplesOfTheCommandsAreUnderstood(t *testing.T) {
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		for _, line := range strings.Split(c.Example, "\n") {
			for _, words := range invocations(line) {
				if err := understood(words, true); err != nil {
					t.Errorf("example of %s: %s: %v", c.CommandPath(), line, err)
				}
			}
		}
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	root := freshRoot()
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			check(c)
		}
	}
}

func TestCommandLinesThatAreWrongAreFound(t *testing.T) {
	for line, want := range map[string]string{
		"anteroom serve --config /etc/anteroom/anteroom.yaml":                   "",
		"sudo -u anteroom anteroom account show ann@acme.example | less":        "",
		"ANTEROOM_DATA=x bin/anteroom audit list --json | jq .":                 "",
		"ExecStart=/usr/local/bin/anteroom serve":                               "",
		"anteroom accuont show ann@acme.example":                                "no command",
		"anteroom account shwo ann@acme.example":                                "no command",
		"anteroom account show ann@acme.example --verbose":                      "unknown flag",
		"anteroom account show":                                                 "say which",
		"gunzip -c people.jsonl.gz | anteroom account import - --dry-run":       "unknown flag",
		"anteroom app create analytics --name 'Partner Analytics' 'one more'":   "too many",
		`anteroom account reset-mfa ann --reason "a; b | c"; anteroom frobnish`: "no command",
	} {
		found := invocations(line)
		if len(found) == 0 {
			t.Errorf("%s: no command line", line)
		}
		var all []string
		for _, words := range found {
			if err := understood(words, true); err != nil {
				all = append(all, err.Error())
			}
		}
		if got := strings.Join(all, "; "); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// joined puts lines that end in a backslash together. Each keeps its number.
func joined(lines []string) []string {
	out := make([]string, len(lines))
	at := 0
	for i, line := range lines {
		if i > 0 && strings.HasSuffix(lines[i-1], `\`) {
			out[at] = strings.TrimSuffix(out[at], `\`) + " " + line
			continue
		}
		at = i
		out[i] = line
	}
	return out
}

// wrappers are words that a command line may begin with.
var wrappers = regexp.MustCompile(`^(sudo|-u|exec|docker|[A-Za-z_]+=.*)$`)

// invocations returns the command lines of ours in a line for a shell: what
// follows anteroom, up to the end or the next pipe.
func invocations(line string) [][]string {
	line = strings.TrimPrefix(strings.TrimSpace(line), "$ ")
	line = strings.Replace(line, "ExecStart=", "ExecStart= ", 1)
	var found [][]string
	for _, part := range shellWords(line) {
		for i, word := range part {
			if word == "anteroom" || strings.HasSuffix(word, "/anteroom") {
				// The user of sudo is called like the program.
				if i > 0 && part[i-1] == "-u" {
					continue
				}
				found = append(found, part[i+1:])
				break
			}
			if !wrappers.MatchString(word) {
				break
			}
		}
	}
	return slices.DeleteFunc(found, func(words []string) bool { return len(words) == 0 })
}

// shellWords takes a line apart as a shell does, into commands of words.
func shellWords(line string) [][]string {
	var commands [][]string
	var words []string
	var word strings.Builder
	var quote rune
	started := false
	end := func() {
		if started {
			words = append(words, word.String())
		}
		word.Reset()
		started = false
	}
	cut := func() {
		end()
		commands = append(commands, words)
		words = nil
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, started = r, true
		case r == '#' && !started:
			cut()
			return commands
		case r == '|' || r == ';' || r == '>' || r == '<' && !started || r == '&' || r == '(' || r == ')':
			cut()
		case r == ' ' || r == '\t':
			end()
		default:
			started = true
			word.WriteRune(r)
		}
	}
	cut()
	return commands
}

// understood checks that the commands, flags and arguments exist. Without
// whole, what is missing at the end is no mistake: prose names commands.
func understood(words []string, whole bool) error {
	root := freshRoot()
	c, args, err := root.Find(words)
	if err != nil {
		return err
	}
	if c.Name() == "completion" || c.Name() == "help" {
		return nil
	}
	if err := c.ParseFlags(args); err != nil {
		return err
	}
	rest := c.Flags().Args()
	if c.HasSubCommands() {
		if len(rest) > 0 || whole && !c.Flags().Changed("help") && len(words) == 0 {
			return fmt.Errorf("there is no command %q", c.CommandPath()+" "+strings.Join(rest, " "))
		}
		return nil
	}
	err = c.ValidateArgs(rest)
	if err != nil && !whole && strings.HasPrefix(err.Error(), "say which") {
		return nil
	}
	return err
}

// reference is docs/configuration.md as the configuration has it.
func reference(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := config.WriteReference(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestConfigurationKeysOfTheDocumentsExist(t *testing.T) {
	ref := reference(t)
	dotted := regexp.MustCompile(`^(tls|operations|smtp|lifetimes|keys|product|password|log)\.[a-z_]+$`)
	for name, text := range documents(t) {
		blocks, prose := split(text)
		for i, line := range prose {
			for _, m := range inlinePattern.FindAllStringSubmatch(line, -1) {
				key := m[1]
				if !dotted.MatchString(key) || audit.Known(key) {
					continue
				}
				if !strings.Contains(ref, "### `"+key+"`\n") && !strings.Contains(ref, "`"+key+"` or `ANTEROOM_") {
					t.Errorf("%s:%d: there is no key %s", name, i+1, key)
				}
			}
		}
		for _, b := range blocks {
			if b.language == "yaml" {
				checkYAML(t, fmt.Sprintf("%s:%d", name, b.first), strings.Join(b.lines, "\n"))
			}
		}
	}
}

// checkYAML reads a piece of configuration. Files that it names need not exist.
func checkYAML(t *testing.T, where, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "anteroom.yaml")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(path, func(name string) string {
		if name == "ANTEROOM_ISSUER" && !strings.Contains(text, "issuer:") {
			return "https://id.example.com"
		}
		return ""
	})
	if err == nil {
		return
	}
	mistakes, ok := config.AsMistakes(err)
	if !ok {
		t.Errorf("%s: %v", where, err)
	}
	for _, m := range mistakes {
		if !strings.Contains(m.What, "no such file") {
			t.Errorf("%s: %s", where, m)
		}
	}
}

func TestVariablesOfTheDocumentsExist(t *testing.T) {
	known := reference(t) + " ANTEROOM_CONFIG "
	for _, v := range demo.Variables() {
		known += " " + v.Name + " "
	}
	// Those of the tests are named where they are read.
	for _, file := range []string{"Makefile", ".ci/deps"} {
		text, err := os.ReadFile(filepath.Join(repository, file))
		if err != nil {
			t.Fatal(err)
		}
		known += string(text)
	}
	variable := regexp.MustCompile(`ANTEROOM_[A-Z0-9_]*[A-Z0-9]\b`)
	names := variable.FindAllString(known, -1)
	all := documents(t)
	for name, text := range all {
		for i, line := range strings.Split(text, "\n") {
			for _, v := range variable.FindAllString(strings.ReplaceAll(line, "ANTEROOM_DEMO_*", ""), -1) {
				if !slices.Contains(names, v) {
					t.Errorf("%s:%d: there is no variable %s", name, i+1, v)
				}
			}
		}
	}
	for _, v := range demo.Variables() {
		if !strings.Contains(all["README.md"], "`"+v.Name+"`") {
			t.Errorf("README.md does not list %s", v.Name)
		}
	}
}
