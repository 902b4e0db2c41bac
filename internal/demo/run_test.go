package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/admin"
	"anteroom/internal/demo/mailbox"
)

// terminal is where the tour is printed.
type terminal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *terminal) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *terminal) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// freeOptions lets the demo live on ports that are free now.
func freeOptions(t *testing.T) Options {
	t.Helper()
	values := map[string]string{VarData: filepath.Join(t.TempDir(), "data")}
	for _, name := range []string{VarPort, VarAnalytics, VarPCC} {
		l, err := net.Listen("tcp", "localhost:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		values[name] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	}
	o, err := FromEnv(func(name string) string { return values[name] })
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// running runs the demo until stop is called, and returns the tour.
func runningDemo(t *testing.T, o Options) (tour string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var out terminal
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, o, "anteroom", &out, slog.New(slog.DiscardHandler)) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the demo ended with %v", err)
		}
	})
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(out.String(), Olga+"  password: "); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			cancel()
			t.Fatalf("the demo ended with %v", err)
		default:
		}
		if time.Now().After(deadline) {
			cancel()
			t.Fatalf("no tour within 30 s, only %q", out.String())
		}
	}
	t.Cleanup(stop)
	return out.String(), stop
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Jar: jar}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: %d %v", url, resp.StatusCode, err)
	}
	return string(body)
}

func mails(t *testing.T, o Options) []mailbox.Message {
	t.Helper()
	var all []mailbox.Message
	if err := json.Unmarshal([]byte(fetch(t, o.Issuer+"/demo/mail.json")), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTheDemoIsReadyForSomebodyWhoKnowsNothing(t *testing.T) {
	o := freeOptions(t)
	tour, _ := runningDemo(t, o)
	for _, link := range []string{o.Issuer, o.AnalyticsURL, o.PCCURL, o.Issuer + "/demo/"} {
		if !strings.Contains(tour, link) {
			t.Errorf("the tour lacks %s", link)
		}
	}
	line := regexp.MustCompile(`(?m)^(\S+@\S+)  password: (\S+)$`)
	var people []string
	for _, m := range line.FindAllStringSubmatch(tour, -1) {
		if people = append(people, m[1]); len(m[2]) < 15 {
			t.Errorf("the password of %s is short", m[1])
		}
	}
	if want := []string{Ben, Olga}; !slices.Equal(people, want) {
		t.Errorf("people with a password: %q, want %q\n%s", people, want, tour)
	}
	var invitedPeople []string
	for _, m := range mails(t, o) {
		invitedPeople = append(invitedPeople, m.To)
		if len(m.Links) == 0 || !strings.HasPrefix(m.Links[0], o.Issuer+"/activate?") {
			t.Errorf("the mail to %s has the links %q", m.To, m.Links)
		}
	}
	if slices.Sort(invitedPeople); !slices.Equal(invitedPeople, []string{Ann, Pia}) {
		t.Errorf("invitations went to %q", invitedPeople)
	}
	for address, words := range map[string]string{
		o.Issuer + "/demo": "Demo mailbox", o.AnalyticsURL: "Partner Analytics", o.PCCURL: "Control Center (PCC)",
		o.AnalyticsURL + "/login": `id="login-submit"`, o.PCCURL + "/login": `id="login-submit"`,
	} {
		if page := fetch(t, address); !strings.Contains(page, words) {
			t.Errorf("%s lacks %q", address, words)
		}
	}
}

func TestStartingTheDemoAgainChangesNothing(t *testing.T) {
	o := freeOptions(t)
	first, stop := runningDemo(t, o)
	before := mails(t, o)
	stop()
	second, _ := runningDemo(t, o)
	if first != second {
		t.Errorf("the tour changed from\n%s\nto\n%s", first, second)
	}
	if after := mails(t, o); len(after) != len(before) || after[0].Text != before[0].Text {
		t.Errorf("%d mails, before %d", len(after), len(before))
	}
	if page := fetch(t, o.AnalyticsURL+"/login"); !strings.Contains(page, `id="login-submit"`) {
		t.Error("the portal cannot sign in any more")
	}
}

func TestTheDemoMovesToOtherPortsAndReplacesWhatGotLost(t *testing.T) {
	o := freeOptions(t)
	_, stop := runningDemo(t, o)
	stop()
	moved := freeOptions(t)
	moved.DataDir = o.DataDir
	remembered, err := loadState(o.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	lost := remembered.Secrets["pcc-web"]
	delete(remembered.Secrets, "pcc-web")
	if err := remembered.save(); err != nil {
		t.Fatal(err)
	}
	runningDemo(t, moved)
	if page := fetch(t, moved.PCCURL+"/login"); !strings.Contains(page, `id="login-submit"`) {
		t.Error("the moved portal is not known under its new address")
	}
	op := NewOperator(filepath.Join(moved.DataDir, "admin.sock"))
	defer op.HTTP.CloseIdleConnections()
	var app admin.Application
	if err := op.Do(t.Context(), "GET", "/applications/"+PCC, nil, &app); err != nil || app.LaunchURL != moved.PCCURL+"/login" {
		t.Errorf("launch URL %q (%v)", app.LaunchURL, err)
	}
	if remembered, err = loadState(o.DataDir); err != nil || remembered.Secrets["pcc-web"] == "" || remembered.Secrets["pcc-web"] == lost {
		t.Errorf("a lost secret was not replaced (%v)", err)
	}
}

func TestATakenPortIsNamedWithItsVariable(t *testing.T) {
	for _, c := range []struct {
		variable string
		port     func(*Options) *int
	}{
		{VarPort, func(o *Options) *int { return &o.Port }},
		{VarAnalytics, func(o *Options) *int { return &o.AnalyticsPort }},
		{VarPCC, func(o *Options) *int { return &o.PCCPort }},
		{VarMail, func(o *Options) *int { return &o.MailPort }},
	} {
		t.Run(c.variable, func(t *testing.T) {
			o := freeOptions(t)
			host := "localhost"
			if c.variable == VarMail {
				host = "127.0.0.1"
			}
			l, err := net.Listen("tcp", host+":0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			*c.port(&o) = l.Addr().(*net.TCPAddr).Port
			err = Run(t.Context(), o, "anteroom", io.Discard, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), c.variable+"=") || !strings.Contains(err.Error(), fmt.Sprint(*c.port(&o))) {
				t.Errorf("got %v, want a sentence with %s", err, c.variable)
			}
		})
	}
}

func TestASecondDemoOnTheSameFolderSaysWhoHoldsIt(t *testing.T) {
	o := freeOptions(t)
	runningDemo(t, o)
	second := freeOptions(t)
	second.DataDir = o.DataDir
	start := time.Now()
	err := Run(t.Context(), second, "anteroom", io.Discard, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "process") || time.Since(start) > 3*time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
}
