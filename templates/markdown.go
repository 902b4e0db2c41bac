package templates

import (
	"bytes"
	"errors"
	"html/template"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/util"
)

// MaxMarkdown bounds a text in bytes: longer than any terms that people could
// be asked to accept, and short enough for nested brackets, whose parsing takes
// time by their square.
const MaxMarkdown = 128 << 10

// ErrMarkdown is the answer to a text that is too long or not UTF-8.
var ErrMarkdown = errors.New("the text must be UTF-8 and at most 128 KiB")

// Headings begin one level lower: the page has its own first heading.
var markdown = goldmark.New(
	goldmark.WithExtensions(
		extension.NewLinkify(extension.WithLinkifyAllowedProtocols([]string{"http:", "https:"})),
		extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute)),
	),
	goldmark.WithRendererOptions(renderer.WithNodeRenderers(util.Prioritized(careful{}, 1))),
)

// Markdown renders CommonMark with tables. HTML in it is shown as text, not
// obeyed and not dropped: terms must not lose words. Links lead only to http,
// https, mailto and tel; images become their description, because a picture
// from elsewhere would report who reads. Returns ErrMarkdown.
func Markdown(src string) (template.HTML, error) {
	if len(src) > MaxMarkdown || !utf8.ValidString(src) {
		return "", ErrMarkdown
	}
	var out bytes.Buffer
	if err := markdown.Convert([]byte(src), &out); err != nil {
		return "", err
	}
	return template.HTML(out.String()), nil
}

// careful renders the nodes that could carry something unsafe.
type careful struct{}

func (c careful) RegisterFuncs(reg renderer.NodeRendererFuncRegisterer) {
	reg.Register(ast.KindHeading, c.heading)
	reg.Register(ast.KindLink, c.link)
	reg.Register(ast.KindAutoLink, c.autoLink)
	reg.Register(ast.KindImage, c.image)
	reg.Register(ast.KindRawHTML, c.rawHTML)
	reg.Register(ast.KindHTMLBlock, c.htmlBlock)
}

func (careful) heading(w util.BufWriter, _ []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	level := byte('0' + min(node.(*ast.Heading).Level+1, 6))
	if entering {
		_, _ = w.Write([]byte{'<', 'h', level, '>'})
	} else {
		_, _ = w.Write([]byte{'<', '/', 'h', level, '>', '\n'})
	}
	return ast.WalkContinue, nil
}

func (careful) link(w util.BufWriter, _ []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	target, ok := safeTarget(string(util.URLEscape(node.(*ast.Link).Destination, true)))
	if !ok {
		return ast.WalkContinue, nil // the words stay, the link goes
	}
	if entering {
		openLink(w, target)
	} else {
		_, _ = w.WriteString("</a>")
	}
	return ast.WalkContinue, nil
}

func (careful) autoLink(w util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	n := node.(*ast.AutoLink)
	target := string(util.URLEscape(n.URL(source), false))
	if n.AutoLinkType == ast.AutoLinkEmail && !strings.HasPrefix(strings.ToLower(target), "mailto:") {
		target = "mailto:" + target
	}
	target, ok := safeTarget(target)
	if ok {
		openLink(w, target)
	}
	_, _ = w.Write(util.EscapeHTML(n.Label(source)))
	if ok {
		_, _ = w.WriteString("</a>")
	}
	return ast.WalkContinue, nil
}

// openLink opens a new tab for the web: leaving in the middle of a sign-in would
// lose one's place.
func openLink(w util.BufWriter, target string) {
	_, _ = w.WriteString(`<a href="`)
	_, _ = w.Write(util.EscapeHTML([]byte(target)))
	if strings.HasPrefix(strings.ToLower(target), "http") {
		_, _ = w.WriteString(`" target="_blank`)
	}
	_, _ = w.WriteString(`" rel="noopener noreferrer">`)
}

func safeTarget(target string) (string, bool) {
	u, err := url.Parse(target)
	if err != nil {
		return "", false
	}
	switch strings.ToLower(u.Scheme) {
	case "http", "https":
		return target, u.Host != ""
	case "mailto", "tel":
		return target, true
	}
	return "", false
}

// image leaves the description, which is the text inside.
func (careful) image(util.BufWriter, []byte, ast.Node, bool) (ast.WalkStatus, error) {
	return ast.WalkContinue, nil
}

func (careful) rawHTML(w util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		html.DefaultWriter.RawWrite(w, node.(*ast.RawHTML).Segments.Value(source))
	}
	return ast.WalkSkipChildren, nil
}

func (careful) htmlBlock(w util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	n := node.(*ast.HTMLBlock)
	_, _ = w.WriteString("<p>")
	html.DefaultWriter.RawWrite(w, n.Lines().Value(source))
	if n.HasClosure() {
		html.DefaultWriter.RawWrite(w, n.ClosureLine.Value(source))
	}
	_, _ = w.WriteString("</p>\n")
	return ast.WalkContinue, nil
}
