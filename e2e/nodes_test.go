package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"sync"
	"testing"

	"anteroom/config"
	"anteroom/internal/demo"
	"anteroom/store"
	"anteroom/store/postgres"
	"anteroom/store/postgres/pgtest"
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
	p.rotation = &rotation{}
	for i, folder := range []string{p.dir, filepath.Join(p.dir, "b")} {
		cfg := p.cfg
		cfg.DataDir = folder
		cfg.Listen = fmt.Sprintf("127.0.0.1:%d", freePort(p.t))
		if i > 0 {
			cfg.MasterKeyFile = filepath.Join(p.dir, "master.key")
		}
		p.runNode(cfg, open)
		p.rotation.alive = append(p.rotation.alive, cfg.Listen)
	}
	p.balance(port)
}

// rotation is who gets the next request.
type rotation struct {
	mu    sync.Mutex
	alive []string // addresses
	turn  int
}

func (r *rotation) next() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn++
	return r.alive[r.turn%len(r.alive)]
}

// lose takes the second node away for good: the balancer notices, nobody else may.
func (p *product) lose() {
	p.t.Helper()
	p.rotation.mu.Lock()
	p.rotation.alive = p.rotation.alive[:1]
	p.rotation.mu.Unlock()
	last := len(p.nodes) - 1
	p.nodes[last].cancel()
	if err := <-p.nodes[last].ended; err != nil {
		p.t.Errorf("the node ended with %v", err)
	}
	p.nodes = p.nodes[:last]
}

func (p *product) balance(port string) {
	p.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		p.t.Fatal(err)
	}
	balancer := &http.Server{Handler: &httputil.ReverseProxy{Director: func(r *http.Request) {
		r.URL.Scheme, r.URL.Host = "http", p.rotation.next()
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

// Nothing of a pending sign-in, of an enrolment or of a session is in a node.
func TestASignInBegunOnANodeThatGoesEndsOnAnother(t *testing.T) {
	for name, loseAt := range map[string]int{"at the password": 0, "at the enrolment": 1, "at the recovery codes": 2, "at the terms": 3, "at the portal": 4} {
		t.Run(name, func(t *testing.T) {
			p := startOver(t, pgtest.Database(t))
			ann, tab := newPerson("ann@acme.example"), newPlain(t)
			tab.Open(p.invite(ann, demo.PartnerAnalytics, "viewer"))
			steps := []func(){
				func() { tab.Press("activate-submit", "new_password", ann.password) },
				func() { p.enrol(tab, ann) },
				func() { p.saveCodes(tab, ann) },
				func() { tab.Press("terms-submit", "accept", "on"); p.at(tab, "/activated") },
				func() { tab.Press("go-to-portal"); p.arrived(tab, demo.PartnerAnalytics, ann) },
			}
			for i, step := range steps {
				if i == loseAt {
					p.lose()
				}
				step()
			}
		})
	}
}
