package config

import (
	"fmt"
	"io"
	"strings"
)

// WriteSample writes a configuration file in which every key is explained. Keys
// with their default are commented out; given sets some (as YAML, by key).
func WriteSample(w io.Writer, given map[string]string) error {
	c := Default()
	var b strings.Builder
	b.WriteString("# The configuration of Anteroom. Check it with: anteroom config check\n")
	b.WriteString("# Each key can be set by an environment variable, too: smtp.host is ANTEROOM_SMTP_HOST.\n")
	b.WriteString("# A secret can be in a file of its own: smtp.password_file instead of smtp.password.\n")
	current := ""
	for _, s := range c.settings() {
		if _, set := given[s.key]; s.ownFile && !set {
			continue // the line of its file is there, and is the better one
		}
		section, name, nested := strings.Cut(s.key, ".")
		indent := ""
		if nested {
			indent = "  "
			if section != current {
				current = section
				fmt.Fprintf(&b, "\n%s%s:\n", comment("", sectionDoc(section)), section)
			}
		} else {
			name = s.key
			b.WriteString("\n")
		}
		b.WriteString(comment(indent, s.doc))
		value, set := given[s.key]
		if !set {
			value = s.shown()
		}
		key := name
		if s.readsFile() && !set && s.example == "" {
			key, value = name+"_file", "/run/secrets/"+strings.ReplaceAll(s.key, ".", "-")
		}
		if set {
			fmt.Fprintf(&b, "%s%s: %s\n", indent, key, value)
		} else {
			fmt.Fprintf(&b, "%s# %s: %s\n", indent, key, value)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// shown returns the default, or the example of a setting without one.
func (s setting) shown() string {
	if v := s.value(); v != "" {
		return v
	}
	return s.example
}

func sectionDoc(key string) string {
	for _, s := range sections {
		if s.key == key {
			return s.doc
		}
	}
	panic("config: section " + key + " is not in the table")
}

// comment wraps text to comment lines of about 90 columns.
func comment(indent, text string) string {
	var b strings.Builder
	line := indent + "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 92 {
			b.WriteString(line + "\n")
			line = indent + "#"
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}

// WriteReference writes docs/configuration.md.
func WriteReference(w io.Writer) error {
	c := Default()
	var b strings.Builder
	b.WriteString(referenceHead)
	current := ""
	for _, s := range c.settings() {
		section, _, nested := strings.Cut(s.key, ".")
		if nested && section != current {
			current = section
			fmt.Fprintf(&b, "\n## %s\n\n%s\n", section, sectionDoc(section))
		}
		fmt.Fprintf(&b, "\n### `%s`\n\n%s\n\n", s.key, s.doc)
		if v := s.value(); v != "" {
			fmt.Fprintf(&b, "- Default: `%s`\n", v)
		} else if s.example != "" {
			fmt.Fprintf(&b, "- No default. Example: `%s`\n", s.example)
		} else {
			b.WriteString("- No default.\n")
		}
		if allowed := s.allowed(); allowed != "" {
			fmt.Fprintf(&b, "- Allowed: %s\n", allowed)
		}
		fmt.Fprintf(&b, "- Environment: `%s`", variable(s.key))
		if s.readsFile() {
			fmt.Fprintf(&b, "; in a file of its own: `%s_file` or `%s`", s.key, variable(s.key+"_file"))
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s setting) allowed() string {
	switch {
	case len(s.oneOf) > 0:
		return "`" + strings.Join(s.oneOf, "`, `") + "`"
	case s.max > 0:
		return formatDuration(s.min) + " to " + formatDuration(s.max)
	case s.most > 0:
		return fmt.Sprintf("%d to %d", s.least, s.most)
	}
	return ""
}

const referenceHead = `# Configuration

One YAML file, by default ` + "`anteroom.yaml`" + ` in the working folder; ` + "`--config`" + ` or the variable
` + "`ANTEROOM_CONFIG`" + ` names another. ` + "`anteroom init`" + ` writes one with every key explained, and
` + "`anteroom config check`" + ` reports every mistake in it at once, with the fix.

Only ` + "`issuer`" + ` must be set. Later places win: defaults, the file, environment variables. Unknown
keys are mistakes. Relative paths start at the folder of the file. Durations are written as
` + "`90s`, `10m`, `12h` or `30d`" + `. A secret may be in a file of its own, named by the key with ` + "`_file`" + ` at
its end: Docker and Kubernetes mount secrets this way.

<!-- Made from config/settings.go: go test ./config -update -->
`
