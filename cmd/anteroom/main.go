// Command anteroom is the OpenID Provider and everything to run it with.
//
// main calls run; there is one file per command. Commands other than serve, demo,
// init, config and version are clients of the administration interface (package
// admin): over the socket in the data folder while the service runs, and in
// process, on the same handlers, while it does not (connect.go).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		if !errors.Is(err, errReported) {
			fmt.Fprintln(os.Stderr, "anteroom: "+cleanLines(err.Error()))
		}
		os.Exit(1)
	}
}
