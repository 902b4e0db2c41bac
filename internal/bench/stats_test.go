package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPercentileIsTheNearestRank(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		{nil, 50, 0},
		{[]time.Duration{7}, 50, 7},
		{[]time.Duration{7}, 99, 7},
		{[]time.Duration{1, 2}, 50, 1},
		{[]time.Duration{1, 2, 3}, 50, 2},
		{[]time.Duration{1, 2, 3, 4}, 99, 4},
		{hundred, 0, 1},
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 100, 100},
	} {
		if got := percentile(c.sorted, c.p); got != c.want {
			t.Errorf("percentile %g of %d values: got %d, want %d", c.p, len(c.sorted), got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0}, {[]float64{4}, 4}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 3, 2, 1}, 2.5},
	} {
		before := append([]float64{}, c.values...)
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v: got %g, want %g", before, got, c.want)
		}
		for i := range before {
			if c.values[i] != before[i] {
				t.Errorf("median has changed its argument: %v, was %v", c.values, before)
			}
		}
	}
}

func TestRoundAndPerOne(t *testing.T) {
	for _, c := range []struct{ got, want float64 }{
		{round(1.2345, 2), 1.23}, {round(1.235001, 2), 1.24}, {round(-0.06, 1), -0.1}, {round(7, 0), 7},
		{perOne(10, 4), 2.5}, {perOne(10, 0), 0}, {milliseconds(1500 * time.Microsecond), 1.5},
	} {
		if c.got != c.want {
			t.Errorf("got %g, want %g", c.got, c.want)
		}
	}
}

func TestSummaryTakesMediansOfRounds(t *testing.T) {
	second := func(ok int, each, cpu time.Duration) Sample {
		s := Sample{OK: ok, Took: time.Second, ServerCPU: cpu, Elsewhere: 500 * time.Millisecond}
		for range ok {
			s.Latencies = append(s.Latencies, each)
		}
		return s
	}
	slow := second(10, 90*time.Millisecond, 100*time.Millisecond)
	slow.Failures, slow.Refused = map[string]int{"status 500": 3}, 2
	got := summary("x", 16, []Sample{second(100, 2*time.Millisecond, 200*time.Millisecond), slow, second(80, 3*time.Millisecond, 400*time.Millisecond)})
	want := Load{
		Scenario: "x", Clients: 16, Rounds: 3, OK: 190, Refused: 2, Failed: 3, Failure: "status 500",
		PerSecond: 80, P50: 3, P99: 3, ServerCPU: 5, Elsewhere: 0.5,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestARoundWithoutAnswersSaysNothingAboutTime(t *testing.T) {
	none := Sample{Took: time.Second, Failures: map[string]int{"connection refused": 7}}
	good := Sample{OK: 1, Took: time.Second, Latencies: []time.Duration{time.Millisecond}, ServerCPU: time.Millisecond}
	got := summary("x", 1, []Sample{none, good})
	if got.PerSecond != 1 || got.P50 != 1 || got.ServerCPU != 1 || got.Failed != 7 {
		t.Errorf("got %+v", got)
	}
	if got := summary("x", 1, []Sample{none}); got.PerSecond != 0 || got.P99 != 0 || got.Failed != 7 {
		t.Errorf("nothing but failures: got %+v", got)
	}
}

func TestFailuresAreToldByTheirFirstLine(t *testing.T) {
	got := firstLine(errors.New("status 500: x\nmore"))
	if got != "status 500: x" {
		t.Errorf("got %q", got)
	}
	if got := firstLine(errors.New(strings.Repeat("x", 1000))); len(got) != 200 {
		t.Errorf("%d bytes", len(got))
	}
}
