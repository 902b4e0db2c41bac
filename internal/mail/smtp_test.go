package mail

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"anteroom/templates"
)

func TestMessagesArriveAsTheyShould(t *testing.T) {
	r, srv := newRig(t), newServer(t, serverOptions{})
	config := srv.config()
	config.From, config.ReplyTo = "Anmeldung für Partner <no-reply@bücher.example>", "help@acme.example"
	r.enqueue(t, "ann@bücher.example")
	id := r.pending(t)[0].ID
	r.once(r.sender(config))

	got := srv.messages()
	if len(got) != 1 {
		t.Fatalf("%d messages, want 1; log:\n%s", len(got), r.log)
	}
	if got[0].from != "no-reply@xn--bcher-kva.example" || got[0].to != "ann@xn--bcher-kva.example" {
		t.Errorf("envelope from %q to %q", got[0].from, got[0].to)
	}
	m := parse(t, got[0].raw)
	from, err := m.Header.AddressList("From")
	if err != nil || from[0].Name != "Anmeldung für Partner" {
		t.Errorf("From %v, %v", from, err)
	}
	want := map[string]string{
		"Message-Id":     "<" + id + "@xn--bcher-kva.example>",
		"To":             "<ann@xn--bcher-kva.example>",
		"Reply-To":       "<help@acme.example>",
		"Auto-Submitted": "auto-generated",
		"Mime-Version":   "1.0",
		"Subject":        "A recovery code was used",
	}
	for name, value := range want {
		if all := m.Header[name]; len(all) != 1 || all[0] != value {
			t.Errorf("%s: %q, want %q", name, all, value)
		}
	}
	if date, err := m.Header.Date(); err != nil || !date.Equal(r.clock()) {
		t.Errorf("Date %v, %v, want %v", date, err, r.clock())
	}
	if agent := m.Header.Get("User-Agent") + m.Header.Get("X-Mailer"); agent != "" {
		t.Errorf("it names its software: %q", agent)
	}
	text, html := parts(t, m)
	if !strings.Contains(text, "Ann Ångström") || !strings.Contains(text, "9 are left") || strings.Contains(text, "<p") {
		t.Errorf("text part:\n%s", text)
	}
	if !strings.Contains(html, "9 are left") || !strings.Contains(html, "<p") {
		t.Errorf("HTML part:\n%s", html)
	}
	if len(r.pending(t)) != 0 {
		t.Error("it is still in the outbox")
	}
}

// parts returns the two alternatives, text first (RFC 2046 section 5.1.4).
func parts(t *testing.T, m *netmail.Message) (text, html string) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("Content-Type %q, %v", m.Header.Get("Content-Type"), err)
	}
	reader := multipart.NewReader(m.Body, params["boundary"])
	for _, want := range []struct {
		kind string
		into *string
	}{{"text/plain", &text}, {"text/html", &html}} {
		part, err := reader.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		kind, params, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if kind != want.kind || !strings.EqualFold(params["charset"], "utf-8") {
			t.Errorf("part %q, want %s in UTF-8", part.Header.Get("Content-Type"), want.kind)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		*want.into = string(body)
	}
	if _, err := reader.NextPart(); err != io.EOF {
		t.Errorf("more than two parts: %v", err)
	}
	return text, html
}

