package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"golang.org/x/text/secure/precis"
)

// FoldName returns the form under which user names and e-mail addresses are
// compared: PRECIS UsernameCaseMapped (RFC 8265 section 3.3) where the profile
// accepts it, else lower case with surrounding space removed. Two names with the
// same fold are the same name.
func FoldName(name string) string {
	name = strings.TrimSpace(name)
	if folded, err := precis.UsernameCaseMapped.CompareKey(name); err == nil {
		return folded
	}
	return strings.ToLower(name)
}

// AuditHash is the chain's hash: hex SHA-256 over the JSON of the entry with
// Hash empty and PrevHash set.
func AuditHash(e AuditEvent) string {
	e.Hash = ""
	e.At = Time(e.At)
	if len(e.Details) == 0 {
		e.Details = nil
	}
	data, err := json.Marshal(e) // map keys are sorted; strings only: cannot fail
	if err != nil {
		panic("store: audit event does not marshal: " + err.Error())
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
