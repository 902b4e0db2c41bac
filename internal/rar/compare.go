package rar

import (
	"errors"
	"fmt"
	"slices"

	"anteroom/store"
)

// has tells whether a detail is there, exactly.
func (d Details) has(one Detail) bool {
	return slices.ContainsFunc(d, func(have Detail) bool { return canonical(have) == canonical(one) })
}

// Owed tells whether the person has to be asked: for each detail that was not
// among those consented to before (given), and for types that are asked for every
// time. Only types that the operator said so are never asked for; one that is not
// known is.
func (d Details) Owed(types []store.DetailType, given Details) bool {
	return slices.ContainsFunc(d, func(one Detail) bool {
		switch typeOf(types, one.Type()).Consent {
		case store.ConsentSkip:
			return false
		case store.ConsentAlways:
			return true
		}
		return !given.has(one)
	})
}

// Within refuses what is more than was granted: each detail must be one of those,
// or the same with shorter lists (RFC 9396 section 6.1). A member that is left out
// would say more, not less.
func (d Details) Within(granted Details) error {
	for _, one := range d {
		if !slices.ContainsFunc(granted, func(have Detail) bool { return narrower(one, have) }) {
			return fmt.Errorf("asks for a %s that was not granted", one.Type())
		}
	}
	return nil
}

func narrower(one, have Detail) bool {
	if len(one) != len(have) {
		return false
	}
	for name, v := range one {
		switch v := v.(type) {
		case Detail:
			inner, ok := have[name].(Detail)
			if !ok || !narrower(v, inner) {
				return false
			}
		case []string:
			list, ok := have[name].([]string)
			if !ok || slices.ContainsFunc(v, func(s string) bool { return !slices.Contains(list, s) }) {
				return false
			}
		default:
			if v != have[name] {
				return false
			}
		}
	}
	return true
}

// Of returns the details of the types that a client may ask for.
func (d Details) Of(allowed []string) Details {
	return slices.DeleteFunc(slices.Clone(d), func(one Detail) bool { return !slices.Contains(allowed, one.Type()) })
}

// For returns the details that concern the resource servers of a token (RFC 9396
// section 9.1): those that say no locations, or one of these. A token without
// resources carries all.
func (d Details) For(resources []string) Details {
	if len(resources) == 0 {
		return d
	}
	return slices.DeleteFunc(slices.Clone(d), func(one Detail) bool {
		places, ok := one["locations"].([]string)
		return ok && !slices.ContainsFunc(places, func(p string) bool { return slices.Contains(resources, p) })
	})
}

// checkLocations: a client gets at no resource server by locations that it does
// not get at by resource (RFC 8707).
func (d Details) checkLocations(audiences []string) error {
	for _, one := range d {
		places, ok := one["locations"].([]string)
		if _, sent := one["locations"]; sent && !ok {
			return errors.New("has locations that are not a list")
		}
		for _, place := range places {
			if !slices.Contains(audiences, place) {
				return fmt.Errorf("names the location %s, for which this client is not registered", place)
			}
		}
	}
	return nil
}
