package templates

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"
)

const staticPrefix = "/static/"

// asset is one embedded file. Its URL carries a hash of its content, so that it
// can be kept for a year and still changes with the next release.
type asset struct {
	content []byte
	hash    string
	kind    string
}

type assets struct {
	byName map[string]asset
}

// The types are given here, not asked of the system: what a minimal container
// lacks must not change what browsers are told.
var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

func loadAssets(files fs.FS) (*assets, error) {
	a := &assets{byName: map[string]asset{}}
	entries, err := fs.ReadDir(files, "static")
	if err != nil {
		return nil, fmt.Errorf("static files: %w", err)
	}
	for _, entry := range entries {
		kind, ok := assetTypes[path.Ext(entry.Name())]
		if !ok {
			return nil, fmt.Errorf("static file %q has no known type", entry.Name())
		}
		content, err := fs.ReadFile(files, "static/"+entry.Name())
		if err != nil {
			return nil, fmt.Errorf("static file: %w", err)
		}
		a.byName[entry.Name()] = newAsset(content, kind)
	}
	return a, nil
}

func newAsset(content []byte, kind string) asset {
	sum := sha256.Sum256(content)
	return asset{content: content, hash: hex.EncodeToString(sum[:6]), kind: kind}
}

// url returns the address of a file: "app.css" is /static/app.<hash>.css. It
// fails for a file that does not exist, which stops the start.
func (a *assets) url(name string) (string, error) {
	file, ok := a.byName[name]
	if !ok {
		return "", fmt.Errorf("no static file %q", name)
	}
	return hashedURL(name, file.hash), nil
}

func hashedURL(name, hash string) string {
	ext := path.Ext(name)
	return staticPrefix + strings.TrimSuffix(name, ext) + "." + hash + ext
}

func accentAsset(c string) asset {
	return newAsset([]byte(Colours(c).css()), assetTypes[".css"])
}

// accentURL returns the style sheet of a portal's colour, "" for the default.
func accentURL(colour string) string {
	c, ok := parseColour(colour)
	if !ok || c.String() == DefaultAccent {
		return ""
	}
	return hashedURL("accent-"+c.String()[1:]+".css", accentAsset(c.String()).hash)
}

var (
	hashedName = regexp.MustCompile(`^(.+)\.([0-9a-f]{12})(\.[a-z]+)$`)
	accentName = regexp.MustCompile(`^accent-([0-9a-f]{6})\.css$`)
)

// serve answers for one file. A name without the hash, or with the hash of
// another release (two may run side by side during an upgrade), gets today's
// content and must ask again next time.
func (a *assets) serve(w http.ResponseWriter, r *http.Request, file string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Only GET and HEAD work here.", http.StatusMethodNotAllowed)
		return
	}
	name, hash := strings.TrimPrefix(file, staticPrefix), ""
	if m := hashedName.FindStringSubmatch(name); m != nil {
		name, hash = m[1]+m[3], m[2]
	}
	found, ok := a.byName[name]
	if m := accentName.FindStringSubmatch(name); m != nil {
		found, ok = accentAsset("#"+m[1]), true
	}
	if !ok {
		http.Error(w, "There is no such file.", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", found.kind)
	h.Set("ETag", `"`+found.hash+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	h.Set("Cache-Control", "no-cache")
	if hash == found.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(found.content))
}
