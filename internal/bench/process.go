package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Product is an installation of the binary: its configuration and data in a
// folder of its own, and the server if it runs.
type Product struct {
	Binary string
	Dir    string
	Issuer string
	Store  string // ANTEROOM_STORE; "": the file

	listen  string
	started *exec.Cmd
	pid     int // of the server, even under strace
	ended   chan error
}

const (
	startWithin = 30 * time.Second
	stopWithin  = 30 * time.Second
)

// Install writes a configuration with the product's own command. The binary
// listens on a port that was free a moment ago.
func Install(ctx context.Context, binary, dir, store string) (*Product, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p := &Product{
		Binary: binary, Dir: dir, Store: store,
		Issuer: fmt.Sprintf("http://localhost:%d", port), listen: fmt.Sprintf("127.0.0.1:%d", port),
	}
	_, err = p.Command(ctx, nil, "init", "--issuer", p.Issuer)
	return p, err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (p *Product) path(name string) string { return filepath.Join(p.Dir, name) }

// command prepares a command of the binary with this installation's
// configuration; wrap comes before it.
func (p *Product) command(ctx context.Context, wrap []string, args ...string) *exec.Cmd {
	argv := append(append([]string{}, wrap...), p.Binary, "--config", p.path("anteroom.yaml"))
	argv = append(argv, args...)
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "ANTEROOM_") { // of somebody else's installation
			c.Env = append(c.Env, pair)
		}
	}
	c.Env = append(c.Env, "ANTEROOM_LISTEN="+p.listen, "ANTEROOM_OPERATIONS_LISTEN=", "PROFILE_LISTEN="+profileListen)
	if p.Store != "" {
		c.Env = append(c.Env, "ANTEROOM_STORE="+p.Store)
	}
	return c
}

// Command runs one of the product's commands and returns its output.
func (p *Product) Command(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	c := p.command(ctx, nil, args...)
	c.Stdin = stdin
	out, err := c.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("anteroom %s: %w: %s", args[0], err, strings.TrimSpace(string(exit.Stderr)))
	}
	return out, err
}

// Start runs the server, under another command if wrap is given, and returns
// how long it took from exec to the first 200 of discovery.
func (p *Product) Start(ctx context.Context, wrap ...string) (time.Duration, error) {
	log, err := os.OpenFile(p.path("server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close() // the process has its own
	c := p.command(ctx, wrap, "serve")
	c.Stdout, c.Stderr = log, log
	begin := time.Now()
	if err := c.Start(); err != nil {
		return 0, err
	}
	p.started, p.ended = c, make(chan error, 1)
	go func(ended chan<- error) { ended <- c.Wait() }(p.ended)
	took, err := awaitOK(ctx, p.Issuer+discoveryPath, begin, p.ended)
	if err != nil {
		return 0, errors.Join(fmt.Errorf("the server did not start; see %s: %w", log.Name(), err), c.Process.Kill())
	}
	p.pid = c.Process.Pid
	if len(wrap) > 0 {
		p.pid, err = onlyChild(p.pid)
	}
	return took, err
}

// awaitOK asks until the answer is 200.
func awaitOK(ctx context.Context, address string, begin time.Time, ended chan error) (time.Duration, error) {
	client := &http.Client{Timeout: time.Second, Transport: newTransport()}
	defer client.CloseIdleConnections()
	for time.Since(begin) < startWithin {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return 0, err
		}
		if resp, err := client.Do(r); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return time.Since(begin), nil
			}
		}
		select {
		case err := <-ended:
			ended <- err
			return 0, fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return 0, fmt.Errorf("no answer within %v", startWithin)
}

// onlyChild returns the process that strace runs.
func onlyChild(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) != 1 {
		return 0, fmt.Errorf("process %d has %d children, want one", pid, len(fields))
	}
	return strconv.Atoi(fields[0])
}

// Stop ends the server as an init system would, and waits for it.
func (p *Product) Stop() error {
	if p.started == nil {
		return nil
	}
	defer func() { p.started = nil }()
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil {
		return errors.Join(err, p.started.Process.Kill())
	}
	select {
	case err := <-p.ended:
		return err
	case <-time.After(stopWithin):
		return errors.Join(fmt.Errorf("the server did not stop within %v", stopWithin), syscall.Kill(p.pid, syscall.SIGKILL))
	}
}

// newTransport reaches loopback and nothing else.
func newTransport() *http.Transport { return &http.Transport{DialContext: dialLoopback} }

// dialLoopback connects to a port of this machine, whatever the name of the host.
func dialLoopback(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}
