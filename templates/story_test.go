package templates

import (
	"html/template"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// document is a parsed page with the questions that tests ask of it.
type document struct {
	root *html.Node
	all  []*html.Node
}

func parseDocument(t *testing.T, body []byte) document {
	t.Helper()
	root, err := html.Parse(strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	d := document{root: root}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			d.all = append(d.all, n)
		}
	}
	return d
}

func attr(n *html.Node, name string) string {
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

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.Data != "script" && d.Parent.Data != "style" {
			b.WriteString(d.Data)
			b.WriteByte(' ')
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func (d document) find(match func(*html.Node) bool) []*html.Node {
	var found []*html.Node
	for _, n := range d.all {
		if match(n) {
			found = append(found, n)
		}
	}
	return found
}

func (d document) byID(id string) *html.Node {
	for _, n := range d.all {
		if attr(n, "id") == id {
			return n
		}
	}
	return nil
}

func (d document) named(name string) *html.Node {
	for _, n := range d.all {
		if attr(n, "name") == name && n.Data != "meta" {
			return n
		}
	}
	return nil
}

func eachStory(t *testing.T, check func(t *testing.T, s Story, d document)) {
	t.Helper()
	r := newTestRenderer(t)
	for _, s := range Storybook() {
		t.Run(s.Name, func(t *testing.T) {
			body, err := r.body(s.Page)
			if err != nil {
				t.Fatal(err)
			}
			check(t, s, parseDocument(t, body))
		})
	}
}

func TestStorybookShowsEveryPage(t *testing.T) {
	shown, names := map[string]bool{}, map[string]bool{}
	for _, s := range Storybook() {
		shown[s.Page.pageName()] = true
		if names[s.Name] {
			t.Errorf("two stories are called %q", s.Name)
		}
		names[s.Name] = true
	}
	for _, p := range pages() {
		if !shown[p.pageName()] {
			t.Errorf("no story shows %q", p.pageName())
		}
	}
}

// The policy of the page forbids it, and what is forbidden does not work.
func TestPagesHaveNothingInlineAndNothingOfOthers(t *testing.T) {
	eachStory(t, func(t *testing.T, s Story, d document) {
		for _, n := range d.all {
			for _, a := range n.Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
					t.Errorf("<%s> has the inline attribute %s", n.Data, a.Key)
				}
				if a.Key == "src" && n.Data != "img" && !strings.HasPrefix(a.Val, "/static/") {
					t.Errorf("<%s> loads %q", n.Data, a.Val)
				}
			}
			switch {
			case n.Data == "style", n.Data == "iframe", n.Data == "object", n.Data == "embed", n.Data == "base":
				t.Errorf("page has a <%s>", n.Data)
			case n.Data == "script" && (!has(n, "defer") || n.FirstChild != nil):
				t.Error("page has an inline or blocking script")
			case n.Data == "link" && !strings.HasPrefix(attr(n, "href"), "/static/"):
				t.Errorf("page links %q", attr(n, "href"))
			}
		}
	})
}

func TestPagesAreAccessible(t *testing.T) {
	eachStory(t, func(t *testing.T, s Story, d document) {
		ids := map[string]bool{}
		for _, n := range d.all {
			if id := attr(n, "id"); id != "" {
				if ids[id] {
					t.Errorf("id %q occurs twice", id)
				}
				ids[id] = true
			}
		}
		for _, n := range d.all {
			for _, name := range []string{"aria-describedby", "aria-labelledby", "for", "data-copy", "data-reveal"} {
				for _, id := range strings.Fields(attr(n, name)) {
					if !ids[id] {
						t.Errorf("%s names %q, which does not exist", name, id)
					}
				}
			}
			if n.Data == "input" && attr(n, "type") != "hidden" && attr(n, "aria-hidden") == "" && !labelled(d, n) {
				t.Errorf("input %q has no label", attr(n, "name"))
			}
			if n.Data == "button" && text(n) == "" {
				t.Error("a button has no words")
			}
		}
		if got := len(d.find(func(n *html.Node) bool { return n.Data == "h1" })); got != 1 {
			t.Errorf("page has %d first headings, want 1", got)
		}
		if got := len(d.find(func(n *html.Node) bool { return has(n, "autofocus") })); got > 1 {
			t.Errorf("%d elements ask for the focus", got)
		}
		if root := d.find(func(n *html.Node) bool { return n.Data == "html" })[0]; attr(root, "lang") == "" {
			t.Error("page has no language")
		}
	})
}

