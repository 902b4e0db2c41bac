package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// profileListen is where a build with the tag profile serves them.
const profileListen = "127.0.0.1:6099"

// profile saves a CPU profile of the server under every load, one after the
// other. The server must be a build with the tag profile.
func (b *Bench) profile(ctx context.Context, o options) error {
	if err := b.Occupy(ctx); err != nil {
		return err
	}
	scenarios, err := b.Scenarios(ctx)
	if err != nil {
		return err
	}
	whole := 2 * o.time * time.Duration(len(scenarios)) // and what prepares them
	done := make(chan error, 1)
	go func() { done <- fetchProfile(ctx, whole, o.profile) }()
	for begin := time.Now(); time.Since(begin) < whole; {
		for _, s := range scenarios {
			if s.prepare != nil {
				if err := s.prepare(ctx, maxClients, o.time); err != nil {
					return err
				}
			}
			if got := loop(ctx, s.clients, time.Now().Add(o.time)); got.failed() > 0 {
				return fmt.Errorf("%s: %v", s.Name, got.Failures)
			}
		}
	}
	return <-done
}

func fetchProfile(ctx context.Context, d time.Duration, path string) error {
	address := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%.0f", profileListen, d.Seconds())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("the profile (is the binary built with -tags profile?): %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the profile: %s: %.200s", resp.Status, data)
	}
	return errors.Join(err, os.WriteFile(path, data, 0o644)) //nolint:gosec // part of the source
}
