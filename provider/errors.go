package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/ory/fosite"

	"anteroom/flow"
	"anteroom/internal/web"
	"anteroom/store"
)

// refusal is an error in the protocol's own form. Its description is for the
// developer of the client, and never says more than the client may know.
type refusal struct {
	flow.ProtocolError
	status int
	cause  error // for the log
}

func (e *refusal) Unwrap() error { return e.cause }

// refuse returns a refusal with status 400.
func refuse(code, format string, args ...any) *refusal {
	return &refusal{
		ProtocolError: flow.ProtocolError{Code: code, Description: printable(fmt.Sprintf(format, args...))},
		status:        http.StatusBadRequest,
	}
}

func (e *refusal) because(cause error) *refusal {
	e.cause = cause
	return e
}

func (e *refusal) withStatus(status int) *refusal {
	e.status = status
	return e
}

// printable keeps the characters that error_description allows (RFC 6749
// section 5.2), and not too many of them: descriptions quote what was sent.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < 0x20 || r == '\\' || r > 0x7e:
			return '?'
		}
		return r
	}, s)
	if len(s) > 300 {
		s = s[:297] + "..."
	}
	return s
}

// asRefusal gives every error a protocol form.
func asRefusal(err error) *refusal {
	if known, ok := errors.AsType[*refusal](err); ok {
		return known
	}
	if errors.Is(err, store.ErrUnavailable) {
		return refuse("temporarily_unavailable", "The server cannot answer now. Try again in a moment.").
			withStatus(http.StatusServiceUnavailable).because(err)
	}
	if known, ok := errors.AsType[*fosite.RFC6749Error](err); ok {
		return fromFosite(known, err)
	}
	return refuse("server_error", "Something failed on our side.").withStatus(http.StatusInternalServerError).because(err)
}

// fromFosite keeps fosite's codes where the specifications know them.
func fromFosite(e *fosite.RFC6749Error, err error) *refusal {
	text := e.HintField
	if text == "" {
		text = e.DescriptionField
	}
	switch e.ErrorField {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "invalid_scope",
		"unsupported_grant_type", "unsupported_response_type", "access_denied":
		return refuse(e.ErrorField, "%s", text).because(err)
	case "invalid_state", "insufficient_entropy", "unsupported_response_mode":
		return refuse("invalid_request", "%s", text).because(err)
	}
	return refuse("server_error", "Something failed on our side.").withStatus(http.StatusInternalServerError).because(err)
}

type errorAnswer struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// fail answers a machine: JSON, never cached (RFC 6749 section 5.2). The challenge
// that goes with 401 says why, too: libraries stop reading there.
func (p *Provider) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := asRefusal(err)
	p.logRefusal(r, e)
	if e.status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="`+p.issuer+`", charset="UTF-8", error="`+e.Code+`", error_description="`+e.Description+`"`)
	}
	if e.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "2")
	}
	writeJSON(w, e.status, errorAnswer{e.Code, e.Description})
}

func (p *Provider) logRefusal(r *http.Request, e *refusal) {
	level := slog.LevelInfo
	if e.status >= 500 {
		level = slog.LevelError
	}
	if errors.Is(e.cause, context.Canceled) {
		level = slog.LevelDebug
	}
	attrs := []any{"id", web.RequestID(r.Context()), "path", r.URL.Path, "status", e.status, "code", e.Code, "description", e.Description}
	if e.cause != nil {
		attrs = append(attrs, "error", e.cause.Error())
	}
	p.log.Log(r.Context(), level, "protocol request refused", attrs...)
}

// writeJSON answers with v and forbids caching: tokens and what they say.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("provider: answer does not marshal: " + err.Error()) // maps and structs of ours
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// only refuses other methods. It returns false when it answered.
func (p *Provider) only(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	p.fail(w, r, refuse("invalid_request", "This endpoint takes %s.", strings.Join(methods, " and ")).
		withStatus(http.StatusMethodNotAllowed))
	return false
}
