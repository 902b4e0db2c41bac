package account

import (
	"bytes"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"anteroom/store"
)

// importLine is one person as the import reads it: what is known to be well
// formed, before the store is asked.
type importLine struct {
	UserName       string
	Email          string
	EmailVerified  bool
	OrganisationID string
	PasswordHash   string
	TOTPSecret     []byte
	UpdatedAt      time.Time
	Profile        map[string]any
	Assignments    []importAssignment
}

type importAssignment struct {
	Application  string                `json:"application"`
	Organisation string                `json:"organisation"`
	Role         string                `json:"role"`
	State        store.AssignmentState `json:"state"` // empty: active
}

const (
	maxClaim      = 2000 // bytes of one claim
	minTOTPSecret = 10   // bytes: 80 bits are what older systems gave out
	maxTOTPSecret = 128
)

// claimKinds are the standard claims (OpenID Connect Core section 5.1) that go
// into the profile, with a reader for the JSON type of each.
var claimKinds = map[string]func(json.RawMessage) (any, error){
	"name": textClaim, "given_name": textClaim, "family_name": textClaim, "middle_name": textClaim,
	"nickname": textClaim, "profile": textClaim, "picture": textClaim, "website": textClaim,
	"gender": textClaim, "birthdate": textClaim, "zoneinfo": textClaim, "locale": textClaim,
	"phone_number": textClaim, "phone_number_verified": boolClaim, "address": addressClaim,
}

// parseImportLine reads one line of an import: a JSON object whose keys are
// user_name, email, email_verified, organisation, password_hash, totp_secret,
// updated_at, assignments and the standard claims. The error says what is wrong
// with which key, without repeating secrets.
func parseImportLine(line []byte) (importLine, error) {
	var l importLine
	keys, err := jsonObject(line)
	if err != nil {
		return l, err
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if err := l.set(key, keys[key]); err != nil {
			return importLine{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	return l, l.validate()
}

func (l *importLine) set(key string, raw json.RawMessage) (err error) {
	switch key {
	case "user_name":
		l.UserName, err = text(raw)
	case "email":
		l.Email, err = text(raw)
	case "email_verified":
		l.EmailVerified, err = boolean(raw)
	case "organisation":
		l.OrganisationID, err = text(raw)
	case "password_hash":
		if l.PasswordHash, err = text(raw); err == nil && l.PasswordHash != "" {
			_, err = parseHash(l.PasswordHash)
		}
	case "totp_secret":
		l.TOTPSecret, err = totpSecret(raw)
	case "updated_at":
		l.UpdatedAt, err = moment(raw)
	case "assignments":
		l.Assignments, err = assignments(raw)
	default:
		read, ok := claimKinds[key]
		if !ok {
			return errors.New("is no key of an import; see the documentation for the list")
		}
		value, err := read(raw)
		if err != nil {
			return err
		}
		if l.Profile == nil {
			l.Profile = map[string]any{}
		}
		l.Profile[key] = value
	}
	return err
}

func (l *importLine) validate() error {
	if l.UserName == "" {
		l.UserName = l.Email
	}
	if l.UserName == "" {
		return errors.New("user_name or email is missing")
	}
	if l.Email != "" {
		if err := checkEmail(l.Email); err != nil {
			return err
		}
	}
	if l.EmailVerified && l.Email == "" {
		return errors.New("email_verified: there is no email")
	}
	return checkUserName(l.UserName)
}

// jsonObject reads exactly one JSON object with no key twice: of two values, it
// would be chance which one counts.
func jsonObject(line []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(line) {
		return nil, errors.New("the line is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("the line is not a JSON object")
	}
	keys := map[string]json.RawMessage{}
	for dec.More() {
		token, err := dec.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return nil, errors.New("the line is not a JSON object")
		}
		if _, twice := keys[key]; twice {
			return nil, fmt.Errorf("the key %q occurs twice", clip(key))
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, fmt.Errorf("the value of %q is not JSON", clip(key))
		}
		keys[key] = raw
	}
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("the JSON object is not closed")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return keys, nil
}

func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

func text(raw json.RawMessage) (string, error) {
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", errors.New("must be a string")
	}
	if len(*s) > maxClaim || strings.ContainsRune(*s, 0) {
		return "", errors.New("is too long, or contains a NUL")
	}
	return *s, nil
}

func boolean(raw json.RawMessage) (bool, error) {
	var b *bool
	if err := json.Unmarshal(raw, &b); err != nil || b == nil {
		return false, errors.New("must be true or false")
	}
	return *b, nil
}

func textClaim(raw json.RawMessage) (any, error) { return text(raw) }
func boolClaim(raw json.RawMessage) (any, error) { return boolean(raw) }

// addressClaim: OpenID Connect Core section 5.1.1.
func addressClaim(raw json.RawMessage) (any, error) {
	parts, err := jsonObject(raw)
	if err != nil {
		return nil, errors.New("must be an object")
	}
	address := map[string]any{}
	for key, value := range parts {
		switch key {
		case "formatted", "street_address", "locality", "region", "postal_code", "country":
			if address[key], err = text(value); err != nil {
				return nil, fmt.Errorf("%s %w", key, err)
			}
		default:
			return nil, fmt.Errorf("%q is no part of an address", clip(key))
		}
	}
	return address, nil
}

func moment(raw json.RawMessage) (time.Time, error) {
	var seconds *int64
	if err := json.Unmarshal(raw, &seconds); err != nil || seconds == nil || *seconds < 0 || *seconds > 1<<35 {
		return time.Time{}, errors.New("must be a number of seconds since 1970")
	}
	return time.Unix(*seconds, 0).UTC(), nil
}

// totpSecret reads base32 as people and systems write it: with or without
// padding, spaces and lower case. The secret is for SHA-1, six digits, 30 s.
func totpSecret(raw json.RawMessage) ([]byte, error) {
	s, err := text(raw)
	if err != nil || s == "" {
		return nil, err
	}
	s = strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(s))
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return nil, errors.New("is not base32")
	}
	if len(secret) < minTOTPSecret || len(secret) > maxTOTPSecret {
		return nil, fmt.Errorf("must have %d to %d bytes", minTOTPSecret, maxTOTPSecret)
	}
	return secret, nil
}

func assignments(raw json.RawMessage) ([]importAssignment, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	var all []importAssignment
	if err := dec.Decode(&all); err != nil {
		return nil, errors.New("must be a list of objects with the keys application, organisation, role and state")
	}
	for i, one := range all {
		switch one.State {
		case "":
			all[i].State = store.AssignmentActive
		case store.AssignmentActive, store.AssignmentInvited:
		default:
			return nil, errors.New("state must be active or invited")
		}
		if one.Application == "" {
			return nil, errors.New("application is missing")
		}
	}
	return all, nil
}
