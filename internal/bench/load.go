package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

// op does one operation and checks the answer.
type op func(ctx context.Context) error

// errDone ends a client that has nothing left to do; it is no failure.
var errDone = errors.New("nothing left to do")

// errRefused is 503 with Retry-After: the server is busy and says so. It is no
// success, and no wrong answer either.
var errRefused = errors.New("refused: busy")

// Sample is what one run has shown.
type Sample struct {
	OK        int
	Refused   int            // see errRefused
	Failures  map[string]int // by what went wrong
	Latencies []time.Duration
	Took      time.Duration
	ServerCPU time.Duration
	Elsewhere time.Duration // CPU of everything but the server and the bench
}

// run keeps each client busy with its operation, one at a time (a closed loop),
// until the time is over; what is under way then is finished and counted.
func run(ctx context.Context, pid int, clients []op, d time.Duration) (Sample, error) {
	before, err := usage(pid)
	if err != nil {
		return Sample{}, err
	}
	begin := time.Now()
	s := loop(ctx, clients, begin.Add(d))
	s.Took = time.Since(begin)
	after, err := usage(pid)
	if err != nil {
		return Sample{}, err
	}
	s.ServerCPU = after.server - before.server
	s.Elsewhere = max(0, after.machine-before.machine-s.ServerCPU-(after.bench-before.bench))
	return s, nil
}

type cpuUse struct{ server, bench, machine time.Duration }

func usage(pid int) (u cpuUse, err error) {
	var failed error
	if u.server, failed = cpuOf(pid); failed != nil {
		return u, failed
	}
	u.machine, err = busyOf()
	u.bench = ownCPU()
	return u, err
}

func loop(ctx context.Context, clients []op, end time.Time) Sample {
	all := Sample{Failures: map[string]int{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, do := range clients {
		wg.Go(func() {
			var mine []time.Duration
			failures, refused := map[string]int{}, 0
			for time.Now().Before(end) && ctx.Err() == nil {
				begin := time.Now()
				err := do(ctx)
				if errors.Is(err, errDone) {
					break
				}
				if errors.Is(err, errRefused) {
					refused++
					continue
				}
				if err != nil {
					failures[firstLine(err)]++
					continue
				}
				mine = append(mine, time.Since(begin))
			}
			mu.Lock()
			defer mu.Unlock()
			all.Latencies = append(all.Latencies, mine...)
			all.Refused += refused
			for what, n := range failures {
				all.Failures[what] += n
			}
		})
	}
	wg.Wait()
	all.OK = len(all.Latencies)
	slices.Sort(all.Latencies)
	return all
}

// firstLine shortens an error so that equal ones fall together.
func firstLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text[:min(len(text), 200)]
}

// failed counts the wrong answers.
func (s Sample) failed() int {
	n := 0
	for _, each := range s.Failures {
		n += each
	}
	return n
}

func (s Sample) rate() float64 { return float64(s.OK) / s.Took.Seconds() }

func (s Sample) cpuEach() float64 { return perOne(milliseconds(s.ServerCPU), s.OK) }

func (s Sample) elsewhere() float64 { return float64(s.Elsewhere) / float64(s.Took) }

// Load is a row: one scenario at one number of clients, medians of the rounds.
type Load struct {
	Scenario  string  `json:"scenario"`
	Clients   int     `json:"clients"`
	Rounds    int     `json:"rounds"`
	OK        int     `json:"ok"`
	Refused   int     `json:"refused"` // 503 with Retry-After
	Failed    int     `json:"failed"`  // wrong answers
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	ServerCPU float64 `json:"server_cpu_ms"` // a request
	Elsewhere float64 `json:"processors_elsewhere"`
	Failure   string  `json:"failure,omitempty"` // one of them
}

// summary makes a row of the rounds of one scenario. A round without a single
// answer says nothing about time.
func summary(scenario string, clients int, rounds []Sample) Load {
	l := Load{Scenario: scenario, Clients: clients, Rounds: len(rounds)}
	var told []Sample
	for _, s := range rounds {
		l.OK += s.OK
		l.Refused += s.Refused
		l.Failed += s.failed()
		for what := range s.Failures {
			l.Failure = what
		}
		if s.OK > 0 {
			told = append(told, s)
		}
	}
	l.PerSecond = round(medianOf(told, Sample.rate), 1)
	l.P50 = round(medianOf(told, func(s Sample) float64 { return milliseconds(percentile(s.Latencies, 50)) }), 2)
	l.P99 = round(medianOf(told, func(s Sample) float64 { return milliseconds(percentile(s.Latencies, 99)) }), 2)
	l.ServerCPU = round(medianOf(told, Sample.cpuEach), 3)
	l.Elsewhere = round(medianOf(rounds, Sample.elsewhere), 2)
	return l
}
