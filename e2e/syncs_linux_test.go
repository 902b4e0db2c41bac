package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tracer runs a process under strace, which holds back each sync for a moment and
// tells of it, so that the process can be killed before the nth one. strace's own
// counting (when=N) will not do: it counts for each thread, and Go's syncs wander.
type tracer struct {
	*process
	mu     sync.Mutex
	left   int // syncs until the kill; 0: none
	struck chan struct{}
}

func (p *process) traced() *tracer {
	p.t.Helper()
	if err := exec.Command("strace", "-f", "--seccomp-bpf", "-o", os.DevNull, "-e", "trace=fdatasync", "true").Run(); err != nil {
		p.t.Skipf("SKIPPED: faults of the system need strace, and leave to trace: %v", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { w.Close() })
	p.under = []string{"strace", "-f", "--seccomp-bpf", "-o", "/dev/fd/3", "-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:delay_enter=15000"}
	p.extra = []*os.File{w}
	tr := &tracer{process: p}
	go func() {
		defer r.Close()
		for scan := bufio.NewScanner(r); scan.Scan(); {
			if strings.Contains(scan.Text(), "sync(") {
				tr.sync()
			}
		}
	}()
	return tr
}

// sync is about to happen.
func (tr *tracer) sync() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.left == 0 {
		return
	}
	if tr.left--; tr.left == 0 {
		_ = syscall.Kill(-tr.cmd.Process.Pid, syscall.SIGKILL)
		close(tr.struck)
	}
}

// killAt kills the process before the nth sync from now on; 0: it lives on.
func (tr *tracer) killAt(n int) (struck <-chan struct{}) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.left, tr.struck = n, make(chan struct{})
	return tr.struck
}

// tellWithin is how long what strace saw may take to arrive here.
const tellWithin = 3 * time.Second

// The pages of a commit are synced, then its head: each step of a journey meets both
// between and after.
func TestKilledAtTheNthSyncOfAJourney(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	node := f.nodes[0].traced()
	f.start()
	const least = 16 // eight commits
	again := 3
	for n := 1; ; n++ {
		people := f.populate(1)
		people[0].end = fate(n) % fates
		struck := node.killAt(n)
		wrong := f.begin(people, nodesGo)
		select {
		case <-struck:
		case <-f.over:
			select { // strace tells a moment later than the answer comes
			case <-struck:
			case <-time.After(tellWithin):
			}
		}
		node.killAt(0)
		reached := true
		select {
		case <-struck: // perhaps by a sync of the service's own, after the last of the journey
			reached = false
			node.kill()
			node.start()
		default:
		}
		for _, err := range wrong() {
			t.Errorf("sync %d: %v", n, err)
		}
		f.check(people)
		if !reached {
			continue
		}
		t.Logf("a journey has %d syncs", n-1)
		if n > least {
			break
		}
		// On a busy machine strace may tell too late: then this one is still to be done.
		if again--; again < 0 {
			t.Fatalf("a journey has %d syncs, and each of its eight commits needs two", n-1)
		}
		n--
	}
	f.checkRows()
}
