package web

import "context"

type contextKey int

const (
	keyRequestID contextKey = iota
	keyAddress
)

// RequestID returns the id of the request, shown on error pages and in the log.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(keyRequestID).(string)
	return id
}

// Address returns the client's IP address. Forwarded headers count only from
// configured proxies.
func Address(ctx context.Context) string {
	a, _ := ctx.Value(keyAddress).(string)
	return a
}

// WithAddress is for tests and for commands that act without a listener.
func WithAddress(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, keyAddress, address)
}
