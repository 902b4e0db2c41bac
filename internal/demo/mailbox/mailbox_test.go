package mailbox

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const both = "From: Anteroom <no-reply@example.com>\r\n" +
	"To: Ann <ann@acme.example>\r\n" +
	"Subject: =?UTF-8?q?Complete_your_activation_=E2=80=93_Partner_Analytics?=\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: multipart/alternative; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
	"Hello Ann,\r\n\r\nhttp://localhost:8080/activate?token=3Dabc=\r\ndef. Or see (http://localhost:8080/).\r\n" +
	"\r\n--b\r\nContent-Type: text/html; charset=UTF-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
	"PGh0bWw+PGhlYWQ+PC9oZWFkPjxhIGhyZWY9Imh0dHA6Ly9sb2NhbGhvc3Q6ODA4MC94P2E9MSZhbXA7\r\nYj0yIj5nbzwvYT48YSBocmVmPSJqYXZhc2NyaXB0OmFsZXJ0KDEpIj54PC9hPjwvaHRtbD4=\r\n" +
	"\r\n--b--\r\n"

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// running starts the mail server and returns its address.
func running(t *testing.T, m *Mailbox) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- m.Serve(l, quiet()) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-done; err != nil {
			t.Errorf("the mail server ended with %v", err)
		}
	})
	return l.Addr().String()
}

func TestCaughtMailIsReadableAndItsLinksAreFound(t *testing.T) {
	box, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	if err := smtp.SendMail(running(t, box), nil, "no-reply@example.com", []string{"ann@acme.example"}, []byte(both)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	m, err := box.Wait(ctx, func(m Message) bool { return m.To == "ann@acme.example" })
	if err != nil {
		t.Fatal(err)
	}
	if want := "Complete your activation – Partner Analytics"; m.Subject != want {
		t.Errorf("subject %q, want %q", m.Subject, want)
	}
	if !strings.Contains(m.Text, "token=abcdef.") {
		t.Errorf("text %q", m.Text)
	}
	want := []string{"http://localhost:8080/activate?token=abcdef", "http://localhost:8080/", "http://localhost:8080/x?a=1&b=2"}
	if !slices.Equal(m.Links, want) {
		t.Errorf("links %q, want %q", m.Links, want)
	}
}

func TestAMailThatCannotBeReadIsRefusedAndNotKept(t *testing.T) {
	box, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	err = smtp.SendMail(running(t, box), nil, "a@example.com", []string{"b@example.com"}, []byte("no header\r\n\r\nhello"))
	if err == nil || !strings.Contains(err.Error(), "554") {
		t.Errorf("got %v, want 554", err)
	}
	if all := box.All(); len(all) != 0 {
		t.Errorf("kept %d messages", len(all))
	}
}

func TestMailboxSurvivesARestartAndNumbersOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mail.json")
	first, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := first.add(Message{Subject: fmt.Sprint(i), Links: []string{}}); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.add(Message{Subject: "3", Links: []string{}}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range again.All() {
		got = append(got, m.ID+":"+m.Subject)
	}
	if want := []string{"4:3", "3:2", "2:1", "1:0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600: the links let people in", info.Mode(), err)
	}
}

func TestMailboxIsBounded(t *testing.T) {
	box, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	for range Keep + 5 {
		if err := box.add(Message{}); err != nil {
			t.Fatal(err)
		}
	}
	all := box.All()
	if len(all) != Keep || all[0].ID != fmt.Sprint(Keep+5) {
		t.Errorf("kept %d, newest %s", len(all), all[0].ID)
	}
}

func TestABrokenFileIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mail.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want the path", err)
	}
}

func TestPagesShowMailAsDataAndProgramsGetJSON(t *testing.T) {
	box, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	m, err := parse(strings.NewReader(both))
	if err != nil {
		t.Fatal(err)
	}
	m.To, m.Subject = "ann@acme.example", "<script>alert(1)</script>"
	if err := box.add(m, Message{To: "ben@acme.example", Subject: "newer", Links: []string{}}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(box.Handler("/demo/"))
	defer server.Close()
	get := func(path string) (string, string) {
		t.Helper()
		resp, err := server.Client().Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %d %v", path, resp.StatusCode, err)
		}
		return string(body), resp.Header.Get("Content-Security-Policy")
	}
	var listed []map[string]any
	body, _ := get("/demo/mail.json")
	if err := json.Unmarshal([]byte(body), &listed); err != nil {
		t.Fatal(err)
	}
	if len(listed) != 2 || listed[0]["to"] != "ben@acme.example" || listed[1]["to"] != "ann@acme.example" {
		t.Errorf("not newest first: %v", listed)
	}
	if links, ok := listed[0]["links"].([]any); !ok || len(links) != 0 {
		t.Errorf("links of a mail without any: %v, want []", listed[0]["links"])
	}
	for _, path := range []string{"/demo/", "/demo/mail/1"} {
		if body, _ := get(path); strings.Contains(body, "<script>") || !strings.Contains(body, "&lt;script&gt;") {
			t.Errorf("%s shows the subject as markup", path)
		}
	}
	if body, policy := get("/demo/mail/1/html"); !strings.Contains(body, "<head><base") || !strings.HasPrefix(policy, "sandbox ") || strings.Contains(policy, "allow-scripts") {
		t.Errorf("the mail is not sandboxed: %s", policy)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	box, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := box.Wait(ctx, func(Message) bool { return true }); err == nil {
		t.Error("waited for nothing and got it")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(both)
	f.Add("Subject: x\r\n\r\nhttp://a.example")
	f.Add("Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a--\r\n--a--")
	f.Fuzz(func(t *testing.T, raw string) {
		m, err := parse(strings.NewReader(raw))
		if err != nil {
			return
		}
		if _, err := json.Marshal(m); err != nil {
			t.Errorf("cannot be listed: %v", err)
		}
		for _, link := range m.Links {
			if !strings.HasPrefix(link, "http://") && !strings.HasPrefix(link, "https://") && !strings.HasPrefix(strings.ToLower(link), "http") {
				t.Errorf("not a link: %q", link)
			}
		}
	})
}
