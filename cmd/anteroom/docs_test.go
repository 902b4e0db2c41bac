package main

import (
	"bytes"
	stdflag "flag"
	"fmt"
	"go/format"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = stdflag.Bool("update", false, "write docs/commands.md")

const repository = "../.."

// freshRoot returns the commands as the program has them, with nothing set.
func freshRoot() *cobra.Command {
	a := &app{getenv: func(string) string { return "" }, stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
	root := a.root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

func TestCommandsPageIsWhatTheCommandsSay(t *testing.T) {
	var want bytes.Buffer
	writeCommands(&want, freshRoot())
	path := filepath.Join(repository, "docs", "commands.md")
	if *update {
		if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is out of date (%v); write it with: go test ./cmd/anteroom -run CommandsPage -update", path, err)
	}
}

// writeCommands writes the reference of all commands: what --help says.
func writeCommands(w io.Writer, root *cobra.Command) {
	fmt.Fprintf(w, "# Commands\n\n%s\n\nEvery command takes these:\n\n```\n%s```\n\n", prose(root.Long), root.PersistentFlags().FlagUsages())
	fmt.Fprint(w, "<!-- Made from the commands: go test ./cmd/anteroom -run CommandsPage -update -->\n")
	for _, group := range root.Groups() {
		fmt.Fprintf(w, "\n## %s\n", strings.TrimSuffix(group.Title, ":"))
		for _, c := range root.Commands() {
			if c.GroupID == group.ID {
				writeCommand(w, c)
			}
		}
	}
}

func writeCommand(w io.Writer, c *cobra.Command) {
	about := c.Long
	if about == "" {
		about = c.Short
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\n### %s\n\n%s\n", c.CommandPath(), prose(about))
		for _, sub := range c.Commands() {
			writeCommand(w, sub)
		}
		return
	}
	fmt.Fprintf(w, "\n### %s\n\n```\n%s\n```\n\n", c.CommandPath(), strings.TrimSuffix(c.UseLine(), " [flags]"))
	fmt.Fprintf(w, "%s\n", prose(about))
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			flags.AddFlag(f)
		}
	})
	if flags.HasFlags() {
		fmt.Fprintf(w, "\n```\n%s```\n", flags.FlagUsages())
	}
	if c.Example != "" {
		fmt.Fprintf(w, "\nFor example:\n\n```\n%s\n```\n", strings.Join(unindent(c.Example), "\n"))
	}
}

// prose turns a help text into Markdown: what is indented becomes a code block.
func prose(help string) string {
	var b strings.Builder
	inside := false
	lines := strings.Split(strings.TrimSpace(help), "\n")
	for i, line := range lines {
		indented := strings.HasPrefix(line, "  ")
		if line == "" && inside && i+1 < len(lines) && strings.HasPrefix(lines[i+1], "  ") {
			indented = true
		}
		if indented != inside {
			if line != "" && inside || !inside && i > 0 && lines[i-1] != "" {
				b.WriteString(map[bool]string{true: "```\n\n", false: "\n"}[inside])
			} else if inside {
				b.WriteString("```\n")
			}
			if !inside {
				b.WriteString("```\n")
			}
			inside = indented
		}
		if indented {
			line = strings.TrimPrefix(line, "  ")
		} else {
			line = strings.NewReplacer("<", "&lt;", "*", `\*`, "_", `\_`).Replace(line)
		}
		b.WriteString(line + "\n")
	}
	if inside {
		b.WriteString("```\n")
	}
	return strings.TrimSpace(b.String())
}

func unindent(s string) []string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return lines
}

// documents returns the Markdown files of the repository by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(repository, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", "bin", "data", "shots", "node_modules", ".venv", "testdata":
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(repository, path)
		found[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "CHANGELOG.md", "docs/quickstart.md", "docs/portal-developer.md", "docs/operator.md", "docs/member.md"} {
		if found[name] == "" {
			t.Errorf("there is no %s", name)
		}
	}
	return found
}

