package mail

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"anteroom/store"

	"github.com/emersion/go-smtp"
)

func TestAServerThatIsDownIsTriedAgain(t *testing.T) {
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close() // nobody listens there now
	down := SMTP{Host: "127.0.0.1", Port: port, Security: NoTLS, From: "a@acme.example", Timeout: time.Second}
	r.enqueue(t, "ann@acme.example")
	s := r.sender(down)

	var waits []time.Duration
	for range 7 {
		before := r.clock()
		r.once(s)
		m := r.pending(t)[0]
		if !strings.Contains(m.LastError, "connect: ") || !m.GivenUpAt.IsZero() {
			t.Fatalf("outbox %+v", m)
		}
		waits = append(waits, m.NextAttempt.Sub(before))
		r.pass(m.NextAttempt.Sub(before))
	}
	want := []time.Duration{1, 2, 4, 8, 15, 15, 15}
	for i := range want {
		if waits[i] != want[i]*time.Minute {
			t.Fatalf("waits %v, want %v minutes", waits, want)
		}
	}
	srv := newServer(t, serverOptions{})
	r.once(r.sender(srv.config()))
	if got := srv.messages(); len(got) != 1 || len(r.pending(t)) != 0 {
		t.Errorf("%d messages when the server is back, %d left", len(got), len(r.pending(t)))
	}
}

func TestBeforeItIsDueNothingIsTried(t *testing.T) {
	r, srv := newRig(t), newServer(t, serverOptions{})
	srv.set(func(s *server) {
		s.refuse = func(string, string) error { return &smtp.SMTPError{Code: 451, Message: "later"} }
	})
	r.enqueue(t, "ann@acme.example")
	s := r.sender(srv.config())
	r.once(s)
	r.pass(59 * time.Second)
	r.once(s)
	if m := r.pending(t)[0]; m.Attempts != 1 || !strings.Contains(m.LastError, "later") {
		t.Errorf("outbox %+v, want one attempt and its reason", m)
	}
	srv.set(func(s *server) { s.refuse = nil })
	r.pass(time.Second)
	r.once(s)
	if len(srv.messages()) != 1 {
		t.Errorf("not sent when due; log:\n%s", r.log)
	}
}

func TestARefusedAddressHoldsNothingUp(t *testing.T) {
	r, srv := newRig(t), newServer(t, serverOptions{})
	srv.set(func(s *server) {
		s.refuse = func(_, to string) error {
			if to == "gone@acme.example" {
				return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
			}
			if to == "relay@acme.example" {
				return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "relaying denied"}
			}
			return nil
		}
	})
	for _, to := range []string{"a@acme.example", "gone@acme.example", "b@acme.example", "relay@acme.example", "c@acme.example", "d@acme.example"} {
		r.enqueue(t, to)
	}
	r.once(r.sender(srv.config()))
	if got := srv.messages(); len(got) != 4 {
		t.Errorf("%d messages arrived, want 4", len(got))
	}
	for _, m := range r.pending(t) {
		if gaveUp := !m.GivenUpAt.IsZero(); gaveUp != (m.To == "gone@acme.example") {
			t.Errorf("%s given up: %v (%s)", m.To, gaveUp, m.LastError)
		}
	}
}

func TestMessagesShareALine(t *testing.T) {
	r, srv := newRig(t), newServer(t, serverOptions{})
	for i := range 10 {
		r.enqueue(t, "p"+strconv.Itoa(i)+"@acme.example")
	}
	r.once(r.sender(srv.config()))
	if got := srv.messages(); len(got) != 10 || srv.lines != 1 {
		t.Errorf("%d messages over %d lines, want 10 over 1", len(got), srv.lines)
	}
}

// A server that accepts connections and says nothing must not hold a worker
// longer than the timeout.
func TestASilentServerCostsOnlyTheTimeout(t *testing.T) {
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
		}
	}()
	r.enqueue(t, "ann@acme.example")
	start := time.Now()
	r.once(r.sender(SMTP{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Security: NoTLS, From: "a@acme.example", Timeout: 200 * time.Millisecond}))
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	if m := r.pending(t)[0]; m.Attempts != 1 || !strings.Contains(m.LastError, "timeout") {
		t.Errorf("outbox %+v", m)
	}
}

