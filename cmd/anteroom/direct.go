package main

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// direct calls a handler in this process as if it were far away: same requests,
// same answers, streams included.
type direct struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	if req.Body == nil {
		req.Body = http.NoBody
	}
	req.RequestURI = req.URL.RequestURI()
	body, writer := io.Pipe()
	w := &directWriter{header: http.Header{}, pipe: writer, started: make(chan struct{})}
	go func() {
		defer func() {
			err := error(nil)
			if fault := recover(); fault != nil {
				err = errors.New("the handler failed")
			}
			w.WriteHeader(http.StatusOK)
			_ = writer.CloseWithError(err) // never fails
			_ = req.Body.Close()           // the reader's own business
		}()
		d.handler.ServeHTTP(w, req)
	}()
	<-w.started
	length := int64(-1)
	if n, err := strconv.ParseInt(w.sent.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	return &http.Response{
		Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: body, ContentLength: length, Request: req,
	}, nil
}

type directWriter struct {
	header  http.Header
	sent    http.Header // as they were at WriteHeader
	status  int
	pipe    *io.PipeWriter
	started chan struct{}
	once    sync.Once
}

func (w *directWriter) Header() http.Header { return w.header }

func (w *directWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.started)
	})
}

func (w *directWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(b)
}
