package bolt

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// holder says, in a file beside the database, which process has it open. The
// lock itself is bbolt's; this is only read to tell a second process whom to ask.
type holder struct {
	PID     int
	Host    string
	Program string
	Since   time.Time

	path string
}

func holderPath(database string) string { return database + ".lock" }

// writeHolder is called with the lock held.
func writeHolder(database string, now time.Time) (*holder, error) {
	host, _ := os.Hostname() // a name for people; may be empty
	h := &holder{PID: os.Getpid(), Host: host, Program: filepath.Base(os.Args[0]), Since: now.UTC().Truncate(time.Second), path: holderPath(database)}
	data, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	// The folder may have no space left: that must not keep a database from being
	// opened, and who reads it copes.
	if err := os.WriteFile(h.path, data, 0o600); err != nil && !outOfSpace(err) {
		return nil, fmt.Errorf("say who holds the database: %w", err)
	}
	return h, nil
}

func (h *holder) remove() {
	if h != nil {
		_ = os.Remove(h.path) // what is left of it misleads nobody: it is read only while the lock is held
	}
}

// readHolder names the process that holds the database.
func readHolder(database string) string {
	var h holder
	data, err := os.ReadFile(holderPath(database))
	if err == nil {
		err = json.Unmarshal(data, &h)
	}
	if err != nil || h.PID == 0 {
		return "another process (unknown: " + holderPath(database) + " does not say)"
	}
	return fmt.Sprintf("process %d (%s) on %s since %s", h.PID, h.Program, h.Host, h.Since.Format(time.RFC3339))
}
