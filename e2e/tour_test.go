package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/internal/demo"
	"anteroom/internal/demo/mailbox"
)

// lockedBuffer is a terminal that several goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// The tour that the demo prints is walked as a newcomer walks it, from the
// mailbox page on, in real time: a code of the step before, of this one and of
// the next are all accepted, so that nobody has to wait.
func TestTheTourOfTheDemoCanBeWalked(t *testing.T) {
	t.Parallel()
	vars := map[string]string{demo.VarData: filepath.Join(t.TempDir(), "data")}
	for _, name := range []string{demo.VarPort, demo.VarAnalytics, demo.VarPCC} {
		vars[name] = strconv.Itoa(freePort(t))
	}
	options, err := demo.FromEnv(func(name string) string { return vars[name] })
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var terminal lockedBuffer
	ended := make(chan error, 1)
	go func() { ended <- demo.Run(ctx, options, "anteroom", &terminal, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the demo ended with %v", err)
		}
	})
	eventually(t, "the tour", 30*time.Second, func() bool { return strings.Contains(terminal.String(), demo.Olga+"  password: ") })
	passwords := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\S+@\S+)  password: (\S+)$`).FindAllStringSubmatch(terminal.String(), -1) {
		passwords[m[1]] = m[2]
	}
	code := func(secret string, steps int) string {
		code, err := Code(secret, time.Now().Add(time.Duration(steps)*Step))
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	// enrol goes from the QR to the page after the recovery codes.
	enrol := func(tab Tab) (secret string) {
		t.Helper()
		secret = tab.Scan()
		tab.Press("enroll-submit", "code", code(secret, -1))
		tab.Press("recovery-codes-done")
		return secret
	}
	signedIn := func(tab Tab, portal, who string) {
		t.Helper()
		if !tab.Has("signed-in") || !strings.HasPrefix(tab.URL().String(), portal) || tab.Text("email") != who {
			t.Fatalf("%s is not signed in at %s, but at %s: %q", who, portal, tab.URL(), tab.Text("error"))
		}
	}
	newest := func(who string) string {
		t.Helper()
		v := NewVisitor()
		if err := v.Open(t.Context(), options.Issuer+"/demo/mail.json"); err != nil {
			t.Fatal(err)
		}
		var mails []mailbox.Message
		if err := json.Unmarshal([]byte(v.Source()), &mails); err != nil {
			t.Fatal(err)
		}
		for _, m := range mails {
			if m.To == who {
				return m.ID
			}
		}
		return ""
	}
	mailTo := func(tab Tab, who string) {
		t.Helper()
		tab.Open(options.Issuer + "/demo/")
		tab.Press("mail-" + newest(who))
		tab.Press("mail-link")
	}

	ann := newChromium(t, true)
	mailTo(ann, demo.Ann)
	ann.Press("activate-submit", "new_password", "correct horse battery staple")
	secret := enrol(ann)
	ann.Press("terms-submit", "accept", "on")
	ann.Press("go-to-portal")
	signedIn(ann, options.AnalyticsURL, demo.Ann)
	ann.Press("sign-out")
	ann.Press("sign-in")
	ann.Press("login-submit", "username", demo.Ann, "password", "correct horse battery staple")
	ann.Press("challenge-submit", "code", code(secret, 0))
	signedIn(ann, options.AnalyticsURL, demo.Ann)

	pia := newChromium(t, true)
	mailTo(pia, demo.Pia)
	pia.Press("activate-submit", "new_password", "correct horse battery staple")
	secret = enrol(pia)
	pia.Press("challenge-submit", "code", code(secret, 0))
	pia.Press("go-to-portal")
	signedIn(pia, options.PCCURL, demo.Pia)

	ben := newChromium(t, true)
	ben.Open(options.PCCURL)
	ben.Press("sign-in")
	ben.Press("login-submit", "username", demo.Ben, "password", passwords[demo.Ben])
	secret = enrol(ben)
	ben.Press("challenge-submit", "code", code(secret, 0))
	signedIn(ben, options.PCCURL, demo.Ben)
	ben.Open(options.AnalyticsURL)
	ben.Press("sign-in")
	ben.Press("terms-submit", "accept", "on")
	signedIn(ben, options.AnalyticsURL, demo.Ben)
	if roles := ben.Text("roles"); roles != "analyst" {
		t.Errorf("Ben's roles: %q", roles)
	}

	op := demo.NewOperator(filepath.Join(options.DataDir, "admin.sock"))
	defer op.HTTP.CloseIdleConnections()
	if err := op.Do(t.Context(), "POST", "/accounts/invite", map[string]string{"email": "you@acme.example", "application": demo.PartnerAnalytics}, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "your own invitation in the mailbox", 10*time.Second, func() bool { return newest("you@acme.example") != "" })
}
