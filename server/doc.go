// Package server puts the rooms together: routes.go is the only url map,
// assemble.go builds the rooms from a configuration, serve.go listens, sweeps,
// sends, rotates, and stops gracefully, operations.go is the listener that
// operators and probes use.
package server
