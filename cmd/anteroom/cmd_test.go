package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every command says what it does, shows an example that it would accept, and
// describes each flag.
func TestHelpIsDocumentation(t *testing.T) {
	a := &app{}
	root := a.root()
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short help %q", c.CommandPath(), c.Short)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s is not described", c.CommandPath(), f.Name)
			}
		})
		if !c.HasSubCommands() {
			examples(t, root, c)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// examples checks that each example names the command it belongs to, and flags
// that it has.
func examples(t *testing.T, root, c *cobra.Command) {
	t.Helper()
	if c.Example == "" {
		t.Errorf("%s has no example", c.CommandPath())
	}
	for line := range strings.Lines(c.Example) {
		_, command, ok := strings.Cut(line, "anteroom ")
		if !ok {
			t.Errorf("%s: example %q", c.CommandPath(), line)
			continue
		}
		found, rest, err := root.Find(strings.Fields(command))
		if err != nil || found != c {
			t.Errorf("%s: the example %q is of another command", c.CommandPath(), line)
		}
		for _, word := range rest {
			if name, ok := strings.CutPrefix(word, "--"); ok {
				name, _, _ = strings.Cut(name, "=")
				if found.Flags().Lookup(name) == nil && found.InheritedFlags().Lookup(name) == nil {
					t.Errorf("%s: the example has the flag --%s, the command does not", c.CommandPath(), name)
				}
			}
		}
	}
}

func TestHelpOfEveryCommandPrints(t *testing.T) {
	var paths [][]string
	var walk func(c *cobra.Command, path []string)
	walk = func(c *cobra.Command, path []string) {
		paths = append(paths, path)
		for _, sub := range c.Commands() {
			walk(sub, append(path[:len(path):len(path)], sub.Name()))
		}
	}
	walk((&app{}).root(), nil)
	for _, path := range paths {
		var out, errs bytes.Buffer
		err := run(t.Context(), append(path[:len(path):len(path)], "--help"), func(string) string { return "" }, strings.NewReader(""), &out, &errs)
		if err != nil || out.Len() < 100 || errs.Len() > 0 {
			t.Errorf("anteroom %s --help: %v, %d bytes, stderr %q", strings.Join(path, " "), err, out.Len(), errs.String())
		}
	}
}

func TestCleanMakesTextHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"Ann Lee":      "Ann Lee",
		"Åse 日本 🦊":     "Åse 日本 🦊",
		"a\x1b[2Jb":    `a\u001b[2Jb`,
		"a\nb":         `a\nb`,
		"a\tb\r":       `a\u0009b\u000d`,
		"abc\u202egpj": `abc\u202egpj`,
		"\xff":         `\ufffd`,
	} {
		if got := clean(in); got != strings.ReplaceAll(want, `\ufffd`, "\ufffd") {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFieldsAreNamedAsFlags(t *testing.T) {
	for field, want := range map[string]string{
		"application": "app", "redirect_uris[0]": "redirect-uri (the 1st)", "redirect_uris[11]": "redirect-uri (the 12th)",
		"metadata.jwks": "jwks", "metadata.request_uris": "set request_uris",
		"authorization_details_types[0].fields[1].kind": "authorization_details_types[0].fields[1].kind",
		"profile.given_name":                            "given-name", "session_max_age": "session-max-age", "grant_types[22]": "grant (the 23rd)", "x[": "x",
	} {
		name, which := flag(field)
		if name+which != want {
			t.Errorf("flag(%q) = %q, want %q", field, name+which, want)
		}
	}
}

func TestDirectBehavesLikeADistantServer(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/echo":
			w.Header().Set("X-Before", "yes")
			w.WriteHeader(http.StatusTeapot)
			w.Header().Set("X-After", "yes") // too late
			_, _ = io.Copy(w, r.Body)
		case "/silent":
		case "/cut":
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("12345"))
			panic(http.ErrAbortHandler)
		}
	})
	client := &http.Client{Transport: direct{handler}}
	get := func(path string, body io.Reader) (*http.Response, string, error) {
		t.Helper()
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://anteroom"+path, body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		return resp, string(data), err
	}
	large := strings.Repeat("x", 1<<20)
	resp, text, err := get("/echo", strings.NewReader(large))
	if err != nil || resp.StatusCode != http.StatusTeapot || text != large || resp.Header.Get("X-Before") != "yes" || resp.Header.Get("X-After") != "" {
		t.Errorf("echo: %v %v, %d bytes, headers %v", resp.Status, err, len(text), resp.Header)
	}
	if resp, text, err := get("/silent", nil); err != nil || resp.StatusCode != http.StatusOK || text != "" {
		t.Errorf("silent: %v %q %v", resp.Status, text, err)
	}
	if resp, text, err := get("/cut", nil); err == nil || text != "12345" || resp.ContentLength != 10 {
		t.Errorf("a handler that fails in the middle: %q %v", text, err)
	}
}
