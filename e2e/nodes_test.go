package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"sync/atomic"

	"anteroom/config"
	"anteroom/store"
	"anteroom/store/postgres"
)

// runTwoNodes starts two nodes over one PostgreSQL database behind a balancer that
// gives every other request to the other one: no page is served by the node that
// served the page before. Journeys are the same with it: ANTEROOM_E2E_STORE=postgres.
func (p *product) runTwoNodes() {
	p.t.Helper()
	_, port, err := net.SplitHostPort(p.cfg.Listen)
	if err != nil {
		p.t.Fatal(err)
	}
	open := func(config.Config) (store.Store, error) {
		return postgres.Open(context.Background(), p.dsn, postgres.Options{Log: p.log, Now: p.clock.now})
	}
	var backends []string
	for i, folder := range []string{p.dir, filepath.Join(p.dir, "b")} {
		cfg := p.cfg
		cfg.DataDir = folder
		cfg.Listen = fmt.Sprintf("127.0.0.1:%d", freePort(p.t))
		if i > 0 {
			cfg.MasterKeyFile = filepath.Join(p.dir, "master.key")
		}
		p.runNode(cfg, open)
		backends = append(backends, cfg.Listen)
	}
	p.balance(port, backends)
}

func (p *product) balance(port string, backends []string) {
	p.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		p.t.Fatal(err)
	}
	var turn atomic.Uint64
	balancer := &http.Server{Handler: &httputil.ReverseProxy{Director: func(r *http.Request) {
		r.URL.Scheme, r.URL.Host = "http", backends[turn.Add(1)%uint64(len(backends))]
	}}}
	one := &running{ended: make(chan error, 1), cancel: func() { _ = balancer.Close() }}
	go func() {
		err := balancer.Serve(l)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		one.ended <- err
	}()
	// First to stop: nobody is sent to a node that is gone.
	p.nodes = append([]*running{one}, p.nodes...)
}
