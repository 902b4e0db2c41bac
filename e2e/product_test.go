package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/account"
	"anteroom/admin"
	"anteroom/config"
	"anteroom/internal/demo"
	"anteroom/internal/demo/mailbox"
	"anteroom/server"
	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/store/postgres/pgtest"
)

// product is the whole product in this process: its real server on a real port,
// over a real file, sending to a real mail server, with the demo's two portals
// as its relying parties. Only the clock can be moved.
type product struct {
	t       *testing.T
	issuer  string
	dir     string
	mail    *mailbox.Mailbox
	op      *demo.Operator
	portals map[string]string // URL by application
	clock   *clock
	log     *slog.Logger

	cfg   config.Config
	dsn   string // of PostgreSQL; "": one node over a file
	nodes []*running

	rotation *rotation // of the nodes over PostgreSQL
}

// running is one node.
type running struct {
	cancel context.CancelFunc
	ended  chan error
}

// clock is the time of the product and of everybody's phone.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// nextStep goes to the beginning of the next TOTP step: whatever code was used
// before, the one of now was not, and it stays for almost half a minute.
func (c *clock) nextStep() {
	now := c.now()
	c.advance(now.Truncate(Step).Add(Step + time.Second).Sub(now))
}

// start starts a product with the demo's applications and nobody in it.
func start(t *testing.T, changes ...func(*config.Config)) *product {
	t.Helper()
	if onPostgres() {
		return startOver(t, pgtest.Database(t), changes...)
	}
	return startOver(t, "", changes...)
}

// startOver starts one node over a file, or two over the database of dsn.
func startOver(t *testing.T, dsn string, changes ...func(*config.Config)) *product {
	t.Helper()
	p := &product{t: t, dir: t.TempDir(), clock: &clock{}, dsn: dsn}
	_, p.log = newLog(t)
	port := freePort(t)
	p.issuer = fmt.Sprintf("http://localhost:%d", port)
	p.startMail()
	p.configure(port)
	for _, change := range changes {
		change(&p.cfg)
	}
	p.issuer = p.cfg.Issuer
	p.run()
	p.op = demo.NewOperator(p.cfg.AdminSocket())
	p.startPortals()
	t.Cleanup(func() {
		p.stop()
		p.op.HTTP.CloseIdleConnections()
	})
	return p
}

func (p *product) startMail() {
	p.t.Helper()
	box, err := mailbox.Open("")
	if err != nil {
		p.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- box.Serve(l, p.log) }()
	p.t.Cleanup(func() {
		l.Close()
		if err := <-ended; err != nil {
			p.t.Errorf("the mail server: %v", err)
		}
	})
	p.mail, p.cfg = box, config.Default()
	p.cfg.SMTP = config.SMTP{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Security: config.SecurityNone, From: "Anteroom <no-reply@example.com>", Timeout: 10 * time.Second}
}

func (p *product) configure(port int) {
	p.cfg.Issuer, p.cfg.DataDir = p.issuer, p.dir
	p.cfg.Listen = fmt.Sprintf("127.0.0.1:%d", port)
	p.cfg.Operations.Listen = ""
	p.cfg.Password.Parallel = crowd // the race detector makes hashes slow, and a full queue answers 503
}

// run starts the server and returns when it answers.
func (p *product) run() {
	p.t.Helper()
	if p.dsn != "" {
		p.runTwoNodes()
		return
	}
	p.runNode(p.cfg, func(cfg config.Config) (store.Store, error) {
		return bolt.Open(cfg.BoltPath(), bolt.Options{Log: p.log, Now: p.clock.now})
	})
}

func (p *product) runNode(cfg config.Config, open func(config.Config) (store.Store, error)) {
	p.t.Helper()
	rooms, err := server.Assemble(cfg, open, p.log, p.clock.now)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	node := server.New(cfg, rooms, p.log, server.WithReady(func(string) { close(ready) }))
	one := &running{cancel: cancel, ended: make(chan error, 1)}
	go func() {
		err := node.Run(ctx)
		if closed := rooms.Close(); err == nil {
			err = closed
		}
		one.ended <- err
	}()
	select {
	case <-ready:
	case err := <-one.ended:
		p.t.Fatalf("the server did not start: %v", err)
	}
	p.nodes = append(p.nodes, one)
}

