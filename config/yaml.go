package config

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// reader flattens a YAML document into entries. It walks the syntax tree instead
// of decoding, so that every mistake is found in one pass and has its line.
type reader struct {
	file     string
	entries  []entry
	mistakes Mistakes
	seen     map[string]int // key -> line
}

// parseYAML returns nil entries if data is not one YAML mapping.
func parseYAML(file string, data []byte) (entries []entry, mistakes Mistakes) {
	whole := func(line int, what, fix string) ([]entry, Mistakes) {
		where := file
		if line > 0 {
			where = fmt.Sprintf("%s:%d", file, line)
		}
		return nil, Mistakes{{Where: where, What: what, Fix: fix, line: line}}
	}
	if !utf8.Valid(data) {
		return whole(0, "this is not text in UTF-8", "save the file as UTF-8")
	}
	defer func() {
		// The parser is not ours and the file is input: a panic is its way of
		// saying that it cannot read it.
		if recover() != nil {
			entries, mistakes = whole(0, "this is not YAML", "compare it with what anteroom init writes")
		}
	}()
	doc, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if syntax, ok := errors.AsType[*yaml.SyntaxError](err); ok && syntax.Token != nil {
		return whole(syntax.Token.Position.Line, "this is not YAML: "+syntax.Message, "check the indentation and the quotes around it")
	}
	if err != nil {
		return whole(0, "this is not YAML", "compare it with what anteroom init writes")
	}
	r := &reader{file: file, entries: []entry{}, seen: map[string]int{}}
	documents := 0
	for _, d := range doc.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentType || d.Body.Type() == ast.NullType {
			continue
		}
		if documents++; documents > 1 {
			return whole(line(d.Body), "there is a second document (---)", "keep one document")
		}
		switch d.Body.(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
			r.mapping("", d.Body)
		default:
			return whole(line(d.Body), "this is not a list of keys and values", "compare it with what anteroom init writes")
		}
	}
	return r.entries, r.mistakes
}

func line(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

func (r *reader) at(n ast.Node) string { return fmt.Sprintf("%s:%d", r.file, line(n)) }

func (r *reader) fail(n ast.Node, key, what, fix string) {
	r.mistakes = append(r.mistakes, Mistake{Key: key, Where: r.at(n), What: what, Fix: fix, line: line(n)})
}

func (r *reader) mapping(prefix string, n ast.Node) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	}
	for _, pair := range values {
		name, ok := plain(pair.Key)
		if !ok {
			r.fail(pair.Key, "", "this is not a plain key", "anchors, merges and complex keys are not used here")
			continue
		}
		key := prefix + name
		if first, twice := r.seen[key]; twice {
			r.fail(pair.Key, key, fmt.Sprintf("the key is there twice, first in line %d", first), "remove one of the two")
			continue
		}
		r.seen[key] = line(pair.Key)
		r.pair(key, pair)
	}
}

func (r *reader) pair(key string, pair *ast.MappingValueNode) {
	e := entry{key: key, where: r.at(pair.Key), line: line(pair.Key)}
	switch v := pair.Value.(type) {
	case nil, *ast.NullNode:
		if isSection(key) {
			return
		}
		e.kind = empty
	case *ast.MappingNode, *ast.MappingValueNode:
		if len(key) > 200 || !isSection(key) {
			r.entries = append(r.entries, entry{key: key, where: e.where, line: e.line, kind: mapping})
			return
		}
		r.mapping(key+".", v)
		return
	case *ast.SequenceNode:
		e.kind = sequence
		for _, item := range v.Values {
			s, ok := plain(item)
			if !ok {
				r.fail(pair.Key, key, "an item of the list is not a plain value", "write one value an item")
				return
			}
			e.list = append(e.list, s)
		}
	default:
		value, ok := plain(v)
		if !ok {
			r.fail(pair.Key, key, "anchors, aliases and tags are not used here", "write the value itself")
			return
		}
		e.text = value
	}
	r.entries = append(r.entries, e)
}

func isSection(key string) bool {
	for _, s := range sections {
		if s.key == key {
			return true
		}
	}
	return false
}

// plain returns a scalar as it was written; quotes and blocks are resolved. ok
// is false for everything else, anchors, aliases and tags included.
func plain(n ast.Node) (text string, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}
