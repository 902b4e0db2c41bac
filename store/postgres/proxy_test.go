package postgres

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// fault is what a proxy does to the message of a connection that commits.
type fault int32

const (
	pass       fault = iota
	dropAnswer       // the commit takes place, its answer never arrives
	dropCommit       // the commit never reaches the server
	lateCommit       // the client sees the connection end; the commit arrives later
	lateUnit         // as lateCommit, with the unit's own row
)

// proxy stands before a server and meddles with commits.
type proxy struct {
	net.Listener
	target string
	next   atomic.Int32 // the fault of the next commit
	struck atomic.Int32 // faults so far
	held   atomic.Int32 // commits on their way
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, target: target}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

// strike takes the fault if it is one of those that the caller can make.
func (p *proxy) strike(able ...fault) fault {
	for _, f := range able {
		if p.next.CompareAndSwap(int32(f), int32(pass)) {
			p.struck.Add(1)
			return f
		}
	}
	return pass
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	var unit atomic.Bool // this connection commits a unit of work, not the chain
	go p.requests(client, server, &unit)
	p.answers(server, client, &unit)
}

// answers forwards what the server says.
func (p *proxy) answers(server, client net.Conn, unit *atomic.Bool) {
	defer client.Close()
	in := bufio.NewReader(server)
	for {
		kind, message, err := readMessage(in)
		if err != nil {
			return
		}
		if kind == 'C' && bytes.HasPrefix(message[5:], []byte("COMMIT\x00")) && unit.Swap(false) && p.strike(dropAnswer) != pass {
			_ = server.Close()
			return
		}
		if _, err := client.Write(message); err != nil {
			_, _ = io.Copy(io.Discard, in) // until requests has said the rest
			return
		}
	}
}

// requests forwards what the client says. It remembers which prepared statement
// is which.
func (p *proxy) requests(client, server net.Conn, unit *atomic.Bool) {
	in := bufio.NewReader(client)
	names := map[string]string{}
	if err := forwardStartup(in, server); err != nil {
		_ = server.Close()
		return
	}
	held := false
	defer func() {
		_ = server.Close()
		if held {
			p.held.Add(-1)
		}
	}()
	for {
		kind, message, err := readMessage(in)
		if err != nil {
			return
		}
		parts := bytes.SplitN(message[5:], []byte{0}, 3)
		switch {
		case kind == 'P':
			names[string(parts[0])] = string(parts[1])
		case kind == 'B' && names[string(parts[1])] == "commit" && unit.Load():
			switch p.strike(dropCommit, lateCommit) {
			case dropCommit:
				_ = client.Close()
				return
			case lateCommit:
				held = p.hold(client)
			}
		case kind == 'B' && names[string(parts[1])] == insertUnit:
			unit.Store(true)
			if p.strike(lateUnit) != pass {
				held = p.hold(client)
			}
		}
		if _, err := server.Write(message); err != nil {
			_ = client.Close()
			return
		}
	}
}

// hold lets the client believe that the connection ended, and waits before the
// rest goes to the server. What the client sent is read before.
func (p *proxy) hold(client net.Conn) bool {
	p.held.Add(1)
	_ = client.(*net.TCPConn).CloseWrite()
	time.Sleep(300 * time.Millisecond)
	return true
}

func forwardStartup(in *bufio.Reader, server io.Writer) error {
	var size [4]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return err
	}
	rest := make([]byte, binary.BigEndian.Uint32(size[:])-4)
	if _, err := io.ReadFull(in, rest); err != nil {
		return err
	}
	_, err := server.Write(append(size[:], rest...))
	return err
}

// readMessage reads one message of the protocol: a type, a length, the rest.
func readMessage(in *bufio.Reader) (kind byte, message []byte, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(in, head); err != nil {
		return 0, nil, err
	}
	message = make([]byte, 1+binary.BigEndian.Uint32(head[1:]))
	copy(message, head)
	_, err = io.ReadFull(in, message[5:])
	return head[0], message, err
}
