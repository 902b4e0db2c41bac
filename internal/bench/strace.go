package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// syncsPerCommit: bbolt syncs its file twice a commit, the pages and then the
// meta page that makes them count (Tx.Commit).
const syncsPerCommit = 2

// strace returns the command that runs another one and writes its calls of
// fdatasync to a file, a line at a time.
func strace(file string) ([]string, error) {
	path, err := exec.LookPath("strace")
	if err != nil {
		return nil, errors.New("strace is not installed")
	}
	// Signals are left out: Go interrupts its threads with them all the time.
	args := []string{path, "-f", "-qq", "-e", "signal=none", "-e", "trace=fdatasync", "-o", file}
	if out, err := exec.Command(path, append(args[1:], "true")...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("strace may not trace here: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return args, nil
}

// syncCounter counts in the output of strace: a call is there before the server
// goes on, and so before it answers.
func syncCounter(file string) *counter {
	return &counter{store: "file", read: func(context.Context) (reading, error) {
		n, err := countSyncs(file)
		return reading{seen: float64(n), commits: float64(n) / syncsPerCommit}, err
	}}
}

// countSyncs counts the calls of fdatasync that have succeeded in the output of
// strace -f.
func countSyncs(file string) (int, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n := 0
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if syncDone(lines.Text()) {
			n++
		}
	}
	return n, lines.Err()
}

// syncDone tells whether a line of strace -f is the end of a successful call of
// fdatasync: in one piece, or resumed after calls of other threads.
//
//	17  fdatasync(7)                      = 0
//	17  fdatasync(7 <unfinished ...>
//	17  <... fdatasync resumed>)          = 0
func syncDone(line string) bool {
	_, call, ok := strings.Cut(strings.TrimSpace(line), " ")
	if !ok {
		return false
	}
	call = strings.TrimSpace(call)
	if !strings.HasPrefix(call, "fdatasync(") && !strings.HasPrefix(call, "<... fdatasync resumed>") {
		return false
	}
	_, result, ok := cutLast(call, "=")
	return ok && strings.TrimSpace(result) == "0"
}
