package admin

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestADataFolderBelongsToOneService(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another service runs with this data folder") {
		t.Fatalf("a second service: %v", err)
	}
	if c, err := Dial(t.Context(), path); err != nil {
		t.Errorf("the first one lost its socket: %v", err)
	} else {
		_ = c.Close()
	}
	// What a killed process leaves behind keeps nobody out.
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := Listen(path)
	if err != nil {
		t.Fatalf("after a crash: %v", err)
	}
	_ = next.Close()
}
