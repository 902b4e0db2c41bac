package templates

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
)

func get(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, nil)
	if len(header) == 2 {
		r.Header.Set(header[0], header[1])
	}
	h.ServeHTTP(w, r)
	return w
}

func TestStaticFilesAreKeptAsLongAsTheyAreTheSame(t *testing.T) {
	r := newTestRenderer(t)
	current, err := r.assets.url("app.css")
	if err != nil {
		t.Fatal(err)
	}
	accent := accentURL("#0F766E")
	const forever, ask = "public, max-age=31536000, immutable", "no-cache"
	for _, test := range []struct {
		path, kind, cache string
		status            int
	}{
		{current, "text/css; charset=utf-8", forever, 200},
		{"/static/app.css", "text/css; charset=utf-8", ask, 200},
		{"/static/app.000000000000.css", "text/css; charset=utf-8", ask, 200}, // another release, during an upgrade
		{"/static/app.js", "text/javascript; charset=utf-8", ask, 200},
		{"/static/icon.svg", "image/svg+xml", ask, 200},
		{accent, "text/css; charset=utf-8", forever, 200},
		{"/static/accent-0f766e.css", "text/css; charset=utf-8", ask, 200},
		{"/static/accent-0f766.css", "text/plain; charset=utf-8", "", 404},
		{"/static/accent-0f766e}.css", "text/plain; charset=utf-8", "", 404},
		{"/static/", "text/plain; charset=utf-8", "", 404},
		{"/static", "text/plain; charset=utf-8", "", 404},
		{"/static/../render.go", "text/plain; charset=utf-8", "", 404},
		{"/static/login.html", "text/plain; charset=utf-8", "", 404},
		{"/static/%2e%2e%2flogin.html", "text/plain; charset=utf-8", "", 404},
	} {
		w := get(r.Static(), "GET", test.path)
		if w.Code != test.status || w.Header().Get("Content-Type") != test.kind || w.Header().Get("Cache-Control") != test.cache {
			t.Errorf("GET %s = %d %q %q, want %d %q %q", test.path, w.Code, w.Header().Get("Content-Type"), w.Header().Get("Cache-Control"), test.status, test.kind, test.cache)
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s may be sniffed", test.path)
		}
		if test.status != 200 {
			continue
		}
		etag := w.Header().Get("ETag")
		if again := get(r.Static(), "GET", test.path, "If-None-Match", etag); etag == "" || again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("GET %s with its ETag %s = %d, want 304", test.path, etag, again.Code)
		}
		if head := get(r.Static(), "HEAD", test.path); head.Code != 200 || head.Body.Len() != 0 {
			t.Errorf("HEAD %s = %d with %d bytes, want 200 with none", test.path, head.Code, head.Body.Len())
		}
	}
	if w := get(r.Static(), "POST", current); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST = %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestAccentHasASheetOfItsOwnUnlessItIsTheDefault(t *testing.T) {
	for colour, want := range map[string]string{
		"": "", "red": "", DefaultAccent: "", strings.ToUpper(DefaultAccent): "",
		"#0F766E": `^/static/accent-0f766e\.[0-9a-f]{12}\.css$`,
	} {
		got := accentURL(colour)
		if want == "" && got != "" || want != "" && !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("accentURL(%q) = %q, want %q", colour, got, want)
		}
	}
}

func TestStaticFilesAreSmallAndSelfContained(t *testing.T) {
	for file, limit := range map[string]int{"static/app.css": 12 << 10, "static/app.js": 10 << 10, "static/icon.svg": 1 << 10} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(content) >= limit {
			t.Errorf("%s has %d bytes, want less than %d", file, len(content), limit)
		}
		if got := regexp.MustCompile(`https?://[^"' ]*|@import|url\(`).FindString(string(content)); got != "" && got != "http://www.w3.org/2000/svg" {
			t.Errorf("%s asks for %s", file, got)
		}
	}
}
