package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// show prints an answer: as JSON if asked, else with table.
func (a *app) show(answer any, fill func(t *table)) error {
	if a.json {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(answer)
	}
	t := &table{tabwriter.NewWriter(a.stdout, 0, 4, 2, ' ', 0)}
	fill(t)
	return t.Flush()
}

// table prints aligned columns. What it is given comes from outside and is
// made harmless for terminals.
type table struct{ *tabwriter.Writer }

// row prints one line.
func (t *table) row(cells ...any) {
	words := make([]string, len(cells))
	for i, c := range cells {
		words[i] = cell(c)
	}
	fmt.Fprintln(t, strings.TrimRight(strings.Join(words, "\t"), "\t "))
}

// pair prints a name and its value; empty values are left out.
func (t *table) pair(name string, value any) {
	if text := cell(value); text != "" {
		fmt.Fprintf(t, "%s:\t%s\n", name, text)
	}
}

// line prints text as it is, out of the columns.
func (t *table) line(format string, args ...any) {
	_ = t.Flush() // an error comes back at the last Flush
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = clean(text)
		}
	}
	fmt.Fprintf(t, format+"\n", args...)
	_ = t.Flush()
}

// text prints several lines, out of the columns.
func (t *table) text(s string) {
	_ = t.Flush() // as in line
	fmt.Fprintln(t, strings.TrimRight(cleanLines(strings.ReplaceAll(s, "\t", "    ")), "\n"))
}

func cell(c any) string {
	switch c := c.(type) {
	case string:
		return clean(c)
	case time.Time:
		return moment(c)
	case bool:
		if c {
			return "yes"
		}
		return "no"
	case []string:
		return clean(strings.Join(c, ", "))
	}
	return clean(fmt.Sprint(c))
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// clean escapes what could break a line, move a cursor or hide text.
func clean(s string) string {
	return strings.ReplaceAll(cleanLines(s), "\n", `\n`)
}

// cleanLines is clean for text whose line breaks are ours.
func cleanLines(s string) string {
	harmless := func(r rune) bool { return r == '\n' || unicode.IsPrint(r) }
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !harmless(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if harmless(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

// say prints a sentence about what was done; with JSON the answer instead.
func (a *app) say(answer any, format string, args ...any) error {
	return a.show(answer, func(t *table) { t.line(format, args...) })
}

// flag is how the command line calls a field of the interface, and which of
// several values it is about. Further metadata of a client has no flag of its own
// but --set.
func flag(field string) (name, which string) {
	if metadata, ok := strings.CutPrefix(field, "metadata."); ok && metadata != "jwks" {
		return "set " + metadata, ""
	}
	if strings.HasPrefix(field, "authorization_details_types[") {
		return field, "" // a place in a file
	}
	name, index, several := strings.Cut(field, "[")
	if i := strings.IndexByte(name, '.'); i > 0 {
		name = name[i+1:]
	}
	name = strings.ReplaceAll(name, "_", "-")
	if short, ok := flagNames[name]; ok {
		name = short
	}
	if n, err := strconv.Atoi(strings.TrimSuffix(index, "]")); several && err == nil {
		which = " (the " + ordinal(n+1) + ")"
	}
	return name, which
}

// flagNames are the flags whose name is not that of the field.
var flagNames = map[string]string{
	"redirect-uris": "redirect-uri", "post-logout-redirect-uris": "post-logout-redirect-uri",
	"grant-types": "grant", "token-endpoint-auth-method": "auth-method", "application-type": "type",
	"client-name": "name", "client-id": "id", "application": "app", "organisation": "org", "scope": "scopes",
	"id-token-signed-response-alg": "id-token-alg", "access-token-signing-alg": "access-token-alg",
	"audiences": "audience", "access": "role",
}

func ordinal(n int) string {
	suffix := "th"
	switch {
	case n%100 >= 11 && n%100 <= 13:
	case n%10 == 1:
		suffix = "st"
	case n%10 == 2:
		suffix = "nd"
	case n%10 == 3:
		suffix = "rd"
	}
	return strconv.Itoa(n) + suffix
}
