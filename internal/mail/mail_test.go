package mail

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"anteroom/internal/seal"
	"anteroom/store"
	"anteroom/templates"
)

func TestAddressTakesOnePlainAddress(t *testing.T) {
	cases := []struct {
		name, in, want string // want "": refused
	}{
		{"plain", "ann@acme.example", "ann@acme.example"},
		{"with a tag", "ann+portal@acme.example", "ann+portal@acme.example"},
		{"domain of another script", "ann@bücher.example", "ann@xn--bcher-kva.example"},
		{"domain in capitals", "ann@ACME.Example", "ann@acme.example"},
		{"name of another script", "安@acme.example", "安@acme.example"},
		{"domain literal", "ann@[192.0.2.1]", "ann@[192.0.2.1]"},
		{"empty", "", ""},
		{"no domain", "ann", ""},
		{"nobody", "@acme.example", ""},
		{"with a name", "Ann <ann@acme.example>", ""},
		{"in brackets", "<ann@acme.example>", ""},
		{"two", "ann@acme.example, bob@acme.example", ""},
		{"with a comment", "ann@acme.example (Ann)", ""},
		{"a header line", "ann@acme.example\r\nBcc: bob@acme.example", ""},
		{"a line feed", "ann@acme.example\n", ""},
		{"NUL", "ann\x00@acme.example", ""},
		{"a space", "ann @acme.example", ""},
		{"bad domain", "ann@-acme-.example", ""},
		{"too long", strings.Repeat("a", 64) + "@" + strings.Repeat("b.", 95) + "example", ""},
		{"not UTF-8", "ann\xff@acme.example", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := Address(c.in)
			switch {
			case c.want == "" && !errors.Is(err, store.ErrInvalid):
				t.Errorf("Address(%q) = %q, %v; want ErrInvalid", c.in, got, err)
			case c.want != "" && (err != nil || got != c.want):
				t.Errorf("Address(%q) = %q, %v; want %q", c.in, got, err, c.want)
			}
		})
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"ann@acme.example", "ann@bücher.example", "\"a b\"@x", "a@b\r\nX: y", "<a@b>", "安@[::1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Address(s)
		if err != nil {
			return
		}
		if strings.ContainsAny(got, "\r\n\x00 <>,") || strings.Count(got, "@") < 1 || len(got) > maxAddress {
			t.Errorf("Address(%q) = %q", s, got)
		}
		if again, err := Address(got); err != nil || again != got {
			t.Errorf("Address(%q) = %q, of which it says %q, %v", s, got, again, err)
		}
	})
}

func TestEnqueueBelongsToTheUnitOfWork(t *testing.T) {
	r := newRig(t)
	err := r.db.Do(context.Background(), func(ctx context.Context) error {
		if err := r.Enqueue(ctx, "ann@acme.example", templates.PasswordResetMail{Link: "https://id.example.com/reset?token=x"}); err != nil {
			return err
		}
		return errRolledBack
	})
	if !errors.Is(err, errRolledBack) {
		t.Fatal(err)
	}
	if got := r.pending(t); len(got) != 0 {
		t.Errorf("%d messages of a unit that was rolled back", len(got))
	}
	err = r.db.Do(context.Background(), func(ctx context.Context) error {
		return r.Enqueue(ctx, "ann@acme.example", templates.PasswordResetMail{Link: "https://id.example.com/reset?token=x"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.pending(t); len(got) != 1 || got[0].Kind != "password_reset" || got[0].To != "ann@acme.example" {
		t.Errorf("pending %+v, want the one message", got)
	}
}

// Links in mails let people in: whoever reads the database must not find them.
func TestMessagesLieSealedAndBoundToTheirID(t *testing.T) {
	r := newRig(t)
	const link = "https://id.example.com/reset?token=the-secret-token"
	for range 2 {
		if err := r.Enqueue(context.Background(), "ann@acme.example", templates.PasswordResetMail{Link: link}); err != nil {
			t.Fatal(err)
		}
	}
	rows := r.pending(t)
	for _, m := range rows {
		if bytes.Contains(m.Sealed, []byte("the-secret-token")) {
			t.Error("the link lies there in the clear")
		}
		l, err := open(r.Seal, m)
		if err != nil || !strings.Contains(l.Text, link) || !strings.Contains(l.HTML, "the-secret-token") || l.Subject == "" {
			t.Errorf("opened %+v, %v", l, err)
		}
	}
	moved := rows[0]
	moved.Sealed = rows[1].Sealed
	if _, err := open(r.Seal, moved); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("a message under another id: %v, want seal.ErrOpen", err)
	}
}

func TestEnqueueRefusesWhatIsNoAddress(t *testing.T) {
	r := newRig(t)
	err := r.Enqueue(context.Background(), "ann@acme.example\r\nBcc: eve@evil.example", templates.PasswordResetMail{})
	if !errors.Is(err, store.ErrInvalid) || len(r.pending(t)) != 0 {
		t.Errorf("error %v with %d pending, want ErrInvalid and none", err, len(r.pending(t)))
	}
}

func TestEnqueueWakesTheSender(t *testing.T) {
	r := newRig(t)
	woken := 0
	r.Wake = func() { woken++ }
	r.enqueue(t, "ann@acme.example")
	if woken != 1 {
		t.Errorf("woken %d times, want once", woken)
	}
}
