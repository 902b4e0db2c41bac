package mailbox

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
	"time"
)

//go:embed mailbox.html message.html
var files embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"when": func(t time.Time) string { return t.Local().Format("2 January 2006, 15:04:05") },
}).ParseFS(files, "*.html"))

// Handler serves the mailbox below prefix, which begins and ends with a slash:
// the list, each message, its HTML alone (for the frame), and mail.json.
func (m *Mailbox) Handler(prefix string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+strings.TrimSuffix(prefix, "/"), http.RedirectHandler(prefix, http.StatusSeeOther))
	mux.HandleFunc("GET "+prefix+"{$}", func(w http.ResponseWriter, _ *http.Request) {
		show(w, "mailbox.html", map[string]any{"Prefix": prefix, "Messages": m.All()})
	})
	mux.HandleFunc("GET "+prefix+"mail.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(m.All())
	})
	mux.HandleFunc("GET "+prefix+"mail/{id}", func(w http.ResponseWriter, r *http.Request) {
		message, found := m.Message(r.PathValue("id"))
		if !found {
			http.Redirect(w, r, prefix, http.StatusSeeOther)
			return
		}
		show(w, "message.html", map[string]any{"Prefix": prefix, "Message": message})
	})
	mux.HandleFunc("GET "+prefix+"mail/{id}/html", func(w http.ResponseWriter, r *http.Request) {
		message, found := m.Message(r.PathValue("id"))
		if !found {
			http.NotFound(w, r)
			return
		}
		// The mail is somebody else's markup: it gets an origin of its own, and
		// neither scripts nor anything from elsewhere. Its links open in a new tab.
		h := w.Header()
		h.Set("Content-Security-Policy", "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'")
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		before, after, found := strings.Cut(message.HTML, "<head>")
		if !found {
			before, after = "", message.HTML
		}
		_, _ = w.Write([]byte(before + `<head><base target="_blank">` + after))
	})
	return mux
}

func show(w http.ResponseWriter, name string, data any) {
	var page bytes.Buffer
	if err := pages.ExecuteTemplate(&page, name, data); err != nil {
		http.Error(w, "The page cannot be shown.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = page.WriteTo(w)
}
