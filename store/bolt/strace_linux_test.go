package bolt

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// injected runs this binary under strace, which makes its nth fdatasync fail or
// kill it, and returns what it printed. n counts from the first start on an
// existing database; the file is made before.
func injected(t *testing.T, path, fault string, n int) []string {
	t.Helper()
	if err := exec.Command("strace", "-f", "-o", os.DevNull, "-e", "trace=fdatasync", "true").Run(); err != nil {
		t.Skipf("SKIPPED: faults of the system need strace, and leave to trace: %v", err)
	}
	cmd := exec.Command("strace", "-f", "-o", os.DevNull, "-e", "trace=fdatasync",
		"-e", fmt.Sprintf("inject=fdatasync:%s:when=%d", fault, n), os.Args[0])
	cmd.Env = append(os.Environ(), loadVariable+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer end.Stop()
	var lines []string
	for scan := bufio.NewScanner(out); scan.Scan(); {
		lines = append(lines, scan.Text())
	}
	_ = cmd.Wait() // an error: it was killed, or ended after errors
	return lines
}

func acknowledgedIn(lines []string) map[string]bool {
	names := map[string]bool{}
	for _, line := range lines {
		if name, ok := strings.CutPrefix(line, "ack "); ok {
			names[name] = true
		}
	}
	return names
}

// TestKilledAtTheNthSync stops the process at each of the first syncs of a load:
// between the pages of a commit and its head, and after the head.
func TestKilledAtTheNthSync(t *testing.T) {
	for n := 1; n <= 9; n++ {
		path := filepath.Join(t.TempDir(), "a.db")
		if err := open(t, path).Close(); err != nil {
			t.Fatal(err)
		}
		verifyLoad(t, path, acknowledgedIn(injected(t, path, "signal=KILL", n)))
	}
}

// TestFailedSyncAcknowledgesNothingMore: after the error no unit succeeds, and
// what succeeded before is there.
func TestFailedSyncAcknowledgesNothingMore(t *testing.T) {
	for n := 3; n <= 6; n++ {
		path := filepath.Join(t.TempDir(), "a.db")
		if err := open(t, path).Close(); err != nil {
			t.Fatal(err)
		}
		lines := injected(t, path, "error=EIO", n)
		refused := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "error") })
		if refused < 0 {
			t.Fatalf("sync %d fails and nobody is told", n)
		}
		// Each of the 16 workers may print late what was acknowledged before.
		late := 0
		for _, line := range lines[refused:] {
			if strings.HasPrefix(line, "ack ") {
				late++
			} else if !strings.Contains(line, "store unavailable") || !strings.Contains(line, "input/output error") {
				t.Errorf("after sync %d failed: %q, want an unavailable store and the cause", n, line)
			}
		}
		if late > 16 {
			t.Errorf("after sync %d failed: %d units were acknowledged", n, late)
		}
		verifyLoad(t, path, acknowledgedIn(lines))
	}
}
