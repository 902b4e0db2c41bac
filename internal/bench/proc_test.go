package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const after = " S 1 17 17 0 -1 4194560 11 0 0 0 123 45 9 9 20 0 8 0 100 0"
	for name, text := range map[string]string{
		"a plain name":        "17 (anteroom)" + after,
		"a name with a space": "17 (tmux: server)" + after,
		"a name to confuse":   "17 (a) R 1 2 3 (b)" + after,
	} {
		got, err := parseStat(text)
		if err != nil || got != 168*tick {
			t.Errorf("%s: got %v (%v), want %v", name, got, err, 168*tick)
		}
	}
	for _, text := range []string{"", "17 (anteroom) S 1", "no parentheses", strings.Replace("17 (a)"+after, "123", "x", 1)} {
		if got, err := parseStat(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestParseStatus(t *testing.T) {
	got, err := parseStatus("Name:\tanteroom\nVmPeak:\t  999 kB\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\nRssAnon:\t 512 kB\nThreads:\t9\n")
	if want := (Memory{Resident: 1 << 20, Peak: 2 << 20, Own: 1 << 19}); err != nil || got != want {
		t.Errorf("got %+v (%v), want %+v", got, err, want)
	}
	for _, text := range []string{"", "VmRSS:\t1024 kB\n", "VmRSS:\t1 MB\nVmHWM:\t1 MB\n", "VmRSS:\tx kB\nVmHWM:\t1 kB\nRssAnon:\t1 kB\n", "VmRSS:\t1 kB\nVmHWM:\t1 kB\n"} {
		if got, err := parseStatus(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, got)
		}
	}
}

func TestParseBusyLeavesIdleTimeOut(t *testing.T) {
	got, err := parseBusy("cpu  10 20 30 4000 500 6 7 8 900 1000\ncpu0 1 2 3\n")
	if want := 81 * tick; err != nil || got != want {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
	for _, text := range []string{"", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3", "cpu 1 2 3 4 5 6 7 x"} {
		if got, err := parseBusy(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestOwnCPUGrowsWithWork(t *testing.T) {
	before, end := ownCPU(), time.Now().Add(50*time.Millisecond)
	for time.Now().Before(end) {
	}
	if got := ownCPU() - before; got <= 0 {
		t.Errorf("50 ms of work took %v", got)
	}
}

func TestOneEndOfACallIsOneSync(t *testing.T) {
	for line, want := range map[string]bool{
		"17  fdatasync(7)                      = 0":                       true,
		"17    fdatasync(7) = 0":                                          true,
		"17  fdatasync(7 <unfinished ...>":                                false,
		"17  <... fdatasync resumed>)          = 0":                       true,
		"17  <... fdatasync resumed>) = -1 EIO (Input/output error)":      false,
		"17  fdatasync(7) = -1 EIO (Input/output error)":                  false,
		"17  fsync(7) = 0":                                                false,
		"17  +++ exited with 0 +++":                                       false,
		"17  --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, x=0} ---": false,
		"17  write(1, \"fdatasync(7) = 0\", 16) = 0":                      false,
		"17": false,
		"":   false,
	} {
		if got := syncDone(line); got != want {
			t.Errorf("%q: got %v, want %v", line, got, want)
		}
	}
}

func TestCallsOfSeveralThreadsAreCountedOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "strace.log")
	text := "17  fdatasync(7 <unfinished ...>\n18  fdatasync(8) = 0\n17  <... fdatasync resumed>) = 0\n17  fdatasync(7 <unfinished ...>\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := countSyncs(file); err != nil || got != 2 {
		t.Errorf("got %d (%v), want 2", got, err)
	}
	if _, err := countSyncs(file + ".none"); err == nil {
		t.Error("a file that is not there was counted")
	}
}

func TestCommitsAreMediansAndKeepTheirOrder(t *testing.T) {
	var c counter
	for _, n := range []float64{2, 2, 6} {
		c.add("refresh", reading{seen: n, commits: n / 2})
		c.add("discovery", reading{})
	}
	got := c.rows()
	want := []Commits{
		{Request: "refresh", Times: 3, Seen: 2, Commits: 1, Limit: 1},
		{Request: "discovery", Times: 3},
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
