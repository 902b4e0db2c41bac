package provider

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var testName = regexp.MustCompile("`(Test[A-Za-z0-9]+)`(?: \\(([a-z0-9/]+)\\))?")

// docs/conformance.md: no requirement without a test, and no test that is not
// there.
func TestEveryRequirementHasATestThatIsThere(t *testing.T) {
	page := string(must(os.ReadFile("../docs/conformance.md"))(t))
	code := map[string]string{}
	room := func(name string) string {
		if _, read := code[name]; !read {
			for _, file := range must(filepath.Glob(filepath.Join("..", name, "*_test.go")))(t) {
				code[name] += string(must(os.ReadFile(file))(t))
			}
		}
		return code[name]
	}
	rows := 0
	_, tables, _ := strings.Cut(page, "\n## ")
	for line := range strings.Lines(tables) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 5 || strings.HasPrefix(cells[1], "-") || slices.Contains([]string{"specification", "library"}, strings.TrimSpace(cells[1])) {
			continue
		}
		rows++
		found := testName.FindAllStringSubmatch(cells[len(cells)-2], -1)
		if len(found) == 0 || strings.TrimSpace(cells[1]) == "" || strings.TrimSpace(cells[2]) == "" {
			t.Errorf("a row without a test: %s", line)
		}
		for _, m := range found {
			where := m[2]
			if where == "" {
				where = "provider"
			}
			if !strings.Contains(room(where), "func "+m[1]+"(") {
				t.Errorf("there is no %s in %s", m[1], where)
			}
		}
	}
	if rows < 50 {
		t.Errorf("only %d rows were read", rows)
	}
}
