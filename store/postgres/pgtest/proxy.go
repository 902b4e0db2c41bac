package pgtest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Fault is what a proxy does to the connection of a unit of work that commits.
type Fault int32

// The faults of a commit.
const (
	NoFault    Fault = iota
	DropAnswer       // the commit takes place, its answer never arrives
	DropCommit       // the commit never reaches the server
	LateCommit       // the client sees the connection end; the commit arrives later
	LateUnit         // as LateCommit, with the unit's own row
)

// Proxy stands before a server and meddles with commits. It reads the extended
// query protocol of PostgreSQL without TLS.
type Proxy struct {
	net.Listener
	target string
	next   atomic.Int32 // the fault of the next commit
	struck atomic.Int32 // faults so far
	held   atomic.Int32 // commits on their way

	mu     sync.Mutex
	count  int              // commits since Watch, those of the chain included
	strike func(n int) When // of Watch
	hit    func()
}

// When says where the nth commit meets its fate.
type When int

// The sides of a commit.
const (
	Never        When = iota
	BeforeCommit      // the server never sees it
	AfterCommit       // it took place, and its answer goes nowhere
)

// NewProxy listens on a free port until the test is over.
func NewProxy(t testing.TB, server *Server) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Listener: l, target: server.Addr()}
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

// Before returns a connection string of the server with the proxy in its place.
func (p *Proxy) Before(dsn string) string {
	return strings.Replace(dsn, p.target, p.Addr().String(), 1)
}

// Next lets the next commit of a unit of work meet a fault.
func (p *Proxy) Next(f Fault) { p.next.Store(int32(f)) }

// Struck is how many commits met one.
func (p *Proxy) Struck() int { return int(p.struck.Load()) }

// Settle waits until all late commits have arrived.
func (p *Proxy) Settle() {
	for p.held.Load() > 0 {
		time.Sleep(10 * time.Millisecond)
	}
}

// Watch counts every commit from now on, beginning with 1. Where strike says so, hit is
// called on that side of the commit, and then the connection ends. nil: no more.
func (p *Proxy) Watch(strike func(n int) When, hit func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count, p.strike, p.hit = 0, strike, hit
}

// commit counts one and says what becomes of it.
func (p *Proxy) commit() (When, func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.strike == nil {
		return Never, nil
	}
	p.count++
	return p.strike(p.count), p.hit
}

// meet takes the fault if it is one of those that the caller can make.
func (p *Proxy) meet(able ...Fault) Fault {
	for _, f := range able {
		if p.next.CompareAndSwap(int32(f), int32(NoFault)) {
			p.struck.Add(1)
			return f
		}
	}
	return NoFault
}

// link is one connection through the proxy.
type link struct {
	*Proxy
	client, server net.Conn
	unit           atomic.Bool            // it commits a unit of work, not the chain
	after          atomic.Pointer[func()] // what to do when the commit under way is answered
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{Proxy: p, client: client, server: server}
	go l.requests()
	l.answers()
}

// answers forwards what the server says.
func (l *link) answers() {
	defer l.client.Close()
	in := bufio.NewReader(l.server)
	for {
		kind, message, err := readMessage(in)
		if err != nil {
			return
		}
		if kind == 'C' && bytes.HasPrefix(message[5:], []byte("COMMIT\x00")) {
			if hit := l.after.Swap(nil); hit != nil {
				(*hit)()
				_ = l.server.Close()
				return
			}
			if l.unit.Swap(false) && l.meet(DropAnswer) != NoFault {
				_ = l.server.Close()
				return
			}
		}
		if _, err := l.client.Write(message); err != nil {
			_, _ = io.Copy(io.Discard, in) // until requests has said the rest
			return
		}
	}
}

// insertUnit is how the statement begins that a unit of work ends with.
const insertUnit = "INSERT INTO units "

// requests forwards what the client says. It remembers which prepared statement
// is which.
func (l *link) requests() {
	in := bufio.NewReader(l.client)
	names := map[string]string{}
	if err := forwardStartup(in, l.server); err != nil {
		_ = l.server.Close()
		return
	}
	held := false
	defer func() {
		_ = l.server.Close()
		if held {
			l.held.Add(-1)
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
		case kind == 'B' && names[string(parts[1])] == "commit":
			when, hit := l.commit()
			switch {
			case when == BeforeCommit:
				hit()
				_ = l.client.Close()
				return
			case when == AfterCommit:
				l.after.Store(&hit)
			case l.unit.Load():
				switch l.meet(DropCommit, LateCommit) {
				case DropCommit:
					_ = l.client.Close()
					return
				case LateCommit:
					held = l.hold()
				}
			}
		case kind == 'B' && strings.HasPrefix(names[string(parts[1])], insertUnit):
			l.unit.Store(true)
			if l.meet(LateUnit) != NoFault {
				held = l.hold()
			}
		}
		if _, err := l.server.Write(message); err != nil {
			_ = l.client.Close()
			return
		}
	}
}

// hold lets the client believe that the connection ended, and waits before the
// rest goes to the server. What the client sent is read before.
func (l *link) hold() bool {
	l.held.Add(1)
	_ = l.client.(*net.TCPConn).CloseWrite()
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
