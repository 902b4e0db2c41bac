package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"anteroom/internal/demo"
	"anteroom/internal/demo/mailbox"
)

var build struct {
	once sync.Once
	path string
	err  error
}

// built builds the real thing, once.
func built(t *testing.T) string {
	t.Helper()
	build.once.Do(func() {
		dir, err := os.MkdirTemp("", "anteroom-e2e-bin-") //nolint:usetesting // outlives the test that builds it
		if err != nil {
			build.err = err
			return
		}
		build.path = filepath.Join(dir, "anteroom")
		out, err := exec.Command("go", "build", "-pgo=off", "-o", build.path, "anteroom/cmd/anteroom").CombinedOutput()
		if err != nil {
			build.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if build.err != nil {
		t.Fatalf("build the binary: %v", build.err)
	}
	return build.path
}

// process is `anteroom serve`, as operators run it. It survives its own kills.
type process struct {
	t       *testing.T
	issuer  string
	address string // where it listens, host:port
	probes  string // where it answers /readyz, host:port
	dir     string
	mail    *mailbox.Mailbox
	op      *demo.Operator
	env     []string
	under   []string   // a program that runs it, with its arguments
	extra   []*os.File // that this program gets

	cmd    *exec.Cmd
	alive  atomic.Bool
	stderr lines // of all its runs
}

// lines is what a process writes while others read.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serve starts one over a file.
func serve(t *testing.T) *process {
	t.Helper()
	p := newProcess(t, openMailbox(t), freePort(t), "")
	p.start()
	return p
}

// mailServer is one that keeps what it gets.
type mailServer struct {
	*mailbox.Mailbox
	port int
}

func openMailbox(t *testing.T) mailServer {
	t.Helper()
	box, err := mailbox.Open("")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, log := newLog(t)
	go func() { _ = box.Serve(l, log) }()
	t.Cleanup(func() { l.Close() })
	return mailServer{box, l.Addr().(*net.TCPAddr).Port}
}

// newProcess configures one whose issuer has a port: its own, unless env says
// ANTEROOM_LISTEN. dir "" is a new folder.
func newProcess(t *testing.T, mail mailServer, port int, dir string, env ...string) *process {
	t.Helper()
	if dir == "" {
		dir = filepath.Join(t.TempDir(), "data")
	}
	p := &process{t: t, issuer: fmt.Sprintf("http://localhost:%d", port), dir: dir, mail: mail.Mailbox}
	p.address, p.probes = fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	for _, one := range env {
		if listen, ok := strings.CutPrefix(one, "ANTEROOM_LISTEN="); ok {
			p.address = listen
		}
	}
	p.op = demo.NewOperator(filepath.Join(p.dir, "admin.sock"))
	p.env = append(append(os.Environ(),
		"ANTEROOM_ISSUER="+p.issuer, "ANTEROOM_LISTEN="+p.address, "ANTEROOM_DATA="+p.dir, "ANTEROOM_OPERATIONS_LISTEN="+p.probes,
		"ANTEROOM_SMTP_HOST=127.0.0.1", fmt.Sprintf("ANTEROOM_SMTP_PORT=%d", mail.port),
		"ANTEROOM_SMTP_SECURITY=none", "ANTEROOM_SMTP_FROM=no-reply@example.com", "ANTEROOM_PASSWORD_PARALLEL=8"), env...)
	t.Cleanup(func() {
		p.kill()
		p.op.HTTP.CloseIdleConnections()
	})
	return p
}

// start starts the process and returns when it answers.
func (p *process) start() {
	p.t.Helper()
	command := append(slices.Clone(p.under), built(p.t), "serve")
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Env, p.cmd.Stderr, p.cmd.Dir, p.cmd.ExtraFiles = p.env, &p.stderr, filepath.Dir(p.dir), p.extra
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // kill means all of it
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get("http://" + p.address + "/.well-known/openid-configuration")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(deadline) {
			p.kill()
			p.t.Fatalf("the service did not answer within 20 s:\n%s", p.stderr.String())
		}
	}
	// The socket opens after the public listener.
	eventually(p.t, "an answer at the administration socket", 10*time.Second, func() bool {
		return p.op.Do(context.Background(), http.MethodGet, "/keys", nil, nil) == nil
	})
	p.alive.Store(true)
}

// ready asks /readyz and returns "" or why it is red.
func (p *process) ready() string {
	resp, err := http.Get("http://" + p.probes + "/readyz")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	if resp.StatusCode == http.StatusOK {
		return ""
	}
	return fmt.Sprintf("%d: %s", resp.StatusCode, body)
}

// kill is kill -9.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	p.alive.Store(false)
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	_ = p.cmd.Wait()
	p.cmd = nil
}

// terminate is what an init system does: SIGTERM, and the status must be 0.
func (p *process) terminate() {
	p.t.Helper()
	p.alive.Store(false)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			p.t.Errorf("after SIGTERM the service ended with %v:\n%s", err, p.stderr.String())
		}
	case <-time.After(25 * time.Second):
		p.t.Errorf("the service did not stop within 25 s after SIGTERM")
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	}
	p.cmd = nil
}

func TestASecondServiceOnOneDatabaseStopsAndSaysWhoHoldsIt(t *testing.T) {
	t.Parallel()
	p := serve(t)
	second := exec.Command(built(t), "serve")
	second.Env = append(p.env, fmt.Sprintf("ANTEROOM_LISTEN=127.0.0.1:%d", freePort(t)), fmt.Sprintf("ANTEROOM_OPERATIONS_LISTEN=127.0.0.1:%d", freePort(t)))
	second.Dir = filepath.Dir(p.dir)
	start := time.Now()
	out, err := second.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the second one ended with %v", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %s, want 3 s at most", took)
	}
	if !strings.Contains(string(out), fmt.Sprintf("process %d", p.cmd.Process.Pid)) {
		t.Errorf("it does not say who holds the database (process %d): %s", p.cmd.Process.Pid, out)
	}
}
