package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"anteroom/templates"
)

// Handler serves a request or returns why it could not. Errors are handled
// once, by Edge.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Problem is an error with words for the person. Any other error becomes a 500
// page that shows only an id.
type Problem struct {
	Status     int
	Heading    string
	Sentence   string // what happened and what to do, in plain words
	Actions    []templates.Action
	Frame      templates.Frame
	RetryAfter int // seconds; 0: not sent
	Cause      error
}

func (p *Problem) Error() string {
	if p.Cause != nil {
		return p.Heading + ": " + p.Cause.Error()
	}
	return p.Heading + ": " + p.Sentence
}

func (p *Problem) Unwrap() error { return p.Cause }

// BadRequest is a Problem with status 400.
func BadRequest(sentence string) *Problem {
	return &Problem{Status: http.StatusBadRequest, Heading: "This request cannot be used", Sentence: sentence}
}

// Edge turns returned errors into pages. It is the only place that does.
type Edge struct {
	Pages *templates.Renderer
	Log   *slog.Logger
	// Classify gives words to errors of rooms that this one does not know
	// (store.ErrUnavailable, say); nil when it has none.
	Classify func(error) *Problem
}

// Handle adapts h to the standard library.
func (e *Edge) Handle(h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			e.Fail(w, r, err)
		}
	})
}

// Fail renders err. The cause is logged with the id that the page shows, and
// never shown.
func (e *Edge) Fail(w http.ResponseWriter, r *http.Request, err error) {
	id := RequestID(r.Context())
	problem, known := errors.AsType[*Problem](err)
	if !known && e.Classify != nil {
		if p := e.Classify(err); p != nil {
			problem, known = p, true
		}
	}
	if !known {
		problem = &Problem{
			Status:   http.StatusInternalServerError,
			Heading:  "This did not work",
			Sentence: "Something failed on our side and nothing was changed. Try again in a moment.",
		}
	}
	level := slog.LevelInfo
	if problem.Status >= 500 {
		level = slog.LevelError
	}
	if !errors.Is(err, context.Canceled) {
		e.Log.Log(r.Context(), level, "request refused", "id", id, "status", problem.Status, "path", r.URL.Path, "error", err.Error())
	}
	if problem.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(problem.RetryAfter))
	}
	actions := problem.Actions
	if len(actions) == 0 {
		actions = []templates.Action{{Label: "Go to the start page", URL: "/", Primary: true}}
	}
	page := &templates.Error{Frame: problem.Frame, Heading: problem.Heading, Sentence: problem.Sentence, ID: id, Actions: actions}
	if err := e.Pages.Page(w, problem.Status, page); err != nil {
		e.Log.ErrorContext(r.Context(), "render error page", "id", id, "error", err.Error())
	}
}
