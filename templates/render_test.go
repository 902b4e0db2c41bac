package templates

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func newTestRenderer(t testing.TB) *Renderer {
	t.Helper()
	r, err := NewRenderer()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// receivers returns the types that have a method of the given name in a file.
func receivers(t *testing.T, file, method string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, decl := range parsed.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Recv == nil || f.Name.Name != method {
			continue
		}
		kind := f.Recv.List[0].Type
		if star, ok := kind.(*ast.StarExpr); ok {
			kind = star.X
		}
		names = append(names, kind.(*ast.Ident).Name)
	}
	slices.Sort(names)
	return names
}

func typeNames[T any](values []T) []string {
	var names []string
	for _, v := range values {
		names = append(names, reflect.Indirect(reflect.ValueOf(v)).Type().Name())
	}
	slices.Sort(names)
	return names
}

func TestEveryStructIsRegistered(t *testing.T) {
	if got, want := typeNames(pages()), receivers(t, "pages.go", "pageName"); !slices.Equal(got, want) {
		t.Errorf("pages() = %v, want the structs of pages.go %v", got, want)
	}
	if got, want := typeNames(mails()), receivers(t, "mails.go", "mailName"); !slices.Equal(got, want) {
		t.Errorf("mails() = %v, want the structs of mails.go %v", got, want)
	}
}

// copyFiles returns the embedded files, for tests that damage them.
func copyFiles(t *testing.T) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	err := fs.WalkDir(embedded, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(embedded, path)
		files[path] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestNewRendererRefusesWhatDoesNotFit(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(fstest.MapFS)
		want   string
	}{
		"page without template":     {func(f fstest.MapFS) { delete(f, "consent.html") }, "consent"},
		"template without page":     {func(f fstest.MapFS) { f["extra.html"] = f["consent.html"] }, "extra.html"},
		"mail without text":         {func(f fstest.MapFS) { delete(f, "mail/invitation.txt") }, "invitation"},
		"mail without HTML":         {func(f fstest.MapFS) { delete(f, "mail/invitation.html") }, "invitation"},
		"text without mail":         {func(f fstest.MapFS) { f["mail/extra.txt"] = f["mail/invitation.txt"] }, "extra.txt"},
		"misspelt field":            {func(f fstest.MapFS) { replace(f, "forgot.html", "{{if .Sent}}", "{{if .Send}}") }, "Send"},
		"misspelt field in a mail":  {func(f fstest.MapFS) { replace(f, "mail/invitation.txt", ".InvitedBy", ".InvitedFrom") }, "InvitedFrom"},
		"static file that is gone":  {func(f fstest.MapFS) { delete(f, "static/app.js") }, "app.js"},
		"static file of no type":    {func(f fstest.MapFS) { f["static/x.exe"] = f["static/app.js"] }, "x.exe"},
		"template that cannot read": {func(f fstest.MapFS) { replace(f, "error.html", "{{end}}", "") }, "error"},
	} {
		t.Run(name, func(t *testing.T) {
			files := copyFiles(t)
			test.damage(files)
			_, err := newRenderer(files, pages(), mails())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("newRenderer = %v, want an error that names %q", err, test.want)
			}
		})
	}
	if _, err := newRenderer(copyFiles(t), pages(), mails()); err != nil {
		t.Errorf("newRenderer with nothing damaged = %v", err)
	}
}

func replace(files fstest.MapFS, name, old, with string) {
	files[name] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(string(files[name].Data), old, with))}
}

