package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"anteroom/store"

	"github.com/jackc/pgx/v5/pgconn"
)

// Codes of PostgreSQL that decide something here (appendix A of its manual).
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	completionUnknown    = "40003"
	resolutionUnknown    = "08007"
	uniqueViolation      = "23505"
	foreignKeyViolation  = "23503"
	programLimit         = "54000"
	readOnlyTransaction  = "25006"
	diskFull             = "53100"
	undefinedTable       = "42P01"
	duplicateTable       = "42P07"
	duplicateObject      = "42710"
)

func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// fatal tells whether the server ended the connection with this error, or never
// said anything.
func fatal(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return !ok || e.Severity == "FATAL" || e.Severity == "PANIC" || strings.HasPrefix(e.Code, "57P")
}

// passing tells whether a new transaction may well not meet this error.
func passing(err error) bool {
	switch code(err) {
	case serializationFailure, deadlockDetected:
		return true
	}
	_, said := errors.AsType[refusal](err)
	return fatal(err) && !said
}

// unavailable makes err an ErrUnavailable.
func unavailable(err error) error {
	if errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// typed gives an error of a statement its place in the contract. ctx is the
// caller's: when that has ended, it is the reason.
func typed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	class := code(err)
	switch {
	case class == "":
		return unavailable(err) // the connection, the pool, a time limit
	case class == uniqueViolation:
		return fmt.Errorf("%w: %w", store.ErrExists, err)
	case class == foreignKeyViolation, class == programLimit, strings.HasPrefix(class, "22"):
		return fmt.Errorf("%w: %w", store.ErrInvalid, err)
	case strings.HasPrefix(class, "42"):
		return fmt.Errorf("the database is not as this version made it: %w", err)
	}
	return unavailable(err)
}
