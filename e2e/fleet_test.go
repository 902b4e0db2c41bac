package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/account"
	"anteroom/admin"
	"anteroom/internal/demo"
	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/store/postgres"
)

// fleet is the service as operators run it: one process over a file, or two over
// a database behind a balancer, and people to load it with.
type fleet struct {
	t      *testing.T
	issuer string
	dsn    string // "": a file
	nodes  []*process
	rp     *party
	first  atomic.Bool // the balancer sends everything to the first node that lives

	answers atomic.Int64  // what was acknowledged
	over    chan struct{} // closed when the load is over
	lives   []*life
}

const (
	loaded        = "loaded" // the application of the load: everything that a sign-in can ask
	crashPassword = "correct horse battery staple"
)

// startFleet configures and starts one.
func startFleet(t *testing.T, dsns ...string) *fleet {
	t.Helper()
	f := newFleet(t, dsns...)
	f.start()
	return f
}

// newFleet configures one over the database of dsns, one for each node, which may reach
// it in different ways; none is one node over a file.
func newFleet(t *testing.T, dsns ...string) *fleet {
	t.Helper()
	f := &fleet{t: t}
	port, mail := freePort(t), openMailbox(t)
	if len(dsns) == 0 {
		f.nodes = []*process{newProcess(t, mail, port, "")}
	}
	r := rotation{}
	for i, dsn := range dsns {
		dir := filepath.Join(t.TempDir(), "data")
		env := []string{fmt.Sprintf("ANTEROOM_LISTEN=127.0.0.1:%d", freePort(t)), "ANTEROOM_STORE=" + dsn}
		if i > 0 {
			env = append(env, "ANTEROOM_MASTER_KEY_FILE="+filepath.Join(f.nodes[0].dir, "master.key"))
		}
		f.nodes = append(f.nodes, newProcess(t, mail, port, dir, env...))
		r.alive = append(r.alive, f.nodes[i].address)
		f.dsn = dsn
	}
	if len(dsns) > 0 {
		balance(t, strconv.Itoa(port), func() []string {
			if f.first.Load() {
				return r.alive
			}
			return r.next()
		})
	}
	f.issuer = f.nodes[0].issuer
	return f
}

// start starts the nodes, and makes the application.
func (f *fleet) start() {
	f.t.Helper()
	for _, node := range f.nodes {
		node.start()
	}
	f.furnish()
}

// furnish makes an application that asks for a second factor, terms and consent.
func (f *fleet) furnish() {
	f.t.Helper()
	yes, once, assigned, name, launch := true, string(store.ConsentOnce), string(store.AccessAssigned), "Loaded", "http://localhost:9/"
	err := errors.Join(
		f.op().Do(f.t.Context(), http.MethodPost, "/applications", admin.CreateApplication{ID: loaded, ChangeApplication: admin.ChangeApplication{
			Name: &name, LaunchURL: &launch, RequireMFA: &yes, Consent: &once, Access: &assigned,
		}}, nil),
		f.op().Do(f.t.Context(), http.MethodPost, "/applications/"+loaded+"/terms", admin.PublishTerms{Markdown: "Be kind."}, nil))
	if err != nil {
		f.t.Fatal(err)
	}
	if f.rp, err = register(f.t.Context(), f.op(), f.issuer, loaded); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(f.rp.http.CloseIdleConnections)
}

// op is an operator at the last node that lives: tests kill the first.
func (f *fleet) op() *demo.Operator {
	for i := len(f.nodes) - 1; i > 0; i-- {
		if f.nodes[i].alive.Load() {
			return f.nodes[i].op
		}
	}
	return f.nodes[0].op
}

// populate moves people in who have a password, and no second factor yet.
func (f *fleet) populate(n int) []*life {
	f.t.Helper()
	hash, err := account.NewHasher(1).Hash(f.t.Context(), crashPassword)
	if err != nil {
		f.t.Fatal(err)
	}
	var lines bytes.Buffer
	var people []*life
	for i := range n {
		email := fmt.Sprintf("member%03d@acme.example", len(f.lives)+i)
		if err := json.NewEncoder(&lines).Encode(map[string]any{
			"user_name": email, "email": email, "password_hash": hash, "assignments": []map[string]string{{"application": loaded}},
		}); err != nil {
			f.t.Fatal(err)
		}
		l := newLife(person{email: email, password: crashPassword}, f.rp, &f.answers)
		l.end = fate(i) % fates
		people = append(people, l)
	}
	var result admin.ImportResult
	if err := f.op().Do(f.t.Context(), http.MethodPost, "/accounts/import", &lines, &result); err != nil || result.Imported != n {
		f.t.Fatalf("import: %v %+v", err, result)
	}
	f.lives = append(f.lives, people...)
	f.t.Cleanup(func() {
		for _, l := range people {
			if l.browser != nil {
				l.browser.Client.CloseIdleConnections()
			}
		}
	})
	return people
}

