package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// state is what the demo must remember besides what the product stores: secrets
// that are shown once.
type state struct {
	path      string
	Secrets   map[string]string `json:"client_secrets"`
	Passwords map[string]string `json:"passwords"`
}

func loadState(dir string) (*state, error) {
	s := &state{path: filepath.Join(dir, "demo.json"), Secrets: map[string]string{}, Passwords: map[string]string{}}
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what the demo remembers: %w", err)
	}
	if err := json.Unmarshal(data, s); err != nil || s.Secrets == nil || s.Passwords == nil {
		return nil, fmt.Errorf("%s cannot be read; delete the folder %s to start over", s.path, dir)
	}
	return s, nil
}

func (s *state) save() error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode what the demo remembers: %w", err)
	}
	temporary := s.path + ".new"
	if err := os.WriteFile(temporary, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write what the demo remembers: %w", err)
	}
	return os.Rename(temporary, s.path)
}