func TestPageSetsHeaders(t *testing.T) {
	r := newTestRenderer(t)
	w := httptest.NewRecorder()
	if err := r.Page(w, 429, &Login{Action: "/login"}); err != nil {
		t.Fatal(err)
	}
	if w.Code != 429 {
		t.Errorf("status = %d, want 429", w.Code)
	}
	for name, want := range map[string]string{
		"Content-Type":               "text/html; charset=utf-8",
		"Content-Length":             fmt.Sprint(w.Body.Len()),
		"Cache-Control":              "no-store",
		"Referrer-Policy":            "same-origin",
		"X-Content-Type-Options":     "nosniff",
		"Cross-Origin-Opener-Policy": "same-origin",
		"Content-Security-Policy":    "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; style-src 'self'; script-src 'self'; font-src 'self'; img-src 'self'",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

// Portals open the sign-in in a pop-up window and wait for it.
func TestPageOnTheWayToAPortalKeepsItsOpener(t *testing.T) {
	w := httptest.NewRecorder()
	if err := newTestRenderer(t).Page(w, 200, &Login{Frame: Frame{Portal: brandControl()}}); err != nil {
		t.Fatal(err)
	}
	if got := w.Header().Get("Cross-Origin-Opener-Policy"); got != "unsafe-none" {
		t.Errorf("Cross-Origin-Opener-Policy = %q, want unsafe-none", got)
	}
}

func TestPolicyAllowsOnlyTheLogosOfThePage(t *testing.T) {
	r := newTestRenderer(t)
	for _, test := range []struct{ logo, want, shown string }{
		{"", "", ""},
		{"/static/logo.svg", "", "/static/logo.svg"},
		{"https://CDN.example:8443/a.png?x=1", " https://cdn.example:8443", "https://CDN.example:8443/a.png?x=1"},
		{"http://localhost:8081/logo.svg", " http://localhost:8081", "http://localhost:8081/logo.svg"},
		{"data:image/png;base64,AAAA", " data:", "data:image/png;base64,AAAA"},
		{"data:text/html;base64,AAAA", "", ""},
		{"javascript:alert(1)", "", ""},
		{"//evil.example/x.png", "", ""},
		{`/\evil.example/x.png`, "", ""},
		{"https://a.example;script-src */x.png", "", ""},
		{"https://a.example,b/x.png", "", ""},
		{"https://user@a.example/x.png", "", ""},
		{"ftp://a.example/x.png", "", ""},
	} {
		page := &Home{Portals: []Brand{{Name: "x", LogoURL: test.logo}}}
		got := contentPolicy(r.brands(page))
		if _, images, _ := strings.Cut(got, "img-src 'self'"); images != test.want {
			t.Errorf("logo %q: img-src 'self'%s, want 'self'%s", test.logo, images, test.want)
		}
		if got := string(logoURL(test.logo)); got != test.shown {
			t.Errorf("logoURL(%q) = %q, want %q", test.logo, got, test.shown)
		}
	}
}

type unregistered struct{ Frame }

func (*unregistered) pageName() string { return "unregistered" }

func TestPageThatCannotBeRenderedWritesNothing(t *testing.T) {
	w := httptest.NewRecorder()
	if err := newTestRenderer(t).Page(w, 200, &unregistered{}); err == nil {
		t.Error("Page rendered what is not registered")
	}
	if w.Body.Len() != 0 || len(w.Header()) != 0 {
		t.Errorf("wrote %q with headers %v, want nothing", w.Body, slices.Collect(maps.Keys(w.Header())))
	}
}

func TestServiceBrandStandsWhereNoPortalIs(t *testing.T) {
	own := Brand{Name: "Acme sign-in", LogoURL: "https://cdn.example/logo.svg", Colour: "#0f766e"}
	r, err := NewRenderer(Service(own))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		page   Page
		brands bool // logo, colour and policy are the service's
	}{{&SignedOut{}, true}, {&SignedOut{Frame: Frame{Portal: brandControl()}}, false}} {
		w := httptest.NewRecorder()
		if err := r.Page(w, 200, test.page); err != nil {
			t.Fatal(err)
		}
		body := w.Body.String()
		if !strings.Contains(body, own.Name) || strings.Contains(body, "Anteroom") {
			t.Errorf("page does not use the name of the service:\n%s", body)
		}
		for what, found := range map[string]bool{
			"logo":   strings.Contains(body, own.LogoURL),
			"colour": strings.Contains(body, accentURL(own.Colour)),
			"policy": strings.Contains(w.Header().Get("Content-Security-Policy"), "https://cdn.example"),
		} {
			if found != test.brands {
				t.Errorf("%s of the service on a page of %v: %t", what, test.page.frame().Portal, found)
			}
		}
	}
	mail, err := r.Mail(PasswordChangedMail{})
	if err != nil || !strings.Contains(mail.Text, "Sent by Acme sign-in") {
		t.Errorf("mail does not use the name of the service: %v\n%s", err, mail.Text)
	}
}

func TestServiceWithoutANameIsAnteroom(t *testing.T) {
	r, err := NewRenderer(Service(Brand{}))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.service.Name; got != "Anteroom" {
		t.Errorf("name = %q", got)
	}
}
