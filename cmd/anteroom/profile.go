//go:build profile

package main

import (
	"fmt"
	"net/http"
	_ "net/http/pprof" // what builds with this tag are for
	"os"
)

// Builds with the tag profile serve CPU profiles at the address in PROFILE_LISTEN,
// for the profile that the compiler goes by (default.pgo, see make profile). No
// other build can.
func init() {
	address := os.Getenv("PROFILE_LISTEN")
	if address == "" {
		return
	}
	fmt.Fprintln(os.Stderr, "anteroom: built with the tag profile; profiles at", address)
	go func() {
		fmt.Fprintln(os.Stderr, "anteroom: profiles:", http.ListenAndServe(address, nil)) //nolint:gosec // on loopback, for the bench
	}()
}
