package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"anteroom/config"
	"anteroom/internal/demo"
	"anteroom/store"
	"anteroom/store/postgres"
	"anteroom/store/postgres/pgtest"
)

// onPostgres says what this run is over.
func onPostgres() bool { return os.Getenv("ANTEROOM_E2E_STORE") == "postgres" }

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
	balancer := balance(p.t, port, p.rotation.next)
	one := &running{ended: make(chan error, 1)}
	one.cancel = func() { one.ended <- balancer.Close() }
	// First to stop: nobody is sent to a node that is gone.
	p.nodes = append([]*running{one}, p.nodes...)
}

// rotation is who gets the next request.
type rotation struct {
	mu    sync.Mutex
	alive []string // addresses
	turn  int
}

// next returns all addresses, in the order in which they are tried.
func (r *rotation) next() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn++
	n := r.turn % len(r.alive)
	return slices.Concat(r.alive[n:], r.alive[:n])
}

// goneHeader marks an answer of the balancer itself: the node that had the request
// went away.
const goneHeader = "X-Node-Gone"

// balance serves until it is closed. A node that takes no connection is passed over, as
// balancers do; a request that a node has had is not sent to another.
func balance(t *testing.T, port string, order func() []string) *http.Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	dial := func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
		for _, address := range order() {
			var d net.Dialer
			if conn, err = d.DialContext(ctx, network, address); err == nil {
				return conn, nil
			}
		}
		return nil, err
	}
	balancer := &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", "nodes", r.In.Host
			r.SetXForwarded()
		},
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set(goneHeader, err.Error())
			w.WriteHeader(http.StatusBadGateway)
		},
	}}
	go func() { _ = balancer.Serve(l) }()
	t.Cleanup(func() { _ = balancer.Close() })
	return balancer
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

// Nothing of a pending sign-in, of an enrolment or of a session is in a node.
func TestASignInBegunOnANodeThatGoesEndsOnAnother(t *testing.T) {
	t.Parallel()
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
