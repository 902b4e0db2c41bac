package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	binary   string
	out      string
	time     time.Duration
	rounds   int
	accounts int
	only     string
	store    string
	profile  string
	keep     bool
}

const (
	megabyte   = 1e6
	startTimes = 5
	settle     = 2 * time.Second // a server that has just started is idle then
	commitRuns = 5
)

func main() {
	var o options
	var emptyAddress string
	flag.StringVar(&o.binary, "bin", "bin/anteroom", "the binary to measure")
	flag.StringVar(&o.out, "out", "bench/latest.json", "where the figures go, one JSON object a line; empty: nowhere")
	flag.DurationVar(&o.time, "time", time.Second, "how long one round of a load takes")
	flag.IntVar(&o.rounds, "rounds", 3, "how often the loads are run; medians are reported")
	flag.IntVar(&o.accounts, "accounts", 1500, "how many people there are; each signs in once in 30 seconds at most")
	flag.StringVar(&o.only, "only", "", "run only the loads whose name contains this")
	flag.StringVar(&o.store, "store", "", "measure on one store alone, file or postgres; empty: both")
	flag.StringVar(&o.profile, "profile", "", "only save a CPU profile of the loads on PostgreSQL here; the binary must be built with -tags profile")
	flag.BoolVar(&o.keep, "keep", false, "leave the server's folder behind, and say where it is")
	flag.StringVar(&emptyAddress, "empty", "", "serve a handler that does nothing at this address: what the product is compared to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := func() error {
		if emptyAddress != "" {
			return serveEmpty(emptyAddress)
		}
		return bench(ctx, o, os.Stdout, os.Stderr)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench measures everything, prints it and saves it. A wrong answer is an error,
// after the report.
func bench(ctx context.Context, o options, out, progress io.Writer) (err error) {
	binary, err := filepath.Abs(o.binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "anteroom-bench-")
	if err != nil {
		return err
	}
	if o.keep {
		fmt.Fprintln(progress, "folder:", dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	r, err := measure(ctx, o, binary, dir, progress)
	if err != nil {
		return err
	}
	if err := errors.Join(r.print(out), r.lines(out)); err != nil {
		return err
	}
	if o.out != "" {
		if err := r.save(o.out); err != nil {
			return err
		}
	}
	for _, l := range r.Loads {
		if l.Failed > 0 {
			return fmt.Errorf("%s: %d wrong answers: %s", l.Scenario, l.Failed, l.Failure)
		}
	}
	return nil
}

// Stores that can be measured alone.
const (
	onFile     = "file"
	onPostgres = "postgres"
)

func measure(ctx context.Context, o options, binary, dir string, progress io.Writer) (*Report, error) {
	say := func(what string) { fmt.Fprintf(progress, "%s %s\n", time.Now().Format(time.TimeOnly), what) }
	if o.store != "" && o.store != onFile && o.store != onPostgres {
		return nil, fmt.Errorf("-store is %q, want %s or %s", o.store, onFile, onPostgres)
	}
	info, err := os.Stat(binary)
	if err != nil {
		return nil, err
	}
	version, err := exec.CommandContext(ctx, binary, "version").Output()
	if err != nil {
		return nil, err
	}
	r := &Report{About: newAbout(shortVersion(string(version)), o.rounds, o.time, o.accounts)}
	r.add("binary, stripped", float64(info.Size())/megabyte, "MB", 40)
	if o.store != onPostgres && o.profile == "" {
		if err := r.file(ctx, o, binary, dir, say); err != nil {
			return nil, err
		}
	}
	if o.store != onFile {
		return r, r.postgres(ctx, o, binary, filepath.Join(dir, "postgres"), say)
	}
	return r, nil
}

// file measures the product over its default store.
func (r *Report) file(ctx context.Context, o options, binary, dir string, say func(string)) (err error) {
	p, err := Install(ctx, binary, dir, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()

	say("start and idle memory")
	if err := r.starts(ctx, p); err != nil {
		return err
	}
	say("moving people in")
	b := &Bench{Product: p}
	portal, people, err := p.Move(ctx, o.accounts, "RS256")
	if err != nil {
		return err
	}
	b.Portal, b.Crowd = portal, newCrowd(people)
	if err := r.memory(p, "memory after moving people in, %s"); err != nil {
		return err
	}
	if err := b.commits(ctx, r, say); err != nil {
		return err
	}
	if _, err := p.Start(ctx); err != nil {
		return err
	}
	return b.underLoad(ctx, r, o, say)
}

// shortVersion takes the version from "anteroom v1.2.3 ...".
func shortVersion(said string) string {
	fields := strings.Fields(said)
	if len(fields) < 2 {
		return strings.TrimSpace(said)
	}
	return fields[1]
}

// starts measures the first start, which makes keys, and later ones. The server
// runs afterwards.
func (r *Report) starts(ctx context.Context, p *Product) error {
	first, err := p.Start(ctx)
	if err != nil {
		return err
	}
	r.add("ready, first start", milliseconds(first), "ms", 1000)
	var later []float64
	for range startTimes {
		if err := p.Stop(); err != nil {
			return err
		}
		took, err := p.Start(ctx)
		if err != nil {
			return err
		}
		later = append(later, milliseconds(took))
	}
	r.add("ready, later starts", median(later), "ms", 1000)
	time.Sleep(settle)
	m, err := memoryOf(p.pid)
	if err != nil {
		return err
	}
	r.add("memory, idle", float64(m.Resident)/megabyte, "MB", 60)
	return nil
}

// memory reports what is resident now, and what was at most.
func (r *Report) memory(p *Product, format string) error {
	m, err := memoryOf(p.pid)
	if err != nil {
		return err
	}
	r.add(fmt.Sprintf(format, "now"), float64(m.Resident)/megabyte, "MB", 0)
	r.add(fmt.Sprintf(format, "now, without mapped files"), float64(m.Own)/megabyte, "MB", 0)
	r.add(fmt.Sprintf(format, "peak"), float64(m.Peak)/megabyte, "MB", 0)
	return nil
}

// commits starts the server again under strace, if there is one. The server does
// not run afterwards.
func (b *Bench) commits(ctx context.Context, r *Report, say func(string)) error {
	if err := b.Stop(); err != nil {
		return err
	}
	file := b.path("strace.log")
	wrap, err := strace(file)
	if err != nil {
		r.Skipped = append(r.Skipped, "commits: "+err.Error())
		return nil
	}
	say("commits")
	if _, err := b.Start(ctx, wrap...); err != nil {
		return err
	}
	if r.Commits, err = b.countCommits(ctx, syncCounter(file), commitRuns); err != nil {
		return err
	}
	return b.Stop()
}

// underLoad measures what one request costs, and then what many clients get.
func (b *Bench) underLoad(ctx context.Context, r *Report, o options, say func(string)) error {
	say("CPU of a sign-in and of a token")
	for _, cost := range []func(context.Context) (Cost, error){b.signInCost, b.tokenCost} {
		c, err := cost(ctx)
		if err != nil {
			return err
		}
		r.Costs = append(r.Costs, c)
	}
	if err := b.Occupy(ctx); err != nil {
		return err
	}
	scenarios, err := b.Scenarios(ctx)
	if err != nil {
		return err
	}
	scenarios = slices.DeleteFunc(scenarios, func(s Scenario) bool { return !strings.Contains(s.Name, o.only) })
	if err := b.loads(ctx, r, o, scenarios, clientCounts, func(n int) error {
		say(fmt.Sprintf("load, round %d of %d", n+1, o.rounds))
		return nil
	}); err != nil {
		return err
	}
	time.Sleep(settle)
	return r.memory(b.Product, "memory after the load, %s")
}

// loads runs scenarios in rounds, and before each round what else belongs to it.
func (b *Bench) loads(ctx context.Context, r *Report, o options, scenarios []Scenario, counts []int, before func(round int) error) error {
	found := map[string][]Sample{}
	key := func(name string, clients int) string { return fmt.Sprintf("%s/%d", name, clients) }
	for n := range o.rounds {
		if err := before(n); err != nil {
			return err
		}
		for _, s := range scenarios {
			for _, clients := range counts {
				if s.prepare != nil {
					if err := s.prepare(ctx, clients, o.time); err != nil {
						return err
					}
				}
				sample, err := run(ctx, b.pid, s.clients[:clients], o.time)
				if err != nil {
					return err
				}
				found[key(s.Name, clients)] = append(found[key(s.Name, clients)], sample)
			}
		}
	}
	for _, s := range scenarios {
		for _, clients := range counts {
			if rounds := found[key(s.Name, clients)]; len(rounds) > 0 {
				r.Loads = append(r.Loads, summary(s.Name, clients, rounds))
			}
		}
	}
	return ctx.Err()
}