func (p *product) stop() {
	p.t.Helper()
	for _, one := range p.nodes {
		one.cancel()
		if err := <-one.ended; err != nil {
			p.t.Errorf("the server ended with %v", err)
		}
	}
	p.nodes = nil
}

// restart stops the server gracefully and starts it again on the same file.
func (p *product) restart() {
	p.t.Helper()
	p.stop()
	p.run()
}

func (p *product) startPortals() {
	p.t.Helper()
	p.portals = map[string]string{}
	handlers := map[string]*atomic.Value{}
	for _, id := range []string{demo.PartnerAnalytics, demo.PCC} {
		handler := &atomic.Value{}
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.Load().(http.Handler).ServeHTTP(w, r) }))
		p.t.Cleanup(web.Close)
		handlers[id] = handler
		// localhost, like the issuer: ports share a host's cookies.
		p.portals[id] = strings.Replace(web.URL, "127.0.0.1", "localhost", 1)
	}
	made := demo.NewPortals(p.issuer, p.portals[demo.PartnerAnalytics], p.portals[demo.PCC], p.log, p.clock.now)
	if err := demo.Furnish(p.t.Context(), p.op, p.dir, made); err != nil {
		p.t.Fatalf("set up the applications: %v", err)
	}
	for id, portal := range made {
		handlers[id].Store(portal.Handler())
	}
}

// do asks the administration interface.
func (p *product) do(method, path string, in, out any) {
	p.t.Helper()
	if err := p.op.Do(p.t.Context(), method, path, in, out); err != nil {
		p.t.Fatal(err)
	}
}

// person is somebody with a phone.
type person struct {
	email    string
	password string
	secret   string // of the authenticator
	recovery []string
}

func newPerson(email string) *person {
	return &person{email: email, password: "correct horse battery staple " + email[:3]}
}

// invite invites somebody to an application and returns the link in the mail.
func (p *product) invite(who *person, application, role string) string {
	p.t.Helper()
	request := admin.InviteRequest{Email: who.email, Application: application, Organisation: "acme"}
	if role != "" {
		request.Access = []admin.RoleFor{{Role: role, Organisation: "acme"}}
	}
	before := len(p.mails(who))
	p.do(http.MethodPost, "/accounts/invite", request, nil)
	return p.link(who, before, "/activate")
}

// move brings somebody in from another system, with a password and access.
func (p *product) move(who *person, access ...string) {
	p.t.Helper()
	hash, err := account.NewHasher(1).Hash(p.t.Context(), who.password)
	if err != nil {
		p.t.Fatal(err)
	}
	line := map[string]any{"user_name": who.email, "email": who.email, "email_verified": true, "password_hash": hash, "organisation": "acme"}
	var assigned []map[string]string
	for _, id := range access {
		assigned = append(assigned, map[string]string{"application": id})
	}
	line["assignments"] = assigned
	if who.secret != "" {
		line["totp_secret"] = who.secret
	}
	data, err := json.Marshal(line)
	if err != nil {
		p.t.Fatal(err)
	}
	var result admin.ImportResult
	p.do(http.MethodPost, "/accounts/import", bytes.NewReader(data), &result)
	if result.Imported != 1 {
		p.t.Fatalf("import: %+v", result)
	}
}

// mails returns what somebody got, newest first.
func (p *product) mails(who *person) []mailbox.Message {
	var mine []mailbox.Message
	for _, m := range p.mail.All() {
		if strings.EqualFold(m.To, who.email) {
			mine = append(mine, m)
		}
	}
	return mine
}

// link waits for the mail after the first `before` ones and returns its link to
// a path of the issuer.
func (p *product) link(who *person, before int, path string) string {
	p.t.Helper()
	var found string
	eventually(p.t, "a mail with a link to "+path, 20*time.Second, func() bool {
		mails := p.mails(who)
		for _, m := range mails[:len(mails)-min(before, len(mails))] {
			for _, link := range m.Links {
				if strings.HasPrefix(link, p.issuer+path) {
					found = link
					return true
				}
			}
		}
		return false
	})
	return found
}

