package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"anteroom/admin"
	"anteroom/config"
	"anteroom/store"
)

const (
	maxConnections = 10_000    // idle and slow clients included
	maxHeader      = 192 << 10 // six pending sign-ins with large requests fit
	sweepEvery     = time.Minute
	sweepRows      = 500
	stopWithin     = 20 * time.Second // requests in flight get this long at SIGTERM
)

// Server is one node.
type Server struct {
	*Rooms
	config  config.Config
	log     *slog.Logger
	metrics *metrics
	extra   map[string]http.Handler
	ready   func(issuer string)
}

// Option changes what a Server does besides its configuration.
type Option func(*Server)

// WithRoute serves an additional path prefix on the issuer's listener; the demo
// uses it for its mailbox.
func WithRoute(prefix string, h http.Handler) Option {
	return func(s *Server) { s.extra[prefix] = h }
}

// WithReady calls f once every listener accepts connections.
func WithReady(f func(issuer string)) Option { return func(s *Server) { s.ready = f } }

// New returns a node over rooms that Assemble built from cfg.
func New(cfg config.Config, rooms *Rooms, log *slog.Logger, options ...Option) *Server {
	s := &Server{Rooms: rooms, config: cfg, log: log, extra: map[string]http.Handler{}}
	s.metrics = newMetrics(s.knownPaths())
	for _, o := range options {
		o(s)
	}
	return s
}

// Run serves until ctx ends, then lets the requests in flight finish. It does not
// close the rooms.
func (s *Server) Run(ctx context.Context) error {
	listeners, err := s.listen()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for _, l := range listeners {
		running.Go(func() {
			if err := l.serve(); !errors.Is(err, http.ErrServerClosed) {
				cancel(fmt.Errorf("serve %s: %w", l.name, err))
			}
		})
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	for _, work := range s.background() {
		running.Go(func() { work(background) })
	}
	s.log.Info("ready", "issuer", s.config.Issuer, "listen", s.config.Listen)
	if s.ready != nil {
		s.ready(s.config.Issuer)
	}
	<-ctx.Done()
	s.log.Info("stopping")
	shutdown, release := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer release()
	for _, l := range listeners {
		if err := l.server.Shutdown(shutdown); err != nil {
			s.log.Warn("requests were cut off", "listener", l.name, "error", err)
		}
	}
	stop()
	running.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

type listener struct {
	name   string
	server *http.Server
	net.Listener
}

func (l *listener) serve() error { return l.server.Serve(l.Listener) }

// listen opens every listener or none.
func (s *Server) listen() (all []*listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range all {
				_ = l.Close()
			}
		}
	}()
	public, err := s.publicListener()
	if err != nil {
		return nil, err
	}
	all = append(all, &listener{"public", s.httpServer(s.Handler()), public})
	socket, err := admin.Listen(s.config.AdminSocket())
	if err != nil {
		return all, err
	}
	all = append(all, &listener{"administration", s.httpServer(s.Admin), socket})
	if s.config.Operations.Listen != "" {
		ops, err := net.Listen("tcp", s.config.Operations.Listen)
		if err != nil {
			return all, fmt.Errorf("listen for operations on %s (operations.listen): %w", s.config.Operations.Listen, err)
		}
		all = append(all, &listener{"operations", s.httpServer(operations(s.metrics, s.Store.Ready)), ops})
	}
	return all, nil
}

func (s *Server) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 60 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

func (s *Server) publicListener() (net.Listener, error) {
	l, err := net.Listen("tcp", s.config.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s (listen): %w", s.config.Listen, err)
	}
	l = netutil.LimitListener(l, maxConnections)
	if !s.config.TLS.Enabled() {
		return l, nil
	}
	cert, err := newOwnCertificate(s.config.TLS, s.log)
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return tls.NewListener(l, s.tlsConfig(cert.get)), nil
}

// background is what a node does besides answering.
func (s *Server) background() []func(context.Context) {
	return []func(context.Context){
		s.sweep,
		s.MailSender.Run,
		func(ctx context.Context) { s.Provider.Keys().Run(ctx) },
		s.Provider.DeliverNotices,
	}
}

// sweep removes what expired, in small steps.
func (s *Server) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for removed := sweepRows; removed == sweepRows && ctx.Err() == nil; {
			var err error
			removed, err = s.Store.Sweep(ctx, store.Time(s.Now()), sweepRows)
			if err != nil {
				s.log.Warn("sweep", "error", err)
				break
			}
		}
	}
}
