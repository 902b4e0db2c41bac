package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"anteroom/internal/seal"
	"anteroom/internal/web"
	"anteroom/store"
)

// Problem is the body of every refusal (RFC 9457).
type Problem struct {
	Type   string    `json:"type"`
	Title  string    `json:"title"`
	Status int       `json:"status"`
	Detail string    `json:"detail"`             // a sentence: what is wrong and what to do
	Errors []Mistake `json:"errors,omitempty"`   // all mistakes in the input
	ID     string    `json:"instance,omitempty"` // of the request, for the log

	retryAfter int // seconds
	cause      error
}

// Mistake is one thing that is wrong with the input.
type Mistake struct {
	Field  string `json:"field"` // path in the body, or the name of a parameter
	Detail string `json:"detail"`
}

func (p *Problem) Error() string {
	text := p.Title + ": " + p.Detail
	for _, m := range p.Errors {
		text += " " + m.Field + ": " + m.Detail
	}
	return text
}

func (p *Problem) Unwrap() error { return p.cause }

const problemType = "urn:anteroom:problem:"

func problem(status int, kind, detail string) *Problem {
	return &Problem{Type: problemType + kind, Title: http.StatusText(status), Status: status, Detail: detail}
}

// notFound says which thing does not exist. Other errors pass through.
func notFound(err error, what, id string) error {
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	p := problem(http.StatusNotFound, "not-found", fmt.Sprintf("There is no %s %q.", what, id))
	p.cause = err
	return p
}

// conflict says what is taken. Other errors pass through.
func conflict(err error, sentence string) error {
	if !errors.Is(err, store.ErrExists) {
		return err
	}
	p := problem(http.StatusConflict, "exists", sentence)
	p.cause = err
	return p
}

// refused is a request that is well formed and cannot be done.
func refused(sentence string) *Problem {
	return problem(http.StatusUnprocessableEntity, "refused", sentence)
}

// mistakes gathers what is wrong with an input.
type mistakes []Mistake

func (m *mistakes) add(field, format string, args ...any) {
	*m = append(*m, Mistake{field, fmt.Sprintf(format, args...)})
}

// problem returns nil if there are none.
func (m mistakes) problem() error {
	if len(m) == 0 {
		return nil
	}
	detail := "The request has a mistake."
	if len(m) > 1 {
		detail = fmt.Sprintf("The request has %d mistakes.", len(m))
	}
	p := problem(http.StatusBadRequest, "invalid-input", detail)
	p.Errors = m
	return p
}

// asProblem gives every error its status and words. Errors without words are
// ours, not the caller's.
func asProblem(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if p, ok := errors.AsType[*web.Problem](err); ok {
		return &Problem{
			Type: problemType + "refused", Title: http.StatusText(p.Status), Status: p.Status,
			Detail: p.Sentence, retryAfter: p.RetryAfter, cause: err,
		}
	}
	switch {
	case errors.Is(err, store.ErrUnavailable):
		p := problem(http.StatusServiceUnavailable, "unavailable", "The store cannot write or read now. The log of the service has the reason. Look at what came of the request before trying again.")
		p.retryAfter, p.cause = 5, err
		return p
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		p := problem(http.StatusServiceUnavailable, "ended", "The request was ended before it was done. Look at what came of it before trying again.")
		p.cause = err
		return p
	}
	if words, ok := errors.AsType[interface {
		error
		Explain() string
	}](err); ok {
		p := refused(words.Explain())
		p.cause = err
		return p
	}
	p := problem(http.StatusInternalServerError, "internal", "Something failed on our side and nothing was changed. The log has the reason under the id of this request.")
	p.cause = err
	return p
}

// fail writes err. Causes go to the log and nowhere else.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	found := *asProblem(err)
	p := &found
	if p.ID = web.RequestID(r.Context()); p.ID == "" {
		p.ID = seal.RandomID() // the socket's requests have none
	}
	// 502: a mail server refused, which the answer says.
	if p.Status >= 500 && p.Status != http.StatusBadGateway {
		a.Log.ErrorContext(r.Context(), "administration failed", "id", p.ID, "method", r.Method, "path", r.URL.Path, "error", err.Error())
	}
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	write(w, "application/problem+json", p.Status, p)
}

func write(w http.ResponseWriter, kind string, status int, body any) {
	data, err := json.Marshal(body) // our own types: cannot fail
	if err != nil {
		panic("admin: " + err.Error())
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // the caller went away
}
