package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// Figure is one number.
type Figure struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Limit float64 `json:"limit,omitempty"` // to stay under; 0: none is set
	Note  string  `json:"note,omitempty"`
}

// About says what was measured, and on what.
type About struct {
	Version    string    `json:"version"`
	At         time.Time `json:"at"`
	Platform   string    `json:"platform"`
	Go         string    `json:"go"`
	Processors int       `json:"processors"`
	Rounds     int       `json:"rounds"`
	RoundTime  string    `json:"round_time"`
	Accounts   int       `json:"accounts"`
}

// Report is everything that was found. Skipped says what was not measured, and
// why.
type Report struct {
	About   About
	Figures []Figure
	Commits []Commits
	Costs   []Cost
	Loads   []Load
	Skipped []string
}

func (r *Report) add(what string, value float64, unit string, limit float64) {
	r.Figures = append(r.Figures, Figure{What: what, Value: round(value, 1), Unit: unit, Limit: limit})
}

func newAbout(version string, rounds int, each time.Duration, accounts int) About {
	return About{
		Version: version, At: time.Now().UTC().Truncate(time.Second), Platform: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		Processors: runtime.NumCPU(), Rounds: rounds, RoundTime: each.String(), Accounts: accounts,
	}
}

// lines writes one JSON object a line, each with the name of its kind.
func (r *Report) lines(w io.Writer) error {
	encode := json.NewEncoder(w)
	put := func(kind string, row any) error {
		data, err := json.Marshal(row)
		if err != nil {
			return err
		}
		var fields map[string]any
		if err := json.Unmarshal(data, &fields); err != nil {
			return err
		}
		fields["figure"] = kind
		return encode.Encode(fields)
	}
	if err := put("about", r.About); err != nil {
		return err
	}
	for _, why := range r.Skipped {
		if err := put("skipped", map[string]string{"why": why}); err != nil {
			return err
		}
	}
	for _, write := range []func() error{
		putAll(put, "number", r.Figures), putAll(put, "commits", r.Commits), putAll(put, "cost", r.Costs), putAll(put, "load", r.Loads),
	} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}

func putAll[T any](put func(string, any) error, kind string, rows []T) func() error {
	return func() error {
		for _, row := range rows {
			if err := put(kind, row); err != nil {
				return err
			}
		}
		return nil
	}
}

// save writes the lines to a file.
func (r *Report) save(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	var text strings.Builder
	if err := r.lines(&text); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text.String()), 0o644)
}

// print writes tables for people.
func (r *Report) print(w io.Writer) error {
	a := r.About
	fmt.Fprintf(w, "Anteroom %s, %s, %s, %d processors shared by server and clients, plain HTTP on loopback,\n"+
		"%d accounts; every answer checked; medians of %d rounds of %s.\n", a.Version, a.Platform, a.Go, a.Processors, a.Accounts, a.Rounds, a.RoundTime)
	for _, why := range r.Skipped {
		fmt.Fprintf(w, "Not measured: %s.\n", why)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	head := func(columns ...string) { fmt.Fprintf(t, "\n%s\t\n", strings.Join(columns, "\t")) }
	if len(r.Figures) > 0 {
		head("figure", "value", "unit", "limit")
	}
	for _, f := range r.Figures {
		fmt.Fprintf(t, "%s\t%.1f\t%s\t%s\t\n", f.What, f.Value, f.Unit, limit(f.Limit))
	}
	for i, c := range r.Commits {
		if i == 0 || c.Store != r.Commits[i-1].Store {
			head("commits of one request, "+c.Store, map[string]string{"file": "fdatasync", inPostgres: "wrote"}[c.Store], "commits", "limit")
		}
		fmt.Fprintf(t, "%s\t%g\t%g\t%g\t\n", c.Request, c.Seen, c.Commits, c.Limit)
	}
	if len(r.Costs) > 0 {
		head("server CPU of one request", "ms", "compared to", "ms", "ratio", "limit")
	}
	for _, c := range r.Costs {
		fmt.Fprintf(t, "%s\t%.3f\t%s\t%.3f\t%.2f\t%g\t\n", c.What, c.Each, c.Work, c.WorkEach, c.Ratio, c.Limit)
	}
	if len(r.Loads) > 0 {
		head("load", "clients", "req/s", "p50 ms", "p99 ms", "server CPU ms", "answers", "refused", "wrong", "busy elsewhere")
	}
	for _, l := range r.Loads {
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.2f\t%.2f\t%.3f\t%d\t%d\t%d\t%.2f\t\n",
			l.Scenario, l.Clients, l.PerSecond, l.P50, l.P99, l.ServerCPU, l.OK, l.Refused, l.Failed, l.Elsewhere)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, l := range r.Loads {
		if l.Failed > 0 {
			fmt.Fprintf(w, "\n%s, %d clients: %d wrong answers, such as: %s\n", l.Scenario, l.Clients, l.Failed, l.Failure)
		}
	}
	_, err := fmt.Fprintln(w)
	return err
}

func limit(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%g", v)
}
