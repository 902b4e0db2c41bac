// Package mailbox is a mail server that delivers nothing: it keeps what it
// gets, and shows it on a page and as JSON. The demo's newcomers read their
// invitation in it, and so do the end-to-end tests.
package mailbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Keep is how many messages stay; the oldest go first.
const Keep = 200

// Message is one caught mail, as mail.json shows it.
type Message struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	From    string    `json:"from"`
	To      string    `json:"to"` // address alone, without a name
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	HTML    string    `json:"html"`
	Links   []string  `json:"links"` // in the order of the text, each once
}

// Mailbox keeps messages. Safe for concurrent use.
type Mailbox struct {
	path string // "": in memory only

	mu      sync.Mutex
	next    int
	kept    []Message     // oldest first
	arrived chan struct{} // closed and replaced at each arrival
}

// Open returns a mailbox that survives in the file at path; path "" keeps it in
// memory. A file that cannot be read is an error, a missing one is not.
func Open(path string) (*Mailbox, error) {
	m := &Mailbox{path: path, next: 1, arrived: make(chan struct{})}
	if path == "" {
		return m, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the mailbox: %w", err)
	}
	if err := json.Unmarshal(data, &m.kept); err != nil {
		return nil, fmt.Errorf("read the mailbox %s: %w (delete it to start with an empty one)", path, err)
	}
	for _, msg := range m.kept {
		if n, err := strconv.Atoi(msg.ID); err == nil && n >= m.next {
			m.next = n + 1
		}
	}
	return m, nil
}

// All returns the messages, newest first.
func (m *Mailbox) All() []Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Clone(m.kept)
	slices.Reverse(all)
	return all
}

// Message returns one by its ID.
func (m *Mailbox) Message(id string) (Message, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, msg := range m.kept {
		if msg.ID == id {
			return msg, true
		}
	}
	return Message{}, false
}

// Wait returns the newest message that fits, as soon as there is one. The error
// is ctx's.
func (m *Mailbox) Wait(ctx context.Context, fits func(Message) bool) (Message, error) {
	for {
		m.mu.Lock()
		arrived := m.arrived
		m.mu.Unlock()
		for _, msg := range m.All() {
			if fits(msg) {
				return msg, nil
			}
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return Message{}, ctx.Err()
		}
	}
}

// add numbers and keeps messages. What was not written to the file is not kept:
// the sender hears about it and tries again.
func (m *Mailbox) add(messages ...Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept, next := slices.Clone(m.kept), m.next
	for _, msg := range messages {
		msg.ID = strconv.Itoa(next)
		next++
		kept = append(kept, msg)
	}
	if len(kept) > Keep {
		kept = kept[len(kept)-Keep:]
	}
	if err := m.write(kept); err != nil {
		return err
	}
	m.kept, m.next = kept, next
	close(m.arrived)
	m.arrived = make(chan struct{})
	return nil
}

func (m *Mailbox) write(kept []Message) error {
	if m.path == "" {
		return nil
	}
	data, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("encode the mailbox: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(m.path), ".mail-*") // mode 0600: links that let people in
	if err != nil {
		return fmt.Errorf("write the mailbox: %w", err)
	}
	defer os.Remove(temporary.Name())
	if _, err := temporary.Write(data); err != nil {
		return errors.Join(fmt.Errorf("write the mailbox: %w", err), temporary.Close())
	}
	if err := temporary.Close(); err != nil {
		return fmt.Errorf("write the mailbox: %w", err)
	}
	return os.Rename(temporary.Name(), m.path)
}