func TestAPortalsNameWritesNoHeaderLines(t *testing.T) {
	r, srv := newRig(t), newServer(t, serverOptions{})
	err := r.Enqueue(t.Context(), "ann@acme.example", templates.InvitationMail{
		MailFrame: templates.MailFrame{Portal: "Portal\r\nBcc: eve@evil.example\r\n\r\nEvil"}, Link: "https://id.example.com/activate?token=x",
	})
	if err != nil {
		t.Fatal(err)
	}
	r.once(r.sender(srv.config()))
	got := srv.messages()
	if len(got) != 1 {
		t.Fatalf("%d messages; log:\n%s", len(got), r.log)
	}
	m := parse(t, got[0].raw)
	if bcc := m.Header.Get("Bcc"); bcc != "" {
		t.Errorf("a header was written: Bcc %q", bcc)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != "Complete your activation for Portal Bcc: eve@evil.example Evil" {
		t.Errorf("Subject %q, %v", subject, err)
	}
}

func TestEachWayToReachAMailServer(t *testing.T) {
	all := []string{"PLAIN", "LOGIN", "CRAM-MD5"}
	cases := []struct {
		name     string
		server   serverOptions
		security string
		auth     string
		anonymous,
		untrusted bool
		secure bool   // the message came over TLS
		how    string // how it signed in; "": not at all
		fails  string // part of the reason
	}{
		{name: "plain, nobody signs in", security: NoTLS, anonymous: true},
		{name: "STARTTLS, nobody signs in", server: serverOptions{tls: true}, security: StartTLS, anonymous: true, secure: true},
		{name: "STARTTLS required, not offered", security: StartTLS, anonymous: true, fails: "STARTTLS"},
		{name: "STARTTLS with a certificate of nobody", server: serverOptions{tls: true}, security: StartTLS, anonymous: true, untrusted: true, fails: "certificate"},
		{name: "opportunistic, offered", server: serverOptions{tls: true}, security: Opportunistic, anonymous: true, secure: true},
		{name: "opportunistic, not offered", security: Opportunistic, anonymous: true},
		{name: "TLS", server: serverOptions{implicit: true}, security: ImplicitTLS, anonymous: true, secure: true},
		{name: "TLS to a server that does not speak it", security: ImplicitTLS, anonymous: true, fails: "connect: "},
		{name: "TLS with a certificate of nobody", server: serverOptions{implicit: true}, security: ImplicitTLS, anonymous: true, untrusted: true, fails: "certificate"},
		{name: "STARTTLS and the best of three", server: serverOptions{tls: true, auth: all}, security: StartTLS, secure: true, how: "PLAIN"},
		{name: "TLS and the best of three", server: serverOptions{implicit: true, auth: all}, security: ImplicitTLS, secure: true, how: "PLAIN"},
		{name: "TLS and LOGIN, all there is", server: serverOptions{implicit: true, auth: []string{"LOGIN"}}, security: ImplicitTLS, secure: true, how: "LOGIN"},
		{name: "STARTTLS and CRAM-MD5, all there is", server: serverOptions{tls: true, auth: []string{"CRAM-MD5"}}, security: StartTLS, secure: true, how: "CRAM-MD5"},
		{name: "unprotected to localhost: not the password itself", server: serverOptions{auth: all}, security: NoTLS, how: "CRAM-MD5"},
		{name: "told PLAIN", server: serverOptions{tls: true, auth: all}, security: StartTLS, auth: AuthPlain, secure: true, how: "PLAIN"},
		{name: "told LOGIN", server: serverOptions{tls: true, auth: all}, security: StartTLS, auth: AuthLogin, secure: true, how: "LOGIN"},
		{name: "told CRAM-MD5", server: serverOptions{tls: true, auth: all}, security: StartTLS, auth: AuthCRAMMD5, secure: true, how: "CRAM-MD5"},
		{name: "told what the server does not have", server: serverOptions{tls: true, auth: []string{"PLAIN"}}, security: StartTLS, auth: AuthLogin, fails: "LOGIN"},
		{name: "the server knows no sign-in", server: serverOptions{tls: true}, security: StartTLS, fails: "does not support SMTP AUTH"},
		{name: "the server wants a sign-in", server: serverOptions{tls: true, auth: all}, security: StartTLS, anonymous: true, fails: "502"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, srv := newRig(t), newServer(t, c.server)
			config := srv.config()
			config.Security, config.Auth = c.security, c.auth
			if !c.anonymous {
				config.UserName, config.Password = user, password
			}
			if c.untrusted {
				config.TLS = &tls.Config{}
			}
			if err := config.Validate(); err != nil {
				t.Fatal(err)
			}
			r.enqueue(t, "ann@acme.example")
			r.once(r.sender(config))
			got, left := srv.messages(), r.pending(t)
			if c.fails != "" {
				if len(got) != 0 || len(left) != 1 || !strings.Contains(left[0].LastError, c.fails) {
					t.Errorf("%d messages taken; in the outbox %+v, want %q", len(got), left, c.fails)
				}
				return
			}
			if len(got) != 1 || len(left) != 0 {
				t.Fatalf("%d messages taken, %d left; log:\n%s", len(got), len(left), r.log)
			}
			if got[0].tls != c.secure {
				t.Errorf("over TLS: %v, want %v", got[0].tls, c.secure)
			}
			if how := strings.Join(srv.signedIn, " "); how != c.how {
				t.Errorf("signed in by %q, want %q", how, c.how)
			}
		})
	}
}