func TestASlowServerIsCutOff(t *testing.T) {
	r, srv := newRig(t), newServer(t, serverOptions{})
	release := make(chan struct{})
	srv.set(func(s *server) { s.data = func() error { <-release; return nil } })
	defer close(release)
	config := srv.config()
	config.Timeout = 200 * time.Millisecond
	r.enqueue(t, "ann@acme.example")
	r.once(r.sender(config))
	if m := r.pending(t)[0]; m.Attempts != 1 || !m.NextAttempt.Equal(r.clock().Add(time.Minute)) {
		t.Errorf("outbox %+v, want one attempt and another in a minute", m)
	}
}

// What the server took is sent, even if it hangs up before it says goodbye.
func TestAServerThatHangsUpAfterTakingAMessageGetsItOnce(t *testing.T) {
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var took atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			took.Add(rudeServer(c))
		}
	}()
	r.enqueue(t, "ann@acme.example")
	r.enqueue(t, "bob@acme.example")
	r.once(r.sender(SMTP{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Security: NoTLS, From: "a@acme.example", Timeout: 2 * time.Second}))
	if took.Load() != 2 || len(r.pending(t)) != 0 {
		t.Errorf("%d taken, %d left; want 2 and 0; log:\n%s", took.Load(), len(r.pending(t)), r.log)
	}
}

// rudeServer takes one message and hangs up; it returns how many it took.
func rudeServer(c net.Conn) int32 {
	defer func() { _ = c.Close() }()
	in := bufio.NewScanner(c)
	say := func(line string) { _, _ = c.Write([]byte(line + "\r\n")) }
	say("220 rude")
	data := false
	for in.Scan() {
		switch line := in.Text(); {
		case data && line == ".":
			say("250 taken")
			return 1
		case data:
		case strings.HasPrefix(line, "EHLO"):
			say("250 rude")
		case line == "DATA":
			data = true
			say("354 go on")
		default:
			say("250 yes")
		}
	}
	return 0
}

// The claim is what keeps two nodes from sending the same message.
func TestTwoNodesSendEachMessageOnce(t *testing.T) {
	r, srv := newRig(t), newServer(t, serverOptions{})
	for i := range 40 {
		r.enqueue(t, "p"+strconv.Itoa(i)+"@acme.example")
	}
	var nodes sync.WaitGroup
	for range 4 {
		nodes.Go(func() { r.once(r.sender(srv.config())) })
	}
	nodes.Wait()
	seen := map[string]int{}
	for _, m := range srv.messages() {
		seen[m.to]++
	}
	if len(seen) != 40 || len(srv.messages()) != 40 {
		t.Errorf("%d messages to %d people, want 40 to 40", len(srv.messages()), len(seen))
	}
}

