package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What is installed is what was reviewed, wherever it is fetched from: one version,
// known by its hash, and no address.
func TestInteropLocks(t *testing.T) {
	var lock struct {
		Packages map[string]struct {
			Version, Integrity, Resolved string
			Dependencies                 map[string]string
		}
	}
	text := read(t, "interop/node/package-lock.json")
	if err := json.Unmarshal([]byte(text), &lock); err != nil {
		t.Fatal(err)
	}
	versions := maps.Clone(lock.Packages[""].Dependencies)
	for name, one := range lock.Packages {
		if name != "" && (one.Version == "" || !strings.HasPrefix(one.Integrity, "sha512-") || one.Resolved != "") {
			t.Errorf("%s: version %q, integrity %q, from %q", name, one.Version, one.Integrity, one.Resolved)
		}
	}
	pinned := read(t, "interop/python/requirements.txt")
	for _, block := range regexp.MustCompile(`(?m)^\S.*(\n +.*)*`).FindAllString(pinned, -1) {
		name, rest, exact := strings.Cut(block, "==")
		if !exact || !strings.Contains(rest, "--hash=sha256:") {
			t.Errorf("not an exact version with its hashes: %s", block)
		}
		versions[name], _, _ = strings.Cut(rest, " ")
	}
	if strings.Contains(text+pinned, "://") {
		t.Error("a lock says where something comes from")
	}
	if len(lock.Packages) < 10 || len(versions) < 10 {
		t.Fatalf("read %d packages, versions %v", len(lock.Packages), versions)
	}
	pagesNameThese(t, versions)
}

// The pages say which versions were tried: those of the locks.
func pagesNameThese(t *testing.T, versions map[string]string) {
	t.Helper()
	_, table, _ := strings.Cut(read(t, "../docs/conformance.md"), "\n## Interoperability\n")
	_, starts, _ := strings.Cut(read(t, "../docs/portal-developer.md"), "\n## Starts to copy\n")
	starts, _, _ = strings.Cut(starts, "\n### ")
	for page, text := range map[string]string{"docs/conformance.md": table, "docs/portal-developer.md": starts} {
		found := regexp.MustCompile(`([A-Za-z][A-Za-z0-9-]+) (\d+\.[0-9.]*\d)`).FindAllStringSubmatch(text, -1)
		named := 0
		for _, m := range found {
			version, known := versions[strings.ToLower(m[1])]
			if !known {
				continue
			}
			if named++; version != m[2] && !strings.HasPrefix(version, m[2]+".") {
				t.Errorf("%s names %s %s, the lock has %s", page, m[1], m[2], version)
			}
		}
		if named < 4 {
			t.Errorf("%s names %d libraries of %v", page, named, slices.Sorted(maps.Keys(versions)))
		}
	}
}