func TestWrongPasswordIsToldAndNeverLogged(t *testing.T) {
	r, srv := newRig(t), newServer(t, serverOptions{tls: true, auth: []string{"PLAIN"}})
	config := srv.config()
	config.Security, config.UserName, config.Password = StartTLS, user, "the wrong password"
	s := r.sender(config)
	err := s.Test(t.Context(), "ann@acme.example")
	if err == nil || !strings.Contains(err.Error(), "535") || !strings.HasPrefix(err.Error(), config.String()) {
		t.Errorf("Test says %v, want the server's 535 and who said it", err)
	}
	r.enqueue(t, "ann@acme.example")
	r.once(s)
	shown := fmt.Sprintf("%v %+v %#v %s", config, config, config, slog.AnyValue(config).Resolve()) + r.log.String() + r.pending(t)[0].LastError + err.Error()
	if strings.Contains(shown, "the wrong password") || strings.Contains(shown, "dGhlIHdyb25nIHBhc3N3b3Jk") {
		t.Errorf("the password is shown:\n%s", shown)
	}
}

func TestALineThatCannotBeUsedIsClosed(t *testing.T) {
	for name, o := range map[string]serverOptions{
		"no STARTTLS": {}, "no sign-in": {tls: true}, "wrong password": {tls: true, auth: []string{"PLAIN"}},
	} {
		r, srv := newRig(t), newServer(t, o)
		config := srv.config()
		config.Security, config.UserName, config.Password = StartTLS, user, "wrong"
		if err := r.sender(config).Test(t.Context(), "ann@acme.example"); err == nil {
			t.Errorf("%s: it was sent", name)
		}
		eventually(t, "the line is closed: "+name, func() bool {
			srv.mu.Lock()
			defer srv.mu.Unlock()
			return srv.open == 0
		})
	}
}

func TestComposeWritesNoHeaderLinesOfOthers(t *testing.T) {
	config := SMTP{From: "a@acme.example"}
	m, err := config.compose("id", "ann@acme.example", letter{Subject: "One\r\nBcc: eve@evil.example\u2028two", Text: "x"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if got := m.GetGenHeader("Subject"); len(got) != 1 || got[0] != "One Bcc: eve@evil.example two" {
		t.Errorf("Subject %q", got)
	}
}

func TestTestSendsAtOnce(t *testing.T) {
	r, srv := newRig(t), newServer(t, serverOptions{tls: true})
	config := srv.config()
	config.Security = StartTLS
	if err := r.sender(config).Test(t.Context(), "ann@acme.example"); err != nil {
		t.Fatal(err)
	}
	if got := srv.messages(); len(got) != 1 || !strings.Contains(got[0].raw, "This is a test message") {
		t.Errorf("got %+v", got)
	}
	for name, s := range map[string]*Sender{
		"no mail server is configured": r.sender(SMTP{}),
		"configured wrongly":           r.sender(SMTP{Host: "x", Port: -1}),
	} {
		if err := s.Test(t.Context(), "ann@acme.example"); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
	if err := r.sender(config).Test(t.Context(), "nobody"); err == nil || !strings.Contains(err.Error(), "not a plain address") {
		t.Errorf("a wrong address: %v", err)
	}
}

func TestValidateReportsEveryMistake(t *testing.T) {
	good := SMTP{Host: "mail.acme.example", Port: 587, Security: StartTLS, From: "a@acme.example", Timeout: time.Second}
	if err := good.Validate(); err != nil {
		t.Errorf("a good one: %v", err)
	}
	if err := (SMTP{Port: -1, Security: "x"}).Validate(); err != nil {
		t.Errorf("no mail server: %v", err)
	}
	err := SMTP{
		Host: "mail acme", Port: 70000, Security: "ssl", Auth: "ntlm", Password: "x", From: "nobody", ReplyTo: "<", Timeout: -1,
	}.Validate()
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	for _, key := range []string{"host:", "port:", "security:", "auth:", "username:", "from:", "reply_to:", "timeout:"} {
		if !strings.Contains("\n"+err.Error(), "\n"+key) {
			t.Errorf("%s is not among\n%v", key, err)
		}
	}
	good.UserName = "u"
	if err := good.Validate(); err == nil || !strings.Contains(err.Error(), "password: is missing") {
		t.Errorf("a user without a password: %v", err)
	}
}