// load lets people live through a whole journey each, eight at once, until ctx ends or
// all are done. What ended a journey is in the trouble of its life; load returns
// what may not happen.
func (f *fleet) load(ctx context.Context, people []*life, bear func(error) bool) []error {
	var mu sync.Mutex
	var wrong []error
	var running sync.WaitGroup
	queue := make(chan int, len(people))
	for i := range people {
		queue <- i
	}
	close(queue)
	for range 8 {
		running.Go(func() {
			for i := range queue {
				if err := f.live(ctx, people[i], bear); err != nil {
					mu.Lock()
					wrong = append(wrong, fmt.Errorf("%s: %w", people[i].email, err))
					mu.Unlock()
				}
			}
		})
	}
	running.Wait()
	return wrong
}

// begin starts a load, and returns what waits for its end.
func (f *fleet) begin(people []*life, bear func(error) bool) (wrong func() []error) {
	over := make(chan struct{})
	f.over = over
	var found []error
	go func() {
		defer close(over)
		found = f.load(f.t.Context(), people, bear)
	}()
	return func() []error { <-over; return found }
}

// awaitAnswers waits until so much more was acknowledged. It fails the test when the
// load is over before: a fault would come too late.
func (f *fleet) awaitAnswers(more int64) {
	f.t.Helper()
	for enough := f.answers.Load() + more; f.answers.Load() < enough; {
		select {
		case <-f.over:
			f.t.Errorf("the load is over after %d answers, and %d were waited for", f.answers.Load(), enough)
			return
		case <-time.After(time.Duration(rand.Int64N(int64(time.Millisecond)))):
		}
	}
}

// live lets one person live, and go on after failures that are borne with.
func (f *fleet) live(ctx context.Context, l *life, bear func(error) bool) error {
	for ctx.Err() == nil {
		err := l.whole(ctx, f.op)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		l.trouble = append(l.trouble, err)
		switch {
		case errors.Is(err, errNoCode), errors.Is(err, errGone) && l.faint:
			return nil // they go home
		case errors.Is(err, errLost) && len(l.trouble) > 1:
			// A sign-in that was cut off begins again.
		case !bear(err):
			return err
		case len(l.trouble) > 100:
			return fmt.Errorf("it does not end: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}

// Failures that people bear with.
func nothing(error) bool       { return false }
func nodesGo(err error) bool   { return errors.Is(err, errGone) }
func storeGoes(err error) bool { return errors.Is(err, errBusy) }

// check asks about every life, and whatever no endpoint shows.
func (f *fleet) check(people []*life) {
	f.t.Helper()
	for _, l := range people {
		for _, loss := range checkLife(f.t, f.op(), l) {
			f.t.Error(loss)
		}
	}
	if fault := checkChain(f.t, f.op()); fault != "" {
		f.t.Error(fault)
	}
	for _, node := range f.nodes {
		node.checkLog()
	}
}

// checkLog: whatever happened to a node, it panicked nowhere, and what it could not do
// is a 503.
func (p *process) checkLog() {
	p.t.Helper()
	for line := range strings.Lines(p.stderr.String()) {
		if strings.Contains(line, "panic") || strings.Contains(line, " status=5") && !strings.Contains(line, " status=503") {
			p.t.Errorf("in the log: %s", line)
		}
	}
}

// checkRows stops the fleet, and looks at all rows of its store.
func (f *fleet) checkRows() {
	f.t.Helper()
	for _, node := range f.nodes {
		switch {
		case node.under != nil:
			node.kill() // what runs it does not hand signals on
		case node.cmd != nil:
			node.terminate()
		}
	}
	for _, fault := range f.rows() {
		f.t.Error(fault)
	}
}

// rows returns what is wrong with the rows of the store. A file must not be in use.
func (f *fleet) rows() []string {
	f.t.Helper()
	s, err := f.open()
	if err != nil {
		f.t.Fatal(err)
	}
	defer s.Close()
	faults, err := checkRows(f.t.Context(), s.(store.Mover))
	if err != nil {
		f.t.Fatal(err)
	}
	return faults
}

// open opens the store, as a node or a command does.
func (f *fleet) open() (store.Store, error) {
	_, log := newLog(f.t)
	if f.dsn == "" {
		return bolt.Open(filepath.Join(f.nodes[0].dir, "anteroom.db"), bolt.Options{Log: log})
	}
	return postgres.Open(f.t.Context(), f.dsn, postgres.Options{Log: log})
}
