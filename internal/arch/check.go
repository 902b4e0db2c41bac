package arch

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Module is the module path that imports of ours begin with.
const Module = "anteroom"

// Check reads every Go file below root, whatever its build tags, and returns one
// sentence for each import that the tables forbid, sorted. An error means that a
// file could not be read or parsed.
func Check(root fs.FS) ([]string, error) {
	var wrong []string
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipped(d.Name()) && name != "." {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly)
		if err != nil {
			return fmt.Errorf("parse %s: %w", name, err)
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("import of %s: %w", name, err)
			}
			if sentence := judge(name, imported); sentence != "" {
				wrong = append(wrong, sentence)
			}
		}
		return nil
	})
	slices.Sort(wrong)
	return slices.Compact(wrong), err
}

// skipped: what the go command does not build either.
func skipped(dir string) bool {
	return dir == "testdata" || dir == "vendor" || dir == "node_modules" || dir == "data" || strings.HasPrefix(dir, ".") || strings.HasPrefix(dir, "_")
}

// judge returns the sentence about one import, or "".
func judge(file, imported string) string {
	dir := path.Dir(file)
	if lib, found := library(imported); found && !within(dir, lib.Room) {
		return fmt.Sprintf("%s: may not import %s: one library, one room, and that one lives in %s", file, imported, lib.Room)
	}
	target, ours := strings.CutPrefix(imported, Module+"/")
	if !ours {
		return ""
	}
	room, known := roomOf(dir)
	if !known {
		return fmt.Sprintf("%s: the room %s is not in the table of internal/arch/rules.go: a new room needs a row there, and a top-level one an ADR", file, dir)
	}
	other, known := roomOf(target)
	if !known {
		return fmt.Sprintf("%s: imports %s, which is not in the table of internal/arch/rules.go", file, imported)
	}
	if other.Path == room.Path || allows(room, other.Path) {
		return ""
	}
	if strings.HasSuffix(file, "_test.go") && covers(InTests, other.Path) {
		return ""
	}
	return fmt.Sprintf("%s: %s may not import %s: %s", file, room.Path, other.Path, room.Why)
}

func allows(r Room, other string) bool {
	if slices.Contains(r.Never, other) {
		return false
	}
	return slices.Contains(r.May, "*") || covers(r.May, other)
}

// covers tells whether list names the room, "internal" standing for Plumbing.
func covers(list []string, room string) bool {
	return slices.Contains(list, room) || slices.Contains(list, "internal") && slices.Contains(Plumbing, room)
}

// roomOf returns the row with the longest path that contains dir.
func roomOf(dir string) (Room, bool) {
	var best Room
	for _, r := range Rooms {
		if within(dir, r.Path) && len(r.Path) > len(best.Path) {
			best = r
		}
	}
	return best, best.Path != ""
}

func library(imported string) (Library, bool) {
	for _, l := range Libraries {
		if within(imported, l.Path) {
			return l, true
		}
	}
	return Library{}, false
}

// within tells whether dir is root or below it.
func within(dir, root string) bool {
	return dir == root || strings.HasPrefix(dir, root+"/")
}
