package bolt

import (
	"path/filepath"
	"testing"

	"anteroom/store"
	"anteroom/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t testing.TB) storetest.Backend {
		path := filepath.Join(t.TempDir(), "a.db")
		return storetest.Backend{Open: func(o storetest.Options) (store.Store, error) {
			return Open(path, Options{Log: quiet(), MaxFailureKeys: o.MaxFailureKeys})
		}}
	})
}
