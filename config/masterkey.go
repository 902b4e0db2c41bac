package config

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// masterKeySize is the length of the master key in bytes.
const masterKeySize = 32

const notKeyText = "does not hold 32 bytes, hexadecimal or base64"

// MasterKeyPath returns the file that holds the master key, unless MasterKey is
// set.
func (c *Config) MasterKeyPath() string {
	if c.MasterKeyFile != "" {
		return c.MasterKeyFile
	}
	return filepath.Join(c.DataDir, "master.key")
}

// MasterKeyPlace says in words where the operator keeps the master key.
func (c *Config) MasterKeyPlace() string {
	if c.MasterKey != "" {
		return "master_key"
	}
	return c.MasterKeyPath()
}

// MasterKey returns the key of 32 bytes that everything at rest is sealed with.
// The data folder (0700) and, unless MasterKeyFile names another one, the key
// file (0600) are made if they are missing; when several processes start at
// once, all get the same key. A key is never made for a database that exists:
// its secrets would stay closed for ever. So call it before the store is opened.
// Errors are sentences for the operator.
func MasterKey(c Config) ([]byte, error) {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w; choose another one with data: in the configuration", err)
	}
	if c.MasterKey != "" {
		key, ok := decodeKeyText(c.MasterKey.Reveal())
		if !ok {
			return nil, errors.New("master_key " + notKeyText)
		}
		return key, nil
	}
	path := c.MasterKeyPath()
	key, err := readMasterKey(path, c.MasterKeyFile == "")
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if c.MasterKeyFile != "" {
		return nil, fmt.Errorf("there is no master key file %s; put the key there, or remove master_key_file from the configuration to use the one in the data folder", path)
	}
	// For a shared database that the key does not belong to, the server says so.
	if c.PostgresDSN() != "" {
		return firstMasterKey(path)
	}
	if info, err := os.Stat(c.BoltPath()); err == nil && info.Size() > 0 {
		return nil, fmt.Errorf("the database %s is there, but its master key %s is not; restore the key from your backup, without it the stored secrets cannot be opened", c.BoltPath(), path)
	}
	return firstMasterKey(path)
}

func firstMasterKey(path string) ([]byte, error) {
	if err := makeMasterKey(path); err != nil {
		return nil, fmt.Errorf("make the master key: %w", err)
	}
	return readMasterKey(path, true)
}

// readMasterKey refuses files that others could have read (ours) or changed
// (any): secret managers mount theirs readable, and this is their business.
func readMasterKey(path string, ours bool) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the master key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the master key: %w", err)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("the master key %s is a folder; name the file in it", path)
	}
	mode := info.Mode().Perm()
	if ours && mode&0o077 != 0 {
		return nil, fmt.Errorf("the master key %s can be read by other users of this machine (mode %04o); run: chmod 600 %s", path, mode, path)
	}
	if mode&0o022 != 0 {
		return nil, fmt.Errorf("the master key %s can be changed by other users of this machine (mode %04o); run: chmod go-w %s", path, mode, path)
	}
	data, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return nil, fmt.Errorf("read the master key: %w", err)
	}
	key, ok := decodeMasterKey(data)
	if !ok {
		return nil, fmt.Errorf("the master key %s does not hold 32 bytes, raw, hexadecimal or base64; restore it from your backup", path)
	}
	return key, nil
}

// decodeMasterKey reads 32 raw bytes, 64 hexadecimal digits or base64 of either
// alphabet, the text forms with or without a line break.
func decodeMasterKey(data []byte) ([]byte, bool) {
	if len(data) == masterKeySize {
		return data, true
	}
	return decodeKeyText(string(bytes.TrimSpace(data)))
}

func decodeKeyText(text string) ([]byte, bool) {
	decoders := []func(string) ([]byte, error){
		hex.DecodeString,
		base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	}
	for _, decode := range decoders {
		if key, err := decode(text); err == nil && len(key) == masterKeySize {
			return key, true
		}
	}
	return nil, false
}

// makeMasterKey writes a new key. The file appears complete and durable under
// its name or not at all; one that appeared meanwhile is left alone.
func makeMasterKey(path string) error {
	var key [masterKeySize]byte
	_, _ = rand.Read(key[:]) // never fails (crypto/rand)
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".master.key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key[:]) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	// A link, unlike a rename, never replaces the key of a process that was quicker.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
