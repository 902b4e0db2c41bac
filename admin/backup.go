package admin

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"anteroom/internal/audit"
	"anteroom/store"
)

// backup streams a copy of the store. The length is sent first, so that a copy
// that was cut off on its way is noticed.
func (a *API) backup(w http.ResponseWriter, c call) error {
	if a.Backup == nil {
		return problem(http.StatusConflict, "conflict", "Everything is kept in PostgreSQL: back it up with the tools of the database (pg_basebackup, pg_dump), and keep a copy of the master key apart.")
	}
	dir, err := os.MkdirTemp(a.Scratch, ".backup-*") // mode 0700
	if err != nil {
		return fmt.Errorf("make a folder for the backup: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "anteroom.db")
	if err := a.Backup.Backup(c.ctx, path); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	if err := a.record(c.ctx, c, store.AuditEvent{Type: audit.BackupTaken}); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	defer f.Close()
	// What is open needs no name: nothing stays behind, even if the process ends now.
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the backup's folder: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if _, err := io.Copy(w, f); err != nil {
		a.Log.WarnContext(c.ctx, "backup not sent whole", "error", err.Error())
	}
	return nil
}
