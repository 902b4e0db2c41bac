package access

import (
	"context"
	"sync"

	"anteroom/store"
)

type onceKey struct{}

// once is what was read of assignments for one request.
type once struct {
	mu   sync.Mutex
	held map[[2]string][]store.Assignment
}

// Once returns a context of one request, within which the assignments of an
// account to an application are read once: whether it may enter and what its
// tokens say then are one answer, and one read.
func Once(ctx context.Context) context.Context {
	return context.WithValue(ctx, onceKey{}, &once{held: map[[2]string][]store.Assignment{}})
}

// assignments are those of the account to the application. They are not to be
// changed.
func (c *Control) assignments(ctx context.Context, accountID, applicationID string) ([]store.Assignment, error) {
	o, _ := ctx.Value(onceKey{}).(*once)
	if o == nil {
		return c.Store.AssignmentsOf(ctx, accountID, applicationID)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	name := [2]string{accountID, applicationID}
	if held, ok := o.held[name]; ok {
		return held, nil
	}
	held, err := c.Store.AssignmentsOf(ctx, accountID, applicationID)
	if err == nil {
		o.held[name] = held
	}
	return held, err
}
