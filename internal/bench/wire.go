package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// wire speaks plain HTTP/1.1 to loopback and nothing else. It does in the caller's
// goroutine what http.Transport does in three, and so leaves more of the
// processors that it shares with the server to the server.
type wire struct {
	mu   sync.Mutex
	idle map[string][]*wireConn // by address
}

type wireConn struct {
	net.Conn
	read  *bufio.Reader
	write *bufio.Writer
}

// wireTimeout bounds one request with its answer.
const wireTimeout = 30 * time.Second

// RoundTrip implements http.RoundTripper. A connection that the server closed
// while it was idle is replaced, once.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		c, used, err := w.conn(r)
		if err != nil {
			return nil, err
		}
		resp, err := c.roundTrip(r)
		if err == nil {
			if !resp.Close {
				w.put(r.URL.Host, c)
				return resp, nil
			}
			return resp, c.Close()
		}
		_ = c.Close()
		if !used || !replayable(r) {
			return nil, err
		}
	}
}

// replayable makes the body of r ready to be sent again.
func replayable(r *http.Request) bool {
	if r.Body == nil {
		return true
	}
	if r.GetBody == nil {
		return false
	}
	body, err := r.GetBody()
	r.Body = body
	return err == nil
}

// conn returns an idle connection, or a new one.
func (w *wire) conn(r *http.Request) (c *wireConn, used bool, err error) {
	w.mu.Lock()
	if idle := w.idle[r.URL.Host]; len(idle) > 0 {
		c = idle[len(idle)-1]
		w.idle[r.URL.Host] = idle[:len(idle)-1]
	}
	w.mu.Unlock()
	if c != nil {
		return c, true, nil
	}
	raw, err := dialLoopback(r.Context(), "tcp", r.URL.Host)
	if err != nil {
		return nil, false, err
	}
	return &wireConn{raw, bufio.NewReader(raw), bufio.NewWriter(raw)}, false, nil
}

func (w *wire) put(host string, c *wireConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.idle == nil {
		w.idle = map[string][]*wireConn{}
	}
	w.idle[host] = append(w.idle[host], c)
}

// roundTrip reads the whole body, so that the connection can be used again.
func (c *wireConn) roundTrip(r *http.Request) (*http.Response, error) {
	if err := c.SetDeadline(time.Now().Add(wireTimeout)); err != nil {
		return nil, err
	}
	if err := r.Write(c.write); err != nil {
		return nil, err
	}
	if err := c.write.Flush(); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(c.read, r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}
