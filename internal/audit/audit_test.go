package audit

import (
	"context"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"anteroom/store"
)

var update = flag.Bool("update", false, "write golden files")

// chain is a log in memory whose entries the tests spoil; no store would.
type chain []store.AuditEvent

func (c *chain) AppendAudit(_ context.Context, e store.AuditEvent) error {
	if n := len(*c); n > 0 {
		e.PrevHash = (*c)[n-1].Hash
	}
	e.Seq = int64(len(*c) + 1)
	e.Hash = store.AuditHash(e)
	*c = append(*c, e)
	return nil
}

// AuditEvents gives two entries a page, so that the walk has to page.
func (c *chain) AuditEvents(_ context.Context, _ store.AuditFilter, p store.Page) ([]store.AuditEvent, string, error) {
	after, _ := strconv.Atoi(p.After)
	end := min(after+2, len(*c))
	next := ""
	if end < len(*c) {
		next = strconv.Itoa(end)
	}
	return (*c)[after:end], next, nil
}

func five(t *testing.T) *chain {
	t.Helper()
	c := &chain{}
	for i := range 5 {
		e := store.AuditEvent{At: time.Unix(int64(i), 0), Type: SignedIn, Actor: "a", Details: map[string]string{"n": strconv.Itoa(i)}}
		if err := Record(t.Context(), c, e); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestVerifyNamesTheFirstBreak(t *testing.T) {
	for _, tc := range []struct {
		name   string
		spoil  func(c *chain)
		known  *Point
		seq    int64 // 0: the chain holds
		reason string
	}{
		{"whole", func(*chain) {}, nil, 0, ""},
		{"empty", func(c *chain) { *c = nil }, nil, 0, ""},
		{"changed", func(c *chain) { (*c)[2].Actor = "b" }, nil, 3, "changed"},
		{"details changed", func(c *chain) { (*c)[3].Details["n"] = "x" }, nil, 4, "changed"},
		{"time changed", func(c *chain) { (*c)[1].At = time.Unix(99, 0) }, nil, 2, "changed"},
		{"removed", func(c *chain) { *c = append((*c)[:1], (*c)[2:]...) }, nil, 2, "Entry 2 is missing"},
		{"first removed", func(c *chain) { *c = (*c)[1:] }, nil, 1, "Entry 1 is missing"},
		{"replaced with a fitting hash", func(c *chain) {
			(*c)[1].Actor = "b"
			(*c)[1].Hash = store.AuditHash((*c)[1])
		}, nil, 3, "does not follow"},
		{"end cut off", func(c *chain) { *c = (*c)[:3] }, &Point{5, "x"}, 4, "missing"},
		{"written anew", func(c *chain) {
			old := *c
			*c = nil
			for _, e := range old {
				e.Actor = "b"
				_ = c.AppendAudit(nil, e)
			}
		}, &Point{2, "the hash of before"}, 2, "written anew"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := five(t)
			tc.spoil(c)
			f, err := Verify(t.Context(), c, tc.known)
			if err != nil {
				t.Fatal(err)
			}
			if tc.seq == 0 {
				if f.Broken != nil || f.Entries != int64(len(*c)) {
					t.Errorf("got %+v %+v, want a chain that holds", f, f.Broken)
				}
				return
			}
			if f.Broken == nil || f.Broken.Seq != tc.seq || !strings.Contains(f.Broken.Reason, tc.reason) {
				t.Errorf("got %+v, want a break at %d: %q", f.Broken, tc.seq, tc.reason)
			}
		})
	}
}

func TestVerifyAcceptsTheKnownPoint(t *testing.T) {
	c := five(t)
	f, err := Verify(t.Context(), c, &Point{3, (*c)[2].Hash})
	if err != nil || f.Broken != nil || f.LastHash != (*c)[4].Hash || f.LastSeq != 5 {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestRecordRefusesAnEntryThatSaysNothing(t *testing.T) {
	now := time.Unix(1, 0)
	for _, e := range []store.AuditEvent{{At: now, Actor: "a"}, {Type: SignedIn, Actor: "a"}, {Type: SignedIn, At: now}} {
		if err := Record(t.Context(), &chain{}, e); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("Record(%+v) = %v, want ErrInvalid", e, err)
		}
	}
}

// Every constant has its row and every row its constant.
func TestEveryWordIsExplained(t *testing.T) {
	words := constants(t)
	explained := map[string]bool{}
	for _, k := range Kinds {
		if explained[k.Type] {
			t.Errorf("%s is explained twice", k.Type)
		}
		explained[k.Type] = true
		if !words[k.Type] || !strings.HasSuffix(k.When, ".") {
			t.Errorf("the row %+v has no constant or no sentence", k)
		}
	}
	for word := range words {
		if !explained[word] {
			t.Errorf("%s has no row in Kinds", word)
		}
	}
}

// constants reads the string constants of audit.go.
func constants(t *testing.T) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "audit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			for _, v := range spec.Values {
				if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					word, _ := strconv.Unquote(lit.Value)
					words[word] = true
				}
			}
		}
		return true
	})
	if len(words) < 40 {
		t.Fatalf("found %d constants only", len(words))
	}
	return words
}

func TestTheReferenceIsUpToDate(t *testing.T) {
	const path = "../../docs/audit.md"
	var b strings.Builder
	if err := WriteReference(&b); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != b.String() {
		t.Errorf("%s is out of date (%v); write it with: go test ./internal/audit -update", path, err)
	}
}
