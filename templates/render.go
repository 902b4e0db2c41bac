package templates

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	texttemplate "text/template"
	"time"
)

//go:embed *.html mail static
var embedded embed.FS

// layout.html frames every page and parts.html holds what they share; neither
// is a page.
const (
	layoutFile = "layout.html"
	partsFile  = "parts.html"
)

// Renderer renders pages and mails. It is safe for concurrent use.
type Renderer struct {
	service Brand
	pages   map[string]*template.Template
	mails   map[string]mailTemplates
	assets  *assets
}

// Option changes a Renderer.
type Option func(*Renderer)

// Service is the sign-in service's own brand: its name stands in the foot of
// pages and mails, and all of it at the top where no portal is named. Without a
// name it is "Anteroom".
func Service(b Brand) Option {
	return func(r *Renderer) {
		if b.Name == "" {
			b.Name = r.service.Name
		}
		r.service = b
	}
}

// NewRenderer parses everything and fails if a page lacks its template or a
// template its page. It renders each page and mail once, empty, so that a
// misspelt field stops the start and not a sign-in.
func NewRenderer(options ...Option) (*Renderer, error) {
	return newRenderer(embedded, pages(), mails(), options...)
}

func newRenderer(files fs.FS, pages []Page, mails []Mail, options ...Option) (*Renderer, error) {
	r := &Renderer{service: Brand{Name: "Anteroom"}, pages: map[string]*template.Template{}, mails: map[string]mailTemplates{}}
	for _, option := range options {
		option(r)
	}
	var err error
	if r.assets, err = loadAssets(files); err != nil {
		return nil, err
	}
	if err := r.parsePages(files, pages); err != nil {
		return nil, err
	}
	if err := r.parseMails(files, mails); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Renderer) parsePages(files fs.FS, pages []Page) error {
	base, err := template.New(layoutFile).Funcs(r.funcs()).ParseFS(files, layoutFile, partsFile)
	if err != nil {
		return fmt.Errorf("parse layout: %w", err)
	}
	wanted := map[string]bool{layoutFile: true, partsFile: true}
	for _, p := range pages {
		file := p.pageName() + ".html"
		wanted[file] = true
		t, err := template.Must(base.Clone()).ParseFS(files, file)
		if err != nil {
			return fmt.Errorf("page %q: %w", p.pageName(), err)
		}
		r.pages[p.pageName()] = t
		if _, err := r.body(p); err != nil {
			return err
		}
	}
	return orphans(files, "*.html", wanted)
}

// orphans fails if a template belongs to no struct.
func orphans(files fs.FS, pattern string, wanted map[string]bool) error {
	found, err := fs.Glob(files, pattern)
	if err != nil {
		return err
	}
	for _, file := range found {
		if !wanted[file] {
			return fmt.Errorf("template %q belongs to no struct", file)
		}
	}
	return nil
}

// view is what layout.html works with; the page's own blocks get Page alone.
type view struct {
	Page   Page
	Frame  *Frame
	Lang   string
	Accent string // URL of the portal's colours, empty for the default
}

func (r *Renderer) body(p Page) ([]byte, error) {
	t, ok := r.pages[p.pageName()]
	if !ok {
		return nil, fmt.Errorf("page %q is not registered", p.pageName())
	}
	v := view{Page: p, Frame: p.frame(), Lang: p.frame().Locale}
	if v.Lang == "" {
		v.Lang = "en"
	}
	v.Accent = accentURL(r.brand(p).Colour)
	var buf bytes.Buffer
	if err := t.ExecuteTemplate(&buf, layoutFile, v); err != nil {
		return nil, fmt.Errorf("render page %q: %w", p.pageName(), err)
	}
	return buf.Bytes(), nil
}

// brand is whose name stands at the top.
func (r *Renderer) brand(p Page) Brand {
	if b := p.frame().Portal; b != nil {
		return *b
	}
	return r.service
}

// Page renders p to a buffer, then writes headers, status and bytes. An error
// means that nothing was written; a browser that went away is no error.
func (r *Renderer) Page(w http.ResponseWriter, status int, p Page) error {
	body, err := r.body(p)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", contentPolicy(r.brands(p))+framePolicy(p))
	// same-origin, not no-referrer: the latter makes the Origin of a form post
	// "null", which is what the cross-origin protection refuses.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cross-Origin-Opener-Policy", openerPolicy(p))
	w.WriteHeader(status)
	_, _ = w.Write(body)
	return nil
}

