package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIssuersOfSoftwareStatements(t *testing.T) {
	path := filepath.Join(t.TempDir(), "issuers.json")
	c := Config{Registration: Registration{StatementIssuers: path}}
	for _, tc := range []struct{ text, wrong string }{
		{`[]`, ""},
		{`[{"issuer": "a", "jwks_uri": "https://a.example/jwks"}, {"issuer": "b", "jwks": {"keys": []}}]`, ""},
		{``, "not JSON of the form"},
		{`{}`, "not JSON of the form"},
		{`[{"isuer": "a"}]`, "not JSON of the form"},
		{`[] []`, "not JSON of the form"},
		{`[{"jwks_uri": "https://a.example/jwks"}]`, "has no name"},
		{`[{"issuer": "a"}]`, "needs one of"},
		{`[{"issuer": "a", "jwks_uri": "https://a.example/", "jwks": {}}]`, "needs one of"},
		{`[{"issuer": "a", "jwks_uri": "http://a.example/jwks"}]`, "not fetched over https"},
		{`[{"issuer": "a", "jwks": {}}, {"issuer": "a", "jwks": {}}]`, "is there twice"},
	} {
		if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := c.ReadStatementIssuers()
		if (err == nil) != (tc.wrong == "") || (err != nil && !strings.Contains(err.Error(), tc.wrong)) {
			t.Errorf("%s: %v, %v", tc.text, all, err)
		}
	}
	if all, err := new(Config).ReadStatementIssuers(); err != nil || len(all) != 0 {
		t.Errorf("without a file: %v, %v", all, err)
	}
}
