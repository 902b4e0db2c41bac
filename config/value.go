package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// set parses e into the setting. what is "" when it worked.
func (s setting) set(e entry, dir string) (what, fix string) {
	if e.kind == mapping {
		return "this key has a value, not keys of its own", "write " + lastWord(s.key) + ": and the value on one line"
	}
	if e.kind == sequence {
		if _, ok := s.target.(*[]netip.Prefix); !ok {
			return "this key has one value, not a list", "write " + lastWord(s.key) + ": and the value on one line"
		}
	}
	switch t := s.target.(type) {
	case *string:
		if len(s.oneOf) > 0 && !slices.Contains(s.oneOf, e.text) {
			return fmt.Sprintf("%q is not a choice", e.text), "write " + choices(s.oneOf)
		}
		*t = e.text
		if s.path {
			*t = resolve(dir, e.text)
		}
	case *Secret:
		*t = Secret(e.text)
	case *int:
		return s.setInt(t, e.text)
	case *time.Duration:
		return s.setDuration(t, e.text)
	case *[]netip.Prefix:
		return setPrefixes(t, e)
	default:
		panic("config: setting " + s.key + " has a type that settings do not have")
	}
	return "", ""
}

func (s setting) setInt(t *int, text string) (what, fix string) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Sprintf("%q is not a whole number", text), fmt.Sprintf("write a number from %d to %d", s.least, s.most)
	}
	if n < s.least || n > s.most {
		return fmt.Sprintf("%d is out of range", n), fmt.Sprintf("write a number from %d to %d", s.least, s.most)
	}
	*t = n
	return "", ""
}

func (s setting) setDuration(t *time.Duration, text string) (what, fix string) {
	allowed := fmt.Sprintf("write a time from %s to %s", formatDuration(s.min), formatDuration(s.max))
	d, err := parseDuration(text)
	if err != nil {
		return fmt.Sprintf("%q is not a time", text), allowed + ", like 90s, 10m, 12h or 30d"
	}
	if d < s.min || d > s.max {
		return formatDuration(d) + " is out of range", allowed
	}
	*t = d
	return "", ""
}

func setPrefixes(t *[]netip.Prefix, e entry) (what, fix string) {
	words := e.list
	if e.kind == scalar {
		words = strings.FieldsFunc(e.text, func(r rune) bool { return r == ',' || r == ' ' })
	}
	var out []netip.Prefix
	for _, w := range words {
		p, err := parsePrefix(w)
		if err != nil {
			return fmt.Sprintf("%q is neither an address nor a network", w), "write 192.0.2.7 or 10.0.0.0/8, for example"
		}
		out = append(out, p)
	}
	*t = out
	return "", ""
}

// parsePrefix reads an address or a network. 10.1.2.3/8 is refused: it is not
// clear what was meant.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%s has bits beyond its length", s)
	}
	return p, nil
}

// parseDuration reads time.ParseDuration's form, and days: 30d, 1d12h. Days have
// 24 hours.
func parseDuration(s string) (time.Duration, error) {
	days := time.Duration(0)
	if head, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(head, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is not a number of days", head)
		}
		days = time.Duration(n) * 24 * time.Hour
		if rest == "" {
			return days, nil
		}
		s = rest
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, err
	}
	if days > 0 && (d < 0 || d >= 24*time.Hour) {
		return 0, fmt.Errorf("%q does not go with days", s)
	}
	return days + d, nil
}

// formatDuration writes what parseDuration reads, as short as it can be.
func formatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return "0s"
	case d >= 2*day && d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

func lastWord(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// choices joins words as people do: a, b or c.
func choices(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
