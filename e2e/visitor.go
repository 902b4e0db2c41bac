package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// Visitor is a browser without a screen and without JavaScript: it keeps
// cookies, follows redirects, fills in forms and presses what has an id. One
// Visitor is one tab; Tab opens another one of the same browser. It is not safe
// for concurrent use, but tabs of one browser may run at the same time.
type Visitor struct {
	Client *http.Client
	// UserAgent is sent with every request.
	UserAgent string

	status  int
	header  http.Header
	url     *url.URL
	page    *html.Node
	raw     []byte
	history []string
}

// ErrNoSuchElement says that the page lacks what was to be pressed or filled in.
var ErrNoSuchElement = errors.New("no such element")

const (
	maxRedirects = 20
	maxPage      = 4 << 20
)

// NewVisitor returns the first tab of a new browser.
func NewVisitor() *Visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // only options fail
	}
	return &Visitor{UserAgent: "Mozilla/5.0 (e2e visitor)", Client: &http.Client{
		Jar: jar, Timeout: time.Minute,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) >= maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			return nil
		},
	}}
}

// Tab opens another tab of the same browser.
func (v *Visitor) Tab() *Visitor {
	return &Visitor{Client: v.Client, UserAgent: v.UserAgent}
}

// Stay makes the browser stop before a redirect to one of the given prefixes: a
// portal that is not there, say. Location then tells where it would have gone.
func (v *Visitor) Stay(prefixes ...string) {
	before := v.Client.CheckRedirect
	v.Client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		for _, p := range prefixes {
			if strings.HasPrefix(r.URL.String(), p) {
				return http.ErrUseLastResponse
			}
		}
		return before(r, via)
	}
}

// Location returns where the last answer redirects to, nil if nowhere.
func (v *Visitor) Location() *url.URL {
	location := v.header.Get("Location")
	if location == "" || v.url == nil {
		return nil
	}
	u, err := v.url.Parse(location)
	if err != nil {
		return nil
	}
	return u
}

// Open goes to an address.
func (v *Visitor) Open(ctx context.Context, address string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	return v.do(r)
}

// Back opens the address before this one again, as the back button does with
// pages that must not be kept.
func (v *Visitor) Back(ctx context.Context) error {
	if len(v.history) < 2 {
		return errors.New("there is nothing to go back to")
	}
	previous := v.history[len(v.history)-2]
	v.history = v.history[:len(v.history)-2]
	return v.Open(ctx, previous)
}

func (v *Visitor) do(r *http.Request) error {
	r.Header.Set("User-Agent", v.UserAgent)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	resp, err := v.Client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return fmt.Errorf("read %s: %w", resp.Request.URL, err)
	}
	page, err := html.Parse(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("parse %s: %w", resp.Request.URL, err)
	}
	v.status, v.header, v.url, v.page, v.raw = resp.StatusCode, resp.Header, resp.Request.URL, page, raw
	v.history = append(v.history, resp.Request.URL.String())
	return nil
}

// Status returns the HTTP status of the page.
func (v *Visitor) Status() int { return v.status }

// Header returns the headers of the page.
func (v *Visitor) Header() http.Header { return v.header }

// URL returns where the tab is.
func (v *Visitor) URL() *url.URL { return v.url }

// Source returns the page as it came.
func (v *Visitor) Source() string { return string(v.raw) }

// Has tells whether the page has an element with this id.
func (v *Visitor) Has(id string) bool { return v.byID(id) != nil }

// Text returns the text of the element with this id, spaces collapsed.
func (v *Visitor) Text(id string) string { return textOf(v.byID(id)) }

// Items returns the texts of the list items below the element with this id.
func (v *Visitor) Items(id string) []string {
	var items []string
	walk(v.byID(id), func(n *html.Node) bool {
		if n.Type == html.ElementNode && n.Data == "li" {
			items = append(items, textOf(n))
			return false
		}
		return true
	})
	return items
}

// Attr returns an attribute of the element with this id.
func (v *Visitor) Attr(id, name string) string { return attr(v.byID(id), name) }

// Field returns the value of the form field with this name, as the page shows it.
func (v *Visitor) Field(name string) string {
	return attr(find(v.page, func(n *html.Node) bool { return n.Data == "input" && attr(n, "name") == name }), "value")
}

