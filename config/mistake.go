package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Mistake is one thing that is wrong with a configuration.
type Mistake struct {
	Key   string // dotted path; "" for the file as a whole
	Where string // "anteroom.yaml:12", "ANTEROOM_LISTEN" or ""
	What  string // what is wrong
	Fix   string // what to do
	line  int
}

func (m Mistake) String() string {
	var b strings.Builder
	if m.Where != "" {
		b.WriteString(m.Where + ": ")
	}
	if m.Key != "" {
		b.WriteString(m.Key + ": ")
	}
	b.WriteString(m.What)
	if m.Fix != "" {
		b.WriteString("; " + m.Fix)
	}
	return b.String()
}

// Mistakes are all the things that are wrong with a configuration, in the order
// of the file.
type Mistakes []Mistake

func (m Mistakes) Error() string {
	if len(m) == 1 {
		return "the configuration has a mistake: " + m[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the configuration has %d mistakes:", len(m))
	for _, one := range m {
		b.WriteString("\n  " + one.String())
	}
	return b.String()
}

func (m Mistakes) sorted() Mistakes {
	slices.SortStableFunc(m, func(a, b Mistake) int {
		// What is not in the file comes after what is.
		la, lb := a.line, b.line
		if la == 0 {
			la = 1 << 30
		}
		if lb == 0 {
			lb = 1 << 30
		}
		return cmp.Or(la-lb, strings.Compare(a.Key, b.Key))
	})
	return m
}

// orNil keeps an empty list from becoming a non-nil error.
func (m Mistakes) orNil() error {
	if len(m) == 0 {
		return nil
	}
	return m.sorted()
}

// AsMistakes returns the mistakes in err, if it is about a configuration.
func AsMistakes(err error) (Mistakes, bool) { return errors.AsType[Mistakes](err) }
