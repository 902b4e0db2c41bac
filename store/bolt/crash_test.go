package bolt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/store"
)

// The test binary runs itself as another process, with the path of a database in
// one of these variables.
const (
	loadVariable = "ANTEROOM_TEST_LOAD"
	holdVariable = "ANTEROOM_TEST_HOLD"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(loadVariable); path != "" {
		load(path)
		return
	}
	if path := os.Getenv(holdVariable); path != "" {
		hold(path)
		return
	}
	os.Exit(m.Run())
}

// load writes units and prints the name of each after it was acknowledged: a row,
// what it used up, and an audit entry, all or nothing. It ends after 50 errors.
func load(path string) {
	s, err := Open(path, Options{Log: quiet()})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	failures := 0
	for worker := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d-%d-%d", os.Getpid(), worker, i)
				err := s.Do(context.Background(), func(ctx context.Context) error {
					return errors.Join(
						s.SetMeta(ctx, name, strings.Repeat("x", i%1000)),
						s.UseOnce(ctx, "load", name, t0, t0.Add(time.Hour)),
						s.AppendAudit(ctx, store.AuditEvent{At: t0, Type: "load", Actor: "system", AccountID: name}))
				})
				mu.Lock()
				if err != nil {
					fmt.Println("error", err)
					if failures++; failures == 50 {
						os.Exit(1)
					}
				} else {
					fmt.Println("ack", name)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func hold(path string) {
	if _, err := Open(path, Options{Log: quiet()}); err != nil {
		fmt.Println("error", err)
		return
	}
	fmt.Println("open")
	time.Sleep(time.Hour)
}

// start runs this binary with a variable set, and returns its lines.
func start(t *testing.T, variable, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), variable+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, bufio.NewScanner(out)
}

func TestKilledInTheMiddleOfALoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	acknowledged := map[string]bool{}
	for round := range 6 {
		cmd, lines := start(t, loadVariable, path)
		enough := 20 + 37*round
		for n := 0; lines.Scan(); n++ {
			name, ok := strings.CutPrefix(lines.Text(), "ack ")
			if !ok {
				t.Fatalf("round %d: %s", round, lines.Text())
			}
			acknowledged[name] = true
			if n == enough {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
		verifyLoad(t, path, acknowledged)
	}
}

// verifyLoad checks that what was acknowledged is there, and that units which
// were not are there whole or not at all.
func verifyLoad(t *testing.T, path string, acknowledged map[string]bool) {
	t.Helper()
	s := open(t, path)
	defer s.Close()
	logged := map[string]bool{}
	prev, after := "", ""
	for more := true; more; more = after != "" {
		rows, next, err := s.AuditEvents(t.Context(), store.AuditFilter{}, store.Page{After: after, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range rows {
			if e.PrevHash != prev || e.Hash != store.AuditHash(e) {
				t.Fatalf("entry %d breaks the chain", e.Seq)
			}
			if logged[e.AccountID] {
				t.Errorf("unit %s is logged twice", e.AccountID)
			}
			prev, logged[e.AccountID] = e.Hash, true
		}
		after = next
	}
	for name := range acknowledged {
		if !logged[name] {
			t.Errorf("acknowledged unit %s is lost", name)
		}
	}
	for name := range logged {
		if _, err := s.Meta(t.Context(), name); err != nil {
			t.Errorf("unit %s is there in part: its row: %v", name, err)
		}
		if err := s.UseOnce(t.Context(), "load", name, t0, t0.Add(time.Hour)); !errors.Is(err, store.ErrConsumed) {
			t.Errorf("unit %s is there in part: its use: %v", name, err)
		}
	}
	rows := 0
	err := s.view(func(tx tx) error {
		for range tx.scan(metadata, "", "") {
			rows++
		}
		return nil
	})
	if err != nil || rows != len(logged) {
		t.Errorf("%d rows and %d audit entries (%v), want as many", rows, len(logged), err)
	}
}

func TestSecondProcessStopsAndNamesTheFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	first, lines := start(t, holdVariable, path)
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("first process: %q", lines.Text())
	}
	begin := time.Now()
	_, err := Open(path, Options{Log: quiet()})
	if err == nil {
		t.Fatal("both processes have it open")
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("took %v, want less than 3 s", took)
	}
	host, _ := os.Hostname()
	for _, want := range []string{fmt.Sprintf("process %d ", first.Process.Pid), host, path} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %q", err, want)
		}
	}
	// When the first is killed, nothing of it is in the way.
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	open(t, path)
}
