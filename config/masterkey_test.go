package config

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestMasterKeyIsMadeOnceAndKept(t *testing.T) {
	c := Default()
	c.DataDir = filepath.Join(t.TempDir(), "data")
	keys := make([][]byte, 16)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			key, err := MasterKey(c)
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	wg.Wait()
	for i, key := range keys {
		if len(key) != masterKeySize || !bytes.Equal(key, keys[0]) {
			t.Fatalf("key %d differs from the first", i)
		}
	}
	for path, want := range map[string]os.FileMode{c.DataDir: 0o700, c.MasterKeyPath(): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v, want mode %o", path, info.Mode(), err, want)
		}
	}
	if rest, _ := filepath.Glob(filepath.Join(c.DataDir, ".master*")); len(rest) > 0 {
		t.Errorf("left behind: %v", rest)
	}
}

func TestMasterKeyRefusals(t *testing.T) {
	raw := bytes.Repeat([]byte{7}, masterKeySize)
	for _, tc := range []struct {
		name    string
		content string
		mode    os.FileMode
		file    bool // master_key_file instead of the data folder
		want    string
	}{
		{"readable by others", string(raw), 0o644, false, "chmod 600"},
		{"writable by others", string(raw), 0o666, true, "chmod go-w"},
		{"too short", "secret", 0o600, false, "does not hold 32 bytes"},
		{"empty", "", 0o600, true, "does not hold 32 bytes"},
		{"too long", string(raw) + string(raw), 0o600, false, "does not hold 32 bytes"},
		{"raw", string(raw), 0o600, false, ""},
		{"hex", hex.EncodeToString(raw) + "\n", 0o600, true, ""},
		{"base64", base64.StdEncoding.EncodeToString(raw) + "\n", 0o444, true, ""},
		{"base64url", base64.RawURLEncoding.EncodeToString(raw), 0o400, true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Default()
			c.DataDir = t.TempDir()
			if tc.file {
				c.MasterKeyFile = filepath.Join(t.TempDir(), "key")
			}
			if err := os.WriteFile(c.MasterKeyPath(), []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(c.MasterKeyPath(), tc.mode); err != nil {
				t.Fatal(err)
			}
			key, err := MasterKey(c)
			if tc.want == "" {
				if err != nil || !bytes.Equal(key, raw) {
					t.Errorf("got %x, %v", key, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestNoNewMasterKeyForAnExistingDatabase(t *testing.T) {
	c := Default()
	c.DataDir = t.TempDir()
	if err := os.WriteFile(c.BoltPath(), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := MasterKey(c); err == nil || !strings.Contains(err.Error(), "restore the key from your backup") {
		t.Errorf("got %v", err)
	}
	c.MasterKeyFile = filepath.Join(c.DataDir, "elsewhere")
	if _, err := MasterKey(c); err == nil || !strings.Contains(err.Error(), "there is no master key file") {
		t.Errorf("got %v", err)
	}
}

func TestMasterKeyFromTheEnvironment(t *testing.T) {
	raw := bytes.Repeat([]byte{7}, masterKeySize)
	base := map[string]string{"ANTEROOM_ISSUER": "https://id.example.com", "ANTEROOM_DATA": filepath.Join(t.TempDir(), "data")}
	for _, tc := range []struct {
		name, key, file, want string
	}{
		{"hex", hex.EncodeToString(raw), "", ""},
		{"base64", base64.StdEncoding.EncodeToString(raw), "", ""},
		{"a pass phrase of 32 characters", strings.Repeat("horse ba", 4), "", "does not hold 32 bytes"},
		{"too short", hex.EncodeToString(raw[1:]), "", "does not hold 32 bytes"},
		{"a file as well", hex.EncodeToString(raw), "/run/secrets/key", "keep one of the two"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			vars := map[string]string{"ANTEROOM_MASTER_KEY": tc.key, "ANTEROOM_MASTER_KEY_FILE": tc.file}
			maps.Copy(vars, base)
			c, err := Load("", func(name string) string { return vars[name] })
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), tc.key) {
					t.Errorf("got %v, want %q and never the key", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			key, err := MasterKey(c)
			if err != nil || !bytes.Equal(key, raw) {
				t.Errorf("got %x, %v", key, err)
			}
			if left, _ := filepath.Glob(filepath.Join(c.DataDir, "*key*")); len(left) > 0 {
				t.Errorf("the key is on the disk: %v", left)
			}
		})
	}
}
