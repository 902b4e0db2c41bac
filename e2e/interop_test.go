package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// runtimePatience is how long a program of another runtime may take.
const runtimePatience = 90 * time.Second

// runtimeOf returns the interpreter of a folder below interop, once what its
// lock names is installed. Without it the test is skipped, unless `make test`
// asked for no skipping.
func runtimeOf(t *testing.T, language string) (interpreter string) {
	t.Helper()
	installed := "interop/node/node_modules/.installed"
	interpreter, err := exec.LookPath("node")
	if language == "python" {
		installed = "interop/python/.venv/.installed"
		interpreter, err = filepath.Abs("interop/python/.venv/bin/python")
	}
	if err == nil {
		_, err = os.Stat(installed)
	}
	if err == nil {
		// go test keeps results until a file changes that the test looked at.
		scripts, err := filepath.Glob("interop/" + language + "/*.[jp][sy]")
		for _, script := range scripts {
			_, err = os.Stat(script)
		}
		if len(scripts) < 2 || err != nil {
			t.Fatalf("the programs in interop/%s: %q, %v", language, scripts, err)
		}
		return interpreter
	}
	if os.Getenv("ANTEROOM_E2E") == "require" {
		t.Fatalf("the libraries in interop/%s are not installed, and this run must not go without: make interop (%v)", language, err)
	}
	t.Skipf("SKIPPED: the libraries in e2e/interop/%s are not installed, so none of them was tried. `make interop` installs them.", language)
	return ""
}

// drama is a program that plays a relying party: what a browser does for it, the
// test does.
type drama struct {
	p        *product
	t        *testing.T
	visitor  *Visitor
	who      *person
	settings map[string]any
	did      []string
	trusting []string // environment of the program
}

// stage returns a play for a new person in a new browser.
func (p *product) stage(t *testing.T, email string) *drama {
	t.Helper()
	d := &drama{p: p, t: t, visitor: NewVisitor(), who: p.known(email)}
	d.visitor.Stay(partyRedirect, partyFarewell)
	d.settings = map[string]any{
		"issuer": p.issuer, "redirect": partyRedirect, "postLogout": partyFarewell, "email": email, "clients": map[string]any{},
	}
	return d
}

// line is what a program says.
type line struct {
	Visit   string `json:"visit"`
	Approve string `json:"approve"`
	Did     string `json:"did"`
}

// play runs a program to its end, and fails the test unless it did all that is
// named.
func (d *drama) play(language, script string, must ...string) {
	d.t.Helper()
	began := time.Now()
	args := []string{filepath.Join("interop", language, script)}
	interpreter := runtimeOf(d.t, language)
	if language == "node" {
		args = append([]string{"--import", "./interop/node/webcrypto.js"}, args...)
	}
	ctx, cancel := context.WithTimeout(d.t.Context(), runtimePatience)
	defer cancel()
	program := exec.CommandContext(ctx, interpreter, args...)
	program.Env = append(os.Environ(), d.trusting...)
	var complaints strings.Builder
	program.Stderr = &complaints
	in, err := program.StdinPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	out, err := program.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		d.t.Fatal(err)
	}
	answer := json.NewEncoder(in)
	err = answer.Encode(d.settings)
	for lines := bufio.NewScanner(out); err == nil && lines.Scan(); {
		var said line
		if json.Unmarshal(lines.Bytes(), &said) != nil {
			d.t.Logf("%s: %s", script, lines.Text())
			continue
		}
		switch {
		case said.Visit != "":
			err = answer.Encode(map[string]string{"url": d.visit(ctx, said.Visit)})
		case said.Approve != "":
			d.approve(ctx, said.Approve)
			err = answer.Encode(map[string]string{})
		case said.Did != "":
			d.did = append(d.did, said.Did)
		}
	}
	if ended := program.Wait(); ended != nil || err != nil {
		d.t.Fatalf("%s ended with %v (%v) after %q:\n%s", script, ended, err, d.did, complaints.String())
	}
	for _, one := range must {
		if !slices.Contains(d.did, one) {
			d.t.Errorf("%s did not do this: %s; it did %q", script, one, d.did)
		}
	}
	d.t.Logf("%s in %s: %s", script, time.Since(began).Round(time.Millisecond), strings.Join(d.did, ", "))
}

// visit goes to an address, signs in where it is asked to, and returns where the
// browser would go: to the relying party. A page of ours ends it, with its address.
func (d *drama) visit(ctx context.Context, address string) string {
	d.t.Helper()
	d.browse(ctx, address)
	if to := d.visitor.Location(); to != nil {
		return to.String()
	}
	at := *d.visitor.URL()
	at.Fragment = d.visitor.Text("error")
	return at.String()
}

// browse opens an address and answers pages until one asks nothing, or the browser
// is sent to the relying party.
func (d *drama) browse(ctx context.Context, address string) {
	d.t.Helper()
	if err := d.visitor.Open(ctx, address); err != nil {
		d.t.Fatal(err)
	}
	type answer struct {
		button string
		fields func() url.Values
	}
	answers := []answer{
		{"continue-as", nil}, {"consent-allow", nil}, {"device-submit", nil}, {"device-confirm", nil}, {"request-approve-0", nil},
		{"login-submit", func() url.Values { return fields("username", d.who.email, "password", d.who.password) }},
		{"challenge-submit", func() url.Values { return fields("code", d.p.code(d.who.secret)) }},
	}
	for range 10 {
		next := slices.IndexFunc(answers, func(a answer) bool { return d.visitor.Has(a.button) })
		if next < 0 || d.visitor.Location() != nil {
			return
		}
		var typed url.Values
		if answers[next].fields != nil {
			typed = answers[next].fields()
		}
		if err := d.visitor.Press(ctx, answers[next].button, typed); err != nil {
			d.t.Fatal(err)
		}
	}
	d.t.Fatalf("the pages lead nowhere: at %s: %s", d.visitor.URL(), d.visitor.Text("error"))
}

// approve is a person who lets a device in, or confirms what a client asked for.
func (d *drama) approve(ctx context.Context, address string) {
	d.t.Helper()
	d.browse(ctx, address)
	if !d.visitor.Has("device-approved") && !d.visitor.Has("request-approved") {
		d.t.Fatalf("nothing was approved: at %s: %s", d.visitor.URL(), d.visitor.Text("error"))
	}
}