// awaitMail waits for a mail whose subject contains words.
func (p *product) awaitMail(who *person, words string) mailbox.Message {
	p.t.Helper()
	var found mailbox.Message
	eventually(p.t, "a mail about "+words, 20*time.Second, func() bool {
		for _, m := range p.mails(who) {
			if strings.Contains(m.Subject, words) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// code returns what the phone shows now, from another implementation than the
// product's where there is one.
func (p *product) code(secret string) string {
	p.t.Helper()
	return p.codeAt(secret, p.clock.now())
}

func (p *product) codeAt(secret string, at time.Time) string {
	p.t.Helper()
	if tool, err := exec.LookPath("oathtool"); err == nil {
		out, err := exec.Command(tool, "--totp", "--base32", "--now", at.UTC().Format("2006-01-02 15:04:05 UTC"), secret).Output()
		if err != nil {
			p.t.Fatalf("oathtool: %v", err)
		}
		return strings.TrimSpace(string(out))
	}
	code, err := Code(secret, at)
	if err != nil {
		p.t.Fatal(err)
	}
	return code
}

// nextCode lets time pass until the phone shows a code that was never used.
func (p *product) nextCode(secret string) string {
	p.t.Helper()
	p.clock.nextStep()
	return p.code(secret)
}

// portsFrom is where this process begins to look for ports; lastPort is how many it
// looked at.
var (
	portsFrom = mathrand.IntN(20000)
	lastPort  atomic.Int64
)

// freePort returns one below those that systems give to outgoing connections: it
// must still be free when somebody listens there, and again after a restart. No two
// calls return the same one.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 10000 + (portsFrom+int(lastPort.Add(1)))%20000
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// testLog keeps the log of a product, shows its end when the test failed, and
// counts the 5xx answers: nothing that a client sends may lead to one.
type testLog struct {
	mu     sync.Mutex
	lines  []string
	faults []string
}

func newLog(t *testing.T) (*testLog, *slog.Logger) {
	l := &testLog{}
	t.Cleanup(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, line := range l.faults {
			t.Errorf("a 5xx answer: %s", line)
		}
		if t.Failed() {
			t.Logf("the end of the log:\n%s", strings.Join(l.lines[max(0, len(l.lines)-40):], ""))
		}
	})
	return l, slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *testLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := string(line)
	if strings.Contains(text, "msg=request ") && strings.Contains(text, " status=5") || strings.Contains(text, "msg=panic") {
		l.faults = append(l.faults, text)
	}
	if l.lines = append(l.lines, text); len(l.lines) > 400 {
		l.lines = l.lines[200:]
	}
	return len(line), nil
}

// at fails the test unless the tab is at a path of the issuer.
func (p *product) at(tab Tab, path string) {
	p.t.Helper()
	u := tab.URL()
	if u.Scheme+"://"+u.Host != p.issuer || u.Path != path {
		p.t.Fatalf("at %s, want %s%s; the page says %q", u, p.issuer, path, tab.Text("error"))
	}
}

// arrived fails the test unless the tab is at a portal, signed in as who with
// both factors.
func (p *product) arrived(tab Tab, application string, who *person) {
	p.t.Helper()
	if !tab.Has("signed-in") || !strings.HasPrefix(tab.URL().String(), p.portals[application]+"/") {
		p.t.Fatalf("not signed in at %s, but at %s: %q", application, tab.URL(), tab.Text("error"))
	}
	if got := tab.Text("email"); got != who.email {
		p.t.Errorf("the portal was told about %q, want %q", got, who.email)
	}
	for _, word := range []string{"pwd", "otp", "mfa"} {
		if amr := strings.Fields(tab.Text("amr")); !contains(amr, word) {
			p.t.Errorf("amr %q lacks %s", amr, word)
		}
	}
	if acr := tab.Text("acr"); acr != "urn:anteroom:acr:mfa" {
		p.t.Errorf("acr %q", acr)
	}
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

// query returns a parameter of an address.
func query(t *testing.T, address, name string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get(name)
}