func labelled(d document, input *html.Node) bool {
	for p := range input.Ancestors() {
		if p.Data == "label" {
			return true
		}
	}
	return len(d.find(func(n *html.Node) bool {
		return n.Data == "label" && attr(n, "for") != "" && attr(n, "for") == attr(input, "id")
	})) == 1
}

func TestEveryPageHasAWayOn(t *testing.T) {
	eachStory(t, func(t *testing.T, s Story, d document) {
		if s.Name == "home-nobody" {
			t.Skip("says to open a portal; there is none to name")
		}
		ways := d.find(func(n *html.Node) bool {
			return n.Data == "a" && has(n, "href") || n.Data == "button" && attr(n, "type") != "button"
		})
		if len(ways) == 0 {
			t.Error("there is nothing to press")
		}
	})
}

// A refusal stands in #error, is named by the field, and the focus is there.
func TestRefusalsAreNextToTheFieldThatHasTheFocus(t *testing.T) {
	eachStory(t, func(t *testing.T, s Story, d document) {
		field := reflect.ValueOf(s.Page).Elem().FieldByName("Error")
		if !field.IsValid() {
			t.Skip("page has no refusal")
		}
		if field.String() == "" {
			if d.byID("error") != nil {
				t.Error("page without a refusal has #error")
			}
			return
		}
		node := d.byID("error")
		if node == nil || text(node) != field.String() {
			t.Fatalf("#error does not say %q", field.String())
		}
		focused := d.find(func(n *html.Node) bool { return has(n, "autofocus") })
		if len(focused) != 1 || attr(focused[0], "aria-invalid") != "true" || !slices.Contains(strings.Fields(attr(focused[0], "aria-describedby")), "error") {
			t.Error("the focus is not at the field in error")
		}
		title := d.find(func(n *html.Node) bool { return n.Data == "title" && n.Parent.Data == "head" })[0]
		if !strings.HasPrefix(text(title), "Error: ") {
			t.Errorf("title = %q, want it to begin with Error:", text(title))
		}
	})
}

func TestPagesSpeakPlainly(t *testing.T) {
	jargon := regexp.MustCompile(`(?i)\b(otp|totp|mfa|2fa|idp|oidc|oauth|token|oops|sorry|invalid|null|undefined)\b|!`)
	eachStory(t, func(t *testing.T, s Story, d document) {
		if word := jargon.FindString(text(d.root)); word != "" {
			t.Errorf("page says %q", word)
		}
	})
}

