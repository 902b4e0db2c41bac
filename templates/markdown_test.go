package templates

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/html"
)

func TestMarkdown(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"empty":               {"", ""},
		"headings go down":    {"# A\n\n###### B", "<h2>A</h2>\n<h6>B</h6>\n"},
		"emphasis":            {"**a** _b_", "<p><strong>a</strong> <em>b</em></p>\n"},
		"web link":            {"[a](https://a.example/?x=1&y=2)", `<p><a href="https://a.example/?x=1&amp;y=2" target="_blank" rel="noopener noreferrer">a</a></p>` + "\n"},
		"bare address":        {"see https://a.example.", `<p>see <a href="https://a.example" target="_blank" rel="noopener noreferrer">https://a.example</a>.</p>` + "\n"},
		"mail link":           {"<a@b.example>", `<p><a href="mailto:a@b.example" rel="noopener noreferrer">a@b.example</a></p>` + "\n"},
		"script link":         {"[a](javascript:alert(1))", "<p>a</p>\n"},
		"disguised":           {"[a](java&#x73;cript:alert(1)) [b](<JaVaScript:alert(1)>) [c](&#1;javascript:alert(1))", "<p>a b c</p>\n"},
		"data link":           {"[a](data:text/html;base64,PHNjcmlwdD4=)", "<p>a</p>\n"},
		"own pages":           {"[a](/logout) [b](//evil.example) [c](#x) [d](https:/login)", "<p>a b c d</p>\n"},
		"quote in link":       {`[a](https://a.example/"onmouseover=x)`, `<p><a href="https://a.example/%22onmouseover=x" target="_blank" rel="noopener noreferrer">a</a></p>` + "\n"},
		"link title":          {`[a](https://a.example "t\" onclick=x")`, `<p><a href="https://a.example" target="_blank" rel="noopener noreferrer">a</a></p>` + "\n"},
		"image":               {"![a logo](https://evil.example/x.png)", "<p>a logo</p>\n"},
		"HTML stays as words": {"<b onclick=x>bold</b>", "<p>&lt;b onclick=x&gt;bold&lt;/b&gt;</p>\n"},
		"HTML block":          {"<div>\nkept\n</div>", "<p>&lt;div&gt;\nkept\n&lt;/div&gt;</p>\n"},
		"HTML with an end":    {"<script>\nalert(1)\n</script>", "<p>&lt;script&gt;\nalert(1)\n&lt;/script&gt;</p>\n"},
		"script address":      {"<javascript:alert(1)>", "<p>javascript:alert(1)</p>\n"},
	} {
		got, err := Markdown(test.in)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: Markdown(%q) = %q, %v\nwant %q", name, test.in, got, err, test.want)
		}
	}
}

func TestMarkdownTablesHaveNoInlineStyle(t *testing.T) {
	got, err := Markdown("|a|b|\n|:-:|--:|\n|1|2|")
	if err != nil || !strings.Contains(string(got), "<td") || strings.Contains(string(got), "style") {
		t.Errorf("Markdown = %q, %v", got, err)
	}
}

func TestMarkdownRefusesWhatItCannotShow(t *testing.T) {
	for _, in := range []string{"\xff", strings.Repeat("a", MaxMarkdown+1)} {
		if _, err := Markdown(in); !errors.Is(err, ErrMarkdown) {
			t.Errorf("Markdown(%.10q...) = %v, want ErrMarkdown", in, err)
		}
	}
}

// FuzzMarkdown: whatever an operator pastes, what comes out is a few harmless
// elements, and links to the web, to mail and to telephones.
func FuzzMarkdown(f *testing.F) {
	for _, seed := range []string{sampleTerms, "[a](javascript:x)", "![a](b)", "<b>", "<div>\n", "|a|\n|:-:|\n|<i>|", "[a]: javascript:x\n[a]", "<a@b.c>", "`<x>`", "```x\" onclick=y\n<s>\n```", "&lt;script&gt;", "[![a](b)](https://c.d)", "<!-- a\n\n<x> -->"} {
		f.Add(seed)
	}
	allowed := strings.Fields("html head body h2 h3 h4 h5 h6 p ul ol li em strong a code pre blockquote hr br table thead tbody tr th td")
	attributes := strings.Fields("href target rel align start class")
	f.Fuzz(func(t *testing.T, src string) {
		out, err := Markdown(src)
		if err != nil {
			if utf8.ValidString(src) && len(src) <= MaxMarkdown {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		root, err := html.Parse(strings.NewReader(string(out)))
		if err != nil {
			t.Fatal(err)
		}
		for n := range root.Descendants() {
			if n.Type == html.CommentNode {
				t.Fatalf("a comment came out: %q", out)
			}
			if n.Type != html.ElementNode {
				continue
			}
			if !slices.Contains(allowed, n.Data) {
				t.Fatalf("<%s> came out: %q", n.Data, out)
			}
			for _, a := range n.Attr {
				if !slices.Contains(attributes, a.Key) || a.Key == "class" && n.Data != "code" {
					t.Fatalf("<%s %s> came out: %q", n.Data, a.Key, out)
				}
				if a.Key == "href" && !safeScheme(a.Val) {
					t.Fatalf("link to %q came out", a.Val)
				}
			}
		}
	})
}

func safeScheme(target string) bool {
	return slices.ContainsFunc([]string{"http://", "https://", "mailto:", "tel:"}, func(scheme string) bool {
		return strings.HasPrefix(strings.ToLower(target), scheme)
	})
}
