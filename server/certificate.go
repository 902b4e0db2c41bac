package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"anteroom/config"
)

// lookEvery is how often the files of the certificate are looked at, at most.
const lookEvery = 10 * time.Second

// ownCertificate is the certificate of the listener, read again when it was
// renewed: nobody has to restart a service every sixty days.
type ownCertificate struct {
	files config.TLS
	log   *slog.Logger
	every time.Duration

	mu     sync.Mutex
	now    *tls.Certificate
	of     [2]stamp
	looked time.Time
}

// stamp tells two versions of a file apart.
type stamp struct {
	changed time.Time
	size    int64
}

func newOwnCertificate(files config.TLS, log *slog.Logger) (*ownCertificate, error) {
	c := &ownCertificate{files: files, log: log, every: lookEvery}
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("load certificate (tls): %w", err)
	}
	return c, nil
}

// stamps follows links: renewal programs change what they point to.
func (c *ownCertificate) stamps() (of [2]stamp, err error) {
	for i, path := range []string{c.files.Certificate, c.files.Key} {
		info, err := os.Stat(path)
		if err != nil {
			return of, err
		}
		of[i] = stamp{info.ModTime(), info.Size()}
	}
	return of, nil
}

func (c *ownCertificate) read() error {
	of, err := c.stamps()
	if err != nil {
		return err
	}
	if c.now != nil && of == c.of {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(c.files.Certificate, c.files.Key)
	if err != nil {
		return err
	}
	if c.now != nil {
		c.log.Info("the certificate was renewed", "expires", cert.Leaf.NotAfter.UTC())
	}
	c.now, c.of = &cert, of
	return nil
}

// get is tls.Config.GetCertificate. Files that do not go together, as in the
// middle of a renewal, leave the certificate that was read before.
func (c *ownCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) >= c.every {
		c.looked = time.Now()
		if err := c.read(); err != nil {
			c.log.Error("the certificate cannot be read again; the old one is used", "expires", c.now.Leaf.NotAfter.UTC(), "error", err)
		}
	}
	return c.now, nil
}