// Ways counts what the page offers to press: links and buttons of its main part.
func (v *Visitor) Ways() int {
	n := 0
	walk(find(v.page, func(n *html.Node) bool { return n.Data == "main" }), func(e *html.Node) bool {
		if e.Type == html.ElementNode && (e.Data == "a" && attr(e, "href") != "" || e.Data == "button" && !has(e, "hidden")) {
			n++
		}
		return true
	})
	return n
}

// Press follows the link with this id, or sends the form of the button with this
// id, with fields filled in. A field that the form lacks is an error: nobody
// could have typed into it.
func (v *Visitor) Press(ctx context.Context, id string, fields url.Values) error {
	element := v.byID(id)
	if element == nil {
		return fmt.Errorf("press #%s on %s (%d): %w", id, v.url, v.status, ErrNoSuchElement)
	}
	if element.Data == "a" {
		target, err := v.url.Parse(attr(element, "href"))
		if err != nil {
			return err
		}
		return v.Open(ctx, target.String())
	}
	form := formOf(v.page, element)
	if form == nil {
		return fmt.Errorf("#%s on %s is in no form: %w", id, v.url, ErrNoSuchElement)
	}
	values := controls(form, element)
	for name, want := range fields {
		if !hasControl(form, name) {
			return fmt.Errorf("the form of #%s on %s has no field %q: %w", id, v.url, name, ErrNoSuchElement)
		}
		values[name] = want
	}
	return v.send(ctx, form, element, values)
}

func (v *Visitor) send(ctx context.Context, form, button *html.Node, values url.Values) error {
	action := first(attr(button, "formaction"), attr(form, "action"), v.url.String())
	target, err := v.url.Parse(action)
	if err != nil {
		return err
	}
	if !strings.EqualFold(first(attr(button, "formmethod"), attr(form, "method")), http.MethodPost) {
		target.RawQuery = values.Encode()
		return v.Open(ctx, target.String())
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), strings.NewReader(values.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", v.url.Scheme+"://"+v.url.Host)
	return v.do(r)
}

// controls returns what a browser would send (HTML, "constructing the entry
// list") before anything is typed.
func controls(form, button *html.Node) url.Values {
	values := url.Values{}
	walk(form, func(n *html.Node) bool {
		name := attr(n, "name")
		if n.Type != html.ElementNode || name == "" || has(n, "disabled") {
			return true
		}
		switch {
		case n.Data == "input":
			switch kind := strings.ToLower(attr(n, "type")); {
			case kind == "submit" || kind == "button" || kind == "image":
				if n == button {
					values.Add(name, attr(n, "value"))
				}
			case kind == "checkbox" || kind == "radio":
				if has(n, "checked") {
					values.Add(name, first(attr(n, "value"), "on"))
				}
			default:
				values.Add(name, attr(n, "value"))
			}
		case n.Data == "textarea":
			values.Add(name, textOf(n))
		case n.Data == "button" && n == button:
			values.Add(name, attr(n, "value"))
		}
		return true
	})
	return values
}

func hasControl(form *html.Node, name string) bool {
	return find(form, func(n *html.Node) bool {
		return slices.Contains([]string{"input", "textarea", "select"}, n.Data) && attr(n, "name") == name
	}) != nil
}

// formOf returns the form that a button belongs to.
func formOf(page, button *html.Node) *html.Node {
	if id := attr(button, "form"); id != "" {
		return find(page, func(n *html.Node) bool { return n.Data == "form" && attr(n, "id") == id })
	}
	for n := button; n != nil; n = n.Parent {
		if n.Type == html.ElementNode && n.Data == "form" {
			return n
		}
	}
	return nil
}

func (v *Visitor) byID(id string) *html.Node {
	return find(v.page, func(n *html.Node) bool { return attr(n, "id") == id })
}

func find(root *html.Node, fits func(*html.Node) bool) *html.Node {
	var found *html.Node
	walk(root, func(n *html.Node) bool {
		if found == nil && n.Type == html.ElementNode && fits(n) {
			found = n
		}
		return found == nil
	})
	return found
}

// walk visits n and what is below it; visit returns false to leave out what is
// below.
func walk(n *html.Node, visit func(*html.Node) bool) {
	if n == nil || !visit(n) {
		return
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, visit)
	}
}

func textOf(n *html.Node) string {
	var b strings.Builder
	walk(n, func(n *html.Node) bool {
		if n.Type == html.TextNode {
			b.WriteString(n.Data + " ")
		}
		return n.Data != "script" && n.Data != "style"
	})
	return strings.Join(strings.Fields(b.String()), " ")
}

func attr(n *html.Node, name string) string {
	if n == nil {
		return ""
	}
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}
