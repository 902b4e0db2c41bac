package provider

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// JWKSMaxAge is how long clients may keep the JWKS and the discovery document.
const JWKSMaxAge = 5 * time.Minute

// document is a public JSON document, cacheable, with an ETag.
type document struct {
	body []byte
	etag string
}

func newDocument(v any) (document, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return document{}, err
	}
	sum := sha256.Sum256(body)
	return document{body: body, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}, nil
}

func (d document) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(JWKSMaxAge.Seconds())))
	h.Set("ETag", d.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(d.body))
}

// published returns the JWKS: every key from its creation to its retirement
// (RFC 7517 section 5).
func (k *Keys) published(ctx context.Context) (document, error) {
	s, err := k.set(ctx)
	if err != nil {
		return document{}, err
	}
	now := k.now()
	keys := []json.RawMessage{}
	for _, row := range s.rows {
		if row.RetiredAt.IsZero() || now.Before(row.RetiredAt) {
			keys = append(keys, row.PublicJWK)
		}
	}
	return newDocument(map[string]any{"keys": keys})
}

// JWKS serves the public keys.
func (p *Provider) JWKS(w http.ResponseWriter, r *http.Request) {
	if cors(w, r, http.MethodGet, http.MethodHead) || !p.only(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	d, err := p.keys.published(r.Context())
	if err != nil {
		p.fail(w, r, fmt.Errorf("publish keys: %w", err))
		return
	}
	d.serve(w, r)
}

// cors lets scripts of other sites call an endpoint that takes no cookies, and
// answers their preflight requests. It returns true when it answered.
func cors(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After, DPoP-Nonce")
	if r.Method != http.MethodOptions {
		return false
	}
	for _, m := range methods {
		h.Add("Access-Control-Allow-Methods", m)
	}
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
	h.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
	return true
}
