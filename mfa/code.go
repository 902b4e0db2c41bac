package mfa

import (
	"strings"
	"unicode"
)

// maxTyped bounds what is looked at of a code that somebody typed, in bytes:
// six digits of the longest script with marks and spaces between them fit twice.
const maxTyped = 128

// ParseCode returns the ASCII digits of a typed or pasted code, and whether it
// holds nothing else. People paste "123 456", "123-456" and what their keyboard
// makes of it: spaces and dashes of every kind and invisible marks are dropped,
// decimal digits of every script (full-width, Arabic-Indic, Devanagari, ...)
// count as digits. How many digits are right is the caller's question.
func ParseCode(typed string) (digits string, ok bool) {
	if len(typed) > maxTyped {
		return "", false
	}
	var b strings.Builder
	for _, r := range typed {
		value, isDigit := decimal(r)
		switch {
		case isDigit:
			b.WriteByte('0' + value)
		case separator(r):
		default:
			return "", false
		}
	}
	return b.String(), b.Len() > 0
}

// decimal returns the value of a decimal digit of any script. Unicode keeps
// each script's digits in one run from zero to nine, and runs that touch are
// whole tens (The Unicode Standard, section 4.6), so the place in the run tells.
func decimal(r rune) (byte, bool) {
	if r >= '0' && r <= '9' {
		return byte(r - '0'), true
	}
	if r < unicode.MaxASCII || !unicode.IsDigit(r) {
		return 0, false
	}
	for _, run := range unicode.Digit.R16 {
		if r >= rune(run.Lo) && r <= rune(run.Hi) {
			return byte((r - rune(run.Lo)) % 10), true
		}
	}
	for _, run := range unicode.Digit.R32 {
		if r >= rune(run.Lo) && r <= rune(run.Hi) {
			return byte((r - rune(run.Lo)) % 10), true
		}
	}
	return 0, false
}

// separator tells what stands between digits without meaning anything: spaces,
// dashes, and the marks that copying from a formatted page brings along.
func separator(r rune) bool {
	return unicode.IsSpace(r) || unicode.In(r, unicode.Zs, unicode.Pd, unicode.Cf) || r == '\u2212' // minus sign
}
