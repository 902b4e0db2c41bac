package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"anteroom/admin"
	"anteroom/config"
	"anteroom/server"
	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/store/postgres"
)

// api is the administration interface, wherever it runs.
type api struct {
	cfg   config.Config
	http  *http.Client
	close func() error
}

// connect reaches the running service over its socket, or, if none runs, opens
// the store and serves the same handlers in this process.
func (a *app) connect(ctx context.Context) (*api, error) {
	cfg, err := a.load()
	if err != nil && !errors.Is(err, errNoConfig) {
		return nil, err
	}
	found, dialErr := overSocket(ctx, cfg)
	if dialErr == nil {
		return found, nil
	}
	if err != nil {
		return nil, err // no configuration, and no service in the default data folder
	}
	if !errors.Is(dialErr, admin.ErrNoSocket) {
		return nil, dialErr
	}
	found, err = inProcess(ctx, cfg, a.stderr)
	if err != nil {
		// A service that is just starting holds the store before its socket answers.
		if found, dialErr := overSocket(ctx, cfg); dialErr == nil {
			return found, nil
		}
		return nil, err
	}
	return found, nil
}

func overSocket(ctx context.Context, cfg config.Config) (*api, error) {
	probe, err := admin.Dial(ctx, cfg.AdminSocket())
	if err != nil {
		return nil, err
	}
	if err := probe.Close(); err != nil {
		return nil, err
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return admin.Dial(ctx, cfg.AdminSocket())
	}}
	return &api{cfg: cfg, http: &http.Client{Transport: transport}, close: func() error {
		transport.CloseIdleConnections()
		return nil
	}}, nil
}

// inProcess opens the store for one command. What the rooms have to say beside
// the command's own answer is worth a line only if it is a warning.
func inProcess(ctx context.Context, cfg config.Config, stderr io.Writer) (*api, error) {
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	rooms, err := server.Assemble(cfg, openStore(ctx, log), log, nil)
	if err != nil {
		return nil, err
	}
	return &api{cfg: cfg, http: &http.Client{Transport: direct{rooms.Admin}}, close: rooms.Close}, nil
}

// policyAge is how long a node may go by what it knows of clients and
// applications. docs/operations-stores.md promises a second.
const policyAge = 500 * time.Millisecond

// openStore opens the store that the configuration names.
func openStore(ctx context.Context, log *slog.Logger) func(config.Config) (store.Store, error) {
	return func(cfg config.Config) (store.Store, error) {
		if dsn := cfg.PostgresDSN(); dsn != "" {
			return openPostgres(ctx, dsn, postgres.Options{Log: log, PolicyAge: policyAge})
		}
		return bolt.Open(cfg.BoltPath(), bolt.Options{Log: log})
	}
}

// openPostgres returns no store with an error, not one of no value.
func openPostgres(ctx context.Context, dsn string, o postgres.Options) (store.Store, error) {
	s, err := postgres.Open(ctx, dsn, o)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// with runs do with the administration interface.
func (a *app) with(do func(ctx context.Context, api *api, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) (err error) {
		api, err := a.connect(c.Context())
		if err != nil {
			return err
		}
		defer func() {
			if closeErr := api.close(); err == nil {
				err = closeErr
			}
		}()
		err = do(c.Context(), api, args)
		if refused, ok := errors.AsType[*refusal](err); ok {
			refused.isFlag = func(name string) bool { return c.Flags().Lookup(name) != nil }
		}
		return err
	}
}

// refusal is a Problem of the interface, in the words of the command line.
type refusal struct {
	admin.Problem
	isFlag func(name string) bool
}

func (r *refusal) Error() string {
	switch len(r.Errors) {
	case 0:
		return clean(r.Detail)
	case 1:
		return r.mistake(r.Errors[0])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d things are wrong:", len(r.Errors))
	for _, m := range r.Errors {
		b.WriteString("\n  " + r.mistake(m))
	}
	return b.String()
}

func (r *refusal) mistake(m admin.Mistake) string {
	name, which := flag(m.Field)
	if first, _, _ := strings.Cut(name, " "); r.isFlag != nil && r.isFlag(first) {
		name = "--" + name
	}
	return clean(name + which + ": " + m.Detail)
}

// request sends in (nil: nothing; an io.Reader: as it is; else JSON). The caller
// closes the body of the answer.
func (c *api) request(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	kind := "application/json"
	switch in := in.(type) {
	case nil:
	case io.Reader:
		body, kind = in, "application/jsonl"
	default:
		data, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("write the request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://anteroom"+admin.Base+path, body)
	if err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the service went away before it answered; look whether it runs, and at what came of the command: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var p admin.Problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&p); err != nil || p.Detail == "" {
		return nil, fmt.Errorf("the service answered %s in words this command does not know; are both of the same version?", resp.Status)
	}
	return nil, &refusal{Problem: p}
}

// do sends in and reads the answer into out (nil: not).
func (c *api) do(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.request(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the answer of the service: %w", err)
	}
	return nil
}

// all reads every page of a listing.
func all[T any](ctx context.Context, c *api, path string, query url.Values) (admin.List[T], error) {
	whole := admin.List[T]{Items: []T{}}
	q := url.Values{"limit": {"1000"}}
	for name, values := range query {
		q[name] = values
	}
	for {
		var page admin.List[T]
		if err := c.do(ctx, http.MethodGet, path+"?"+q.Encode(), nil, &page); err != nil {
			return whole, err
		}
		whole.Items = append(whole.Items, page.Items...)
		if page.Next == "" {
			return whole, nil
		}
		q.Set("after", page.Next)
	}
}

// seg escapes one segment of a path.
func seg(s string) string { return url.PathEscape(s) }
