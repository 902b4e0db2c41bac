package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

// StatementIssuer is somebody whose software statements are believed.
type StatementIssuer struct {
	Issuer  string         `json:"issuer"`
	JWKS    map[string]any `json:"jwks"` // a JWK set
	JWKSURI string         `json:"jwks_uri"`
}

// ReadStatementIssuers reads the file of registration.statement_issuers; none if
// there is no such file in the configuration.
func (c *Config) ReadStatementIssuers() ([]StatementIssuer, error) {
	if c.Registration.StatementIssuers == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(c.Registration.StatementIssuers)
	if err != nil {
		return nil, fmt.Errorf("the file cannot be read: %w", err)
	}
	var all []StatementIssuer
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&all); err != nil || decoder.More() {
		return nil, errors.New(`the file is not JSON of the form [{"issuer": "https://vendor.example", "jwks_uri": "https://vendor.example/jwks.json"}]`)
	}
	seen := map[string]bool{}
	for _, one := range all {
		switch {
		case one.Issuer == "":
			return nil, errors.New("an issuer has no name")
		case seen[one.Issuer]:
			return nil, fmt.Errorf("the issuer %q is there twice", one.Issuer)
		case (one.JWKS == nil) == (one.JWKSURI == ""):
			return nil, fmt.Errorf("the issuer %q needs one of jwks and jwks_uri", one.Issuer)
		case one.JWKSURI != "" && !strings.HasPrefix(one.JWKSURI, "https://"):
			return nil, fmt.Errorf("the keys of %q are not fetched over https", one.Issuer)
		}
		seen[one.Issuer] = true
	}
	return all, nil
}
