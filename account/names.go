package account

import (
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxUserName = 128 // characters
	maxEmail    = 254 // bytes (RFC 5321 section 4.5.3.1.3)
)

// Refused is what cannot be done, in words for whoever asked.
type Refused struct {
	Sentence string
	Cause    error
}

func (r *Refused) Error() string {
	if r.Cause != nil {
		return r.Sentence + ": " + r.Cause.Error()
	}
	return r.Sentence
}

// Explain says why, and what to do.
func (r *Refused) Explain() string { return r.Sentence }
func (r *Refused) Unwrap() error   { return r.Cause }

// checkEmail accepts one bare address, nothing that a mail header could be
// broken with.
func checkEmail(address string) error {
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address || len(address) > maxEmail || strings.ContainsFunc(address, unicode.IsControl) {
		return &Refused{Sentence: "The e-mail address is not valid: write it as name@host, without anything around it."}
	}
	return nil
}

func checkUserName(name string) error {
	switch {
	case name == "" || name != strings.TrimSpace(name):
		return &Refused{Sentence: "The user name must not be empty, nor begin or end with a space."}
	case utf8.RuneCountInString(name) > maxUserName:
		return &Refused{Sentence: "The user name is too long: use at most 128 characters."}
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return &Refused{Sentence: "The user name contains characters that cannot be typed."}
	}
	return nil
}

// MaskEmail hides an address from whoever does not know it: "a•••@acme.example".
func MaskEmail(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at <= 0 {
		return ""
	}
	first, _ := utf8.DecodeRuneInString(address)
	return string(first) + "•••" + address[at:]
}