// fence is a block of code: its language and its lines, with the number of the
// first.
type fence struct {
	language string
	first    int
	lines    []string
}

// split takes a document apart: its blocks of code, and the prose without them,
// as many lines as before.
func split(text string) (blocks []fence, prose []string) {
	var open *fence
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "```") && open == nil:
			open = &fence{language: strings.TrimPrefix(trimmed, "```"), first: i + 2}
		case strings.HasPrefix(trimmed, "```"):
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.lines = append(open.lines, line)
		case strings.HasPrefix(line, "    "):
			blocks = append(blocks, fence{first: i + 1, lines: []string{line}})
		default:
			prose = append(prose, line)
			continue
		}
		prose = append(prose, "")
	}
	return blocks, prose
}

var (
	linkPattern   = regexp.MustCompile(`\]\(([^)\s]+)(?:\s+"[^"]*")?\)|(?:src|href)="([^"]+)"`)
	inlinePattern = regexp.MustCompile("`([^`]+)`")
)

func TestLinksOfTheDocumentsLeadSomewhere(t *testing.T) {
	all := documents(t)
	for name, text := range all {
		_, lines := split(text)
		for i, line := range lines {
			for _, m := range linkPattern.FindAllStringSubmatch(inlinePattern.ReplaceAllString(line, ""), -1) {
				target := m[1] + m[2]
				if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
					continue
				}
				if wrong := brokenLink(all, name, target); wrong != "" {
					t.Errorf("%s:%d: %s: %s", name, i+1, target, wrong)
				}
			}
		}
	}
}

func brokenLink(all map[string]string, from, target string) string {
	file, anchor, _ := strings.Cut(target, "#")
	path := from
	if file != "" {
		path = filepath.ToSlash(filepath.Join(filepath.Dir(from), file))
		if _, err := os.Stat(filepath.Join(repository, path)); err != nil {
			return "there is no such file"
		}
	}
	if anchor == "" {
		return ""
	}
	_, lines := split(all[path])
	for _, line := range lines {
		if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") && slug(heading) == anchor {
			return ""
		}
	}
	return "there is no such heading in " + path
}

// slug is the anchor that a heading gets.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 0x7f:
			return r
		}
		return -1
	}, strings.ToLower(strings.TrimSpace(heading)))
}

// The starts in Node.js, Python and Java were tried by hand; the one in Go can
// be checked here.
func TestGoStartOfThePortalPageCompiles(t *testing.T) {
	blocks, _ := split(documents(t)["docs/portal-developer.md"])
	found := 0
	for _, b := range blocks {
		if b.language != "go" {
			continue
		}
		found++
		file := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(file, []byte(strings.Join(b.lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		vet := exec.Command("go", "vet", file)
		vet.Dir = repository
		if out, err := vet.CombinedOutput(); err != nil {
			t.Errorf("docs/portal-developer.md:%d: %v\n%s", b.first, err, out)
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if formatted, err := format.Source(source); err != nil || !bytes.Equal(formatted, source) {
			t.Errorf("docs/portal-developer.md:%d: not formatted (%v)", b.first, err)
		}
	}
	if found != 1 {
		t.Errorf("%d blocks of Go, want 1", found)
	}
}

func TestBrokenLinksAreFound(t *testing.T) {
	all := documents(t)
	for target, broken := range map[string]bool{
		"docs/operator.md":                           false,
		"docs/operator.md#tls-and-the-reverse-proxy": false,
		"#limits":                         false,
		"docs/adr/README.md":              false,
		"docs/operators.md":               true,
		"docs/operator.md#tls":            true,
		"#borders":                        true,
		"docs/portal-developer.md#nodejs": false,
		"docs/portal-developer.md#from-nowhere-to-here": true,
	} {
		if got := brokenLink(all, "README.md", target); (got != "") != broken {
			t.Errorf("%s: %q, want broken %v", target, got, broken)
		}
	}
}
