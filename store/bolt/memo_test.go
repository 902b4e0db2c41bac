package bolt

import (
	"fmt"
	"path/filepath"
	"reflect"
	"testing"

	"anteroom/store"
)

// What a caller does to a row is seen by nobody else, and what was written is
// seen at once.
func TestRememberedRowsAreCopies(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "a.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := t.Context()
	want := store.Canonical(store.Client{
		ID: "web", ApplicationID: "portal", RedirectURIs: []string{"https://portal.example/cb"},
		Secrets: []store.ClientSecret{{Hash: "h"}}, Settings: map[string]any{"jwks": map[string]any{"keys": []any{"k"}}},
	})
	if err := s.CreateApplication(ctx, store.Application{ID: "portal"}); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateClient(ctx, want); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c, err := s.Client(ctx, "web")
		if err != nil || !reflect.DeepEqual(c, want) {
			t.Fatalf("got %+v %v", c, err)
		}
		c.RedirectURIs[0], c.Secrets[0].Hash = "https://evil.example", "x"
		c.Settings["jwks"].(map[string]any)["keys"].([]any)[0] = "evil"
		c.Settings["new"] = true
	}
	if _, err := s.UpdateClient(ctx, "web", func(c *store.Client) error { c.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if c, err := s.Client(ctx, "web"); err != nil || !c.Disabled {
		t.Errorf("disabled, and then: %+v %v", c, err)
	}
}

func TestTheMemoIsBounded(t *testing.T) {
	m := &memo[store.Application]{}
	for i := range 3 * memoRows {
		m.put(fmt.Append(nil, i), store.Application{ID: "a"})
	}
	m.put(make([]byte, memoRowSize+1), store.Application{})
	if n := len(m.rows); n == 0 || n > memoRows {
		t.Errorf("%d rows", n)
	}
}
