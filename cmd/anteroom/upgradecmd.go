package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"anteroom/store"
	"anteroom/store/postgres"
)

// rehearsal is what an upgrade of a copy took and found.
type rehearsal struct {
	FromVersion int64    `json:"from_version"` // of the schema; 0 for a file, which has no steps
	ToVersion   int64    `json:"to_version"`
	Seconds     float64  `json:"seconds"` // until the service could have started
	BytesBefore int64    `json:"bytes_before"`
	BytesAfter  int64    `json:"bytes_after"`
	Rows        int64    `json:"rows"`
	Findings    []string `json:"findings"`
}

func (a *app) upgradeCommand() *cobra.Command {
	var rehearse bool
	var on string
	c := &cobra.Command{
		Use:   "upgrade",
		Short: "Rehearse an upgrade on a copy: time, size, findings",
		Long: `A start of serve brings the store up to date by itself. Upgrade --rehearse does the same to a copy,
reads every row of it, follows the audit chain, and says how long it took and what it found.

The copy is a restored backup: another PostgreSQL database, which is changed, or the file that
anteroom backup wrote, which is copied once more and stays as it is. @FILE reads the name from a file.`,
		Example: `  anteroom upgrade --rehearse --on bolt:/backup/anteroom-2026-03-01.db
  anteroom upgrade --rehearse --on @/run/secrets/rehearsal-store`,
		Args: wants(),
	}
	c.Flags().BoolVar(&rehearse, "rehearse", false, "upgrade a copy")
	c.Flags().StringVar(&on, "on", "", "the copy: bolt:FILE, postgres://..., or @FILE that says so")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !rehearse || on == "" {
			return errors.New("serve upgrades by itself when it starts; to rehearse that on a restored backup, say --rehearse --on bolt:FILE or --on postgres://...")
		}
		report, err := a.rehearse(c.Context(), on)
		if err != nil {
			return err
		}
		return a.show(report, func(t *table) {
			t.line("Schema %d to %d in %.1f s; %d bytes before, %d after; %d rows read.", report.FromVersion, report.ToVersion, report.Seconds, report.BytesBefore, report.BytesAfter, report.Rows)
			for _, finding := range report.Findings {
				t.line("Found: %s", finding)
			}
			if len(report.Findings) == 0 {
				t.line("Nothing was found that would be in the way.")
			}
		})
	}
	return c
}

func (a *app) rehearse(ctx context.Context, on string) (r rehearsal, err error) {
	place, err := placeOf(on)
	if err != nil {
		return r, err
	}
	r.Findings = []string{}
	var size func() (int64, error)
	if path, isFile := strings.CutPrefix(place, "bolt:"); isFile {
		dir, err := os.MkdirTemp(filepath.Dir(path), ".rehearsal-*") // mode 0700
		if err != nil {
			return r, fmt.Errorf("make a folder for the copy: %w", err)
		}
		defer os.RemoveAll(dir)
		work := filepath.Join(dir, "anteroom.db")
		if r.BytesBefore, err = copyFile(path, work); err != nil {
			return r, fmt.Errorf("copy %s: %w", path, err)
		}
		place = "bolt:" + work
		size = func() (int64, error) {
			info, err := os.Stat(work)
			if err != nil {
				return 0, err
			}
			return info.Size(), nil
		}
	} else if r.FromVersion, r.ToVersion, r.BytesBefore, err = postgres.Inspect(ctx, place); err != nil {
		return r, err
	} else {
		size = func() (int64, error) {
			_, _, bytes, err := postgres.Inspect(ctx, place)
			return bytes, err
		}
	}
	start := time.Now()
	s, err := a.openMover(ctx, place, false)
	if err != nil {
		r.Findings = append(r.Findings, err.Error())
		return r, nil
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r.Seconds = time.Since(start).Seconds()
	sums, err := store.Sums(ctx, s)
	if err != nil {
		r.Findings = append(r.Findings, err.Error())
	}
	for _, sum := range sums {
		r.Rows += sum.Rows
	}
	if finding, err := brokenChain(ctx, s); err != nil {
		r.Findings = append(r.Findings, err.Error())
	} else if finding != "" {
		r.Findings = append(r.Findings, finding)
	}
	r.BytesAfter, err = size()
	return r, err
}

// brokenChain follows the audit log and names the first break.
func brokenChain(ctx context.Context, log store.AuditLog) (string, error) {
	prev := ""
	for after := ""; ; {
		rows, next, err := log.AuditEvents(ctx, store.AuditFilter{}, store.Page{After: after, Limit: 1000})
		if err != nil {
			return "", err
		}
		for _, e := range rows {
			if e.PrevHash != prev || e.Hash != store.AuditHash(e) {
				return fmt.Sprintf("the audit log is broken at entry %d; see anteroom audit verify", e.Seq), nil
			}
			prev = e.Hash
		}
		if after = next; after == "" {
			return "", nil
		}
	}
}

// copyFile never writes over a file, and returns how long it is.
func copyFile(from, to string) (int64, error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, in)
	return n, errors.Join(err, out.Close())
}
