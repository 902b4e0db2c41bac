package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxSocket is the longest path of a Unix socket that every system takes.
const maxSocket = 103

// ErrNoSocket: no running service answers at the socket.
var ErrNoSocket = errors.New("no service answers at the administration socket")

// Listen opens the administration socket at path, mode 0600, and replaces one
// that a crashed process left behind. One that answers belongs to another node:
// two of one database file cannot be, but two of one PostgreSQL database can
// share a data folder by mistake, and commands would reach either. Closing the
// listener removes it.
func Listen(path string) (net.Listener, error) {
	name, err := socketName(path)
	if err != nil {
		return nil, err
	}
	if other, err := net.DialTimeout("unix", name, 2*time.Second); err == nil {
		_ = other.Close() // it was only a question
		return nil, fmt.Errorf("another service runs with this data folder and answers at %s; give each node a data folder of its own (data), or stop the other one", path)
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the old administration socket: %w", err)
	}
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, fmt.Errorf("open the administration socket %s: %w", path, err)
	}
	// The data folder has mode 0700, so nobody else came in meanwhile.
	if err := os.Chmod(name, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the administration socket: %w", err), l.Close())
	}
	return l, nil
}

// Dial connects to the administration socket at path. It returns ErrNoSocket if
// there is none, or only one that a crashed process left behind.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	name, err := socketName(path)
	if err != nil {
		return nil, ErrNoSocket // nobody can listen there
	}
	d := net.Dialer{Timeout: 2 * time.Second}
	conn, err := d.DialContext(ctx, "unix", name)
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTSOCK), errors.Is(err, syscall.ENOTDIR):
		return nil, ErrNoSocket
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the administration socket %s belongs to another user; run the command as the user of the service", path)
	}
	return nil, fmt.Errorf("connect to the administration socket %s: %w", path, err)
}

// socketName returns a name for path that is short enough for a Unix socket.
func socketName(path string) (string, error) {
	if len(path) <= maxSocket {
		return path, nil
	}
	if wd, err := os.Getwd(); err == nil {
		if short, err := filepath.Rel(wd, path); err == nil && len(short) <= maxSocket {
			return short, nil
		}
	}
	return "", fmt.Errorf("the path of the administration socket has %d characters, %d fit: choose a data folder with a shorter path (%s)", len(path), maxSocket, path)
}
