package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"anteroom/admin"
)

// Operator speaks to the administration interface of a running server, as the
// commands do.
type Operator struct {
	HTTP *http.Client
}

// NewOperator returns one who uses the administration socket.
func NewOperator(socket string) *Operator {
	return &Operator{HTTP: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return admin.Dial(ctx, socket) },
	}}}
}

// Do sends in as JSON to a path below admin.Base and reads the answer into out;
// both may be nil. in may also be an io.Reader, which goes out as it is. A
// refusal is a *admin.Problem.
func (o *Operator) Do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	switch in := in.(type) {
	case nil:
	case io.Reader:
		body = in
	default:
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://anteroom"+admin.Base+path, body)
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := o.HTTP.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= 300 {
		problem := &admin.Problem{Status: resp.StatusCode, Title: resp.Status}
		_ = json.Unmarshal(answer, problem) // what is no problem document has its status
		return fmt.Errorf("%s %s: %w", method, path, problem)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// missing tells whether err says that there is no such thing.
func missing(err error) bool {
	problem, ok := errors.AsType[*admin.Problem](err)
	return ok && problem.Status == http.StatusNotFound
}
