package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"anteroom/config"
	"anteroom/internal/demo/mailbox"
	"anteroom/server"
	"anteroom/store"
	"anteroom/store/bolt"
	"anteroom/store/postgres"
)

// Run serves the demo until ctx ends: the product, the mail server and the two
// portals. It prints the tour to out once everything answers. command is how the
// binary was called, for the tour.
func Run(ctx context.Context, o Options, command string, out io.Writer, log *slog.Logger) (err error) {
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the folder of the demo: %w (%s names another one)", err, VarData)
	}
	d := &demo{Options: o, command: command, out: out, log: log}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.open(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var furnishing sync.WaitGroup
	defer furnishing.Wait()
	defer cancel(nil)
	ready := func(string) {
		furnishing.Go(func() {
			if err := d.furnish(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	node := server.New(d.config(), d.rooms, log,
		server.WithRoute("/demo", d.mail.Handler("/demo/")),
		server.WithReady(ready))
	if err := node.Run(ctx); err != nil {
		return inUse(err, o.Port, VarPort, "the sign-in service")
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// demo is a running demo. Everything that opens is in closers, in order.
type demo struct {
	Options
	command string
	out     io.Writer
	log     *slog.Logger

	mail       *mailbox.Mailbox
	smtpPort   int
	rooms      *server.Rooms
	portals    map[string]*Portal
	listeners  map[string]net.Listener // of the portals
	background sync.WaitGroup
	closers    []func() error
}

func (d *demo) open(ctx context.Context) (err error) {
	if d.mail, err = mailbox.Open(filepath.Join(d.DataDir, "demo-mail.json")); err != nil {
		return err
	}
	if err := d.openMail(); err != nil {
		return err
	}
	if err := d.openPortals(); err != nil {
		return err
	}
	// A port that is taken is found before the store is touched.
	probe, err := net.Listen("tcp", address(d.Listen, d.Port))
	if err != nil {
		return inUse(err, d.Port, VarPort, "the sign-in service")
	}
	if err := probe.Close(); err != nil {
		return err
	}
	cfg := d.config()
	if err := cfg.Validate(); err != nil {
		return err
	}
	d.rooms, err = server.Assemble(cfg, d.openStore(ctx), d.log, nil)
	if err != nil {
		return err
	}
	d.closers = append(d.closers, d.rooms.Close)
	return nil
}

// openStore opens the file of the demo, or the database that it was given.
func (d *demo) openStore(ctx context.Context) func(config.Config) (store.Store, error) {
	return func(cfg config.Config) (store.Store, error) {
		if dsn := cfg.PostgresDSN(); dsn != "" {
			s, err := postgres.Open(ctx, dsn, postgres.Options{Log: d.log})
			if err != nil {
				return nil, fmt.Errorf("%w (%s)", err, VarStore)
			}
			return s, nil
		}
		return bolt.Open(cfg.BoltPath(), bolt.Options{Log: d.log})
	}
}

func (d *demo) config() config.Config {
	cfg := config.Default()
	cfg.Issuer, cfg.DataDir, cfg.Listen = d.Issuer, d.DataDir, address(d.Listen, d.Port)
	cfg.Operations.Listen, cfg.Store = "", d.Store
	cfg.SMTP.Host, cfg.SMTP.Port, cfg.SMTP.Security = "127.0.0.1", d.smtpPort, config.SecurityNone
	cfg.SMTP.From = "Northwind Software <no-reply@northwind.example>"
	return cfg
}

func (d *demo) openMail() error {
	l, err := net.Listen("tcp", address("127.0.0.1", d.MailPort))
	if err != nil {
		return inUse(err, d.MailPort, VarMail, "the demo's mail server")
	}
	d.smtpPort = l.Addr().(*net.TCPAddr).Port
	d.closers = append(d.closers, func() error { return ignoreClosed(l.Close()) })
	d.background.Go(func() {
		if err := d.mail.Serve(l, d.log); err != nil {
			d.log.Error("the demo's mail server stopped", "error", err)
		}
	})
	return nil
}

// openPortals takes the ports; the portals answer when they have their secrets.
func (d *demo) openPortals() error {
	d.portals, d.listeners = NewPortals(d.Issuer, d.AnalyticsURL, d.PCCURL, d.log, time.Now), map[string]net.Listener{}
	for _, a := range applications {
		port, variable := d.AnalyticsPort, VarAnalytics
		if a.id == PCC {
			port, variable = d.PCCPort, VarPCC
		}
		l, err := net.Listen("tcp", address(d.Listen, port))
		if err != nil {
			return inUse(err, port, variable, a.name)
		}
		d.closers = append(d.closers, func() error { return ignoreClosed(l.Close()) })
		d.listeners[a.id] = l
	}
	return nil
}

// furnish runs once the product answers.
func (d *demo) furnish(ctx context.Context) error {
	cfg := d.config()
	remembered, err := loadState(d.DataDir)
	if err != nil {
		return err
	}
	s := &seeder{op: NewOperator(cfg.AdminSocket()), state: remembered, mail: d.mail, portals: d.portals}
	defer s.op.HTTP.CloseIdleConnections()
	if err := s.house(ctx); err != nil {
		return err
	}
	for id, portal := range d.portals {
		web := &http.Server{Handler: portal.Handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug)}
		d.closers = append(d.closers, web.Close)
		l := d.listeners[id]
		d.background.Go(func() {
			if err := web.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				d.log.Error("a portal stopped", "portal", id, "error", err)
			}
		})
	}
	if err := s.people(ctx); err != nil {
		return err
	}
	s.awaitMail(ctx)
	return tour(d.out, d.Options, remembered, d.command)
}

func (d *demo) close() error {
	var all []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		all = append(all, d.closers[i]())
	}
	d.background.Wait()
	return errors.Join(all...)
}

func address(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// inUse says which variable helps when a port is taken, and for what it was wanted.
func inUse(err error, port int, variable, what string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %d is taken by another program, and %s needs one: stop that program, or choose another port, for example %s=%d", port, what, variable, port+1000)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("this user may not listen on port %d, and %s needs one: choose a port above 1023 with %s", port, what, variable)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("this machine has no such address to listen on for %s: %w (%s and %s)", what, err, VarHost, VarListen)
	}
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