// contentPolicy allows our own files and the logos on the page, nothing else.
// There is no form-action: Chromium applies it to the redirects that follow a
// form post, and ours end at portals whose addresses the page does not know.
func contentPolicy(brands []Brand) string {
	images := "img-src 'self'"
	seen := map[string]bool{}
	for _, brand := range brands {
		if source := logoSource(brand.LogoURL); source != "" && !seen[source] {
			seen[source] = true
			images += " " + source
		}
	}
	return "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; style-src 'self'; script-src 'self'; font-src 'self'; " + images
}

// framePolicy allows the frames of portals that are told of a sign-out, by their
// origins (OpenID Connect Front-Channel Logout section 2).
func framePolicy(p Page) string {
	out, ok := p.(*SignedOut)
	if !ok {
		return ""
	}
	var sources []string
	for _, uri := range out.Tell {
		if source := logoSource(uri); source != "" && source != "data:" && !slices.Contains(sources, source) {
			sources = append(sources, source)
		}
	}
	if len(sources) == 0 {
		return ""
	}
	return "; frame-src " + strings.Join(sources, " ")
}

// openerPolicy cuts the page off from whoever opened it, except on the way to a
// portal: portals sign people in from pop-up windows, and wait for them through
// window.opener.
func openerPolicy(p Page) string {
	if p.frame().Portal != nil {
		return "unsafe-none"
	}
	return "same-origin"
}

// brands are those whose logos are on the page.
func (r *Renderer) brands(p Page) []Brand {
	all := []Brand{r.brand(p)}
	if home, ok := p.(*Home); ok {
		all = append(all, home.Portals...)
	}
	return all
}

func (r *Renderer) funcs() template.FuncMap {
	return template.FuncMap{
		"asset":   r.assets.url,
		"service": func() string { return r.service.Name },
		"logo":    logoURL,
		"initial": initial,
		"own":     func() Brand { return r.service },
		"accent":  func(hex string) Scheme { return Colours(hex).Light },
		"date":    func(t time.Time) string { return t.UTC().Format("2 January 2006") },
	}
}

// mailTemplates are the two parts of a mail.
type mailTemplates struct {
	html *template.Template
	text *texttemplate.Template
}

func (r *Renderer) parseMails(files fs.FS, mails []Mail) error {
	wanted := map[string]bool{"mail/" + layoutFile: true, "mail/layout.txt": true}
	for _, m := range mails {
		name := "mail/" + m.mailName()
		wanted[name+".html"], wanted[name+".txt"] = true, true
		html, err := template.New("").Funcs(r.mailFuncs()).ParseFS(files, "mail/"+layoutFile, name+".html")
		if err != nil {
			return fmt.Errorf("mail %q: %w", m.mailName(), err)
		}
		text, err := texttemplate.New("").Funcs(r.mailFuncs()).ParseFS(files, "mail/layout.txt", name+".txt")
		if err != nil {
			return fmt.Errorf("mail %q: %w", m.mailName(), err)
		}
		r.mails[m.mailName()] = mailTemplates{html, text}
		if _, err := r.Mail(m); err != nil {
			return err
		}
	}
	for _, pattern := range []string{"mail/*.html", "mail/*.txt"} {
		if err := orphans(files, pattern, wanted); err != nil {
			return err
		}
	}
	return nil
}

func (r *Renderer) mailFuncs() map[string]any {
	return map[string]any{
		"service": func() string { return r.service.Name },
		"plain":   plain,
		"until":   func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04") + " UTC" },
		"accent":  func(hex string) Scheme { return Colours(hex).Light },
	}
}

// Mail renders m. The link of a mail stands on a line of its own in the text
// part, as it was given.
func (r *Renderer) Mail(m Mail) (Message, error) {
	t, ok := r.mails[m.mailName()]
	if !ok {
		return Message{}, fmt.Errorf("mail %q is not registered", m.mailName())
	}
	var html, text bytes.Buffer
	if err := t.html.ExecuteTemplate(&html, layoutFile, m); err != nil {
		return Message{}, fmt.Errorf("render mail %q: %w", m.mailName(), err)
	}
	if err := t.text.ExecuteTemplate(&text, "layout.txt", m); err != nil {
		return Message{}, fmt.Errorf("render mail %q: %w", m.mailName(), err)
	}
	return Message{Subject: plain(m.subject()), Text: tidy(text.String()), HTML: html.String()}, nil
}

// tidy ends a text with one newline and leaves at most one empty line between
// paragraphs, whatever the branches of its template left behind.
func tidy(text string) string {
	for strings.Contains(text, "\n\n\n") {
		text = strings.ReplaceAll(text, "\n\n\n", "\n\n")
	}
	return strings.TrimSpace(text) + "\n"
}

// Static serves the embedded files under /static/, and the accents of portals.
func (r *Renderer) Static() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.assets.serve(w, req, path.Clean(req.URL.Path))
	})
}