// The stable hooks: changing one needs a major version.
func TestStableHooks(t *testing.T) {
	fields := map[string]map[string]string{ // story -> field name -> autocomplete
		"login":     {"username": "username", "password": "current-password"},
		"activate":  {"new_password": "new-password"},
		"reset":     {"new_password": "new-password"},
		"forgot":    {"username": "username"},
		"enroll":    {"code": "one-time-code"},
		"challenge": {"code": "one-time-code"},
		"recovery":  {"recovery_code": "off"},
		"terms":     {"accept": "", "decline": ""},
		"consent":   {"allow": "", "deny": ""},
	}
	ids := map[string][]string{
		"login": {"login-submit", "forgot-password"}, "login-continue": {"continue-as", "login-submit"},
		"activate": {"activate-submit"}, "reset": {"reset-submit"}, "forgot": {"forgot-submit"},
		"enroll":         {"totp-qr", "totp-secret", "totp-open", "enroll-submit", "enroll-restart"},
		"recovery-codes": {"recovery-codes", "recovery-codes-done"},
		"challenge":      {"challenge-submit", "use-recovery-code"},
		"recovery":       {"recovery-submit"}, "terms": {"terms-submit", "terms-decline"},
		"consent": {"consent-allow", "consent-deny"}, "activated": {"go-to-portal"}, "activated-no-portal": {"go-to-portal"},
		"logout": {"logout-confirm"}, "signed-out": {"signed-out"},
		"error": {"error", "error-id"}, "error-huge": {"error", "error-id"},
	}
	eachStory(t, func(t *testing.T, s Story, d document) {
		for name, autocomplete := range fields[s.Name] {
			n := d.named(name)
			if n == nil {
				t.Errorf("there is no field %q", name)
			} else if got := attr(n, "autocomplete"); got != autocomplete {
				t.Errorf("autocomplete of %q = %q, want %q", name, got, autocomplete)
			}
		}
		for _, id := range ids[s.Name] {
			if d.byID(id) == nil {
				t.Errorf("there is no #%s", id)
			}
		}
		switch s.Name {
		case "terms":
			if got := text(d.byID("terms-submit")); got != "Finish" {
				t.Errorf("button during an activation = %q, want Finish", got)
			}
		case "terms-newer-short":
			if got := text(d.byID("terms-submit")); got == "Finish" {
				t.Error("button outside an activation says Finish")
			}
		case "enroll":
			secret := d.byID("totp-secret")
			if text(secret) != "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP" || attr(secret, "data-secret") != "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP" {
				t.Errorf("#totp-secret = %q, data-secret %q", text(secret), attr(secret, "data-secret"))
			}
			if !strings.HasPrefix(attr(d.byID("totp-open"), "href"), "otpauth://totp/") {
				t.Errorf("#totp-open leads to %q", attr(d.byID("totp-open"), "href"))
			}
		case "recovery-codes":
			var codes []string
			for n := range d.byID("recovery-codes").ChildNodes() {
				if n.Data == "li" {
					codes = append(codes, text(n))
				}
			}
			if want := s.Page.(*RecoveryCodes).Codes; !slices.Equal(codes, want) {
				t.Errorf("codes = %q, want %q", codes, want)
			}
		}
	})
}

// hostile fills every string of v, however deep, except those that are markup
// by type.
func hostile(v reflect.Value, with string) {
	switch v.Kind() {
	case reflect.String:
		if v.Type() != reflect.TypeFor[template.HTML]() && v.Type() != reflect.TypeFor[template.URL]() {
			v.SetString(with)
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(7)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		hostile(v.Elem(), with)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				hostile(v.Field(i), with)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		hostile(v.Index(0), with)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf(with), reflect.ValueOf(with))
	}
}

func TestWordsFromOutsideStayWords(t *testing.T) {
	r := newTestRenderer(t)
	for _, with := range []string{`"><script>alert(1)</script><b onclick=x>`, `' onmouseover=alert(1) x='`, "javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "\x00\xff</title></textarea><img src=x onerror=alert(1)>"} {
		for _, p := range pages() {
			v := reflect.New(reflect.TypeOf(p).Elem())
			hostile(v.Elem(), with)
			body, err := r.body(v.Interface().(Page))
			if err != nil {
				t.Errorf("%s with %q: %v", p.pageName(), with, err)
				continue
			}
			for _, n := range parseDocument(t, body).all {
				if n.Data == "script" && !strings.HasPrefix(attr(n, "src"), "/static/app.") || n.Data == "img" && attr(n, "src") == "x" {
					t.Errorf("%s with %q: a <%s> got in", p.pageName(), with, n.Data)
				}
				for _, a := range n.Attr {
					value := strings.ToLower(strings.TrimSpace(a.Val))
					if strings.HasPrefix(a.Key, "on") || (a.Key == "href" || a.Key == "action" || a.Key == "src") && (strings.HasPrefix(value, "javascript:") || strings.HasPrefix(value, "data:text")) {
						t.Errorf("%s with %q: <%s %s=%q>", p.pageName(), with, n.Data, a.Key, a.Val)
					}
				}
			}
		}
	}
}