func TestRunSendsSoonAfterTheCommitAndRequestsNeverWait(t *testing.T) {
	r, srv := newRig(t), newServer(t, serverOptions{})
	s := r.sender(srv.config())
	r.Wake = s.Wake
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	time.Sleep(50 * time.Millisecond) // it looked, and now waits for its next turn

	var took time.Duration
	err := r.db.Do(ctx, func(ctx context.Context) error {
		start := time.Now()
		err := r.Enqueue(ctx, "ann@acme.example", testMail)
		took = time.Since(start)
		time.Sleep(150 * time.Millisecond) // the commit comes well after Wake
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if took > 100*time.Millisecond {
		t.Errorf("enqueueing took %v", took)
	}
	committed := time.Now()
	eventually(t, "the message arrives", func() bool { return len(srv.messages()) == 1 })
	if waited := time.Since(committed); waited > 5*time.Second {
		t.Errorf("it arrived %v after the commit", waited)
	}
	stop()
	running.Wait()
}

func TestStoppingFinishesTheMessageOnItsWay(t *testing.T) {
	r, srv := newRig(t), newServer(t, serverOptions{})
	started, release := make(chan struct{}, 8), make(chan struct{})
	srv.set(func(s *server) { s.data = func() error { started <- struct{}{}; <-release; return nil } })
	for range 6 { // more than the workers have in their hands
		r.enqueue(t, "ann@acme.example")
	}
	s := r.sender(srv.config())
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	<-started
	stop()
	time.Sleep(50 * time.Millisecond)
	close(release)
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("Run does not end")
	}
	sent, left := len(srv.messages()), len(r.pending(t))
	if sent == 0 || sent > workers || sent+left != 6 {
		t.Errorf("%d sent, %d left; want what was on its way, and the rest kept", sent, left)
	}
}

// If the commit after the server's answer fails, the next claim must not send
// the message again from this node.
func TestASentMessageIsNotSentAgainWhenTheStoreFailed(t *testing.T) {
	r, srv := newRig(t), newServer(t, serverOptions{})
	failing := &forgetful{Outbox: r.db, fails: 1}
	s := r.sender(srv.config())
	s.o.Store = failing
	r.enqueue(t, "ann@acme.example")
	r.once(s)
	if len(r.pending(t)) != 1 || len(srv.messages()) != 1 {
		t.Fatalf("%d pending, %d sent; want both 1", len(r.pending(t)), len(srv.messages()))
	}
	r.pass(time.Hour)
	r.once(s)
	if len(r.pending(t)) != 0 || len(srv.messages()) != 1 {
		t.Errorf("%d pending, %d sent; want 0 and 1", len(r.pending(t)), len(srv.messages()))
	}
}

// forgetful fails to record that a message was sent.
type forgetful struct {
	store.Outbox
	fails int
}

func (f *forgetful) MailSent(ctx context.Context, id string) error {
	if f.fails--; f.fails >= 0 {
		return store.ErrUnavailable
	}
	return f.Outbox.MailSent(ctx, id)
}

func TestAMessageThatDoesNotOpenIsKeptAndTold(t *testing.T) {
	r, srv := newRig(t), newServer(t, serverOptions{})
	err := r.db.EnqueueMail(context.Background(), store.OutboxMessage{
		ID: "x", Kind: "invitation", To: "ann@acme.example", Sealed: []byte("garbage"), CreatedAt: r.clock(), Delivery: store.Delivery{NextAttempt: r.clock()},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.once(r.sender(srv.config()))
	if m := r.pending(t)[0]; !strings.Contains(m.LastError, "does not open") {
		t.Errorf("outbox %+v", m)
	}
}

func TestWithoutAMailServerMessagesStayAndTheLogSaysSoOnce(t *testing.T) {
	for name, config := range map[string]SMTP{"none": {}, "wrong": {Host: "mail.acme.example", Port: 0}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			s := r.sender(config)
			r.Wake = s.Wake
			ctx, stop := context.WithCancel(context.Background())
			ended := make(chan struct{})
			go func() { defer close(ended); s.Run(ctx) }()
			r.enqueue(t, "ann@acme.example")
			r.enqueue(t, "bob@acme.example")
			time.Sleep(50 * time.Millisecond)
			stop()
			<-ended
			if got := r.pending(t); len(got) != 2 || got[0].Attempts != 0 {
				t.Errorf("outbox %+v", got)
			}
			if lines := strings.Count(r.log.String(), "wait in the outbox"); lines != 1 {
				t.Errorf("the log says it %d times:\n%s", lines, r.log)
			}
		})
	}
}

func TestNextTry(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	refused := errors.New("451 later")
	down := &errConnect{errors.New("connection refused")}
	const day = 24 * time.Hour
	cases := []struct {
		name     string
		attempts int
		age      time.Duration
		err      error
		random   float64
		want     time.Duration // 0: given up
	}{
		{"the first time", 0, 0, refused, 0.5, time.Minute},
		{"the fourth time", 3, time.Hour, refused, 0.5, 8 * time.Minute},
		{"never more than six hours", 11, day, refused, 0.5, 6 * time.Hour},
		{"a fifth less", 11, day, refused, 0, 6 * time.Hour * 8 / 10},
		{"nearly a fifth more", 0, 0, refused, 1, 72 * time.Second},
		{"a server that is down is looked at more often", 11, day, down, 0.5, 15 * time.Minute},
		{"very many times", 500, day, down, 0.5, 15 * time.Minute},
		{"after three days", 20, 3 * day, refused, 0.5, 0},
		{"after three days of a server that is down", 300, 3 * day, down, 0.5, 0},
		{"old, but hardly tried: it waited for a configuration", 2, 10 * day, refused, 0.5, 4 * time.Minute},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := store.OutboxMessage{CreatedAt: now.Add(-c.age), Delivery: store.Delivery{Attempts: c.attempts}}
			want := time.Time{}
			if c.want != 0 {
				want = now.Add(c.want)
			}
			if got := nextTry(m, c.err, now, c.random); !got.Equal(want) {
				t.Errorf("next %v, want %v", got, want)
			}
		})
	}
}

func TestReasonsAreOneLineAndNotEndless(t *testing.T) {
	got := reason(errors.New("550 first\r\nsecond\x1b[31m " + strings.Repeat("é", 1000)))
	if strings.ContainsAny(got, "\r\n\x1b") || len([]rune(got)) > 301 || !strings.HasPrefix(got, "550 first second") {
		t.Errorf("reason %q", got)
	}
}
