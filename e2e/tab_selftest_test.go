package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// The drivers are tried out on a page of their own first: a journey must fail
// for the product's reasons, not for theirs.
func TestEveryWayOfBrowsingFillsInPressesAndGoesBack(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /form", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<!doctype html><title>t</title><form method="post" action="/send?i=7"><input name="code" id="code"><input type="checkbox" name="accept">
			<button id="go">Go</button></form><ul id="list"><li> a  b </li></ul><a id="on" href="/form?2">on</a>
			<script>document.getElementById("code").addEventListener("input", (e) => { if (e.target.value.length === 6) e.target.form.requestSubmit(); });</script>`)
	})
	mux.HandleFunc("POST /send", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, fmt.Sprintf("/sent?code=%s&accept=%s&i=%s", r.FormValue("code"), r.FormValue("accept"), r.FormValue("i")), http.StatusSeeOther)
	})
	mux.HandleFunc("GET /sent", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `<!doctype html><title>t</title><p id="got">%s</p>`, r.URL.RawQuery)
	})
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	server := httptest.NewServer(mux)
	defer server.Close()
	ways(t, func(t *testing.T, open func(*testing.T) Tab) {
		tab := open(t)
		tab.Open(server.URL + "/form")
		if items := tab.Items("list"); len(items) != 1 || items[0] != "a b" {
			t.Errorf("items %q", items)
		}
		tab.Press("go", "accept", "on", "code", "123456")
		if got := tab.Text("got"); got != "code=123456&accept=on&i=7" {
			t.Errorf("sent %q", got)
		}
		tab.Back()
		if !tab.Has("go") || tab.URL().Path != "/form" {
			t.Errorf("back leads to %s", tab.URL())
		}
		tab.Press("go", "code", "1")
		if got := tab.Text("got"); got != "code=1&accept=&i=7" && got != "code=1&accept=on&i=7" {
			t.Errorf("sent %q", got)
		}
		other := tab.New()
		other.Open(server.URL + "/form")
		other.Press("on")
		if other.URL().RawQuery != "2" || tab.URL().Path != "/sent" {
			t.Errorf("tabs at %s and %s", other.URL(), tab.URL())
		}
		other.Reload()
		if other.Has("nothing") || other.Text("nothing") != "" || other.Href("on") != "/form?2" {
			t.Error("an element that is not there was found")
		}
	})
}
