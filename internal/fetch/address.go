package fetch

import "net/netip"

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

var (
	// special are the addresses that are not of the public internet (RFC 6890 and
	// the IANA registries of special-purpose addresses), and those under which
	// hosting companies serve credentials to whoever asks from inside.
	special = prefixes(
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"168.63.129.16/32", // Azure's host, the only such address that looks public
		"2001::/23",        // Teredo and other protocol assignments
		"2001:db8::/32", "2002::/16", "3fff::/20",
	)
	// global is where IANA assigns public IPv6 addresses from; loopback,
	// link-local, unique local, multicast and NAT64 are outside of it.
	global = netip.MustParsePrefix("2000::/3")

	loopback = prefixes("127.0.0.0/8", "::1/128")
)

// Loopback are the networks of this machine itself.
func Loopback() []netip.Prefix { return append([]netip.Prefix(nil), loopback...) }

// Public tells whether a is an address of the public internet.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" || (a.Is6() && !global.Contains(a)) {
		return false
	}
	return !within(special, a)
}

func within(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
